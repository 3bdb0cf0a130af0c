package symphony_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func TestOutageLosesNothing(t *testing.T) {
	for name, calls := range map[string]string{
		"all": "receive settle renew maintain subscribe", "settle": "settle", "receive": "receive", "renew": "renew",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProbe()
				bus := &symphony.Bus{Transport: p}
				if name == "receive" {
					bus.Transport = struct{ symphony.Transport }{p} // which does not claim when it settles
				}
				began := time.Now()
				p.fail = func(call string) error { // from second 5 to second 20 of each minute
					if at := time.Since(began) % time.Minute; at > 5*time.Second && at < 20*time.Second && strings.Contains(calls, call) {
						return errors.New("unreachable")
					}
					return nil
				}
				var ran atomic.Int64
				symphony.Handle(bus, func(context.Context, task) error {
					ran.Add(1)
					time.Sleep(2 * time.Second)
					return nil
				})
				rs := dispatch(t, bus, 300)
				var log logbook
				run(t, &symphony.Worker{Bus: bus, Logger: logger(&log)})
				pass(3 * time.Minute)
				for i, r := range rs {
					if rec := p.record(t, r); rec.Status != monitor.Completed || rec.Fence != 1 {
						t.Fatalf("message %d is %s after %d deliveries", i, rec.Status, rec.Fence)
					}
				}
				if n := ran.Load(); n != 300 {
					t.Errorf("300 messages ran %d times", n)
				}
				if log.with("unreachable") == 0 {
					t.Error("the log does not mention the outage")
				}
				for i := 1; i < len(log.lines); i++ {
					if gap := log.times[i].Sub(log.times[i-1]); gap < time.Second {
						t.Errorf("two lines within %v: %q, %q", gap, log.lines[i-1], log.lines[i])
					}
				}
			})
		})
	}
}

func TestNothingIsClaimedWhileVerdictsCannotBeSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		p.fail = func(call string) error {
			if call == "settle" {
				return errors.New("unreachable")
			}
			return nil
		}
		taking(bus, time.Second)
		run(t, &symphony.Worker{Bus: bus})
		dispatch(t, bus, 1)
		pass(2 * time.Second)
		rs := dispatch(t, bus, 5)
		pass(10 * time.Second)
		for i, r := range rs {
			if rec := p.record(t, r); rec.Status != monitor.Pending {
				t.Errorf("message %d is %s, want it left to others", i, rec.Status)
			}
		}
	})
}

func TestStoreThatCannotBeUsedEndsTheRun(t *testing.T) {
	for _, refusal := range []error{symphony.ErrNotMigrated, symphony.ErrSchemaTooNew, symphony.ErrUnsupported} {
		for _, call := range []string{"receive", "subscribe"} {
			synctest.Test(t, func(t *testing.T) {
				p := newProbe()
				bus := &symphony.Bus{Transport: p}
				taking(bus, time.Second)
				p.fail = func(c string) error {
					if c == call {
						return fmt.Errorf("open: %w", refusal)
					}
					return nil
				}
				w := &symphony.Worker{Bus: bus, Logger: logger(new(logbook))}
				if err := w.Run(t.Context()); !errors.Is(err, refusal) {
					t.Errorf("%s: error %v, want %v", call, err, refusal)
				}
			})
		}
	}
}

func TestStoreThatIsRefusedLaterIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		taking(bus, time.Second)
		began := time.Now()
		p.fail = func(call string) error {
			if at := time.Since(began); call == "receive" && at > time.Second && at < time.Minute {
				return symphony.ErrNotMigrated
			}
			return nil
		}
		stop := run(t, &symphony.Worker{Bus: bus})
		dispatch(t, bus, 1)
		pass(30 * time.Second)
		dispatch(t, bus, 1) // to the claim that waits; the next one fails
		pass(time.Second)
		r := dispatch(t, bus, 1)[0]
		pass(time.Minute)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if rec := p.record(t, r); rec.Status != monitor.Completed {
			t.Errorf("message is %s", rec.Status)
		}
	})
}

func TestSubscriptionsAreStoredBeforeTheFirstClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p, Owner: "shop"}
		began := time.Now()
		p.fail = func(call string) error {
			if call == "subscribe" && time.Since(began) < 3*time.Second {
				return errors.New("unreachable")
			}
			return nil
		}
		taking(bus, 0)
		var seen atomic.Int64
		symphony.On(bus, "crm", func(ctx context.Context, _ task) error {
			if env, _ := symphony.EnvelopeFrom(ctx); env.Queue == "crm" && env.Subscriber == "crm" {
				seen.Add(1)
			}
			return nil
		}, symphony.Queue("crm"))
		run(t, &symphony.Worker{Bus: bus, Queues: []symphony.WorkerQueue{{Name: "default"}, {Name: "crm"}}})
		pass(2 * time.Second)
		if n := len(p.asked()); n > 0 {
			t.Errorf("%d claims before the subscriptions were stored", n)
		}
		pass(5 * time.Second)
		p.mu.Lock()
		stored := p.stored
		p.mu.Unlock()
		if len(stored) != 2 || stored[0].Subscriber != "" || stored[1].Subscriber != "crm" || stored[1].Queue != "crm" || stored[1].Owner != "shop" {
			t.Fatalf("stored %+v", stored)
		}
		r, err := (&symphony.Bus{Transport: p}).Dispatch(t.Context(), task{}) // by a program that knows of none
		if err != nil || len(r.Copies) != 1 {
			t.Fatalf("receipt %+v, error %v; want one copy", r, err)
		}
		synctest.Wait()
		if seen.Load() != 1 {
			t.Errorf("the subscriber saw %d copies", seen.Load())
		}
		pass(21 * time.Minute)
		p.mu.Lock()
		defer p.mu.Unlock()
		if n := len(p.stored); n < 2+2*1 || n > 2+2*3 {
			t.Errorf("%d subscriptions stored in 21 minutes, want 2 every 10", n)
		}
	})
}

func TestMaintenance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &maintained{probe: newProbe(), more: 3}
		bus := &symphony.Bus{Transport: store}
		taking(bus, 0)
		var log logbook
		run(t, &symphony.Worker{Bus: bus, Logger: logger(&log)})
		synctest.Wait()
		if n := store.calls.Load(); n != 4 {
			t.Errorf("%d calls at the start, want 4: one, and again while there is more", n)
		}
		pass(10 * time.Minute)
		if n := store.calls.Load(); n < 12 || n > 16 {
			t.Errorf("%d calls in 10 minutes, want about one a minute", n)
		}
		if n := log.with("disk"); n != 1 {
			t.Errorf("%d lines about the one that failed, want 1", n)
		}
	})
}

type maintained struct {
	*probe
	calls atomic.Int64
	more  int64
}

func (m *maintained) Maintain(context.Context) (bool, error) {
	n := m.calls.Add(1)
	if n == 6 {
		return true, errors.New("disk")
	}
	return n <= m.more, nil
}

func TestUnknownTypesWaitForADeploy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		taking(bus, 0)
		var log logbook
		rs := dispatchRaw(t, bus, "unknown", 3)
		began := time.Now()
		run(t, &symphony.Worker{Bus: bus, Logger: logger(&log)})
		synctest.Wait()
		if rec := p.record(t, rs[0]); rec.Status != monitor.Scheduled || rec.WaitingFor != monitor.WaitingForHandler || rec.AvailableAt.Sub(began).Round(10*time.Millisecond) != 5*time.Second {
			t.Errorf("%s for %q until %v, want 5 s", rec.Status, rec.WaitingFor, rec.AvailableAt.Sub(began))
		}
		pass(6 * time.Second)
		if rec := p.record(t, rs[0]); rec.AvailableAt.Sub(began).Round(100*time.Millisecond) != 15*time.Second {
			t.Errorf("then until %v, want 10 s more", rec.AvailableAt.Sub(began))
		}
		if n := log.with("no handler"); n != 1 {
			t.Errorf("%d warnings in 6 s, want one per type and minute", n)
		}
		pass(2 * time.Hour)
		if rec := p.record(t, rs[0]); time.Until(rec.AvailableAt) > 10*time.Minute || rec.Fence > 30 {
			t.Errorf("after 2 hours it waits for %v and had %d deliveries", time.Until(rec.AvailableAt), rec.Fence)
		}
		pass(21 * time.Hour)
		if rec := p.record(t, rs[0]); rec.Status != monitor.Scheduled || rec.RetryCount+rec.CrashCount > 0 {
			t.Errorf("after 23 hours: %s, %d retries, %d crashes", rec.Status, rec.RetryCount, rec.CrashCount)
		}
		pass(90 * time.Minute)
		rec := p.record(t, rs[0])
		if rec.Status != monitor.Failed || rec.Reason != symphony.ReasonUnknownType || rec.RetryCount > 0 || !strings.Contains(rec.LastError, "no handler for type unknown, after 24h") {
			t.Errorf("after a day: %s (%s): %s", rec.Status, rec.Reason, rec.LastError)
		}
	})
}

func TestUnknownTypeIsHandledAfterTheDeploy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		r := dispatch(t, bus, 1)[0]
		stop := run(t, &symphony.Worker{Bus: bus})
		pass(time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		attempt := 0
		symphony.Handle(bus, func(ctx context.Context, _ task) error {
			env, _ := symphony.EnvelopeFrom(ctx)
			attempt = env.Attempt
			return nil
		})
		run(t, &symphony.Worker{Bus: bus})
		pass(10 * time.Minute)
		if rec := p.record(t, r); rec.Status != monitor.Completed || attempt != 1 {
			t.Errorf("message is %s, attempt %d", rec.Status, attempt)
		}
	})
}
