package postgres

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/retry"
)

type payment struct{ Amount int }

func (payment) MessageType() string { return "payment" }

// withLedger returns a store with a table of the user's beside it.
func withLedger(t *testing.T) *Transport {
	t.Helper()
	store := openTest(t, nil)
	mustExec(t, store.Pool(), store.sql.in("create table symphony.ledger (amount integer not null)"))
	return store
}

func book(ctx context.Context, store *Transport, tx pgx.Tx, m payment) error {
	_, err := tx.Exec(ctx, store.sql.in("insert into symphony.ledger values ($1)"), m.Amount)
	return err
}

func booked(t *testing.T, store *Transport) (n int) {
	t.Helper()
	if err := store.Pool().QueryRow(t.Context(), store.sql.in("select coalesce(sum(amount), 0) from symphony.ledger")).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// endOf runs a worker until the message has ended.
func endOf(t *testing.T, bus *symphony.Bus, id symphony.ID, want monitor.Status) monitor.Record {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	worker := &symphony.Worker{Bus: bus, Retry: retry.Exponential{Delay: time.Millisecond, Max: 3}}
	done := make(chan error, 1)
	go func() { done <- worker.Run(ctx) }()
	var r monitor.Record
	finder, _ := symphony.As[monitor.Finder](bus.Transport)
	eventually(t, "the end of the message", func() bool {
		var err error
		if r, err = finder.Find(t.Context(), id); err != nil {
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

func lease(t *testing.T, store *Transport, worker string, n int) []symphony.Delivery {
	t.Helper()
	ds, err := store.tryReceive(t.Context(), symphony.Claim{Worker: worker, Queues: []symphony.QueueClaim{{Name: "default"}}, Max: n, Lease: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

func sendOne(t *testing.T, store *Transport, change func(*symphony.Envelope)) *symphony.Envelope {
	t.Helper()
	env := &symphony.Envelope{ID: symphony.NewID(), Type: "payment", Queue: "default", Priority: 5, ContentType: "application/json", Body: []byte(`{"Amount":7}`)}
	if change != nil {
		change(env)
	}
	if _, err := store.Send(t.Context(), []*symphony.Envelope{env}); err != nil {
		t.Fatal(err)
	}
	return env
}

func begin(t *testing.T, store *Transport) pgx.Tx {
	t.Helper()
	tx, err := store.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	return tx
}

func statusOf(t *testing.T, store *Transport, id symphony.ID) monitor.Record {
	t.Helper()
	r, err := store.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// openSQL is the database of store by package database/sql.
func openSQL(t *testing.T, store *Transport) *sql.DB {
	t.Helper()
	db := stdlib.OpenDB(*store.config.conn.Copy())
	t.Cleanup(func() { db.Close() })
	return db
}

func TestHandleTx(t *testing.T) {
	store := withLedger(t)
	bus := &symphony.Bus{Transport: store}
	calls := 0
	HandleTx(bus, store, func(ctx context.Context, tx pgx.Tx, m payment) error {
		if err := book(ctx, store, tx, m); err != nil {
			return err
		}
		if calls++; calls < 3 { // what it booked is rolled back
			return errors.New("not yet")
		}
		return nil
	})
	for _, stamps := range [][]symphony.Stamp{nil, {symphony.IdempotencyKey("k", time.Hour)}, {symphony.Group("g")}} {
		calls = 0
		before := booked(t, store)
		r, err := bus.Dispatch(t.Context(), payment{7}, stamps...)
		if err != nil {
			t.Fatal(err)
		}
		record := endOf(t, bus, r.ID, monitor.Completed)
		if got := booked(t, store) - before; got != 7 || record.RetryCount != 2 {
			t.Fatalf("booked %d after %d retries, want 7 after 2", got, record.RetryCount)
		}
	}
}

// TestHandleTxInPlace: without a worker there is no message to complete, and the effects are committed all the same.
func TestHandleTxInPlace(t *testing.T) {
	store := withLedger(t)
	bus := &symphony.Bus{}
	HandleTx(bus, store, func(ctx context.Context, tx pgx.Tx, m payment) error {
		err := book(ctx, store, tx, m)
		if m.Amount < 0 {
			err = errors.New("negative")
		}
		return err
	})
	if _, err := bus.Dispatch(t.Context(), payment{7}); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Dispatch(t.Context(), payment{-1}); err == nil || booked(t, store) != 7 {
		t.Fatalf("%v, booked %d", err, booked(t, store))
	}
}

// TestForgottenCommit: a handler that returns nil without a commit has done nothing; that is a failure.
func TestForgottenCommit(t *testing.T) {
	store := withLedger(t)
	bus := &symphony.Bus{Transport: store}
	calls := 0
	symphony.Handle(bus, func(ctx context.Context, m payment) error {
		calls++
		tx, err := store.Pool().Begin(ctx)
		if err != nil {
			return err
		}
		defer tx.Rollback(ctx)
		if err := errors.Join(book(ctx, store, tx, m), store.Complete(ctx, tx)); err != nil {
			return err
		}
		if calls == 1 {
			return nil
		}
		return tx.Commit(ctx)
	})
	r, err := bus.Dispatch(t.Context(), payment{7})
	if err != nil {
		t.Fatal(err)
	}
	record := endOf(t, bus, r.ID, monitor.Completed)
	if got := booked(t, store); got != 7 || calls != 2 || record.RetryCount != 1 {
		t.Fatalf("booked %d in %d calls with %d retries, want 7 in 2 with 1", got, calls, record.RetryCount)
	}
	if record.LastError != symphony.ErrNotCommitted.Error() {
		t.Fatalf("last error %q", record.LastError)
	}
}

// TestErrorAfterComplete: once the transaction is committed, what the handler returns changes nothing; if it is rolled back, the error counts.
func TestErrorAfterComplete(t *testing.T) {
	for _, commits := range []bool{true, false} {
		store := withLedger(t)
		bus := &symphony.Bus{Transport: store}
		calls := 0
		symphony.Handle(bus, func(ctx context.Context, m payment) error {
			if calls++; !commits && calls > 1 {
				return symphony.Permanent(errors.New("enough"))
			}
			tx, err := store.Pool().Begin(ctx)
			if err != nil {
				return err
			}
			defer tx.Rollback(ctx)
			if err := errors.Join(book(ctx, store, tx, m), store.Complete(ctx, tx)); err != nil {
				return err
			}
			if commits {
				if err := tx.Commit(ctx); err != nil {
					return err
				}
			}
			return errors.New("after it was completed")
		})
		r, err := bus.Dispatch(t.Context(), payment{7})
		if err != nil {
			t.Fatal(err)
		}
		if commits {
			if record := endOf(t, bus, r.ID, monitor.Completed); booked(t, store) != 7 || record.RetryCount != 0 || calls != 1 {
				t.Fatalf("booked %d with %d retries in %d calls", booked(t, store), record.RetryCount, calls)
			}
			continue
		}
		record := endOf(t, bus, r.ID, monitor.Failed)
		if booked(t, store) != 0 || record.RetryCount != 1 || record.Attempts[0].Error != "after it was completed" {
			t.Fatalf("booked %d with %d retries: %+v", booked(t, store), record.RetryCount, record.Attempts)
		}
	}
}

// hostile are strings that somebody might put together with SQL, or with the text of an array.
var hostile = []string{
	`'`, `''; drop table x; --`, `"`, `\`, `\\`, `\"`, `{`, `}`, `{a,b}`, `,`, `NULL`, `null`, ` `, `  lead and trail  `, `ünïcödé`, `日本語`, `🎉`, `$1`, `%s`, `\x00`, `\N`, `/*`,
	"a\u2028b", "\u00a0", `{"a":"b"}`, `[1,2]`, "e\u0301",
}

// TestHostileStrings sends what is hard to quote by every way in, and finds it as it was.
func TestHostileStrings(t *testing.T) {
	store := openTest(t, nil)
	bus := &symphony.Bus{Transport: store}
	db := openSQL(t, store)
	ways := map[string]func(t *testing.T, ms []symphony.Message) []symphony.Receipt{
		"Send": func(t *testing.T, ms []symphony.Message) []symphony.Receipt {
			rs, err := bus.DispatchAll(t.Context(), ms)
			if err != nil {
				t.Fatal(err)
			}
			return rs
		},
		"InTx": func(t *testing.T, ms []symphony.Message) (rs []symphony.Receipt) {
			err := store.Tx(t.Context(), bus, func(_ pgx.Tx, d symphony.Dispatcher) (err error) {
				rs, err = d.DispatchAll(t.Context(), ms)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return rs
		},
		"InSQLTx": func(t *testing.T, ms []symphony.Message) []symphony.Receipt {
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			rs, err := bus.With(store.InSQLTx(tx)).DispatchAll(t.Context(), ms)
			if err == nil {
				err = tx.Commit()
			}
			if err != nil {
				t.Fatal(err)
			}
			return rs
		},
	}
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for name, dispatch := range ways {
		for _, special := range []bool{false, true} { // insert.sql and messenger_accept
			var ms []symphony.Message
			for i, s := range hostile {
				stamps := []symphony.Stamp{symphony.Header("h", s), symphony.Header("empty", ""), symphony.Tag(s, "z", s), symphony.Delay(time.Hour), symphony.MaxRetries(i)}
				if special {
					stamps = append(stamps, symphony.IdempotencyKey(name+s, time.Hour), symphony.Group(s+name))
				}
				body := slices.Concat(every, []byte(s), every)
				if i == 0 {
					body = []byte{}
				}
				ms = append(ms, symphony.Wrap(symphony.Raw{Type: "h", ContentType: "x/" + s, Body: body}, stamps...))
			}
			for i, r := range dispatch(t, ms) {
				got := statusOf(t, store, r.ID)
				s := hostile[i]
				body := slices.Concat(every, []byte(s), every)
				if i == 0 {
					body = []byte{}
				}
				n := i
				want := monitor.Record{
					Body: body, ContentType: "x/" + s, Headers: map[string]string{"h": s, "empty": ""}, Tags: []string{s, "z", s}, MaxRetries: &n,
				}
				if special {
					want.Key, want.Group = name+s, s+name
				}
				got = monitor.Record{Body: got.Body, ContentType: got.ContentType, Headers: got.Headers, Tags: got.Tags, MaxRetries: got.MaxRetries, Key: got.Key, Group: got.Group}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s, special %v: %q: %s", name, special, s, diff)
				}
			}
		}
	}
}

// TestInSQLTx: sent and completed by package database/sql, committed and rolled back.
func TestInSQLTx(t *testing.T) {
	store := withLedger(t)
	bus := &symphony.Bus{Transport: store}
	db := openSQL(t, store)
	for _, commits := range []bool{false, true} {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(time.Hour).Truncate(time.Millisecond)
		r, err := bus.Dispatch(t.Context(), payment{7}, store.InSQLTx(tx), symphony.At(at), symphony.IdempotencyKey("k", time.Hour))
		if err != nil || r.Duplicate {
			t.Fatal(r, err)
		}
		again, err := bus.Dispatch(t.Context(), payment{7}, store.InSQLTx(tx), symphony.IdempotencyKey("k", time.Hour))
		if err != nil || !again.Duplicate || again.ID != r.ID {
			t.Fatal("the second one of the transaction:", again, err)
		}
		if !commits {
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			if _, err := store.Find(t.Context(), r.ID); !errors.Is(err, monitor.ErrNotFound) {
				t.Fatal(err)
			}
			continue
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if record := statusOf(t, store, r.ID); !record.ScheduledAt.Equal(at) || record.Status != monitor.Scheduled {
			t.Fatal(record.ScheduledAt, at, record.Status)
		}
	}
	calls := 0
	symphony.Handle(bus, func(ctx context.Context, m payment) error {
		calls++
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if _, err := tx.ExecContext(ctx, store.sql.in("insert into symphony.ledger values ($1)"), m.Amount); err != nil {
			return err
		}
		if err := store.CompleteSQL(ctx, tx); err != nil {
			return err
		}
		if calls == 1 {
			return nil // forgotten
		}
		return tx.Commit()
	})
	for _, stamps := range [][]symphony.Stamp{nil, {symphony.IdempotencyKey("k2", time.Hour)}, {symphony.Group("g")}} {
		calls = 0
		before := booked(t, store)
		r, err := bus.Dispatch(t.Context(), payment{7}, stamps...)
		if err != nil {
			t.Fatal(err)
		}
		if record := endOf(t, bus, r.ID, monitor.Completed); booked(t, store)-before != 7 || record.RetryCount != 1 {
			t.Fatalf("booked %d with %d retries", booked(t, store)-before, record.RetryCount)
		}
	}
}
