package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/symphony-messenger/symphony"
)

// InSQLTx makes Dispatch and DispatchAll insert in tx, a transaction on the same file: the messages
// exist if and only if tx commits. tx should be BEGIN IMMEDIATE, as those of [Transport.DB] are;
// otherwise SQLite may refuse its first write because somebody else wrote meanwhile. Nothing wakes a
// worker at the commit: call [Transport.Wake] after it, or a poll finds the messages within 100 ms.
// Errors of the database are returned as they are, below what says where they came from; the messages
// of a call that failed are not in tx. When ctx ends, a call that has begun runs to its end.
func (t *Transport) InSQLTx(tx *sql.Tx) symphony.Stamp {
	return symphony.Via(t, txSender{t, tx})
}

type txSender struct {
	t  *Transport
	tx *sql.Tx
}

func (s txSender) Send(ctx context.Context, envs []*symphony.Envelope) (rs []symphony.Receipt, err error) {
	err = s.t.inTx(ctx, s.tx, func(q *queries) error {
		rs, err = s.t.insert(q, envs)
		return err
	})
	if err != nil {
		return nil, s.t.fail("send in a transaction to", err)
	}
	return rs, nil
}

// Tx runs fn in a transaction on the file, commits it, and wakes the workers. d sends in tx. An error
// of fn rolls back and is returned. It blocks until the transactions before it in this process have
// ended, or ctx; other processes are waited for up to busy_timeout, and then the error matches
// symphony.ErrStoreBusy. When the commit itself fails, its outcome may be unknown.
//
// While fn runs, this process writes nothing else: a Dispatch in fn that is not d's fails after
// busy_timeout, and a Tx in fn waits until its ctx ends.
func (t *Transport) Tx(ctx context.Context, b *symphony.Bus, fn func(tx *sql.Tx, d symphony.Dispatcher) error) error {
	// Those of this process queue in order instead of trying again and again. Who writes outside tx
	// meanwhile would wait for SQLite's lock anyway.
	release, err := t.writes.acquireTurn(ctx)
	if err != nil {
		return t.fail("begin a transaction in", err)
	}
	defer release()
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return t.fail("begin a transaction in", t.explainOpen(err))
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if err := fn(tx, b.With(t.InSQLTx(tx))); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return t.fail("commit in", explain(err))
	}
	t.wake.Send()
	return nil
}

// Complete completes the message that is handled in ctx as part of tx, a transaction on the same
// file. It fails with an error that matches symphony.ErrLeaseLost when another worker may have the
// message; roll tx back then. If tx is rolled back although the handler returns nil, the worker counts
// a failure and retries. Call it on the handler's goroutine.
func (t *Transport) Complete(ctx context.Context, tx *sql.Tx) error {
	d, ok := symphony.DeliveryFrom(ctx)
	if !ok {
		return errors.New("complete in a transaction: no message of a worker is handled in this context")
	}
	var refused error
	err := t.inTx(ctx, tx, func(q *queries) (err error) {
		refused, err = t.settle(q, []symphony.Verdict{{Token: d.Token, Outcome: symphony.Completed}}, t.clock())
		return err
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return fmt.Errorf("complete message %s in a transaction: %w", d.Envelope.ID, err)
	}
	d.CompletedInTx()
	return nil
}

// HandleTx makes fn the handler of M: it opens a transaction, runs fn, completes the message in it and
// commits. The effects of fn in tx happen at most once, and exactly once if the message ends completed.
// In place there is no message to complete, and only fn's own effects are committed. A file that other
// processes keep locked for busy_timeout is a failed attempt, as any error is.
//
// tx holds SQLite's only write lock while fn runs: do slow things before, in a handler that calls
// [Transport.Complete] itself. It panics where symphony.Handle does.
func HandleTx[M symphony.Message](b *symphony.Bus, t *Transport, fn func(context.Context, *sql.Tx, M) error, opts ...symphony.HandlerOption) {
	symphony.Handle(b, func(ctx context.Context, m M) error {
		return t.Tx(ctx, b, func(tx *sql.Tx, _ symphony.Dispatcher) error {
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
