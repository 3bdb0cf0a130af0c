package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
	"github.com/symphony-messenger/symphony/monitor"
)

// namedDSN gives the connections of a DSN a name of their own.
func namedDSN(dsn, name string) string { return dsn + "&application_name=" + url.QueryEscape(name) }

// TestListensAgain: the backend of the connection that listens is terminated.
func TestListensAgain(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	other := openDSN(t, dsn, nil)
	store := openDSN(t, namedDSN(dsn, t.Name()+other.sql.schema), nil)
	if d := median(t, store, other, 5); late(t, other, d, 80*time.Millisecond) {
		t.Errorf("woken %v after the message was sent", d)
	}
	const listener = "select coalesce(min(pid), 0) from pg_stat_activity where query ilike 'listen %' and application_name = $1"
	name := t.Name() + other.sql.schema
	if len(name) > 63 {
		name = name[:63]
	}
	before := scalar[int](t, other, listener, name)
	if before == 0 {
		t.Fatal("nobody listens")
	}
	if !scalar[bool](t, other, "select pg_terminate_backend($1)", before) {
		t.Fatal("not terminated")
	}
	eventually(t, "it listens again", func() bool {
		pid := scalar[int](t, other, listener, name)
		return pid != 0 && pid != before
	})
	if d := median(t, store, other, 5); late(t, other, d, 80*time.Millisecond) {
		t.Errorf("woken %v after the message was sent, once it listens again", d)
	}
}

// TestHalfOpenListen: nothing comes through the connection that listens, and nobody says so.
func TestHalfOpenListen(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	other := openDSN(t, dsn, nil)
	p, through := throughProxy(t, dsn)
	store := openDSN(t, through, nil)
	latency(t, store, other)
	eventually(t, "a connection that listens", func() bool { return p.freezeListen() == 1 })
	if d := median(t, store, other, 5); late(t, other, d, 250*time.Millisecond+400*time.Millisecond) {
		t.Errorf("found %v after it was sent", d)
	}
}

// terminate ends all backends of a DSN's transport but those that listen.
func terminate(t *testing.T, by *Transport, name string) int {
	t.Helper()
	return scalar[int](t, by, "select count(*) from (select pg_terminate_backend(pid, 2000) from pg_stat_activity where application_name = $1 and pid <> pg_backend_pid()) s", name)
}

// TestTerminatedBetweenCalls: every connection of the pools is dead when it is used next. Send hides that; what else fails works
// again when each dead connection has been found, four at most.
func TestTerminatedBetweenCalls(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	other := openDSN(t, dsn, nil)
	store := openDSN(t, namedDSN(dsn, other.sql.schema), nil)
	ctx := t.Context()
	var ds []symphony.Delivery
	env := anEnvelope("a")
	for _, call := range []struct {
		name  string
		tries int
		do    func() error
	}{
		{"Send", 1, func() error { _, err := store.Send(ctx, []*symphony.Envelope{env}); return err }},
		{"Send of a batch", 1, func() error {
			_, err := store.Send(ctx, []*symphony.Envelope{anEnvelope("b"), anEnvelope("c")})
			return err
		}},
		{"Receive", workConns + 1, func() (err error) { ds, err = store.Receive(ctx, claimFor("w", 1)); return err }},
		{"Renew", workConns + 1, func() error {
			r, err := store.Renew(ctx, "w", []symphony.Token{ds[0].Token})
			if err == nil && len(r.Lost) > 0 {
				t.Error("Renew has lost", r.Lost)
			}
			return err
		}},
		{"Find", workConns + 1, func() error { _, err := store.Find(ctx, env.ID); return err }},
		{"Settle", workConns + 1, func() error {
			return store.Settle(ctx, []symphony.Verdict{{Token: ds[0].Token, Outcome: symphony.Completed}})
		}},
		{"Counts", workConns + 1, func() error { _, err := store.Counts(ctx); return err }},
		{"Maintain", upkeepConns + 1, func() error { _, err := store.Maintain(ctx); return err }},
	} {
		var warm sync.WaitGroup // all connections of the pool
		for range 4 {
			warm.Go(func() { _, _ = store.Find(ctx, env.ID) })
			warm.Go(func() {
				_, _ = store.Send(ctx, []*symphony.Envelope{anEnvelope("b", func(e *symphony.Envelope) { e.Queue = "none" })})
			})
		}
		warm.Wait()
		if n := terminate(t, other, other.sql.schema); n == 0 {
			t.Errorf("before %s no backend was there to be terminated", call.name)
		}
		var err error
		n := 1
		for ; n <= call.tries; n++ {
			if err = call.do(); err == nil {
				break
			}
		}
		if err != nil {
			t.Errorf("%s fails %d times: %v", call.name, call.tries, err)
		}
		t.Logf("%s needed %d calls", call.name, n)
	}
	countsAreExact(t, other)
}

// TestLostAnswerOfSettle says what a worker sees that repeats a Settle whose answer was lost: everything that the first one ended is
// named as lost, and what it put back too; nothing is applied twice.
func TestLostAnswerOfSettle(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	direct := openDSN(t, dsn, nil)
	p, through := throughProxy(t, dsn)
	store := openDSN(t, through, nil)
	envs := []*symphony.Envelope{anEnvelope("a"), anEnvelope("b"), anEnvelope("c", withKey("k", 0))}
	if _, err := direct.Send(t.Context(), envs); err != nil {
		t.Fatal(err)
	}
	var ds []symphony.Delivery
	for len(ds) < 3 {
		some, err := direct.Receive(t.Context(), claimFor("w", 3))
		if err != nil {
			t.Fatal(err)
		}
		ds = append(ds, some...)
	}
	verdicts := []symphony.Verdict{
		{Token: ds[0].Token, Outcome: symphony.Completed},
		{Token: ds[1].Token, Outcome: symphony.Retried, After: time.Hour, Failure: &symphony.Failure{Error: "x", Class: "error"}},
		{Token: ds[2].Token, Outcome: symphony.Failed, Reason: symphony.ReasonPermanent, Failure: &symphony.Failure{Error: "x", Class: "error"}},
	}
	var lost atomic.Bool
	p.on(func(statement string) bool { return statement == "commit" && lost.CompareAndSwap(false, true) })
	err := store.Settle(t.Context(), verdicts)
	if err == nil || errors.Is(err, symphony.ErrLeaseLost) || !lost.Load() {
		t.Fatalf("%v, lost %v: want the error of the connection", err, lost.Load())
	}
	var named *symphony.LostError
	if err := store.Settle(t.Context(), verdicts); !errors.As(err, &named) || len(named.Tokens) != 3 {
		t.Errorf("%v: want all three as lost", err)
	}
	for i, want := range []monitor.Status{monitor.Completed, monitor.Scheduled, monitor.Failed} {
		r, err := direct.Find(t.Context(), ds[i].Envelope.ID)
		if err != nil || r.Status != want || r.RetryCount > 1 || len(r.Attempts) > 1 {
			t.Errorf("message %d: %+v, %v", i, r, err)
		}
	}
	countsAreExact(t, direct)
}

// TestTerminatedDuringCalls: backends are terminated all the time while messages are sent and handled by the transport itself.
func TestTerminatedDuringCalls(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	other := openDSN(t, dsn, nil)
	store := openDSN(t, namedDSN(dsn, other.sql.schema), &Options{Logger: slog.New(slog.DiscardHandler)})
	const n = 400
	var mu sync.Mutex
	open := make(map[symphony.ID]bool)
	var sent sync.WaitGroup
	for range 4 {
		sent.Go(func() {
			for range n / 4 {
				env := anEnvelope("a")
				if _, err := store.Send(t.Context(), []*symphony.Envelope{env}); err != nil {
					if !errors.Is(err, symphony.ErrOutcomeUnknown) {
						t.Errorf("%v: a server that is there all the time", err)
					}
					continue
				}
				mu.Lock()
				open[env.ID] = true
				mu.Unlock()
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	var all sync.WaitGroup
	for w := range 2 {
		all.Go(func() {
			for ctx.Err() == nil {
				claim := claimFor(fmt.Sprint("w", w), 20)
				claim.Lease = time.Second // claims whose answers are lost come back soon
				ds, err := store.Receive(ctx, claim)
				if err != nil {
					continue
				}
				for _, d := range ds {
					for ctx.Err() == nil {
						err := store.Settle(ctx, []symphony.Verdict{{Token: d.Token, Outcome: symphony.Completed}})
						if err == nil || errors.Is(err, symphony.ErrLeaseLost) {
							break
						}
					}
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { sent.Wait(); close(done) }()
	succeeded := func() int { mu.Lock(); defer mu.Unlock(); return len(open) }
	for killing := true; killing; {
		before := succeeded()
		terminate(t, other, other.sql.schema)
		eventually(t, "a send succeeds", func() bool { // on a busy machine not within 20 ms
			select {
			case <-done:
				killing = false
			case <-time.After(20 * time.Millisecond):
			}
			return !killing || succeeded() > before
		})
	}
	eventually(t, "all messages end", func() bool {
		return scalar[int](t, other, "select count(*) from symphony.messenger_messages") == 0
	})
	cancel()
	all.Wait()
	if len(open) < n/2 {
		t.Errorf("only %d of %d sends succeeded", len(open), n)
	}
	for id := range open {
		if k := copiesOf(t, other, id); k != 1 {
			t.Errorf("message %s is there %d times", id, k)
		}
	}
	countsAreExact(t, other)
}

// TestStoppedBackend: one backend does nothing any more. The call on it ends with its ctx, others go on.
func TestStoppedBackend(t *testing.T) {
	t.Parallel()
	pgtest.Server(t) // signals reach only a server of ours
	store := openTest(t, nil)
	env := anEnvelope("a")
	if _, err := store.Send(t.Context(), []*symphony.Envelope{env}); err != nil {
		t.Fatal(err)
	}
	conn, err := store.work.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pid := int(conn.Conn().PgConn().PID())
	conn.Release() // the next call takes it: the last one that was given back
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	resume := sync.OnceFunc(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	defer resume()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err = store.Find(ctx, env.ID)
	if d := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || d > callTimeout/2 {
		t.Errorf("%v after %v: want the deadline", err, d)
	}
	for range workConns + 1 {
		ctx, cancel := context.WithTimeout(t.Context(), longest)
		if _, err := store.Find(ctx, env.ID); err != nil {
			t.Error("another call:", err)
		}
		cancel()
	}
	resume()
}

// TestReadOnlyServer: the sessions of the transport are read-only, as on a standby.
func TestReadOnlyServer(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	direct := openDSN(t, dsn, nil)
	p, through := throughProxy(t, dsn)
	store := openDSN(t, through, &Options{Logger: slog.New(slog.DiscardHandler)})
	if _, err := direct.Send(t.Context(), []*symphony.Envelope{anEnvelope("a"), anEnvelope("a")}); err != nil {
		t.Fatal(err)
	}
	ds, err := store.Receive(t.Context(), claimFor("w", 1))
	if err != nil {
		t.Fatal(err)
	}
	p.readOnly.Store(true)
	for _, pool := range []interface{ Reset() }{store.work, store.upkeep, store.sending} {
		pool.Reset()
	}
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	env := anEnvelope("b")
	calls := map[string]func() error{
		"Send":    func() error { _, err := store.Send(ctx, []*symphony.Envelope{env}); return err },
		"Receive": func() error { _, err := store.Receive(ctx, claimFor("w", 1)); return err },
		"Settle": func() error {
			return store.Settle(ctx, []symphony.Verdict{{Token: ds[0].Token, Outcome: symphony.Completed}})
		},
		"Renew":    func() error { _, err := store.Renew(ctx, "w", []symphony.Token{ds[0].Token}); return err },
		"Maintain": func() error { _, err := store.Maintain(ctx); return err },
		"Cancel":   func() error { _, err := store.Cancel(ctx, ds[0].Envelope.ID); return err },
		"InTx": func() error {
			tx, err := direct.Pool().Begin(ctx)
			if err != nil {
				return err
			}
			defer tx.Rollback(ctx)
			if _, err := tx.Exec(ctx, "set transaction read only"); err != nil {
				return err
			}
			_, err = txSender{direct, inTx(tx)}.Send(ctx, []*symphony.Envelope{env})
			return err
		},
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, symphony.ErrStoreReadOnly) || errors.Is(err, symphony.ErrOutcomeUnknown) {
			t.Errorf("%s: %v: want ErrStoreReadOnly", name, err)
		}
	}
	if _, err := store.Find(ctx, ds[0].Envelope.ID); err != nil {
		t.Error("Find on a server that is read-only:", err)
	}
	p.readOnly.Store(false)
	for name, call := range calls {
		if name == "InTx" || name == "Settle" {
			continue
		}
		err := call()
		for range workConns {
			if err != nil {
				err = call()
			}
		}
		if err != nil {
			t.Errorf("%s: %v: the primary is there again", name, err)
		}
	}
}

// TestFullServer: the server has no space for the rows. What is raised here is what it says then.
func TestFullServer(t *testing.T) {
	t.Parallel()
	store := openTest(t, nil)
	for _, text := range []string{
		"create function symphony.full() returns trigger language plpgsql as 'begin raise exception using errcode = ''53100'', message = ''no space left on device''; end'",
		"create trigger full_disk before insert on symphony.messenger_stats_deltas for each row execute function symphony.full()",
	} {
		if _, err := store.upkeep.Exec(t.Context(), store.sql.in(text)); err != nil {
			t.Fatal(err)
		}
	}
	env := anEnvelope("a")
	_, err := store.Send(t.Context(), []*symphony.Envelope{env})
	if !errors.Is(err, symphony.ErrStoreFull) || errors.Is(err, symphony.ErrOutcomeUnknown) {
		t.Errorf("%v: want ErrStoreFull", err)
	}
	if n := copiesOf(t, store, env.ID); n != 0 {
		t.Error("the message is there")
	}
	if _, err := store.upkeep.Exec(t.Context(), store.sql.in("drop trigger full_disk on symphony.messenger_stats_deltas")); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Send(t.Context(), []*symphony.Envelope{env}); err != nil {
		t.Error("there is space again:", err)
	}
}
