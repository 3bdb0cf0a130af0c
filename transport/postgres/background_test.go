package postgres

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
	"github.com/symphony-messenger/symphony/internal/sleep"
)

// TestSendsShareTransactions: single sends at once are written together.
func TestSendsShareTransactions(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	store := openDSN(t, namedDSN(dsn, "sends"), nil)
	watch := openDSN(t, dsn, nil)
	commits := func() (n int) {
		return scalar[int](t, watch, "select xact_commit from pg_stat_database where datname = current_database()")
	}
	before := commits()
	const senders, each = 64, 40
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for range each {
				if _, err := store.Send(t.Context(), []*symphony.Envelope{anEnvelope("a")}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if err := store.Close(); err != nil { // backends report what they count when they end
		t.Fatal(err)
	}
	eventually(t, "the counters of the backends", func() bool {
		return scalar[int](t, watch, "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'sends'") == 0
	})
	if n := commits() - before; n > senders*each/4 {
		t.Errorf("%d transactions for %d messages", n, senders*each)
	} else {
		t.Logf("%d transactions for %d messages", n, senders*each)
	}
	if n := scalar[int](t, watch, "select count(*) from symphony.messenger_messages"); n != senders*each {
		t.Errorf("%d messages are there, want %d", n, senders*each)
	}
}

// held holds up all inserts of a store until it is called.
func held(t *testing.T, store *Transport) (release func()) {
	t.Helper()
	tx, err := store.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), store.sql.in("lock table symphony.messenger_messages in share mode")); err != nil {
		t.Fatal(err)
	}
	return sync.OnceFunc(func() {
		if err := tx.Rollback(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

func waitingSends(store *Transport, sends, under int) func() bool {
	return func() bool {
		s, f := store.sends.Waiting()
		return s == sends && f == under
	}
}

// TestOneBadMessage: only its own caller gets the error of the row.
func TestOneBadMessage(t *testing.T) {
	t.Parallel()
	store := openTest(t, nil)
	store.sends.Patience = 0 // a second flush begins at once
	release := held(t, store)
	defer release()
	errs := make([]error, 40+flushes)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			_, errs[i] = store.Send(t.Context(), []*symphony.Envelope{anEnvelope("a", func(e *symphony.Envelope) {
				if i == 20 {
					e.Priority = 11
				}
			})})
		})
		if i < flushes {
			eventually(t, "the first ones flush", waitingSends(store, 0, i+1))
		}
	}
	eventually(t, "the others wait", waitingSends(store, 40, flushes))
	release()
	all.Wait()
	for i, err := range errs {
		if (err != nil) != (i == 20) || errors.Is(err, symphony.ErrOutcomeUnknown) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if n := scalar[int](t, store, "select count(*) from symphony.messenger_messages"); n != len(errs)-1 {
		t.Errorf("%d messages are there", n)
	}
	countsAreExact(t, store)
}

// TestSendEnds: a ctx that ends before the flush: nothing is stored; one that ends during it: unknown.
func TestSendEnds(t *testing.T) {
	t.Parallel()
	store := openTest(t, nil)
	store.sends.Patience = 0 // a second flush begins at once
	release := held(t, store)
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var leaders sync.WaitGroup
	for i := range flushes {
		leaders.Go(func() {
			if _, err := store.Send(t.Context(), []*symphony.Envelope{anEnvelope("a")}); err != nil {
				t.Error(err)
			}
		})
		eventually(t, "the first ones flush", waitingSends(store, 0, i+1))
	}
	waits := anEnvelope("waits")
	answer := make(chan error, 1)
	go func() { _, err := store.Send(ctx, []*symphony.Envelope{waits}); answer <- err }()
	eventually(t, "it waits", waitingSends(store, 1, flushes))
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) || errors.Is(err, symphony.ErrOutcomeUnknown) {
		t.Errorf("%v: want context.Canceled alone", err)
	}
	release()
	leaders.Wait()
	release2 := held(t, store)
	defer release2()
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	go func() { _, err := store.Send(ctx, []*symphony.Envelope{anEnvelope("under way")}); answer <- err }()
	eventually(t, "the server has it", func() bool {
		return scalar[int](t, store, "select count(*) from pg_locks where relation = 'symphony.messenger_messages'::regclass and not granted") > 0
	})
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) || !errors.Is(err, symphony.ErrOutcomeUnknown) {
		t.Errorf("%v: want ErrOutcomeUnknown and context.Canceled", err)
	}
	release2()
	if n := copiesOf(t, store, waits.ID); n != 0 {
		t.Error("a call that was withdrawn is stored")
	}
}

// TestVacuum: without autovacuum, old rows go all the same.
func TestVacuum(t *testing.T) {
	t.Parallel()
	server := ownServer(t, map[string]string{"autovacuum": "off"})
	log := newLines()
	store := openDSN(t, server.DSN("postgres"), &Options{Logger: slog.New(log), History: HistoryOff})
	const n = 30_000
	for range n / 1000 {
		var envs []*symphony.Envelope
		for range 1000 {
			envs = append(envs, anEnvelope("a"))
		}
		if _, err := store.Send(t.Context(), envs); err != nil {
			t.Fatal(err)
		}
		for done := 0; done < 1000; {
			ds, err := store.Receive(t.Context(), claimFor("w", 1000))
			if err != nil {
				t.Fatal(err)
			}
			var verdicts []symphony.Verdict
			for _, d := range ds {
				verdicts = append(verdicts, symphony.Verdict{Token: d.Token, Outcome: symphony.Completed})
			}
			if err := store.Settle(t.Context(), verdicts); err != nil {
				t.Fatal(err)
			}
			done += len(ds)
		}
	}
	eventually(t, "old rows are vacuumed", func() bool {
		return scalar[int](t, store, "select vacuum_count from pg_stat_user_tables where relname = 'messenger_messages'") > 0 &&
			scalar[int](t, store, "select n_dead_tup from pg_stat_user_tables where relname = 'messenger_messages'") < n/2
	})
	eventually(t, "counters are folded", func() bool {
		return scalar[int](t, store, "select count(*) from symphony.messenger_stats_deltas") < 100
	})
	countsAreExact(t, store)
	log.mu.Lock()
	defer log.mu.Unlock()
	if len(log.all) > 0 {
		t.Errorf("logged: %v", log.all)
	}
}

// TestFoldedAfterAVacuum: what changed between a fold and the vacuum after it is folded, too.
func TestFoldedAfterAVacuum(t *testing.T) {
	store := openTest(t, nil)
	deltas := func() int {
		return scalar[int](t, store, "select count(*) from symphony.messenger_stats_deltas")
	}
	cancelled := func() {
		t.Helper()
		env := sendOne(t, store, nil)
		if _, err := store.CancelAll(t.Context(), []symphony.ID{env.ID}); err != nil {
			t.Fatal(err)
		}
	}
	g := tending{t: store} // the last vacuum was long ago
	cancelled()
	if err := g.fold(t.Context()); err != nil || deltas() > 0 {
		t.Fatal(err, deltas())
	}
	cancelled()
	if err := g.clean(t.Context()); err != nil || g.vacuum == 0 || deltas() == 0 {
		t.Fatalf("%v; the vacuum took %v, %d changes of counters are there", err, g.vacuum, deltas())
	}
	if err := g.fold(t.Context()); err != nil || deltas() > 0 {
		t.Errorf("%d changes of counters are left: %v", deltas(), err)
	}
}

// TestVacuumsInVain: as long as somebody's snapshot keeps the old rows, vacuums become seldom.
func TestVacuumsInVain(t *testing.T) {
	t.Parallel()
	server := ownServer(t, map[string]string{"autovacuum": "off"})
	store := openDSN(t, server.DSN("postgres"), nil) // nobody works with it, so that it does nothing by itself
	const n = 2 * manyDead
	tx := holdSnapshot(t, store)
	for _, sql := range []string{"select symphony.dispatch('a') from generate_series(1, $1)", "delete from symphony.messenger_messages where $1 > 0"} {
		if _, err := store.Pool().Exec(t.Context(), sql, n); err != nil {
			t.Fatal(err)
		}
	}
	dead := func() int64 {
		mustExec(t, store.Pool(), "select 1") // before PostgreSQL 15 a session that does nothing does not say what it did
		d, err := store.dead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	g := tending{t: store} // the last vacuum was long ago
	vacuum := func() {
		t.Helper()
		store.service.changed(vacuumRows)
		g.vacuumed = time.Time{}
		if _, err := store.Pool().Exec(t.Context(), "update symphony.messenger_state set at = '-infinity' where name = 'vacuum'"); err != nil {
			t.Fatal(err)
		}
		if err := g.clean(t.Context()); err != nil || g.dead < n {
			t.Fatalf("%v; there were %d old rows", err, g.dead)
		}
	}
	eventually(t, "it is known what is old", func() bool { return dead() >= n })
	for _, want := range []time.Duration{2 * vacuumEvery, 4 * vacuumEvery, 8 * vacuumEvery, vacuumRest, vacuumRest} {
		vacuum()
		if err := g.judge(t.Context()); err != nil || g.rest != want {
			t.Fatalf("the next vacuum comes after %v, want %v: %v", g.rest, want, err)
		}
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	vacuum()
	eventually(t, "it is known what is left", func() bool { return dead() < manyDead })
	if err := g.judge(t.Context()); err != nil || g.rest != 0 {
		t.Errorf("after one that removed old rows the next vacuum comes after %v more: %v", g.rest, err)
	}
}

// TestNotTheOwner: a role that may use the tables but not vacuum them is told so once, and works.
func TestNotTheOwner(t *testing.T) {
	t.Parallel()
	c := withRoles(t, pgtest.DSN(t))
	dsn := asUser(t, c.dsn, c.login(t, "admin"))
	log := newLines()
	store := openDSNOnly(t, dsn, &Options{Logger: slog.New(log)})
	if _, err := store.Send(t.Context(), []*symphony.Envelope{anEnvelope("a"), anEnvelope("b", withKey("k", 0), inGroup("g"))}); err != nil {
		t.Fatal(err)
	}
	if err := handleAll(t.Context(), store, 2); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Maintain(t.Context()); err != nil {
		t.Error("Maintain:", err)
	}
	store.service.changed(2 * vacuumRows) // it is about time
	_ = sleep.For(t.Context(), vacuumEvery+2*tendEvery)
	eventually(t, "a warning", func() bool { log.mu.Lock(); defer log.mu.Unlock(); return len(log.all) > 0 })
	log.mu.Lock()
	defer log.mu.Unlock()
	for what, n := range log.all {
		if n != 1 || !strings.Contains(what, "may not vacuum") {
			t.Errorf("logged %d times: %s", n, what)
		}
	}
}

// openDSNOnly does not migrate.
func openDSNOnly(t *testing.T, dsn string, opts *Options) *Transport {
	t.Helper()
	store, err := Open(t.Context(), dsn, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}
