package symphony_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// taking handles tasks in d, and does not look at its context.
func taking(bus *symphony.Bus, d time.Duration, opts ...symphony.HandlerOption) {
	symphony.Handle(bus, func(context.Context, task) error {
		time.Sleep(d)
		return nil
	}, opts...)
}

func TestStopLetsHandlersFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		taking(bus, 15*time.Second, symphony.AtMost(1))
		rs := dispatch(t, bus, 3) // one runs, two are held
		stop := run(t, &symphony.Worker{Bus: bus})
		synctest.Wait()
		began := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 15*time.Second {
			t.Errorf("it stopped after %v, want 15 s: as soon as the handler had ended", took)
		}
		for i, want := range []monitor.Status{monitor.Completed, monitor.Pending, monitor.Pending} {
			if rec := p.record(t, rs[i]); rec.Status != want || rec.RetryCount+rec.CrashCount > 0 {
				t.Errorf("message %d is %s after %d retries and %d crashes, want %s", i, rec.Status, rec.RetryCount, rec.CrashCount, want)
			}
		}
		// What was not started was given back at once, not when the handler had ended.
		for _, v := range p.verdicts()[:2] {
			if v.Outcome != symphony.Released {
				t.Errorf("verdict %+v, want released", v)
			}
		}
	})
}

// A forgetful is a store that forgets workers which have ended.
type forgetful struct {
	*probe
	left []string
}

func (l *forgetful) Leave(_ context.Context, worker string) error {
	return l.called("leave", func() { l.left = append(l.left, worker) })
}

// TestWorkerLeavesItsStore: until its lease was over it was listed as alive, and after every deploy there seemed to be twice as many.
func TestWorkerLeavesItsStore(t *testing.T) {
	for name, c := range map[string]struct {
		takes time.Duration // 0: there is no message
		fails string        // a call that does from the stop on
		want  int
	}{
		"idle":                       {0, "", 1},
		"its handler ends":           {10 * time.Second, "", 1},
		"its handler does not end":   {time.Minute, "", 0},
		"its verdict stays":          {time.Second, "settle", 0},
		"the store cannot forget it": {0, "leave", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &forgetful{probe: newProbe()}
				bus := &symphony.Bus{Transport: l}
				taking(bus, c.takes)
				if c.takes > 0 {
					dispatch(t, bus, 1)
				}
				stop := run(t, &symphony.Worker{Bus: bus, Name: "w"})
				synctest.Wait()
				l.mu.Lock()
				l.fail = func(call string) error {
					if call == c.fails {
						return errors.New("unreachable")
					}
					return nil
				}
				l.mu.Unlock()
				if err := stop(); (err != nil) != (c.takes == time.Minute) {
					t.Error(err)
				}
				if len(l.left) != c.want || c.want > 0 && !strings.HasPrefix(l.left[0], "w-") {
					t.Errorf("%q have left, want %d", l.left, c.want)
				}
				time.Sleep(time.Minute) // until the handler has returned
			})
		})
	}
}

// TestLimitIsNoGrace: a worker that is started for one message at a time must let it end, however long
// it takes; only the end of ctx begins the grace.
func TestLimitIsNoGrace(t *testing.T) {
	for name, c := range map[string]struct {
		interrupt time.Duration // after the start; 0: never
		took      time.Duration
		want      monitor.Status
	}{"limit": {0, time.Minute, monitor.Completed}, "limit, then a signal": {10 * time.Second, 30 * time.Second, monitor.Pending}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProbe()
				bus := &symphony.Bus{Transport: p}
				symphony.Handle(bus, func(ctx context.Context, _ task) error {
					select {
					case <-time.After(time.Minute):
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				})
				rs := dispatch(t, bus, 1)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.interrupt > 0 {
					time.AfterFunc(c.interrupt, cancel)
				}
				began := time.Now()
				if err := (&symphony.Worker{Bus: bus, Limits: symphony.Limits{Messages: 1}}).Run(ctx); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took != c.took {
					t.Errorf("it ended after %v, want %v", took, c.took)
				}
				if rec := p.record(t, rs[0]); rec.Status != c.want || rec.RetryCount > 0 {
					t.Errorf("the message is %s after %d retries, want %s", rec.Status, rec.RetryCount, c.want)
				}
			})
		})
	}
}

func TestStopEndsContextsAfterGrace(t *testing.T) {
	for name, c := range map[string]struct {
		hurry time.Duration // after the stop; 0: never
		want  time.Duration
	}{"grace": {0, 20 * time.Second}, "second signal": {3 * time.Second, 3 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProbe()
				answers := map[int]error{1: symphony.Permanent(errors.New("bad")), 2: nil, 3: symphony.RetryIn(time.Hour, errors.New("later"))}
				bus := &symphony.Bus{Transport: p}
				var causes [4]error
				symphony.Handle(bus, func(ctx context.Context, m task) error {
					<-ctx.Done()
					if causes[m.N] = context.Cause(ctx); m.N == 0 {
						return ctx.Err()
					}
					return answers[m.N]
				}, symphony.AtMost(4))
				rs := dispatch(t, bus, 4)
				hurry := make(chan struct{})
				stop := run(t, &symphony.Worker{Bus: bus, Hurry: hurry})
				synctest.Wait()
				began := time.Now()
				if c.hurry > 0 {
					time.AfterFunc(c.hurry, func() { close(hurry) })
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took != c.want || causes[0] != symphony.ErrStopping || causes[3] != causes[0] {
					t.Errorf("contexts ended after %v with %v, want %v", took, causes, c.want)
				}
				for i, want := range []monitor.Status{monitor.Pending, monitor.Failed, monitor.Completed, monitor.Scheduled} {
					rec := p.record(t, rs[i])
					if rec.Status != want || i == 0 && rec.RetryCount > 0 {
						t.Errorf("message %d is %s after %d retries, want %s", i, rec.Status, rec.RetryCount, want)
					}
				}
			})
		})
	}
}

func TestStuckHandlersAreNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		release := make(chan struct{})
		symphony.Handle(bus, func(_ context.Context, m task) error {
			if m.N == 0 {
				<-release
			}
			return nil
		})
		rs := dispatch(t, bus, 2)
		stop := run(t, &symphony.Worker{Bus: bus, Grace: 10 * time.Second})
		synctest.Wait()
		began := time.Now()
		err := stop()
		if took := time.Since(began); took != 15*time.Second {
			t.Errorf("it gave up after %v, want 15 s", took)
		}
		if !errors.Is(err, symphony.ErrStopping) || !strings.Contains(err.Error(), "1 handlers would not end: test.task "+rs[0].ID.String()) {
			t.Errorf("error %v, want one that names the handler", err)
		}
		close(release) // and it ends without a panic or a deadlock
		synctest.Wait()
	})
}

func TestHandlerThatEndsLateIsStillSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		taking(bus, 13*time.Second)
		r := dispatch(t, bus, 1)[0]
		stop := run(t, &symphony.Worker{Bus: bus, Grace: 10 * time.Second}) // 3 s into the last 5
		synctest.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if rec := p.record(t, r); rec.Status != monitor.Completed {
			t.Errorf("message is %s", rec.Status)
		}
	})
}

func TestStopDoesNotWaitForAStoreForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		taking(bus, time.Second)
		dispatch(t, bus, 3)
		var log logbook
		stop := run(t, &symphony.Worker{Bus: bus, Logger: logger(&log)})
		synctest.Wait()
		p.mu.Lock()
		p.fail = func(string) error { return errors.New("unreachable") }
		p.mu.Unlock()
		began := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < time.Second || took > 6*time.Second {
			t.Errorf("it stopped after %v, want about 6 s", took)
		}
		if n := log.with("without the verdicts of some messages: their leases will run out messages=3"); n != 1 {
			t.Errorf("the log does not say that 3 verdicts are missing: %q", log.lines)
		}
	})
}

func TestLimitsEndTheRun(t *testing.T) {
	const lastLook = 10 * time.Millisecond // by which an idle worker makes sure
	failed := errors.New("failed")
	for name, c := range map[string]struct {
		limits  symphony.Limits
		returns error
		backlog int
		takes   time.Duration
		ended   time.Duration
		done    int // attempts
	}{
		"messages":                {symphony.Limits{Messages: 7}, nil, 30, time.Second, 3 * time.Second, 7},
		"messages, failed":        {symphony.Limits{Messages: 7}, failed, 30, time.Second, 3 * time.Second, 7},
		"failures":                {symphony.Limits{Failures: 5}, failed, 30, time.Second, 5 * time.Second, 5},
		"dead letters":            {symphony.Limits{Failures: 2}, symphony.Permanent(failed), 30, time.Second, 2 * time.Second, 2},
		"time":                    {symphony.Limits{Time: 4500 * time.Millisecond}, nil, 30, time.Second, 5 * time.Second, 15},
		"idle":                    {symphony.Limits{Idle: 10 * time.Second}, nil, 6, time.Second, 12*time.Second + lastLook, 6},
		"idle from the beginning": {symphony.Limits{Idle: 10 * time.Second}, nil, 0, 0, 10*time.Second + lastLook, 0},
		"memory":                  {symphony.Limits{Memory: 1}, nil, 30, 0, time.Second, -1},
		"enough memory":           {symphony.Limits{Memory: 1 << 40, Time: time.Minute}, nil, 3, time.Second, time.Minute, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, g := newProbe(), newGauge()
				bus := &symphony.Bus{Transport: p}
				symphony.Handle(bus, func(context.Context, task) error {
					g.enter("all")
					defer g.leave("all")
					time.Sleep(c.takes)
					return c.returns
				}, symphony.Retry(fixed{time.Hour, 3}))
				if c.backlog > 0 {
					dispatch(t, bus, c.backlog)
				}
				concurrency := 3
				if c.limits.Failures > 0 {
					concurrency = 1 // else others fail beside the last one
				}
				began := time.Now()
				if err := (&symphony.Worker{Bus: bus, Concurrency: concurrency, Limits: c.limits, Logger: logger(new(logbook))}).Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > c.ended || c.limits.Memory != 1 && took != c.ended {
					t.Errorf("it ended after %v, want %v", took, c.ended)
				}
				if done := g.totalOf("all"); done != c.done && c.done >= 0 {
					t.Errorf("%d attempts, want %d", done, c.done)
				}
				for _, claim := range p.asked() {
					if most := c.limits.Messages; most > 0 && claim.Max > most {
						t.Errorf("a claim of %d, though only %d may be started", claim.Max, most)
					}
				}
				for _, v := range p.verdicts() {
					if v.Outcome == symphony.Released {
						t.Errorf("more was claimed than the limit left: %+v", v)
					}
				}
			})
		})
	}
}

func TestLimitOfMessagesCountsThoseThatAreHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, g := newProbe(), newGauge()
		bus := &symphony.Bus{Transport: p}
		g.handle(bus, "slow", time.Second, symphony.AtMost(1))
		g.handle(bus, "quick", time.Second)
		dispatchRaw(t, bus, "slow", 5)
		dispatchRaw(t, bus, "quick", 5)
		w := &symphony.Worker{Bus: bus, Limits: symphony.Limits{Messages: 3}, Logger: logger(new(logbook))}
		if err := w.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if slow, all := g.totalOf("slow"), g.totalOf("all"); slow != 3 || all != 3 || len(p.verdicts()) != 3 {
			t.Errorf("%d slow ones of %d in all, %d verdicts; want the 3 that were claimed first", slow, all, len(p.verdicts()))
		}
	})
}

// TestLimitOfFailuresInTransactions: whether an attempt whose handler completed the message in its own
// transaction has failed is for the store to say, and not for the handler's error.
func TestLimitOfFailuresInTransactions(t *testing.T) {
	failed := errors.New("failed")
	for name, c := range map[string]struct {
		returns   error
		committed bool
		attempts  int
	}{
		"committed":             {nil, true, 5},
		"committed, but failed": {failed, true, 5},
		"not committed":         {nil, false, 2},
		"not committed, failed": {failed, false, 2},
		"not committed, snooze": {symphony.Snooze(time.Hour), false, 5},
	} {
		for _, exchanges := range []bool{false, true} {
			if !exchanges && !c.committed {
				continue // there the next claims do not wait for the answer to verdicts
			}
			t.Run(fmt.Sprintf("%s, exchanges %v", name, exchanges), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newProbe()
					bus := &symphony.Bus{Transport: struct{ symphony.Transport }{committing{p, c.committed}}}
					if exchanges {
						bus.Transport = exchanging{committing{p, c.committed}}
					}
					attempts := 0
					symphony.Handle(bus, func(ctx context.Context, _ task) error {
						attempts++
						d, _ := symphony.DeliveryFrom(ctx)
						if c.committed {
							if err := p.Transport.Settle(ctx, []symphony.Verdict{{Token: d.Token, Outcome: symphony.Completed}}); err != nil {
								t.Error(err)
							}
						}
						d.CompletedInTx()
						return c.returns
					})
					dispatch(t, bus, 5)
					err := (&symphony.Worker{
						Bus: bus, Concurrency: 1, Logger: slog.New(slog.DiscardHandler),
						Limits: symphony.Limits{Failures: 2, Time: time.Second},
					}).Run(t.Context())
					if err != nil || attempts != c.attempts {
						t.Errorf("%d attempts, error %v, want %d", attempts, err, c.attempts)
					}
				})
			})
		}
	}
}

// exchanging is committing with one trip for verdicts and claims.
type exchanging struct{ committing }

func (e exchanging) Exchange(ctx context.Context, vs []symphony.Verdict, c symphony.Claim) ([]symphony.Delivery, error) {
	err := e.Settle(ctx, vs)
	if err != nil && !errors.Is(err, symphony.ErrNotCommitted) {
		return nil, err
	}
	ds, claimErr := e.probe.Exchange(ctx, nil, c)
	return ds, errors.Join(err, claimErr)
}

// TestStopDuringUpkeep: a store that always has more to maintain does not keep the worker.
func TestStopDuringUpkeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := busyStore{newProbe(), time.Now().Add(time.Hour)}
		stop := run(t, &symphony.Worker{Bus: &symphony.Bus{Transport: store}})
		pass(time.Minute)
		began := time.Now()
		if err := stop(); err != nil || time.Since(began) > time.Second {
			t.Errorf("Run ended after %v with %v", time.Since(began), err)
		}
	})
}

// busyStore has chores until some time, whatever becomes of the context.
type busyStore struct {
	*probe
	until time.Time
}

func (b busyStore) Maintain(context.Context) (bool, error) {
	time.Sleep(100 * time.Millisecond)
	return time.Now().Before(b.until), nil
}
