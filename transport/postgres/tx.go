package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony"
)

// InTx makes Dispatch and DispatchAll insert in tx, a transaction on the same database: the messages exist if and only if
// tx commits. Nothing wakes a worker at the commit: call [Transport.Wake] after it, or a poll finds the messages within
// 250 ms. Errors of the server are returned below what says where they came from; they abort tx, as any error does. A
// serialization failure or a deadlock is for the caller to repeat. An idempotency key that another open transaction
// has taken makes Dispatch wait for that, at most for the lock_timeout of tx.
func (t *Transport) InTx(tx pgx.Tx) symphony.Stamp { return symphony.Via(t, txSender{t, inTx(tx)}) }

// InSQLTx is [Transport.InTx] for a transaction of package database/sql, with any driver for PostgreSQL.
func (t *Transport) InSQLTx(tx *sql.Tx) symphony.Stamp {
	return symphony.Via(t, txSender{t, standard{tx}})
}

type txSender struct {
	t  *Transport
	in executor
}

func (s txSender) Send(ctx context.Context, envs []*symphony.Envelope) ([]symphony.Receipt, error) {
	if len(envs) == 0 {
		return nil, nil
	}
	err := s.t.check(ctx)
	var rs []symphony.Receipt
	if err == nil {
		rs, err = s.t.accept(ctx, s.in, envs)
	}
	if err != nil {
		return nil, s.t.fail("send in a transaction to", err)
	}
	return rs, nil
}

// Tx runs fn in a transaction, commits it, and wakes the workers. d sends in tx. An error of fn rolls back and is returned. When the
// connection is lost during the commit its outcome is unknown, and the error says so: it matches symphony.ErrOutcomeUnknown.
func (t *Transport) Tx(ctx context.Context, b *symphony.Bus, fn func(tx pgx.Tx, d symphony.Dispatcher) error) error {
	tx, err := t.users.Begin(ctx)
	if err != nil {
		return t.fail("begin a transaction in", ended(ctx, err))
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // does nothing after Commit
	if err := fn(tx, b.With(t.InTx(tx))); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		if unanswered(err) {
			err = fmt.Errorf("%w: %w", symphony.ErrOutcomeUnknown, err)
		}
		return t.fail("commit in", err)
	}
	t.stir()
	return nil
}

// Complete completes the message that is handled in ctx as part of tx, a transaction on the same database: best as the last thing before
// the commit, because nobody else can end the message while tx is open. It fails with an error that matches symphony.ErrLeaseLost
// when another worker may have the message; roll tx back then. If tx is rolled back although the handler returns nil, the
// worker counts a failure and retries. Call it on the handler's goroutine.
func (t *Transport) Complete(ctx context.Context, tx pgx.Tx) error {
	return t.complete(ctx, inTx(tx))
}

// CompleteSQL is [Transport.Complete] for a transaction of package database/sql.
func (t *Transport) CompleteSQL(ctx context.Context, tx *sql.Tx) error {
	return t.complete(ctx, standard{tx})
}

func (t *Transport) complete(ctx context.Context, in executor) error {
	d, ok := symphony.DeliveryFrom(ctx)
	if !ok {
		return errors.New("complete in a transaction: no message of a worker is handled in this context")
	}
	refused, err := t.settle(ctx, in, []symphony.Verdict{{Token: d.Token, Outcome: symphony.Completed}})
	if err == nil {
		err = refused
	}
	if err != nil {
		return fmt.Errorf("complete message %s in a transaction: %w", d.Envelope.ID, explain(err))
	}
	d.CompletedInTx()
	t.service.changed(1)
	return nil
}

// HandleTx makes fn the handler of M: it opens a transaction, runs fn, completes the message in it and commits. The effects of fn
// in tx happen at most once, and exactly once if the message ends completed. In place there is no message to complete, and
// only fn's own effects are committed. The transaction is open while fn runs: do slow things before, in a handler that calls
// [Transport.Complete] itself. It panics where symphony.Handle does.
func HandleTx[M symphony.Message](b *symphony.Bus, t *Transport, fn func(context.Context, pgx.Tx, M) error, opts ...symphony.HandlerOption) {
	symphony.Handle(b, func(ctx context.Context, m M) error {
		return t.Tx(ctx, b, func(tx pgx.Tx, _ symphony.Dispatcher) error {
			if err := fn(ctx, tx, m); err != nil {
				return err
			}
			if _, ok := symphony.DeliveryFrom(ctx); !ok {
				return nil
			}
			return t.Complete(ctx, tx)
		})
	}, opts...)
}
