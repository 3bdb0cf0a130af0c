package symphony_test

import (
	"context"
	"errors"
	"slices"
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
				var log logbook
				run(t, &symphony.Worker{Bus: bus, Logger: logger(&log), Limits: symphony.Limits{Failures: 1}})
				pass(time.Second)
				if _, err := p.Cancel(t.Context(), r.ID); err != nil {
					t.Fatal(err)
				}
				pass(10 * time.Second)
				if rec := p.record(t, r); rec.Status != c.want || len(w.causes) != 1 || w.causes[0] != symphony.ErrCancelled {
					t.Errorf("message is %s, causes %v; want %s after ErrCancelled", rec.Status, w.causes, c.want)
				}
				if log.with("limit") > 0 {
					t.Error("it counts as a failure")
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

// A late store brings deliveries long after it has leased them.
type late struct {
	*probe
	by time.Duration
}

func (l *late) Receive(ctx context.Context, c symphony.Claim) ([]symphony.Delivery, error) {
	ds, err := l.probe.Receive(ctx, c)
	if err == nil && l.by > 0 {
		time.Sleep(l.by)
		l.by = 0
	}
	return ds, err
}

func TestDeliveryThatComesLateIsNotStarted(t *testing.T) {
	for name, c := range map[string]struct {
		stamps []symphony.Stamp
		want   []symphony.Outcome
	}{
		"lease":  {nil, []symphony.Outcome{symphony.Released, symphony.Completed}},
		"expiry": {[]symphony.Stamp{symphony.Expires(20 * time.Second)}, []symphony.Outcome{symphony.Expired}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProbe()
				bus := &symphony.Bus{Transport: &late{p, 26 * time.Second}}
				began := time.Now()
				symphony.Handle(bus, func(context.Context, task) error {
					if at := time.Since(began); at < 26*time.Second {
						t.Errorf("it started after %v", at)
					}
					return nil
				})
				dispatch(t, bus, 1, c.stamps...)
				run(t, &symphony.Worker{Bus: bus})
				pass(time.Minute)
				var got []symphony.Outcome
				for _, v := range p.verdicts() {
					got = append(got, v.Outcome)
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("verdicts %v, want %v", got, c.want)
				}
			})
		})
	}
}

// A slow store applies verdicts at once and says so late.
type slow struct{ *probe }

func (s slow) Settle(ctx context.Context, vs []symphony.Verdict) error {
	err := s.probe.Settle(ctx, vs)
	time.Sleep(15 * time.Second)
	return err
}

func TestRenewalThatCrossesAVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: struct{ symphony.Transport }{slow{p}}}
		taking(bus, time.Second)
		r := dispatch(t, bus, 1)[0]
		o := &observer{seen: make(map[symphony.ID][]symphony.Event)}
		run(t, &symphony.Worker{Bus: bus, Observer: o})
		pass(30 * time.Second) // the renewal in second 10 finds the lease gone
		if events := o.of(r.ID); len(events) != 3 || events[2].Kind != symphony.EventSettled {
			t.Errorf("events %+v, want one that is settled at last", events)
		}
	})
}
