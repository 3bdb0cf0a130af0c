package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgserver"
	"github.com/symphony-messenger/symphony/internal/pgtest"
	"github.com/symphony-messenger/symphony/internal/sleep"
)

// stores reports whether a statement is one that stores messages.
func stores(statement string) bool {
	return strings.Contains(statement, "with sent as (") && strings.Contains(statement, "insert into") || strings.Contains(statement, "messenger_accept")
}

// handleAll receives and completes n messages.
func handleAll(ctx context.Context, store *Transport, n int) error {
	for done := 0; done < n; {
		ds, err := store.Receive(ctx, claimFor("handler", 100))
		if err != nil {
			return err
		}
		for _, d := range ds {
			if err := store.Settle(ctx, []symphony.Verdict{{Token: d.Token, Outcome: symphony.Completed}}); err != nil {
				return err
			}
		}
		done += len(ds)
	}
	return nil
}

// TestLostAnswerOfSend: the server has stored the messages, the sender does not learn it.
func TestLostAnswerOfSend(t *testing.T) {
	t.Parallel()
	for name, envs := range map[string][]*symphony.Envelope{
		"single": {anEnvelope("a")},
		"batch":  {anEnvelope("a"), anEnvelope("b"), anEnvelope("c")},
		"key":    {anEnvelope("a", withKey("k", 0))},
		"group":  {anEnvelope("a", inGroup("g"))},
		"mixed":  {anEnvelope("a", withKey("k", time.Hour)), anEnvelope("b"), anEnvelope("c", inGroup("g"))},
	} {
		for _, handled := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, handled meanwhile %v", name, handled), func(t *testing.T) {
				t.Parallel()
				dsn := pgtest.DSN(t)
				direct := openDSN(t, dsn, nil)
				p, through := throughProxy(t, dsn)
				store := openDSN(t, through, nil)
				envs := slices.Clone(envs)
				for i, e := range envs {
					own := *e
					own.ID = symphony.NewID()
					envs[i] = &own
				}
				var lost atomic.Int32
				failed := make(chan error, 1)
				p.on(func(statement string) bool {
					if stores(statement) && lost.CompareAndSwap(0, 1) {
						return true
					}
					if lost.Load() == 1 && lost.CompareAndSwap(1, 2) && handled { // the first statement of the repetition waits
						failed <- handleAll(t.Context(), direct, len(envs))
					}
					return false
				})
				rs, err := store.Send(t.Context(), envs)
				if err != nil || lost.Load() != 2 {
					t.Fatalf("%v, in stage %d", err, lost.Load())
				}
				if handled {
					if err := <-failed; err != nil {
						t.Fatal(err)
					}
				}
				for i, e := range envs {
					if rs[i].ID != e.ID || rs[i].Duplicate {
						t.Errorf("receipt %d is %+v", i, rs[i])
					}
					if n := copiesOf(t, direct, e.ID); n != 1 {
						t.Errorf("message %d is there %d times", i, n)
					}
				}
				countsAreExact(t, direct)
			})
		}
	}
}

// TestLostAnswerAndHandledInBetween: the message ends before any one of the statements of the repetition: it was once looked for among
// those that ended, then completed, then stored again.
func TestLostAnswerAndHandledInBetween(t *testing.T) {
	t.Parallel()
	for at := int32(1); at <= 4; at++ {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			dsn := pgtest.DSN(t)
			direct := openDSN(t, dsn, nil)
			p, through := throughProxy(t, dsn)
			store := openDSN(t, through, nil)
			var after atomic.Int32 // statements since the answer was lost
			var lost atomic.Bool
			p.on(func(statement string) bool {
				if stores(statement) && lost.CompareAndSwap(false, true) {
					return true
				}
				if lost.Load() && !strings.Contains(statement, "pg_notify") && after.Add(1) == at {
					if err := handleAll(t.Context(), direct, 1); err != nil {
						t.Error(err)
					}
				}
				return false
			})
			env := anEnvelope("a")
			if _, err := store.Send(t.Context(), []*symphony.Envelope{env}); err != nil || !lost.Load() {
				t.Fatalf("%v, lost %v", err, lost.Load())
			}
			if n := copiesOf(t, direct, env.ID); n != 1 {
				t.Errorf("the message is there %d times: it was stored again after it was completed", n)
			}
		})
	}
}

// TestServerStaysAway: the outcome is unknown when the answer is lost and nobody can be asked any more.
func TestServerStaysAway(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	direct := openDSN(t, dsn, nil)
	p, through := throughProxy(t, dsn)
	store := openDSN(t, through, nil)
	p.on(func(statement string) bool {
		if stores(statement) {
			p.refuse.Store(true)
			return true
		}
		return false
	})
	env := anEnvelope("a")
	begun := time.Now()
	if _, err := store.Send(t.Context(), []*symphony.Envelope{env}); !errors.Is(err, symphony.ErrOutcomeUnknown) {
		t.Errorf("%v: want ErrOutcomeUnknown", err)
	}
	if d := time.Since(begun); d > 10*time.Second {
		t.Errorf("it took %v", d)
	}
	if n := copiesOf(t, direct, env.ID); n != 1 {
		t.Errorf("the message is there %d times: the test shows nothing", n)
	}
	p.refuse.Store(false)
	p.on(func(string) bool { return false })
	if rs, err := store.Send(t.Context(), []*symphony.Envelope{env}); err != nil || rs[0].ID != env.ID {
		t.Errorf("when the server is back: %v, %v", rs, err)
	}
	if n := copiesOf(t, direct, env.ID); n != 1 {
		t.Errorf("the message is there %d times after the caller has repeated the call", n)
	}
}

// TestNeverReached: nothing was sent to any server, so nothing is unknown.
func TestNeverReached(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"refused", "cut", "cut after the migration", "closed"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			dsn := pgtest.DSN(t)
			direct := openDSN(t, dsn, nil)
			p, through := throughProxy(t, dsn)
			var store *Transport
			var err error
			if how == "cut after the migration" || how == "closed" {
				store = openDSN(t, through, nil)
			} else if store, err = Open(t.Context(), through, nil); err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			switch how {
			case "refused":
				_ = p.listener.Close()
			case "closed":
				if err := store.Close(); err != nil {
					t.Fatal(err)
				}
			default:
				p.refuse.Store(true)
				p.cutAll()
			}
			for name, envs := range map[string][]*symphony.Envelope{
				"single": {anEnvelope("a")}, "batch": {anEnvelope("a"), anEnvelope("b")}, "key": {anEnvelope("a", withKey("k", 0))},
			} {
				begun := time.Now()
				_, err := store.Send(t.Context(), envs)
				if err == nil || errors.Is(err, symphony.ErrOutcomeUnknown) {
					t.Errorf("%s: %v: want another error than ErrOutcomeUnknown", name, err)
				}
				if d := time.Since(begun); d > 20*time.Second || how == "closed" && d > 8*time.Second {
					t.Errorf("%s: it took %v", name, d)
				}
				if n := copiesOf(t, direct, envs[0].ID); n != 0 {
					t.Errorf("%s: it is there", name)
				}
			}
		})
	}
}

// A lines counts what is logged, by cause.
type lines struct {
	slog.Handler
	mu  sync.Mutex
	all map[string]int
}

func newLines() *lines { return &lines{Handler: slog.DiscardHandler, all: make(map[string]int)} }

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }
func (l *lines) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *lines) WithGroup(string) slog.Handler            { return l }
func (l *lines) Handle(_ context.Context, r slog.Record) error {
	key := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "to" {
			key += " (" + a.Value.String() + ")"
		}
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[key]++
	return nil
}

type jobMessage struct{ N int }

func (jobMessage) MessageType() string { return "job" }

// TestRestart: the server is restarted as after a crash, in the middle of everything.
func TestRestart(t *testing.T) {
	t.Parallel()
	server, err := pgserver.Start(t.Context(), pgserver.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	log := newLines()
	store := openDSN(t, server.DSN("postgres"), &Options{Logger: slog.New(log)})
	bus := &symphony.Bus{Transport: store}
	var mu sync.Mutex
	accepted, unknown, handled := make(map[int]bool), make(map[int]bool), make(map[int]int)
	var last atomic.Int64 // when a handler ended last
	symphony.Handle(bus, func(_ context.Context, m jobMessage) error {
		mu.Lock()
		defer mu.Unlock()
		handled[m.N]++
		last.Store(time.Now().UnixNano())
		return nil
	})
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	worker := &symphony.Worker{Bus: bus, Lease: 6 * time.Second, Logger: slog.New(log)}
	go func() { ran <- worker.Run(ctx) }()
	begun := time.Now()
	sending, enough := context.WithCancel(t.Context())
	var senders sync.WaitGroup
	for s := range 4 {
		senders.Go(func() {
			for n := s * 1_000_000; sending.Err() == nil; n++ {
				_, err := bus.Dispatch(t.Context(), jobMessage{n})
				mu.Lock()
				if err == nil {
					accepted[n] = true
				} else if errors.Is(err, symphony.ErrOutcomeUnknown) {
					unknown[n] = true
				}
				mu.Unlock()
				_ = sleep.For(sending, 2*time.Millisecond)
			}
		})
	}
	some := func(n int) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return len(handled) > n }
	}
	eventually(t, "handles before the restart", some(100))
	if err := server.Restart(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	eventually(t, "a job ends after the restart", func() bool { return last.Load() > back.UnixNano() })
	if d := time.Duration(last.Load() - back.UnixNano()); late(t, store, d, 5*time.Second) {
		t.Errorf("the first job ended %v after the server was back", d)
	}
	mu.Lock()
	now := len(handled)
	mu.Unlock()
	eventually(t, "more jobs end after the restart", some(now+100))
	enough()
	senders.Wait()
	eventually(t, "all that was accepted is handled", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for n := range accepted {
			if handled[n] == 0 {
				return false
			}
		}
		return true
	})
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	seconds := int(time.Since(begun)/time.Second) + 2
	log.mu.Lock()
	defer log.mu.Unlock()
	for cause, n := range log.all {
		if n > seconds && !strings.Contains(cause, "retry") {
			t.Errorf("%d log records in %d s: %s", n, seconds, cause)
		}
	}
	t.Logf("accepted %d, unknown %d; log: %v", len(accepted), len(unknown), log.all)
	countsAreExact(t, store)
}

// latency is how long after Send by one transport a Receive by another one that has waited for a while returns.
func latency(t *testing.T, waits, sends *Transport) time.Duration {
	t.Helper()
	type answer struct {
		ds  []symphony.Delivery
		err error
		at  time.Time
	}
	got := make(chan answer, 1)
	go func() {
		ds, err := waits.Receive(t.Context(), claimFor("w", 1))
		got <- answer{ds, err, time.Now()}
	}()
	_ = sleep.For(t.Context(), 400*time.Millisecond) // it then polls at its slowest
	begun := time.Now()
	if _, err := sends.Send(t.Context(), []*symphony.Envelope{anEnvelope("a")}); err != nil {
		t.Fatal(err)
	}
	a := <-got
	if a.err != nil {
		t.Fatal(a.err)
	}
	if err := waits.Settle(t.Context(), []symphony.Verdict{{Token: a.ds[0].Token, Outcome: symphony.Completed}}); err != nil {
		t.Fatal(err)
	}
	return a.at.Sub(begun)
}

func median(t *testing.T, waits, sends *Transport, n int) time.Duration {
	t.Helper()
	var all []time.Duration
	for range n {
		all = append(all, latency(t, waits, sends))
	}
	slices.Sort(all)
	t.Log(all)
	return all[n/2]
}
