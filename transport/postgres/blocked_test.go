package postgres

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgserver"
)

func dispatched(t *testing.T, d symphony.Dispatcher, stamps ...symphony.Stamp) symphony.ID {
	t.Helper()
	r, err := d.Dispatch(t.Context(), symphony.Raw{Type: "x.y", Body: []byte("{}")}, stamps...)
	if err != nil {
		t.Fatal(err)
	}
	return r.ID
}

// The machine of a worker is gone, and a transaction in which a message of its was completed hangs. Others go on with all else,
// and later with that message.
func TestSweepPassesOverOpenTransactions(t *testing.T) {
	store := openTest(t, nil)
	clock := &testClock{store: store}
	bus := &symphony.Bus{Transport: store}
	for range 3 {
		dispatched(t, bus)
	}
	claim := symphony.Claim{Worker: "a", Max: 10, Lease: 30 * time.Second, Queues: []symphony.QueueClaim{{Name: "default"}}}
	ds, err := store.Receive(t.Context(), claim)
	if err != nil || len(ds) != 3 {
		t.Fatal(len(ds), err)
	}
	tx, err := store.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if refused, err := store.settle(t.Context(), native{tx}, []symphony.Verdict{{Token: ds[0].Token, Outcome: symphony.Completed}}); err != nil || refused != nil {
		t.Fatal(refused, err)
	}
	clock.advance(t, time.Minute)
	claim.Worker = "b"
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	begun := time.Now()
	ds, err = store.Receive(ctx, claim)
	if took := time.Since(begun); err != nil || len(ds) != 2 || late(t, store, took, lockWait) {
		t.Fatalf("after %v: %d messages, %v; want 2, without a wait for the transaction", took, len(ds), err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	clock.advance(t, 2*time.Second)
	if ds, err = store.Receive(ctx, claim); err != nil || len(ds) != 1 || ds[0].Envelope.Crashes != 1 {
		t.Fatalf("after the end of the transaction: %d messages, %v; want the third one", len(ds), err)
	}
}

// lockWait is the lock_timeout of our own sessions.
const lockWait = 2 * time.Second

// An open transaction has taken a key. Who sends others, or none, does not wait for it; who sends that one is told after a while.
func TestSendsDoNotWaitForSomebodyElsesKey(t *testing.T) {
	store := openTest(t, nil)
	bus := &symphony.Bus{Transport: store}
	tx, err := store.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	dispatched(t, bus.With(store.InTx(tx)), symphony.IdempotencyKey("k", time.Hour))
	var all sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		all.Go(func() {
			_, errs[i] = bus.Dispatch(t.Context(), symphony.Raw{Type: "x.y", Body: []byte("{}")}, symphony.IdempotencyKey("k", time.Hour))
		})
	}
	eventually(t, "two flushes wait for the key", func() bool { _, flushes := store.keyed.Waiting(); return flushes == 2 })
	begun := time.Now()
	dispatched(t, bus)
	if d := time.Since(begun); late(t, store, d, lockWait/2) {
		t.Errorf("a send without a key took %v", d)
	}
	all.Wait()
	for _, err := range errs {
		if !errors.Is(err, symphony.ErrStoreBusy) || errors.Is(err, symphony.ErrOutcomeUnknown) {
			t.Errorf("a send with the key: %v, want ErrStoreBusy", err)
		}
	}
}

// A server that is not there has stored nothing.
func TestSendToNobody(t *testing.T) {
	server, err := pgserver.Start(t.Context(), pgserver.Config{})
	if err != nil {
		t.Fatal(err)
	}
	store := openDSN(t, server.DSN("postgres"), nil)
	bus := &symphony.Bus{Transport: store}
	dispatched(t, bus) // from now on it knows the schema and the subscriptions
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	store.sending.Reset()
	_, err = bus.Dispatch(t.Context(), symphony.Raw{Type: "x.y", Body: []byte("{}")})
	if err == nil || errors.Is(err, symphony.ErrOutcomeUnknown) {
		t.Errorf("a send to a server that is not there: %v, want an error that leaves nothing open", err)
	}
}

// The first member of a group has become due, but somebody has its row locked. The next one waits until it is known what becomes of the first,
// and runs at once when that has ended.
func TestGroupsWaitForAMemberThatIsLocked(t *testing.T) {
	for name, ends := range map[string]bool{"and runs first": false, "and is cancelled": true} {
		t.Run(name, func(t *testing.T) {
			store := openTest(t, nil)
			clock := &testClock{store: store}
			bus := &symphony.Bus{Transport: store}
			first := dispatched(t, bus, symphony.Group("g"), symphony.Delay(time.Minute))
			second := dispatched(t, bus, symphony.Group("g"), symphony.Delay(2*time.Minute))
			other := dispatched(t, bus, symphony.Delay(2*time.Minute))
			tx, err := store.Pool().Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
			if _, err := tx.Exec(t.Context(), store.sql.in("select from symphony.messenger_messages where id = $1 for update"), first); err != nil {
				t.Fatal(err)
			}
			clock.advance(t, 3*time.Minute)
			claim := symphony.Claim{Worker: "a", Max: 10, Lease: 30 * time.Second, Queues: []symphony.QueueClaim{{Name: "default"}}}
			take := func(want ...symphony.ID) {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), longest)
				defer cancel()
				ds, err := store.Receive(ctx, claim)
				if err != nil || len(ds) != len(want) {
					t.Fatalf("%d messages, %v; want %d", len(ds), err, len(want))
				}
				for i, d := range ds {
					if d.Envelope.ID != want[i] {
						t.Fatalf("number %d is another one", i+1)
					}
					if err := store.Settle(t.Context(), []symphony.Verdict{{Token: d.Token, Outcome: symphony.Completed}}); err != nil {
						t.Fatal(err)
					}
				}
			}
			take(other)
			if !ends {
				if err := tx.Rollback(t.Context()); err != nil {
					t.Fatal(err)
				}
				take(first)
			} else {
				var was string
				if err := tx.QueryRow(t.Context(), store.sql.in("select symphony.cancel($1)"), first).Scan(&was); err != nil {
					t.Fatal(err)
				}
				if err := tx.Commit(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			take(second)
		})
	}
}
