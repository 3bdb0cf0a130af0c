package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// claim leases up to n messages of the default queue without waiting.
func claim(t *testing.T, store *Transport, worker string, n int) []symphony.Delivery {
	t.Helper()
	ds, err := store.Exchange(t.Context(), nil, claimOf(worker, n))
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// exact compares the counters with the rows that they count.
func exact(t *testing.T, store *Transport) {
	t.Helper()
	rows, err := store.db.QueryContext(t.Context(), `
select status, sum(rows), sum(counted) from (
  select status, 1 as rows, 0 as counted from messenger_messages
  union all select 'failed', 1, 0 from messenger_failed_messages
  union all select status, 0, count from messenger_stats where status in ('pending', 'scheduled', 'processing', 'failed')
) group by status having sum(rows) <> sum(counted)`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var status string
		var there, counted int
		if err := rows.Scan(&status, &there, &counted); err != nil {
			t.Fatal(err)
		}
		t.Errorf("%d messages are %s, %d are counted", there, status, counted)
	}
}

// TestLongestDurations: what is meant as "for ever" must not wrap around to "at once".
func TestLongestDurations(t *testing.T) {
	store := openTest(t, nil)
	delayed := newEnvelope("delayed", func(e *symphony.Envelope) { e.Delay = math.MaxInt64 })
	expires := newEnvelope("expires", func(e *symphony.Envelope) { e.Expires = math.MaxInt64 })
	keyed := func(e *symphony.Envelope) { e.Key, e.Window = "k", math.MaxInt64 }
	if _, err := store.Send(t.Context(), []*symphony.Envelope{delayed, expires, newEnvelope("keyed", keyed)}); err != nil {
		t.Fatal(err)
	}
	ds := claim(t, store, "w", 9)
	if len(ds) != 2 || ds[0].Envelope.ID != expires.ID || ds[0].Deadline.Before(time.Now().Add(time.Hour)) {
		t.Fatalf("claimed %+v, want the one that expires late and the one with a key", ds)
	}
	if err := store.Settle(t.Context(), []symphony.Verdict{{Token: ds[1].Token, Outcome: symphony.Completed}}); err != nil {
		t.Fatal(err)
	}
	rs, err := store.Send(t.Context(), []*symphony.Envelope{newEnvelope("keyed", keyed)})
	if err != nil || !rs[0].Duplicate {
		t.Fatal("the key was free again:", rs, err)
	}
}

// TestFarFuture: a message of another century must not make an idle Receive look all the time.
func TestFarFuture(t *testing.T) {
	store := openTest(t, nil)
	far := newEnvelope("a", func(e *symphony.Envelope) { e.At = time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC) })
	if err := send(t.Context(), store, far); err != nil {
		t.Fatal(err)
	}
	var looks atomic.Int64
	store.clock = func() int64 { looks.Add(1); return time.Now().UnixMilli() }
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := store.Receive(ctx, claimOf("w", 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if n := looks.Load(); n > 50 {
		t.Errorf("%d looks in half a second", n)
	}
}

// TestExpireAfterPromote: Maintain ends a member of a group, which makes another message claimable that
// has expired as well.
func TestExpireAfterPromote(t *testing.T) {
	store := openTest(t, nil)
	now := int64(1_800_000_000_000)
	store.clock = func() int64 { return now }
	a := newEnvelope("a", func(e *symphony.Envelope) { e.Group, e.Expires = "g", 2*time.Second })
	b := newEnvelope("b", func(e *symphony.Envelope) { e.Delay, e.Expires = time.Second, 3*time.Second })
	if _, err := store.Send(t.Context(), []*symphony.Envelope{a, b}); err != nil {
		t.Fatal(err)
	}
	now += 10_000
	if _, err := store.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	exact(t, store)
	if n := count(t, store, monitor.Expired); n != 2 {
		t.Errorf("%d have expired, want both", n)
	}
}

// TestGroupOrderWhenTheClockIsSetBack: the order of a group does not depend on the machine's clock alone.
func TestGroupOrderWhenTheClockIsSetBack(t *testing.T) {
	store := openTest(t, nil)
	now := int64(1_800_000_000_000)
	store.clock = func() int64 { return now }
	var ids []symphony.ID
	for _, back := range []int64{0, 0, 3000} {
		now -= back
		env := newEnvelope("a", func(e *symphony.Envelope) { e.Group = "g" })
		ids = append(ids, env.ID)
		if err := send(t.Context(), store, env); err != nil {
			t.Fatal(err)
		}
	}
	for i, id := range ids {
		ds := claim(t, store, "w", 1)
		if len(ds) != 1 || ds[0].Envelope.ID != id {
			t.Fatalf("place %d has another message: %+v", i, ds)
		}
		if err := store.Settle(t.Context(), []symphony.Verdict{{Token: ds[0].Token, Outcome: symphony.Completed}}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSecondLife: a message that is sent again after its end may fail a second time. Its first dead
// letter once made that verdict impossible, and its worker repeated it for ever.
func TestSecondLife(t *testing.T) {
	store := openTest(t, nil)
	env := newEnvelope("a")
	for range 2 {
		if err := send(t.Context(), store, env); err != nil {
			t.Fatal(err)
		}
		ds := claim(t, store, "w", 1)
		if len(ds) != 1 {
			t.Fatal("nothing to claim")
		}
		if err := store.Settle(t.Context(), []symphony.Verdict{{Token: ds[0].Token, Outcome: symphony.Failed, Reason: symphony.ReasonPermanent}}); err != nil {
			t.Fatal(err)
		}
	}
	exact(t, store)
}

// TestStaleInTx: the message is with another worker, so that nothing was committed.
func TestStaleInTx(t *testing.T) {
	store := openTest(t, nil)
	now := int64(1_800_000_000_000)
	store.clock = func() int64 { return now }
	if err := send(t.Context(), store, newEnvelope("a")); err != nil {
		t.Fatal(err)
	}
	first := claim(t, store, "w", 1)
	now += 60_000
	if ds := claim(t, store, "other", 1); len(ds) != 1 {
		t.Fatal("it was not claimed again")
	}
	err := store.Settle(t.Context(), []symphony.Verdict{{Token: first[0].Token, Outcome: symphony.Retried, InTx: true}})
	if !errors.Is(err, symphony.ErrLeaseLost) {
		t.Fatalf("%v: want ErrLeaseLost", err)
	}
}

// TestCancelledSnooze: a cancelled message that asks for a snooze beyond its expiry is cancelled, not expired.
func TestCancelledSnooze(t *testing.T) {
	store := openTest(t, nil)
	env := newEnvelope("a", func(e *symphony.Envelope) { e.Expires = time.Minute })
	if err := send(t.Context(), store, env); err != nil {
		t.Fatal(err)
	}
	ds := claim(t, store, "w", 1)
	if _, err := store.Cancel(t.Context(), env.ID); err != nil {
		t.Fatal(err)
	}
	if err := store.Settle(t.Context(), []symphony.Verdict{{Token: ds[0].Token, Outcome: symphony.Snoozed, After: time.Hour}}); err != nil {
		t.Fatal(err)
	}
	if r, err := store.Find(t.Context(), env.ID); err != nil || r.Status != monitor.Cancelled {
		t.Fatal(r.Status, err)
	}
}

// TestFailedCallInTx: of a call that failed nothing stays in the caller's transaction, and the end of a
// context does not end it.
func TestFailedCallInTx(t *testing.T) {
	store := ledger(t)
	bus := &symphony.Bus{Transport: store}
	grouped := newEnvelope("a", func(e *symphony.Envelope) { e.Group = "g" })
	refused := newEnvelope("a", func(e *symphony.Envelope) { e.Group, e.Priority = "g", 11 })
	err := store.Tx(t.Context(), bus, func(tx *sql.Tx, _ symphony.Dispatcher) error {
		if _, err := (txSender{store, tx}).Send(t.Context(), []*symphony.Envelope{grouped, refused}); err == nil {
			t.Error("a row that breaks a CHECK was accepted")
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := (txSender{store, tx}).Send(ended, []*symphony.Envelope{newEnvelope("a")}); !errors.Is(err, context.Canceled) {
			t.Errorf("%v: want context.Canceled", err)
		}
		return insert(t.Context(), tx, pay{1}) // the caller goes on all the same
	})
	if err != nil {
		t.Fatal(err)
	}
	exact(t, store)
	if n := count(t, store, monitor.Pending); n != 0 || sum(t, store) != 1 {
		t.Errorf("%d messages of calls that failed, %d rows", n, sum(t, store))
	}
}

// TestPoolOfOne: SQLite users are often told to allow one connection.
func TestPoolOfOne(t *testing.T) {
	store := openTest(t, nil)
	store.DB().SetMaxOpenConns(1)
	bus := &symphony.Bus{Transport: store}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := store.Tx(ctx, bus, func(_ *sql.Tx, d symphony.Dispatcher) error {
		_, err := d.Dispatch(ctx, pay{1})
		return err
	})
	if err != nil || count(t, store, monitor.Pending) != 1 {
		t.Fatal(err)
	}
}

// TestManyTransactions: handlers whose transactions take longer than the busy timeout together are not
// failures, and neither are the worker's own writes beside them.
func TestManyTransactions(t *testing.T) {
	path := ledger(t).config.path
	store, err := Open(t.Context(), "sqlite://"+path+"?busy_timeout=200ms", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	bus := &symphony.Bus{Transport: store}
	HandleTx(bus, store, func(ctx context.Context, tx *sql.Tx, m pay) error {
		timer := time.NewTimer(50 * time.Millisecond)
		defer timer.Stop()
		<-timer.C
		return insert(ctx, tx, m)
	})
	const n = 20
	for range n {
		if _, err := bus.Dispatch(t.Context(), pay{1}, symphony.MaxRetries(0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := (&symphony.Worker{Bus: bus, Limits: symphony.Limits{Messages: n}}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if sum(t, store) != n || count(t, store, monitor.Completed) != n {
		t.Errorf("%d effects, %d completed, want %d", sum(t, store), count(t, store, monitor.Completed), n)
	}
}
