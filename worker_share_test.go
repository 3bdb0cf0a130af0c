package symphony_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// A gauge counts what runs at once, by name.
type gauge struct {
	mu        sync.Mutex
	now, most map[string]int
	total     map[string]int
	order     [][]string
}

const byQueue, byType = 0, 1

func newGauge() *gauge {
	return &gauge{now: make(map[string]int), most: make(map[string]int), total: make(map[string]int)}
}

func (g *gauge) enter(names ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range names {
		g.now[name]++
		g.most[name] = max(g.most[name], g.now[name])
		g.total[name]++
	}
	g.order = append(g.order, names)
}

func (g *gauge) leave(names ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range names {
		g.now[name]--
	}
}

func (g *gauge) mostOf(name string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.most[name]
}

// started returns the queues or types of messages in the order in which they started.
func (g *gauge) started(which int) (names []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, all := range g.order {
		names = append(names, all[which])
	}
	return names
}

func (g *gauge) totalOf(name string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.total[name]
}

// handle handles messages of a type by name: it counts them for their queue, their type and all, and
// takes d, or until its context ends.
func (g *gauge) handle(bus *symphony.Bus, typ string, d time.Duration, opts ...symphony.HandlerOption) {
	symphony.HandleRaw(bus, typ, func(ctx context.Context, env *symphony.Envelope) error {
		names := []string{env.Queue, env.Type, "handler " + typ, "all"}
		g.enter(names...)
		defer g.leave(names...)
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}, opts...)
}

func dispatchRaw(t *testing.T, bus *symphony.Bus, typ string, n int, stamps ...symphony.Stamp) []symphony.Receipt {
	t.Helper()
	ms := slices.Repeat([]symphony.Message{symphony.Raw{Type: typ, Body: []byte("{}")}}, n)
	rs, err := bus.DispatchAll(t.Context(), ms, stamps...)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func TestQueuesShareByWeight(t *testing.T) {
	for _, concurrency := range []int{1, 8} {
		t.Run(fmt.Sprint(concurrency), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bus, g := &symphony.Bus{Transport: newProbe()}, newGauge()
				g.handle(bus, "a", time.Second)
				dispatchRaw(t, bus, "a", 2000, symphony.Queue("heavy"))
				dispatchRaw(t, bus, "a", 2000, symphony.Queue("light"))
				stop := run(t, &symphony.Worker{
					Bus: bus, Concurrency: concurrency,
					Queues: []symphony.WorkerQueue{{Name: "light"}, {Name: "heavy", Weight: 3}},
				})
				pass(200*time.Second + time.Millisecond)
				_ = stop()
				heavy, light := g.totalOf("heavy"), g.totalOf("light")
				if sum := heavy + light; sum < 190*concurrency || heavy < 72*sum/100 || heavy > 78*sum/100 {
					t.Errorf("%d of heavy and %d of light, want 3 to 1 of %d", heavy, light, 200*concurrency)
				}
			})
		})
	}
}

func TestStrictQueuesWaitForTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, g := &symphony.Bus{Transport: newProbe()}, newGauge()
		g.handle(bus, "a", time.Second)
		dispatchRaw(t, bus, "a", 10, symphony.Queue("second"))
		dispatchRaw(t, bus, "a", 30, symphony.Queue("first"))
		run(t, &symphony.Worker{
			Bus: bus, Concurrency: 2, Strict: true,
			Queues: []symphony.WorkerQueue{{Name: "first"}, {Name: "second", Weight: 100}},
		})
		pass(time.Minute)
		if want := slices.Concat(slices.Repeat([]string{"first"}, 30), slices.Repeat([]string{"second"}, 10)); !slices.Equal(g.started(byQueue), want) {
			t.Errorf("order %v", g.started(byQueue))
		}
	})
}

func TestQueueNeverHasMoreThanItsConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, g := &symphony.Bus{Transport: newProbe()}, newGauge()
		g.handle(bus, "a", time.Second)
		dispatchRaw(t, bus, "a", 40, symphony.Queue("narrow"))
		dispatchRaw(t, bus, "a", 200, symphony.Queue("wide"))
		run(t, &symphony.Worker{Bus: bus, Queues: []symphony.WorkerQueue{{Name: "narrow", Concurrency: 2}, {Name: "wide"}}})
		pass(22 * time.Second)
		if n, w, all := g.mostOf("narrow"), g.mostOf("wide"), g.mostOf("all"); n != 2 || w < 8 || all != 10 {
			t.Errorf("at once: %d of narrow, %d of wide, %d in all; want 2, 8 or more, 10", n, w, all)
		}
		if n, w := g.totalOf("narrow"), g.totalOf("wide"); n < 38 || w < 160 {
			t.Errorf("in 22 s: %d of narrow, %d of wide; want 38 and 160 at least", n, w)
		}
	})
}

func TestTypeNeverRunsMoreThanAtMost(t *testing.T) {
	for _, hidden := range []bool{false, true} {
		t.Run(fmt.Sprint("exchanges ", !hidden), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, g := newProbe(), newGauge()
				bus := &symphony.Bus{Transport: p}
				if hidden {
					bus.Transport = struct{ symphony.Transport }{p}
				}
				g.handle(bus, "slow", time.Second, symphony.AtMost(2), symphony.Alias("slow.old"))
				g.handle(bus, "quick", time.Second)
				dispatchRaw(t, bus, "slow", 15)
				dispatchRaw(t, bus, "slow.old", 15)
				dispatchRaw(t, bus, "quick", 100)
				run(t, &symphony.Worker{Bus: bus})
				pass(20 * time.Second)
				if slow, all := g.mostOf("handler slow"), g.mostOf("all"); slow != 2 || all != 10 {
					t.Errorf("at once: %d of the slow types, %d in all; want 2 and 10", slow, all)
				}
				if quick := g.totalOf("quick"); quick != 100 {
					t.Errorf("in 20 s: %d of 100 quick ones; the slow ones have kept their slots", quick)
				}
				if slow := g.totalOf("handler slow"); slow < 30 {
					t.Errorf("in 20 s: %d of 30 slow ones, two a second", slow)
				}
				for _, v := range p.verdicts() {
					if v.Outcome == symphony.Failed || v.Outcome == symphony.Retried {
						t.Errorf("verdict %+v", v)
					}
				}
			})
		})
	}
}

func TestSaturatedTypeIsNotClaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, g := newProbe(), newGauge()
		bus := &symphony.Bus{Transport: p}
		g.handle(bus, "slow", time.Hour, symphony.AtMost(1))
		rs := dispatchRaw(t, bus, "slow", 3)
		run(t, &symphony.Worker{Bus: bus})
		synctest.Wait()
		if rec := p.record(t, rs[1]); rec.Status != monitor.Processing || rec.Fence != 1 {
			t.Errorf("the surplus of a claim: %s, %d deliveries; want it held", rec.Status, rec.Fence)
		}
		pass(11 * time.Second) // more than a third of the lease
		for i, r := range rs[1:] {
			if rec := p.record(t, r); rec.Status != monitor.Pending || rec.Fence != 1 || rec.CrashCount+rec.RetryCount > 0 {
				t.Errorf("surplus %d: %s, %d deliveries; want it given back and not claimed again", i, rec.Status, rec.Fence)
			}
		}
		if last := p.asked()[len(p.asked())-1]; !slices.Equal(last.Except, []string{"slow"}) || last.Max != 9 {
			t.Errorf("last claim %+v, want 9 of all but slow", last)
		}
	})
}

func TestHeldOnesStartFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, g := newProbe(), newGauge()
		bus := &symphony.Bus{Transport: p}
		g.handle(bus, "slow", time.Second, symphony.AtMost(1))
		rs := dispatchRaw(t, bus, "slow", 3)
		run(t, &symphony.Worker{Bus: bus})
		pass(4 * time.Second)
		for i, r := range rs {
			if rec := p.record(t, r); rec.Status != monitor.Completed || rec.Fence != 1 {
				t.Errorf("message %d: %s after %d deliveries, want completed after 1", i, rec.Status, rec.Fence)
			}
		}
	})
}

// A claim that waits while a type has no room does not see what arrives of it; once there is room it
// must be made again.
func TestWaitingClaimLearnsOfRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, g := newProbe(), newGauge()
		bus := &symphony.Bus{Transport: p}
		g.handle(bus, "slow", 5*time.Second, symphony.AtMost(1))
		w := &symphony.Worker{Bus: bus, Queues: []symphony.WorkerQueue{{Name: "default"}, {Name: "narrow", Concurrency: 1}}}
		g.handle(bus, "other", 5*time.Second)
		dispatchRaw(t, bus, "slow", 1)
		dispatchRaw(t, bus, "other", 1, symphony.Queue("narrow"))
		run(t, w)
		pass(time.Second)
		rs := slices.Concat(dispatchRaw(t, bus, "slow", 1), dispatchRaw(t, bus, "other", 1, symphony.Queue("narrow")))
		pass(5 * time.Second)
		for _, r := range rs {
			if rec := p.record(t, r); rec.Status != monitor.Processing {
				t.Errorf("%s in %s is %s, want it claimed as soon as there is room", rec.Type, rec.Queue, rec.Status)
			}
		}
	})
}

func TestBatchesAreOfOneClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		var mu sync.Mutex
		var sizes []int
		refused := errors.New("one or seven")
		symphony.HandleBatch(bus, 4, func(_ context.Context, ms []task) []error {
			mu.Lock()
			defer mu.Unlock()
			sizes = append(sizes, len(ms))
			errs := make([]error, len(ms))
			for i, m := range ms {
				if m.N == 1 || m.N == 7 {
					errs[i] = symphony.Permanent(refused)
				}
			}
			return errs
		})
		bad, err := bus.Dispatch(t.Context(), symphony.Raw{Type: "test.task", Body: []byte(`{"n":"text"}`)})
		if err != nil {
			t.Fatal(err)
		}
		rs := dispatch(t, bus, 10)
		run(t, &symphony.Worker{Bus: bus, Concurrency: 11})
		pass(time.Second)
		mu.Lock()
		defer mu.Unlock()
		slices.Sort(sizes)
		if !slices.Equal(sizes, []int{3, 3, 4}) { // the bad one, which is first, is out
			t.Errorf("batches of %v, want 3, 4 and 3", sizes)
		}
		for i, r := range rs {
			want := monitor.Completed
			if i == 1 || i == 7 {
				want = monitor.Failed
			}
			if rec := p.record(t, r); rec.Status != want {
				t.Errorf("message %d is %s, want %s", i, rec.Status, want)
			}
		}
		if rec := p.record(t, bad); rec.Status != monitor.Failed || rec.Reason != symphony.ReasonUndecodable {
			t.Errorf("undecodable message: %s, %s", rec.Status, rec.Reason)
		}
	})
}

func TestBatchSurvivesPanicsAndCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		symphony.HandleBatch(bus, 3, func(ctx context.Context, ms []task) []error {
			if env, _ := symphony.EnvelopeFrom(ctx); env.Attempt == 1 {
				panic("batch")
			}
			select {
			case <-ctx.Done():
				return slices.Repeat([]error{context.Cause(ctx)}, len(ms))
			case <-time.After(25 * time.Second):
				return slices.Repeat([]error{errors.New("failed")}, len(ms))
			}
		}, symphony.Retry(fixed{time.Second, 1}))
		rs := dispatch(t, bus, 3)
		run(t, &symphony.Worker{Bus: bus})
		pass(2 * time.Second)
		if _, err := p.Cancel(t.Context(), rs[1].ID); err != nil {
			t.Fatal(err)
		}
		pass(40 * time.Second)
		for i, want := range []monitor.Status{monitor.Failed, monitor.Cancelled, monitor.Failed} {
			rec := p.record(t, rs[i])
			if rec.Status != want || rec.Attempts[0].Error != "panic: batch" || rec.Attempts[0].Trace == "" || rec.LastError != "failed" {
				t.Errorf("message %d: %s, want %s; last error %q, first attempt %.80v", i, rec.Status, want, rec.LastError, rec.Attempts[0])
			}
		}
	})
}

// fixed is a policy that waits always as long, a number of times.
type fixed struct {
	wait time.Duration
	max  int
}

func (f fixed) Next(failures int, _ error) (time.Duration, bool) { return f.wait, failures <= f.max }
