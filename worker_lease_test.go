package symphony_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// waiting handles tasks until their contexts end, notes the causes and when, and returns what answer
// makes of a cause.
type waiting struct {
	answer func(cause error) error
	mu     sync.Mutex
	causes []error
	at     []time.Time
}

func (w *waiting) handle(ctx context.Context, _ task) error {
	<-ctx.Done()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.causes, w.at = append(w.causes, context.Cause(ctx)), append(w.at, time.Now())
	if w.answer != nil {
		return w.answer(context.Cause(ctx))
	}
	return ctx.Err()
}

func TestLeasesAreRenewedAsLongAsHandlersRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		symphony.Handle(bus, func(ctx context.Context, _ task) error {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(10 * time.Minute):
				return nil
			}
		}, symphony.AtMost(1))
		rs := dispatch(t, bus, 1)
		run(t, &symphony.Worker{Bus: bus})
		pass(10*time.Minute + time.Second)
		if rec := p.record(t, rs[0]); rec.Status != monitor.Completed || rec.Fence != 1 {
			t.Errorf("%s after %d deliveries", rec.Status, rec.Fence)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.renewed != 60 {
			t.Errorf("renewed %d times in 10 minutes, want 60", p.renewed)
		}
	})
}

func TestContextsEndBeforeLeasesThatCannotBeRenewed(t *testing.T) {
	for _, c := range []struct{ lease, end time.Duration }{{30 * time.Second, 25 * time.Second}, {6 * time.Second, 5 * time.Second}, {time.Minute, 55 * time.Second}} {
		t.Run(c.lease.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, w := newProbe(), new(waiting)
				p.fail = func(call string) error {
					if call == "renew" {
						return errors.New("unreachable")
					}
					return nil
				}
				bus := &symphony.Bus{Transport: p}
				symphony.Handle(bus, w.handle)
				rs := dispatch(t, bus, 1)
				began := time.Now()
				var log logbook
				run(t, &symphony.Worker{Bus: bus, Lease: c.lease, Logger: logger(&log)})
				pass(c.end)
				if len(w.causes) != 1 || w.causes[0] != symphony.ErrLeaseLost || w.at[0].Sub(began) != c.end {
					t.Errorf("causes %v at %v after the claim at %v, want ErrLeaseLost after %v", w.causes, w.at, began, c.end)
				}
				// The store still had the lease: the verdict gave the message back, at no cost.
				if vs := p.verdicts(); len(vs) != 1 || vs[0].Outcome != symphony.Released {
					t.Errorf("verdicts %+v, want released", vs)
				}
				if rec := p.record(t, rs[0]); rec.CrashCount+rec.RetryCount > 0 {
					t.Errorf("%d crashes and %d retries", rec.CrashCount, rec.RetryCount)
				}
			})
		})
	}
}

func TestOneSuccessfulRenewalIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, w := newProbe(), new(waiting)
		began := time.Now()
		p.fail = func(call string) error {
			if at := time.Since(began); call == "renew" && at != 20*time.Second {
				if at > 19*time.Second && at < 21*time.Second {
					return nil // whichever comes first then
				}
				return errors.New("unreachable")
			}
			return nil
		}
		bus := &symphony.Bus{Transport: p}
		symphony.Handle(bus, w.handle)
		dispatch(t, bus, 1)
		run(t, &symphony.Worker{Bus: bus})
		pass(time.Minute)
		if len(w.at) == 0 || w.at[0].Sub(began) < 44*time.Second || w.at[0].Sub(began) > 46*time.Second {
			t.Errorf("contexts ended at %v, want 25 s after the renewal at about 20 s", w.at)
		}
	})
}

func TestLostLeaseEndsTheHandlerAndDropsItsVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		w := &waiting{answer: func(error) error { return nil }} // "done", but too late
		bus := &symphony.Bus{Transport: p}
		symphony.Handle(bus, w.handle)
		rs := dispatch(t, bus, 1)
		o := &observer{seen: make(map[symphony.ID][]symphony.Event)}
		run(t, &symphony.Worker{Bus: bus, Observer: o, Queues: []symphony.WorkerQueue{{Name: "default"}}})
		synctest.Wait()
		steal(t, p)
		pass(11 * time.Second)
		if len(w.causes) != 1 || w.causes[0] != symphony.ErrLeaseLost {
			t.Fatalf("causes %v, want ErrLeaseLost with the next renewal", w.causes)
		}
		var kinds []symphony.EventKind
		for _, e := range o.of(rs[0].ID) {
			kinds = append(kinds, e.Kind)
		}
		// It was claimed again before the worker knew that it had lost it.
		want := []symphony.EventKind{
			symphony.EventClaimed, symphony.EventStarted, symphony.EventClaimed, symphony.EventStarted, symphony.EventLeaseLost,
		}
		if !slices.Equal(kinds, want) {
			t.Errorf("events %v, want %v", kinds, want)
		}
		if vs := p.verdicts(); len(vs) != 0 {
			t.Errorf("verdicts %+v, want none", vs)
		}
	})
}

// steal settles, in the name of nobody, what a worker has: its tokens are worth nothing then.
func steal(t *testing.T, p *probe) {
	t.Helper()
	p.mu.Lock()
	worker := p.claims[0].Worker
	p.mu.Unlock()
	// A renewal in which the worker holds nothing gives back what it has held for longer than a lease.
	for range 5 {
		pass(8 * time.Second)
		if _, err := p.Transport.Renew(t.Context(), worker, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVerdictThatComesTooLateIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		symphony.Handle(bus, func(context.Context, task) error { return nil })
		began := time.Now()
		p.fail = func(call string) error { // nothing gets through for longer than a lease
			if (call == "settle" || call == "renew") && time.Since(began) < time.Minute {
				return errors.New("unreachable")
			}
			return nil
		}
		rs := dispatch(t, bus, 1)
		o := &observer{seen: make(map[symphony.ID][]symphony.Event)}
		var log logbook
		run(t, &symphony.Worker{Bus: bus, Observer: o, Logger: logger(&log)})
		pass(2 * time.Minute)
		events := o.of(rs[0].ID)
		if len(events) < 6 || events[2].Kind != symphony.EventLeaseLost || events[len(events)-1].Outcome != symphony.Completed {
			t.Errorf("events %+v, want a lost lease and later a completion", events)
		}
		if n := log.with("WARN lease lost"); n != 1 {
			t.Errorf("%d log lines about the lease, want 1", n)
		}
	})
}

func TestCancelledMessageEndsItsHandler(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(error) error
		want   monitor.Status
	}{
		"finishes":       {func(error) error { return nil }, monitor.Completed},
		"fails":          {func(cause error) error { return cause }, monitor.Cancelled},
		"snoozes":        {func(error) error { return symphony.Snooze(time.Second) }, monitor.Cancelled},
		"says permanent": {func(cause error) error { return symphony.Permanent(cause) }, monitor.Cancelled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, w := newProbe(), &waiting{answer: c.answer}
				bus := &symphony.Bus{Transport: p}
				symphony.Handle(bus, w.handle)
				r := dispatch(t, bus, 1)[0]
				run(t, &symphony.Worker{Bus: bus})
				pass(time.Second)
				if _, err := p.Cancel(t.Context(), r.ID); err != nil {
					t.Fatal(err)
				}
				pass(10 * time.Second)
				if rec := p.record(t, r); rec.Status != c.want || len(w.causes) != 1 || w.causes[0] != symphony.ErrCancelled {
					t.Errorf("message is %s, causes %v; want %s after ErrCancelled", rec.Status, w.causes, c.want)
				}
				for _, v := range p.verdicts() {
					if v.Outcome != symphony.Completed && v.Outcome != symphony.Cancelled {
						t.Errorf("verdict %+v", v)
					}
				}
			})
		})
	}
}

func TestCancelledMessageThatIsHeldNeverStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		ran := 0
		symphony.Handle(bus, func(context.Context, task) error {
			ran++
			time.Sleep(30 * time.Second)
			return nil
		}, symphony.AtMost(1))
		run(t, &symphony.Worker{Bus: bus, Lease: time.Minute})
		pass(5 * time.Second)
		rs := dispatch(t, bus, 2) // a renewal comes before the second one is given back
		pass(time.Second)
		if _, err := p.Cancel(t.Context(), rs[1].ID); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if rec := p.record(t, rs[1]); rec.Status != monitor.Cancelled || ran != 1 {
			t.Errorf("message is %s, %d ran", rec.Status, ran)
		}
	})
}

func TestExpiredMessageIsNotStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		ran := 0
		symphony.Handle(bus, func(context.Context, task) error {
			ran++
			time.Sleep(5 * time.Second)
			return nil
		}, symphony.AtMost(1))
		rs := dispatch(t, bus, 2, symphony.Expires(3*time.Second)) // the second one is held meanwhile
		run(t, &symphony.Worker{Bus: bus})
		pass(10 * time.Second)
		if first, second := p.record(t, rs[0]), p.record(t, rs[1]); first.Status != monitor.Completed || second.Status != monitor.Expired || ran != 1 {
			t.Errorf("%s and %s, %d ran; want completed and expired", first.Status, second.Status, ran)
		}
	})
}

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
