package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/retry"
)

type pay struct{ Amount int }

func (pay) MessageType() string { return "pay" }

// ledger returns a store with a table of the user's in the same file.
func ledger(t *testing.T) *Transport {
	t.Helper()
	store := openTest(t, nil)
	if _, err := store.DB().ExecContext(t.Context(), "create table ledger (amount integer not null)"); err != nil {
		t.Fatal(err)
	}
	return store
}

func sum(t *testing.T, store *Transport) (n int) {
	t.Helper()
	if err := store.DB().QueryRowContext(t.Context(), "select coalesce(sum(amount), 0) from ledger").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func insert(ctx context.Context, tx *sql.Tx, m pay) error {
	_, err := tx.ExecContext(ctx, "insert into ledger values (?)", m.Amount)
	return err
}

// runUntil runs a worker until the message has ended.
func runUntil(t *testing.T, bus *symphony.Bus, id symphony.ID, want monitor.Status) monitor.Record {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	worker := &symphony.Worker{Bus: bus, Retry: retry.Exponential{Delay: time.Millisecond, Max: 3}}
	done := make(chan error, 1)
	go func() { done <- worker.Run(ctx) }()
	var r monitor.Record
	finder, _ := symphony.As[monitor.Finder](bus.Transport)
	waitUntil(t, func() (ended bool) {
		var err error
		r, err = finder.Find(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return !r.FinishedAt.IsZero()
	})
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if r.Status != want {
		t.Fatalf("the message ended as %s (%s), want %s", r.Status, r.LastError, want)
	}
	return r
}

func TestHandleTx(t *testing.T) {
	store := ledger(t)
	bus := &symphony.Bus{Transport: store}
	calls := 0
	HandleTx(bus, store, func(ctx context.Context, tx *sql.Tx, m pay) error {
		if err := insert(ctx, tx, m); err != nil {
			return err
		}
		if calls++; calls < 3 { // its insert is rolled back
			return errors.New("not yet")
		}
		return nil
	})
	r, err := bus.Dispatch(t.Context(), pay{7})
	if err != nil {
		t.Fatal(err)
	}
	record := runUntil(t, bus, r.ID, monitor.Completed)
	if got := sum(t, store); got != 7 || record.RetryCount != 2 {
		t.Fatalf("the effects sum up to %d after %d retries, want 7 after 2", got, record.RetryCount)
	}
}

// TestForgottenCommit: a handler that returns nil without a commit has done nothing; that is a failure.
func TestForgottenCommit(t *testing.T) {
	store := ledger(t)
	bus := &symphony.Bus{Transport: store}
	calls := 0
	symphony.Handle(bus, func(ctx context.Context, m pay) error {
		calls++
		tx, err := store.DB().BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if err := insert(ctx, tx, m); err != nil {
			return err
		}
		if err := store.Complete(ctx, tx); err != nil {
			return err
		}
		if calls == 1 {
			return nil
		}
		return tx.Commit()
	})
	r, err := bus.Dispatch(t.Context(), pay{7})
	if err != nil {
		t.Fatal(err)
	}
	record := runUntil(t, bus, r.ID, monitor.Completed)
	if got := sum(t, store); got != 7 || calls != 2 || record.RetryCount != 1 {
		t.Fatalf("%d in %d calls with %d retries, want 7 in 2 with 1", got, calls, record.RetryCount)
	}
	if record.LastError != symphony.ErrNotCommitted.Error() {
		t.Fatalf("last error %q", record.LastError)
	}
}

// TestErrorAfterCommit: once the transaction is committed, what the handler returns changes nothing.
func TestErrorAfterCommit(t *testing.T) {
	store := ledger(t)
	bus := &symphony.Bus{Transport: store}
	symphony.Handle(bus, func(ctx context.Context, m pay) error {
		err := store.Tx(ctx, bus, func(tx *sql.Tx, _ symphony.Dispatcher) error {
			return errors.Join(insert(ctx, tx, m), store.Complete(ctx, tx))
		})
		return errors.Join(err, errors.New("after the commit"))
	})
	r, err := bus.Dispatch(t.Context(), pay{7})
	if err != nil {
		t.Fatal(err)
	}
	if record := runUntil(t, bus, r.ID, monitor.Completed); sum(t, store) != 7 || record.RetryCount != 0 {
		t.Fatalf("%d with %d retries", sum(t, store), record.RetryCount)
	}
}

func TestTxSendsAndCommitsTogether(t *testing.T) {
	store := ledger(t)
	bus := &symphony.Bus{Transport: store}
	for _, fails := range []bool{true, false} {
		want := error(nil)
		if fails {
			want = errors.New("no")
		}
		err := store.Tx(t.Context(), bus, func(tx *sql.Tx, outbox symphony.Dispatcher) error {
			if err := insert(t.Context(), tx, pay{1}); err != nil {
				return err
			}
			if _, err := outbox.Dispatch(t.Context(), pay{1}); err != nil {
				return err
			}
			return want
		})
		if !errors.Is(err, want) {
			t.Fatal(err)
		}
	}
	if n := count(t, store, monitor.Pending); n != 1 || sum(t, store) != 1 {
		t.Fatalf("%d messages and %d rows, want the one of the committed transaction", n, sum(t, store))
	}
}

// TestOverview reads the view as a person would.
func TestOverview(t *testing.T) {
	store := openTest(t, nil)
	env := newEnvelope("mail", func(e *symphony.Envelope) { e.Body = []byte(`{"to": "ada"}`); e.Delay = time.Hour })
	if err := send(t.Context(), store, env); err != nil {
		t.Fatal(err)
	}
	raw := newEnvelope("raw", func(e *symphony.Envelope) {
		e.Body, e.ContentType = []byte("\xff\x00"), "application/octet-stream"
	})
	if err := send(t.Context(), store, raw); err != nil {
		t.Fatal(err)
	}
	var id, status, body, created, due string
	var json sql.NullString
	err := store.db.QueryRowContext(t.Context(), "select id, status, body_json, created_at, available_at from messenger_overview where message_type = 'mail'").
		Scan(&id, &status, &body, &created, &due)
	if err != nil || id != env.ID.String() || status != "scheduled" || body != `{"to": "ada"}` {
		t.Fatal(id, status, body, err)
	}
	from, err1 := time.Parse(time.RFC3339, created)
	to, err2 := time.Parse(time.RFC3339, due)
	if err1 != nil || err2 != nil || to.Sub(from) != time.Hour {
		t.Fatal(created, due, err1, err2)
	}
	if err := store.db.QueryRowContext(t.Context(), "select body_json from messenger_overview where message_type = 'raw'").Scan(&json); err != nil || json.Valid {
		t.Fatal(json, err)
	}
	for _, view := range []string{"messenger_queue_depth", "messenger_failed_summary", "messenger_schedules_summary"} {
		rows, err := store.db.QueryContext(t.Context(), "select * from "+view)
		if err != nil {
			t.Fatal(view, err)
		}
		rows.Close()
	}
}

// TestTxOfTheUsersOwnPool sends and completes in transactions of another *sql.DB on the same file.
func TestTxOfTheUsersOwnPool(t *testing.T) {
	own := ledger(t)
	c, err := parseDSN("sqlite://" + own.config.path)
	if err != nil {
		t.Fatal(err)
	}
	db := openDB(t, c.driverDSN())
	store, err := New(t.Context(), db, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	bus := &symphony.Bus{Transport: store}
	symphony.Handle(bus, func(ctx context.Context, m pay) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if err := errors.Join(insert(ctx, tx, m), store.Complete(ctx, tx)); err != nil {
			return err
		}
		return tx.Commit()
	})
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	r, err := bus.With(store.InSQLTx(tx)).Dispatch(t.Context(), pay{7})
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if record := runUntil(t, bus, r.ID, monitor.Completed); sum(t, own) != 7 || record.RetryCount != 0 {
		t.Fatalf("%d with %d retries", sum(t, own), record.RetryCount)
	}
}

// TestDispatchBesideTx: a dispatch outside the transaction that this very process holds gets an error
// after the busy timeout; it does not wait for ever.
func TestDispatchBesideTx(t *testing.T) {
	path := openTest(t, nil).config.path
	store, err := Open(t.Context(), "sqlite://"+path+"?busy_timeout=20ms", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	bus := &symphony.Bus{Transport: store}
	err = store.Tx(t.Context(), bus, func(*sql.Tx, symphony.Dispatcher) error {
		_, err := bus.Dispatch(t.Context(), pay{1})
		return err
	})
	if !errors.Is(err, symphony.ErrStoreBusy) {
		t.Fatalf("%v: want ErrStoreBusy", err)
	}
	if _, err := bus.Dispatch(t.Context(), pay{1}); err != nil {
		t.Fatal(err)
	}
}
