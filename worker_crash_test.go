package symphony_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func TestCrashLoopIsNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		ran := 0
		symphony.Handle(bus, func(context.Context, task) error { ran++; return nil })
		r := dispatch(t, bus, 1)[0]
		for range 3 {
			abandon(t, p, 1)
		}
		run(t, &symphony.Worker{Bus: bus, MaxCrashes: 3})
		synctest.Wait()
		rec := p.record(t, r)
		if rec.Status != monitor.Failed || rec.Reason != symphony.ReasonCrashLoop || ran > 0 || !strings.HasPrefix(rec.LastError, "3 leases ran out") {
			t.Errorf("%s (%s): %s; ran %d times", rec.Status, rec.Reason, rec.LastError, ran)
		}
	})
}

func TestMessageThatCrashedTwiceRunsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, g := newProbe(), newGauge()
		bus := &symphony.Bus{Transport: p}
		g.handle(bus, "culprit", 5*time.Second)
		g.handle(bus, "limited", time.Second, symphony.AtMost(1))
		g.handle(bus, "other", 3*time.Second)
		culprits := dispatchRaw(t, bus, "culprit", 2)
		abandon(t, p, 2)
		abandon(t, p, 2) // both have crashed twice
		var others []symphony.Receipt
		run(t, &symphony.Worker{Bus: bus, Queues: []symphony.WorkerQueue{{Name: "early"}, {Name: "default"}}, Strict: true, Observer: aloneObserver{t, g}})
		others = append(others, dispatchRaw(t, bus, "other", 3, symphony.Queue("early"))...)
		others = append(others, dispatchRaw(t, bus, "limited", 3, symphony.Queue("early"))...)
		others = append(others, dispatchRaw(t, bus, "other", 20)...)
		pass(2 * time.Minute)
		for i, r := range slices.Concat(culprits, others) {
			if rec := p.record(t, r); rec.Status != monitor.Completed {
				t.Errorf("message %d (%s) is %s", i, rec.Type, rec.Status)
			}
		}
		if most := g.mostOf("culprit"); most != 1 || g.totalOf("culprit") != 2 {
			t.Errorf("%d culprits at once, %d in all", most, g.totalOf("culprit"))
		}
	})
}

// TestManyThatCrashedTwice: after an outage of the store there may be many; each runs alone, and the others are not claimed and given
// back for every one of them.
func TestManyThatCrashedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, g := newProbe(), newGauge()
		bus := &symphony.Bus{Transport: p}
		g.handle(bus, "culprit", time.Second)
		g.handle(bus, "other", time.Second)
		const many = 20
		culprits := dispatchRaw(t, bus, "culprit", many)
		abandon(t, p, many)
		abandon(t, p, many)
		others := dispatchRaw(t, bus, "other", many)
		run(t, &symphony.Worker{Bus: bus})
		pass(time.Minute)
		deliveries := int64(0)
		for i, r := range slices.Concat(culprits, others) {
			rec := p.record(t, r)
			if deliveries += rec.Fence; rec.Status != monitor.Completed {
				t.Errorf("message %d (%s) is %s", i, rec.Type, rec.Status)
			}
		}
		if most := g.mostOf("culprit"); most != 1 {
			t.Errorf("%d culprits at once", most)
		}
		if most := g.mostOf("other"); most != 10 {
			t.Errorf("%d others at once, want 10", most)
		}
		if again := deliveries - 4*many; again > 20 {
			t.Errorf("%d deliveries more than one for each message, want 20 at most", again)
		}
	})
}

func TestHeldOnesMakeWayForOneThatRunsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, g := newProbe(), newGauge()
		bus := &symphony.Bus{Transport: p}
		g.handle(bus, "culprit", time.Second)
		g.handle(bus, "limited", 4*time.Second, symphony.AtMost(1))
		dispatchRaw(t, bus, "culprit", 1)
		abandon(t, p, 1)
		abandon(t, p, 1)
		postpone(t, p, time.Second)
		rs := dispatchRaw(t, bus, "limited", 2) // one runs, the other one is held
		run(t, &symphony.Worker{Bus: bus, Observer: aloneObserver{t, g}})
		pass(2 * time.Second)
		if rec := p.record(t, rs[1]); rec.Status != monitor.Pending {
			t.Errorf("the one that was held is %s, want it given back", rec.Status)
		}
		pass(8 * time.Second)
		if order := g.started(byType); !slices.Equal(order, []string{"limited", "culprit", "limited"}) {
			t.Errorf("order %v", order)
		}
	})
}

// One that must run alone may wait for long. Meanwhile its lease may be lost, and the worker may stop.
func TestMessageThatWaitsToRunAlone(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(t *testing.T, p *probe, stop func() error)
		verdict   bool // that gives it back
	}{
		"is kept":                 {func(*testing.T, *probe, func() error) { pass(3 * time.Minute) }, false},
		"is given back at a stop": {func(_ *testing.T, _ *probe, stop func() error) { _ = stop() }, true},
		"is given back before its lease ends": {func(_ *testing.T, p *probe, _ func() error) {
			p.mu.Lock()
			p.fail = func(call string) error {
				if call == "renew" {
					return errors.New("unreachable")
				}
				return nil
			}
			p.mu.Unlock()
			pass(26 * time.Second)
		}, true},
		"is dropped when its lease is lost": {func(t *testing.T, p *probe, _ func() error) {
			steal(t, p)
			pass(11 * time.Second)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, g := newProbe(), newGauge()
				bus := &symphony.Bus{Transport: p}
				g.handle(bus, "culprit", time.Second)
				taking(bus, 2*time.Minute)
				culprit := dispatchRaw(t, bus, "culprit", 1)[0]
				abandon(t, p, 1)
				abandon(t, p, 1)
				postpone(t, p, 5*time.Second)
				dispatch(t, bus, 1)
				o := &observer{seen: make(map[symphony.ID][]symphony.Event)}
				stop := run(t, &symphony.Worker{Bus: bus, Observer: o})
				pass(6 * time.Second)
				if rec := p.record(t, culprit); rec.Status != monitor.Processing || g.totalOf("culprit") > 0 {
					t.Fatalf("it is %s and ran %d times, want it claimed and waiting", rec.Status, g.totalOf("culprit"))
				}
				c.meanwhile(t, p, stop)
				released := slices.ContainsFunc(o.of(culprit.ID), func(e symphony.Event) bool { return e.Outcome == symphony.Released })
				if released != c.verdict {
					t.Errorf("released: %v, want %v; events %+v", released, c.verdict, o.of(culprit.ID))
				}
				_ = stop()
				pass(3 * time.Minute) // the handler that does not listen ends too
			})
		})
	}
}

// postpone claims a message and snoozes it.
func postpone(t *testing.T, p *probe, d time.Duration) {
	t.Helper()
	ds, err := p.Transport.Receive(t.Context(), symphony.Claim{
		Worker: "other", Queues: []symphony.QueueClaim{{Name: "default"}}, Max: 1, Lease: time.Minute,
	})
	if err == nil {
		err = p.Transport.Settle(t.Context(), []symphony.Verdict{{Token: ds[0].Token, Outcome: symphony.Snoozed, After: d}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// aloneObserver checks that nothing runs when a culprit starts, and that nothing starts beside one.
type aloneObserver struct {
	t *testing.T
	g *gauge
}

func (o aloneObserver) Observe(_ context.Context, e symphony.Event) {
	o.g.mu.Lock()
	defer o.g.mu.Unlock()
	if e.Kind != symphony.EventStarted {
		return
	}
	if culprits, all := o.g.now["culprit"], o.g.now["all"]; culprits > 0 || e.Envelope.Type == "culprit" && all > 0 {
		o.t.Errorf("%s starts beside %d others, %d of them culprits", e.Envelope.Type, all, culprits)
	}
}

// leaver is an observer that ends its goroutine as the handler is about to start.
type leaver struct{}

func (leaver) Observe(_ context.Context, e symphony.Event) {
	if e.Kind == symphony.EventStarted && e.Envelope.Attempt == 1 {
		runtime.Goexit()
	}
}

// TestObserverThatEndsItsGoroutine costs an attempt, not the worker.
func TestObserverThatEndsItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		symphony.Handle(bus, func(context.Context, task) error { return nil })
		r := dispatch(t, bus, 1)[0]
		stop := run(t, &symphony.Worker{Bus: bus, Observer: leaver{}})
		pass(time.Minute)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if rec := p.record(t, r); rec.Status != monitor.Completed || rec.RetryCount != 1 {
			t.Errorf("%s after %d retries, want completed after 1", rec.Status, rec.RetryCount)
		}
	})
}
