package postgres

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// asDelivered returns a context in which a worker handles d, until the test ends. What the worker then says about it goes nowhere.
func asDelivered(t *testing.T, d symphony.Delivery) context.Context {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	bus := &symphony.Bus{Transport: &oneDelivery{d: []symphony.Delivery{d}}}
	handled, release, done := make(chan context.Context, 1), make(chan struct{}), make(chan error, 1)
	symphony.HandleRaw(bus, d.Envelope.Type, func(ctx context.Context, _ *symphony.Envelope) error {
		handled <- ctx
		<-release
		return nil
	})
	go func() { done <- (&symphony.Worker{Bus: bus}).Run(ctx) }()
	t.Cleanup(func() {
		close(release)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return <-handled
}

// A oneDelivery has one message to handle.
type oneDelivery struct {
	symphony.Transport
	mu sync.Mutex
	d  []symphony.Delivery
}

func (o *oneDelivery) Receive(ctx context.Context, _ symphony.Claim) ([]symphony.Delivery, error) {
	o.mu.Lock()
	ds := o.d
	o.d = nil
	o.mu.Unlock()
	if len(ds) > 0 {
		return ds, nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func (o *oneDelivery) Settle(context.Context, []symphony.Verdict) error { return nil }
func (o *oneDelivery) Renew(context.Context, string, []symphony.Token) (symphony.Renewal, error) {
	return symphony.Renewal{}, nil
}

func (o *oneDelivery) Capabilities() symphony.Capabilities { return symphony.Capabilities{InTx: true} }

// TestCompleteTwice: the second time the message is gone, and the transaction can still be committed or must be rolled back, but is never
// half of one.
func TestCompleteTwice(t *testing.T) {
	store := withLedger(t)
	env := sendOne(t, store, nil)
	d := lease(t, store, "w", 1)[0]
	ctx := asDelivered(t, d)
	tx := begin(t, store)
	if err := store.Complete(ctx, tx); err != nil {
		t.Fatal(err)
	}
	if err := store.Complete(ctx, tx); !errors.Is(err, symphony.ErrLeaseLost) {
		t.Fatalf("the second time in one transaction: %v; want ErrLeaseLost", err)
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if r := statusOf(t, store, env.ID); r.Status != monitor.Completed {
		t.Fatal(r.Status)
	}
	other := begin(t, store)
	if err := store.Complete(ctx, other); !errors.Is(err, symphony.ErrLeaseLost) {
		t.Fatalf("after the commit: %v; want ErrLeaseLost", err)
	}
	if err := store.Settle(t.Context(), []symphony.Verdict{{Token: d.Token, Outcome: symphony.Retried, InTx: true}}); err != nil {
		t.Fatalf("the worker's question after a commit: %v; want nil", err)
	}
	var n int
	if err := store.work.QueryRow(t.Context(), store.sql.in("select count(*) from symphony.messenger_history where id = $1"), [16]byte(env.ID)).Scan(&n); err != nil || n != 1 {
		t.Fatal(n, err)
	}
}

func TestCompleteOutsideAHandler(t *testing.T) {
	store := withLedger(t)
	if err := store.Complete(t.Context(), begin(t, store)); err == nil || !strings.Contains(err.Error(), "no message of a worker") {
		t.Fatal(err)
	}
}

// TestLeaseLostInBetween: the lease runs out while the handler works; another worker has the message when it completes it.
func TestLeaseLostInBetween(t *testing.T) {
	store := withLedger(t)
	clock := &testClock{store: store}
	env := sendOne(t, store, nil)
	d := lease(t, store, "slow", 1)[0]
	clock.advance(t, time.Minute)
	again := lease(t, store, "other", 1)
	if len(again) != 1 || again[0].Envelope.ID != env.ID {
		t.Fatal("the other worker did not get it:", again)
	}
	tx := begin(t, store)
	if err := book(t.Context(), store, tx, payment{7}); err != nil {
		t.Fatal(err)
	}
	if err := store.Complete(asDelivered(t, d), tx); !errors.Is(err, symphony.ErrLeaseLost) {
		t.Fatalf("%v; want ErrLeaseLost", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := statusOf(t, store, env.ID); r.Status != monitor.Processing || r.LockedBy != "other" || booked(t, store) != 0 {
		t.Fatal(r.Status, r.LockedBy)
	}
	if err := store.Settle(t.Context(), []symphony.Verdict{{Token: again[0].Token, Outcome: symphony.Completed}}); err != nil {
		t.Fatal(err)
	}
}

// TestLeaseEndsWhileCompleted: the lease runs out after Complete and before the commit. Nobody else may get the message then, because its row
// is locked; the commit counts.
func TestLeaseEndsWhileCompleted(t *testing.T) {
	store := withLedger(t)
	clock := &testClock{store: store}
	env := sendOne(t, store, nil)
	free := sendOne(t, store, nil)
	d := lease(t, store, "slow", 1)[0]
	tx := begin(t, store)
	if err := store.Complete(asDelivered(t, d), tx); err != nil {
		t.Fatal(err)
	}
	clock.advance(t, time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	begun := time.Now()
	ds, err := store.Receive(ctx, symphony.Claim{Worker: "other", Queues: []symphony.QueueClaim{{Name: "default"}}, Max: 5, Lease: 30 * time.Second})
	if err != nil || len(ds) != 1 || ds[0].Envelope.ID != free.ID {
		t.Errorf("a worker got %d messages after %v, want the one that is free: %v", len(ds), time.Since(begun), err)
	} else if took := time.Since(begun); late(t, store, took, 3*time.Second) {
		t.Errorf("another worker waited %v for a transaction of somebody else's", took)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := statusOf(t, store, env.ID); r.Status != monitor.Completed {
		t.Fatal(r.Status)
	}
}

// TestGroupIsFreedByTheCommit: the next member of a group waits until the transaction is committed, and stays where it is when it is
// rolled back.
func TestGroupIsFreedByTheCommit(t *testing.T) {
	store := withLedger(t)
	inGroup := func(e *symphony.Envelope) { e.Group = "g" }
	first, second := sendOne(t, store, inGroup), sendOne(t, store, inGroup)
	d := lease(t, store, "w", 5)
	if len(d) != 1 || d[0].Envelope.ID != first.ID {
		t.Fatal(d)
	}
	ctx := asDelivered(t, d[0])
	for _, commits := range []bool{false, true} {
		tx := begin(t, store)
		if err := store.Complete(ctx, tx); err != nil {
			t.Fatal(err)
		}
		if ds := lease(t, store, "w2", 5); len(ds) != 0 {
			t.Fatal("the next one runs before the commit")
		}
		if !commits {
			if err := tx.Rollback(ctx); err != nil {
				t.Fatal(err)
			}
			if ds := lease(t, store, "w2", 5); len(ds) != 0 {
				t.Fatal("the next one runs although the transaction was rolled back")
			}
			continue
		}
		if err := tx.Commit(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if ds := lease(t, store, "w2", 5); len(ds) != 1 || ds[0].Envelope.ID != second.ID {
		t.Fatal("the next one does not run after the commit:", ds)
	}
}

// TestKeyInTx: completed in a transaction, a message with a window of zero frees its key with the commit and not before.
func TestKeyInTx(t *testing.T) {
	store := withLedger(t)
	keyed := func(e *symphony.Envelope) { e.Key = "k" }
	first := sendOne(t, store, keyed)
	d := lease(t, store, "w", 1)[0]
	tx := begin(t, store)
	if err := store.Complete(asDelivered(t, d), tx); err != nil {
		t.Fatal(err)
	}
	bus := &symphony.Bus{Transport: store}
	other := begin(t, store)
	mustExec(t, other, "set local lock_timeout = '200ms'")
	r, err := bus.Dispatch(t.Context(), payment{1}, symphony.IdempotencyKey("k", 0), store.InTx(other))
	if err == nil && (!r.Duplicate || r.ID != first.ID) {
		t.Fatalf("before the commit the key was free: %+v", r)
	} else if err != nil && !errors.Is(err, symphony.ErrStoreBusy) {
		t.Fatal(err)
	}
	if err := other.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, err := bus.Dispatch(t.Context(), payment{1}, symphony.IdempotencyKey("k", 0)); err != nil || r.Duplicate {
		t.Fatal("after the commit the key is taken:", r, err)
	}
}

// TestDispatchOfATakenKeyHoldsNobodyUp: a long transaction has asked for a key that another message has. That message can be settled
// meanwhile.
func TestDispatchOfATakenKeyHoldsNobodyUp(t *testing.T) {
	store := withLedger(t)
	bus := &symphony.Bus{Transport: store}
	first := sendOne(t, store, func(e *symphony.Envelope) { e.Key = "k" })
	d := lease(t, store, "w", 1)[0]
	for name, dispatch := range map[string]func(tx pgx.Tx) error{
		"Go": func(tx pgx.Tx) error {
			r, err := bus.Dispatch(t.Context(), payment{1}, symphony.IdempotencyKey("k", time.Hour), store.InTx(tx))
			if err == nil && (!r.Duplicate || r.ID != first.ID) {
				err = errors.New("no duplicate")
			}
			return err
		},
		"SQL": func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), store.sql.in("select symphony.dispatch('payment', '{}', idempotency_key => 'k')"))
			return err
		},
	} {
		tx := begin(t, store)
		mustExec(t, tx, "set local lock_timeout = '5s'")
		if err := dispatch(tx); err != nil {
			t.Fatal(name, err)
		}
	}
	begun := time.Now()
	if err := store.Settle(t.Context(), []symphony.Verdict{{Token: d.Token, Outcome: symphony.Completed}}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); late(t, store, took, time.Second) {
		t.Errorf("the verdict waited %v for transactions that only asked for the key", took)
	}
}

// TestOpenCompletionHoldsNobodyUp: a transaction that has completed a message is open for long. Other messages, of the same type, key space
// and group, are settled as if it were not there.
func TestOpenCompletionHoldsNobodyUp(t *testing.T) {
	store := withLedger(t)
	changes := []func(*symphony.Envelope){
		nil, func(e *symphony.Envelope) { e.Key, e.Window = "a", time.Hour }, func(e *symphony.Envelope) { e.Group = "a" }, nil,
		func(e *symphony.Envelope) { e.Key, e.Window = "b", time.Hour }, func(e *symphony.Envelope) { e.Group = "b" },
	}
	for _, change := range changes {
		sendOne(t, store, change)
	}
	ds := lease(t, store, "w", 10)
	if len(ds) != len(changes) {
		t.Fatal(len(ds))
	}
	tx := begin(t, store)
	var rest []symphony.Verdict
	for i := range ds {
		if i < 3 {
			if err := store.Complete(asDelivered(t, ds[i]), tx); err != nil {
				t.Fatal(err)
			}
			continue
		}
		rest = append(rest, symphony.Verdict{Token: ds[i].Token, Outcome: symphony.Completed})
	}
	begun := time.Now()
	for _, v := range rest {
		if err := store.Settle(t.Context(), []symphony.Verdict{v}); err != nil {
			t.Fatal(err)
		}
	}
	sendOne(t, store, func(e *symphony.Envelope) { e.Group = "a" })
	if took := time.Since(begun); late(t, store, took, time.Second) {
		t.Errorf("other verdicts and a send to the group waited %v", took)
	}
	begun = time.Now()
	if err := store.fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Counts(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); late(t, store, took, time.Second) {
		t.Errorf("folding and counting waited %v", took)
	}
	// The worker's own question about a message that is still open waits, but not for ever.
	begun = time.Now()
	err := store.Settle(t.Context(), []symphony.Verdict{{Token: ds[0].Token, Outcome: symphony.Retried, InTx: true}})
	if took := time.Since(begun); err == nil || late(t, store, took, 10*time.Second) {
		t.Errorf("the verdict on the open one: %v after %v", err, took)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestDispatchWaitsForAnOpenKey: the key of a transaction that is still open makes another Dispatch wait, for as long as that one's lock_timeout.
func TestDispatchWaitsForAnOpenKey(t *testing.T) {
	store := openTest(t, nil)
	bus := &symphony.Bus{Transport: store}
	open := begin(t, store)
	first, err := bus.Dispatch(t.Context(), payment{1}, symphony.IdempotencyKey("k", time.Hour), store.InTx(open))
	if err != nil {
		t.Fatal(err)
	}
	other := begin(t, store)
	mustExec(t, other, "set local lock_timeout = '100ms'")
	_, err = bus.Dispatch(t.Context(), payment{1}, symphony.IdempotencyKey("k", time.Hour), store.InTx(other))
	if !errors.Is(err, symphony.ErrStoreBusy) || codeOf(err) != "55P03" {
		t.Errorf("%v; want ErrStoreBusy with what the server said", err)
	}
	if err := other.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		r   symphony.Receipt
		err error
	}
	waits, done := begin(t, store), make(chan answer, 1)
	go func() {
		r, err := bus.Dispatch(t.Context(), payment{1}, symphony.IdempotencyKey("k", time.Hour), store.InTx(waits))
		done <- answer{r, err}
	}()
	eventually(t, "the other one waits", func() bool {
		return one(t, store, store.work, "select count(*)::text from pg_catalog.pg_stat_activity where pid = $1 and wait_event_type = 'Lock'", waits.Conn().PgConn().PID()) == "1"
	})
	if err := open.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := <-done; a.err != nil || !a.r.Duplicate || a.r.ID != first.ID {
		t.Errorf("after the commit: %+v, %v; want a duplicate of %s", a.r, a.err, first.ID)
	}
}
