//go:build unix

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/history"
	"github.com/symphony-messenger/symphony/transport/sqlite"
)

type sqliteStore struct{ t *sqlite.Transport }

func sqliteDSN(dir string) string { return "sqlite://" + filepath.Join(dir, "crash.db") }

func openSQLite(ctx context.Context, dsn string) (store, error) {
	t, err := sqlite.Open(ctx, dsn, nil)
	if err != nil {
		return nil, err
	}
	return sqliteStore{t}, nil
}

func (s sqliteStore) bare() symphony.Transport { return s.t }

func (s sqliteStore) setup(ctx context.Context) error {
	if _, err := s.t.Migrate(ctx); err != nil {
		return err
	}
	// Without a constraint: a second effect must be seen, not prevented.
	_, err := s.t.DB().ExecContext(ctx, "create table effects (message text not null)")
	return err
}

func (s sqliteStore) handleTx(b *symphony.Bus, fn func(context.Context, userTx, txTask) error, opts ...symphony.HandlerOption) {
	sqlite.HandleTx(b, s.t, func(ctx context.Context, tx *sql.Tx, m txTask) error {
		return fn(ctx, sqliteTx{s.t, tx, b.With(s.t.InSQLTx(tx))}, m)
	}, opts...)
}

func (s sqliteStore) inTx(ctx context.Context, b *symphony.Bus, fn func(userTx) error) error {
	return s.t.Tx(ctx, b, func(tx *sql.Tx, d symphony.Dispatcher) error { return fn(sqliteTx{s.t, tx, d}) })
}

type sqliteTx struct {
	t     *sqlite.Transport
	tx    *sql.Tx
	sends symphony.Dispatcher
}

func (tx sqliteTx) dispatcher() symphony.Dispatcher { return tx.sends }

func (tx sqliteTx) effect(ctx context.Context, id symphony.ID) error {
	_, err := tx.tx.ExecContext(ctx, "insert into effects (message) values (?)", id.String())
	return err
}

func (tx sqliteTx) complete(ctx context.Context) error { return tx.t.Complete(ctx, tx.tx) }

func (s sqliteStore) final(ctx context.Context) (history.Final, error) {
	f := history.Final{
		IDs: map[history.Outcome][]string{
			history.Completed: {}, history.Failed: {}, history.Cancelled: {}, history.Expired: {}, history.Live: {},
		},
		Effects: make(map[string]int),
	}
	return f, errors.Join(s.ids(ctx, f.IDs), s.effects(ctx, f.Effects), s.sound(ctx))
}

func (s sqliteStore) ids(ctx context.Context, into map[history.Outcome][]string) error {
	return s.each(ctx, `select 'live', id from messenger_messages
union all select 'failed', id from messenger_failed_messages
union all select status, id from messenger_history`, func(rows *sql.Rows) error {
		var state history.Outcome
		var id symphony.ID
		raw := []byte(nil)
		if err := rows.Scan(&state, &raw); err != nil {
			return err
		}
		if copy(id[:], raw) != len(raw) || len(raw) != len(id) {
			return fmt.Errorf("an id of %d bytes in state %s", len(raw), state)
		}
		into[state] = append(into[state], id.String())
		return nil
	})
}

func (s sqliteStore) effects(ctx context.Context, into map[string]int) error {
	return s.each(ctx, "select message, count(*) from effects group by message", func(rows *sql.Rows) error {
		var id string
		var n int
		err := rows.Scan(&id, &n)
		into[id] = n
		return err
	})
}

// sound checks the file, and that no group is held by a message that has ended: the next one would
// wait for ever.
func (s sqliteStore) sound(ctx context.Context) error {
	var errs []error
	err := s.each(ctx, "select * from pragma_integrity_check where integrity_check <> 'ok'", func(rows *sql.Rows) error {
		var text string
		err := rows.Scan(&text)
		errs = append(errs, fmt.Errorf("integrity check: %s", text))
		return err
	})
	errs = append(errs, err)
	err = s.each(ctx, `select queue_name, group_key from messenger_groups g
where not exists (select 1 from messenger_messages m where m.seq = g.holder)`, func(rows *sql.Rows) error {
		var queue, group string
		err := rows.Scan(&queue, &group)
		errs = append(errs, fmt.Errorf("group %s of queue %s is held by a message that has ended", group, queue))
		return err
	})
	return errors.Join(append(errs, err)...)
}

func (s sqliteStore) each(ctx context.Context, query string, fn func(rows *sql.Rows) error) error {
	rows, err := s.t.DB().QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("read the final state: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return fmt.Errorf("read the final state: %w", err)
		}
	}
	return rows.Err()
}
