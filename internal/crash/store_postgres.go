//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/history"
	"github.com/symphony-messenger/symphony/transport/postgres"
)

type postgresStore struct{ t *postgres.Transport }

func openPostgres(ctx context.Context, dsn string) (store, error) {
	t, err := postgres.Open(ctx, dsn, nil)
	if err != nil {
		return nil, err
	}
	return postgresStore{t}, nil
}

func (s postgresStore) bare() symphony.Transport { return s.t }

func (s postgresStore) setup(ctx context.Context) error {
	if _, err := s.t.Migrate(ctx); err != nil {
		return err
	}
	// Without a constraint: a second effect must be seen, not prevented.
	_, err := s.t.Pool().Exec(ctx, "create table public.effects (message text not null)")
	return err
}

func (s postgresStore) handleTx(b *symphony.Bus, fn func(context.Context, userTx, txTask) error, opts ...symphony.HandlerOption) {
	postgres.HandleTx(b, s.t, func(ctx context.Context, tx pgx.Tx, m txTask) error {
		return fn(ctx, postgresTx{s.t, tx, b.With(s.t.InTx(tx))}, m)
	}, opts...)
}

func (s postgresStore) inTx(ctx context.Context, b *symphony.Bus, fn func(userTx) error) error {
	return s.t.Tx(ctx, b, func(tx pgx.Tx, d symphony.Dispatcher) error { return fn(postgresTx{s.t, tx, d}) })
}

type postgresTx struct {
	t     *postgres.Transport
	tx    pgx.Tx
	sends symphony.Dispatcher
}

func (tx postgresTx) dispatcher() symphony.Dispatcher { return tx.sends }

func (tx postgresTx) effect(ctx context.Context, id symphony.ID) error {
	_, err := tx.tx.Exec(ctx, "insert into public.effects (message) values ($1)", id.String())
	return err
}

func (tx postgresTx) complete(ctx context.Context) error { return tx.t.Complete(ctx, tx.tx) }

func (s postgresStore) final(ctx context.Context) (history.Final, error) {
	f := history.Final{
		IDs: map[history.Outcome][]string{
			history.Completed: {}, history.Failed: {}, history.Cancelled: {}, history.Expired: {}, history.Live: {},
		},
		Effects: make(map[string]int),
	}
	return f, errors.Join(s.ids(ctx, f.IDs), s.effects(ctx, f.Effects), s.sound(ctx))
}

func (s postgresStore) ids(ctx context.Context, into map[history.Outcome][]string) error {
	var state, id string
	return s.each(ctx, `select 'live', id::text from symphony.messenger_messages
union all select 'failed', id::text from symphony.messenger_failed_messages
union all select status::text, id::text from symphony.messenger_history`, []any{&state, &id}, func() {
		into[history.Outcome(state)] = append(into[history.Outcome(state)], id)
	})
}

func (s postgresStore) effects(ctx context.Context, into map[string]int) error {
	var id string
	var n int
	return s.each(ctx, "select message, count(*) from public.effects group by message", []any{&id, &n}, func() { into[id] = n })
}

// sound checks what the tables say of each other.
func (s postgresStore) sound(ctx context.Context) error {
	var errs []error
	for _, rule := range []struct{ broken, query string }{
		{"a group is held by a message that has ended: the next one waits for ever", `select queue_name || '/' || group_key
from symphony.messenger_groups g where not exists (select from symphony.messenger_messages m where m.id = g.holder)`},
		{"a key is that of a live message, which has ended: it is never free again", `select message_type || '/' || key || ', message ' || message_id
from symphony.messenger_keys k where live and not exists (select from symphony.messenger_messages m where m.id = k.message_id)`},
		{"a message is leased to a worker that does not exist: nobody takes it back", `select id::text from symphony.messenger_messages m
where locked_by is not null and not exists (select from symphony.messenger_workers w where w.worker = m.locked_by)`},
		{"a message is leased in part", `select id::text from symphony.messenger_messages
where (token is null) <> (locked_by is null) or (token is null) = (status = 'processing')`},
		{"a counter is wrong", `with counted as (
  select c.queue_name, c.message_type, s.status, s.n from symphony.messenger_counts c cross join lateral (values
    ('pending', c.pending), ('scheduled', c.scheduled), ('processing', c.processing), ('completed', c.completed), ('failed', c.failed),
    ('cancelled', c.cancelled), ('expired', c.expired)) s (status, n)),
there as (
  select queue_name, message_type, status::text, count(*) as n from symphony.messenger_messages group by 1, 2, 3
  union all select queue_name, message_type, 'failed', count(*) from symphony.messenger_failed_messages group by 1, 2
  union all select queue_name, message_type, status::text, count(*) from symphony.messenger_history group by 1, 2, 3)
select format('%s/%s: %s are %s, counted as %s', queue_name, message_type, status, coalesce(t.n, 0), coalesce(c.n, 0))
from there t full join counted c using (queue_name, message_type, status) where coalesce(t.n, 0) <> coalesce(c.n, 0)`},
	} {
		var which string
		err := s.each(ctx, rule.query, []any{&which}, func() { errs = append(errs, fmt.Errorf("%s: %s", rule.broken, which)) })
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// each scans every row of a query into dest and calls fn.
func (s postgresStore) each(ctx context.Context, query string, dest []any, fn func()) error {
	rows, err := s.t.Pool().Query(ctx, query)
	if err == nil {
		_, err = pgx.ForEachRow(rows, dest, func() error { fn(); return nil })
	}
	if err != nil {
		return fmt.Errorf("read the final state: %w", err)
	}
	return nil
}
