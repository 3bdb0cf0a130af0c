package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
	"github.com/symphony-messenger/symphony/internal/sleep"
	"github.com/symphony-messenger/symphony/monitor"
)

// holdSnapshot begins a transaction that keeps old rows from being vacuumed, until it is rolled back or the test ends.
func holdSnapshot(t *testing.T, store *Transport) pgx.Tx {
	t.Helper()
	tx, err := store.Pool().BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }) // before the store is closed
	if _, err := tx.Exec(t.Context(), "select count(*) from pg_class"); err != nil {
		t.Fatal(err)
	}
	return tx
}

// TestClaimsPassOverOldRows: while a long transaction keeps old rows, claims stay fast, and what was put back is found.
func TestClaimsPassOverOldRows(t *testing.T) {
	t.Parallel()
	server := ownServer(t, nil)
	store := openDSN(t, server.DSN("postgres"), &Options{History: HistoryOff, Logger: slog.New(slog.DiscardHandler)})
	tx := holdSnapshot(t, store)
	round := func() time.Duration {
		var envs []*symphony.Envelope
		for range 2000 {
			envs = append(envs, anEnvelope("a"))
		}
		if _, err := store.Send(t.Context(), envs); err != nil {
			t.Fatal(err)
		}
		var took []time.Duration
		for done := 0; done < 2000; {
			begun := time.Now()
			ds, err := store.Receive(t.Context(), claimFor("w", 100))
			if err != nil {
				t.Fatal(err)
			}
			took = append(took, time.Since(begun))
			var verdicts []symphony.Verdict
			for _, d := range ds {
				verdicts = append(verdicts, symphony.Verdict{Token: d.Token, Outcome: symphony.Completed})
			}
			if err := store.Settle(t.Context(), verdicts); err != nil {
				t.Fatal(err)
			}
			done += len(ds)
		}
		slices.Sort(took)
		return took[len(took)/2]
	}
	first := min(round(), round())
	for range 24 {
		round()
	}
	if last := min(round(), round(), round()); late(t, store, last, 5*first+20*time.Millisecond) {
		t.Errorf("a claim took %v at first and takes %v behind 50,000 old rows", first, last)
	} else {
		t.Logf("claims: %v at first, %v late", first, last)
	}
	store.floors.rise() // as where claims from the start take too long
	env := anEnvelope("retried")
	if _, err := store.Send(t.Context(), []*symphony.Envelope{env}); err != nil {
		t.Fatal(err)
	}
	ds, err := store.Receive(t.Context(), claimFor("w", 1))
	if err != nil {
		t.Fatal(err)
	}
	seq := scalar[int64](t, store, "select seq from symphony.messenger_messages where id = $1", [16]byte(env.ID))
	for store.floors.below()["default"] <= seq+firstPiece {
		round()
	}
	if err := store.Settle(t.Context(), []symphony.Verdict{{Token: ds[0].Token, Outcome: symphony.Retried}}); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	if ds, err = store.Receive(ctx, claimFor("w", 1)); err != nil || ds[0].Envelope.ID != env.ID {
		t.Fatal("the retry:", ds, err)
	}
	if d := time.Since(begun); late(t, store, d, 3*time.Second) {
		t.Errorf("the retry was found after %v", d)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustExec(t, store.Pool(), "vacuum symphony.messenger_messages")
	eventually(t, "the floors have sunk", func() bool { return store.floors.below() == nil })
}

func TestClose(t *testing.T) {
	t.Parallel()
	t.Run("while Receive waits and sends are under way", func(t *testing.T) {
		t.Parallel()
		store := openDSNOnly(t, pgtest.DSN(t), nil)
		if _, err := store.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		received := make(chan error, 1)
		go func() { _, err := store.Receive(t.Context(), claimFor("w", 1)); received <- err }()
		stop := make(chan struct{})
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						_, _ = store.Send(t.Context(), []*symphony.Envelope{anEnvelope("a", func(e *symphony.Envelope) { e.Queue = "other" })})
					}
				}
			})
		}
		_ = sleep.For(t.Context(), 200*time.Millisecond)
		if err := store.Close(); err != nil { // as when something is not given back in time
			t.Error(err)
		}
		close(stop)
		select {
		case err := <-received:
			if err == nil {
				t.Error("Receive on a closed transport answered")
			}
		case <-time.After(longest):
			t.Fatal("Receive still waits")
		}
		all.Wait()
		if err := store.Close(); err != nil {
			t.Error("a second Close:", err)
		}
	})
	t.Run("while the network is gone", func(t *testing.T) {
		t.Parallel()
		proxy, dsn := throughProxy(t, pgtest.DSN(t))
		store := openDSNOnly(t, dsn, &Options{Logger: slog.New(slog.DiscardHandler)})
		if _, err := store.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		received := make(chan error, 1)
		go func() { _, err := store.Receive(ctx, claimFor("w", 1)); received <- err }()
		if _, err := store.Send(t.Context(), []*symphony.Envelope{anEnvelope("a", func(e *symphony.Envelope) { e.Queue = "other" })}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the transport listens", func() bool {
			listening := 0
			proxy.each(func(l *wireLink) {
				if l.listening.Load() {
					listening++
				}
			})
			return listening > 0
		})
		proxy.each(func(l *wireLink) { l.freeze.Do(func() { close(l.frozen) }) })
		cancel()
		begun := time.Now()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		if d := time.Since(begun); d > 8*time.Second {
			t.Errorf("Close took %v", d)
		}
		<-received
	})
	t.Run("with an open transaction", func(t *testing.T) {
		t.Parallel()
		store := openDSNOnly(t, pgtest.DSN(t), nil)
		if _, err := store.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		tx, err := store.Pool().Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		err = store.Close()
		if d := time.Since(begun); err == nil || !strings.Contains(err.Error(), "1 connection") || d < 9*time.Second || d > longest {
			t.Errorf("after %v: %v", d, err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Error("the transaction that was open:", err)
		}
		eventually(t, "the pool is closed in the end", func() bool { return store.Pool().Stat().TotalConns() == 0 })
	})
}

// TestOpenAndClose200Times leaves nothing behind. It is not parallel: it counts goroutines.
func TestOpenAndClose200Times(t *testing.T) {
	dsn := pgtest.DSN(t)
	watch := openDSN(t, dsn, nil)
	name := watch.sql.schema + "_200"
	conns := func() int {
		return scalar[int](t, watch, "select count(*) from pg_stat_activity where application_name = $1", name)
	}
	once := func(i int) {
		store, err := Open(t.Context(), namedDSN(dsn, name), &Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Error(err)
			return
		}
		if i%5 == 0 {
			if _, err := store.Send(t.Context(), []*symphony.Envelope{anEnvelope("a")}); err != nil {
				t.Error(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%5*5)*time.Millisecond)
		_, _ = store.Receive(ctx, claimFor(fmt.Sprint("w", i), 1))
		cancel()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
	once(0)
	before := runtime.NumGoroutine()
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for i := range 25 {
				once(n + i)
			}
		})
	}
	all.Wait()
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before+2 })
	eventually(t, "no connection is left", func() bool { return conns() == 0 })
}

// TestHistoryPartitions: rows go where they belong, old ones go with their partitions.
func TestHistoryPartitions(t *testing.T) {
	t.Parallel()
	store := openTest(t, nil)
	clock := &testClock{store: store}
	partitions := func() int {
		return scalar[int](t, store, "select count(*) from pg_inherits where inhparent = 'symphony.messenger_history'::regclass")
	}
	end := func() symphony.ID {
		env := anEnvelope("a")
		if _, err := store.Send(t.Context(), []*symphony.Envelope{env}); err != nil {
			t.Fatal(err)
		}
		if err := handleAll(t.Context(), store, 1); err != nil {
			t.Fatal(err)
		}
		return env.ID
	}
	where := func(id symphony.ID) string {
		return scalar[string](t, store, "select coalesce((select tableoid::regclass::text from symphony.messenger_history where id = $1), 'nowhere')", [16]byte(id))
	}
	maintain := func() {
		for range 10 {
			more, err := store.Maintain(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !more {
				return
			}
		}
		t.Fatal("Maintain is never done")
	}
	first := end()
	if at := where(first); strings.HasSuffix(at, "default") || at == "nowhere" {
		t.Errorf("the first is in %s", at)
	}
	clock.advance(t, 7*time.Hour) // nobody has maintained it meanwhile
	late := end()
	if at := where(late); !strings.HasSuffix(at, "default") {
		t.Errorf("without a partition for it, it is in %s", at)
	}
	maintain()
	if at := where(late); strings.HasSuffix(at, "default") || at == "nowhere" {
		t.Errorf("when there is a partition for it, it is in %s", at)
	}
	if n := scalar[int](t, store, "select count(*) from symphony.messenger_history_default"); n != 0 {
		t.Errorf("%d rows are left in the default partition", n)
	}
	for range 3 {
		clock.advance(t, time.Hour)
		maintain()
		if at := where(end()); strings.HasSuffix(at, "default") {
			t.Errorf("maintained every hour, it is in %s", at)
		}
	}
	clock.advance(t, 15*time.Hour) // 25 after the first
	if _, err := store.Find(t.Context(), first); !errors.Is(err, monitor.ErrNotFound) {
		t.Errorf("the first is over: %v", err)
	}
	maintain()
	if at := where(first); at != "nowhere" {
		t.Errorf("the first is in %s", at)
	}
	if at := where(late); at == "nowhere" {
		t.Error("the second is gone too early")
	}
	clock.advance(t, 100*time.Hour)
	orphan := end() // in the default partition
	clock.advance(t, 25*time.Hour)
	maintain()
	for _, id := range []symphony.ID{late, orphan} {
		if at := where(id); at != "nowhere" {
			t.Errorf("old history is in %s", at)
		}
	}
	if n := partitions(); n > 4 {
		t.Errorf("%d partitions are left", n)
	}
}

func TestHistoryModes(t *testing.T) {
	t.Parallel()
	for mode, want := range map[HistoryMode]struct {
		completed bool
		body      string
	}{HistoryFull: {true, `{"a":1}`}, HistoryMeta: {true, ""}, HistoryOff: {false, `{"a":1}`}} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			store := openTest(t, &Options{History: mode})
			for name, change := range map[string]func(*symphony.Envelope){"plain": func(*symphony.Envelope) {}, "key": withKey("k", 0)} {
				done, cancelled := anEnvelope("a", change), anEnvelope("b", func(e *symphony.Envelope) { e.Delay = time.Hour })
				done.Body, cancelled.Body = []byte(`{"a":1}`), []byte(`{"a":1}`)
				if _, err := store.Send(t.Context(), []*symphony.Envelope{done, cancelled}); err != nil {
					t.Fatal(err)
				}
				if err := handleAll(t.Context(), store, 1); err != nil {
					t.Fatal(err)
				}
				r, err := store.Find(t.Context(), done.ID)
				if want.completed && (err != nil || r.Status != monitor.Completed || string(r.Body) != want.body) || !want.completed && !errors.Is(err, monitor.ErrNotFound) {
					t.Errorf("%s: %s %q, %v", name, r.Status, r.Body, err)
				}
				if r, err := store.Cancel(t.Context(), cancelled.ID); err != nil || r.Status != monitor.Cancelled || string(r.Body) != want.body {
					t.Errorf("cancelled: %s %q, %v", r.Status, r.Body, err)
				}
			}
		})
	}
}

// TestDueMessageThatIsLocked: while somebody's transaction holds a message that is due, idle workers do not look for it all the time.
func TestDueMessageThatIsLocked(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	direct := openDSN(t, dsn, nil)
	p, through := throughProxy(t, dsn)
	store := openDSN(t, through, &Options{Logger: slog.New(slog.DiscardHandler)})
	env := anEnvelope("a", func(e *symphony.Envelope) { e.Delay = 50 * time.Millisecond })
	if _, err := direct.Send(t.Context(), []*symphony.Envelope{env}); err != nil {
		t.Fatal(err)
	}
	tx, err := direct.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	if _, err := tx.Exec(t.Context(), direct.sql.in("select from symphony.messenger_messages for update")); err != nil {
		t.Fatal(err)
	}
	looks := 0
	var mu sync.Mutex
	p.on(func(statement string) bool {
		mu.Lock()
		defer mu.Unlock()
		if strings.HasPrefix(statement, "-- What is there to do?") {
			looks++
		}
		return false
	})
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	if ds, err := store.Receive(ctx, claimFor("w", 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(ds, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if looks > 60 {
		t.Errorf("%d looks in 1.5 s", looks)
	}
}
