package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A figure measures one fresh system and returns what it found.
type figure struct {
	name       string // of what it finds, or what the names of that have in common
	option     string // that selects it; "": name
	sends      bool   // it is about goroutines that send
	goroutines int    // so many; 0: as many as the sizes say
	run        func(ctx context.Context, s system, n sizes) ([]value, error)
}

// A value is what a figure found.
type value struct {
	figure, unit string
	is           float64
}

func sqliteFigures() []figure {
	return []figure{
		{name: "drain", run: drain},
		{name: "single", sends: true, run: single("single")},
		{name: "batch", sends: true, run: batch},
		{name: "latency", run: latency},
	}
}

// postgresFigures are in an order in which those that are compared come soon after each other.
func postgresFigures() []figure {
	return []figure{
		{name: "drain", run: drain},
		{name: "drain_5m_behind", run: behind},
		{name: "drain_1m_delayed", run: delayed},
		{name: "single_8", option: "single", sends: true, goroutines: 8, run: single("single_8")},
		{name: "single_64", option: "single", sends: true, goroutines: 64, run: single("single_64")},
		{name: "batch", sends: true, run: batch},
		{name: "latency", run: usual(latency)},
		{name: "idle_cpu", run: usual(idle)},
		{name: "sustained", sends: true, run: sustained},
		{name: "claim", run: claim},
		{name: "rss_idle", run: resident},
		{name: "schedules", run: schedules},
	}
}

// usual measures ours with the settings that a user gets who sets none.
func usual(run func(context.Context, system, sizes) ([]value, error)) func(context.Context, system, sizes) ([]value, error) {
	return func(ctx context.Context, s system, n sizes) ([]value, error) {
		if y, ok := s.(*symphonySystem); ok {
			y.settings = symphonySettings{}
		}
		return run(ctx, s, n)
	}
}

// drain loads the store, then measures from the start of the worker until nothing is left unfinished.
func drain(ctx context.Context, s system, n sizes) ([]value, error) {
	if err := load(ctx, s, n); err != nil {
		return nil, err
	}
	seen := newTally(n.Drain)
	began := time.Now()
	var took time.Duration
	err := whileWorking(ctx, s, shift{handle: func(j job) { seen.add(j.N) }, do: func(ctx context.Context) error {
		if err := seen.wait(ctx); err != nil {
			return err
		}
		if err := emptied(ctx, s); err != nil {
			return err
		}
		took = time.Since(began)
		return nil
	}})
	return []value{{"drain", "msg/s", float64(n.Drain) / took.Seconds()}}, err
}

// load fills the store, and leaves it like one that has grown.
func load(ctx context.Context, s system, n sizes) error {
	for first := 0; first < n.Drain; first += n.Batch {
		if err := s.insertMany(ctx, newJobs(first, min(n.Batch, n.Drain-first))); err != nil {
			return fmt.Errorf("load: %w", err)
		}
	}
	if err := stored(ctx, s, n.Drain); err != nil {
		return err
	}
	return tidy(ctx, s)
}

// tidy does nothing for systems that need it not.
func tidy(ctx context.Context, s system) error {
	if t, ok := s.(probe); ok {
		return t.tidy(ctx)
	}
	return nil
}

// single measures concurrent calls that send one message each; nothing works meanwhile.
func single(name string) func(context.Context, system, sizes) ([]value, error) {
	return func(ctx context.Context, s system, n sizes) ([]value, error) {
		rate, err := insertFor(ctx, s, n, 1, func(ctx context.Context, first int) error {
			return s.insert(ctx, newJob(first))
		})
		return []value{{name, "msg/s", rate}}, err
	}
}

// batch measures concurrent calls that send n.Batch messages each; nothing works meanwhile.
func batch(ctx context.Context, s system, n sizes) ([]value, error) {
	rate, err := insertFor(ctx, s, n, n.Batch, func(ctx context.Context, first int) error {
		return s.insertMany(ctx, newJobs(first, n.Batch))
	})
	return []value{{"batch", "msg/s", rate}}, err
}

// insertFor repeats send on all goroutines until the time is up, and counts every message that the
// store has afterwards against those that were acknowledged.
func insertFor(ctx context.Context, s system, n sizes, each int, send func(ctx context.Context, first int) error) (float64, error) {
	var next, acknowledged atomic.Int64
	errs := make([]error, n.Goroutines)
	var wg sync.WaitGroup
	began := time.Now()
	for g := range n.Goroutines {
		wg.Go(func() {
			for errs[g] == nil && time.Since(began) < n.For {
				first := int(next.Add(int64(each))) - each
				if errs[g] = send(ctx, first); errs[g] == nil {
					acknowledged.Add(int64(each))
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	if err := errors.Join(errs...); err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	total := int(acknowledged.Load())
	if total == 0 {
		return 0, fmt.Errorf("send: nothing was sent within %v", n.For)
	}
	return float64(total) / took.Seconds(), stored(ctx, s, total)
}

// latency sends at a fixed rate, whatever the answers take (an open loop: a slow system cannot slow
// down what it is asked), and measures from each call of insert to the start of its handler.
func latency(ctx context.Context, s system, n sizes) ([]value, error) {
	total := int(float64(n.Rate) * n.Latency.Seconds())
	seen := newTally(total)
	waits := make([]atomic.Int64, total) // nanoseconds, of the first delivery
	called := make([]time.Time, total)
	handle := func(j job) {
		if j.N >= 0 { // none of warmUp's
			waits[j.N].CompareAndSwap(0, int64(time.Since(called[j.N])))
		}
		seen.add(j.N)
	}
	err := whileWorking(ctx, s, shift{handle: handle, takes: n.Latency, do: func(ctx context.Context) error {
		if err := warmUp(ctx, s); err != nil {
			return err
		}
		errs := make([]error, total)
		var wg sync.WaitGroup
		pace(ctx, n.Rate, total, func(i int) {
			j := newJob(i)
			wg.Go(func() {
				called[i] = time.Now()
				errs[i] = s.insert(ctx, j)
			})
		})
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		if err := seen.wait(ctx); err != nil {
			return err
		}
		return emptied(ctx, s)
	}})
	all := make([]time.Duration, total)
	for i := range waits {
		all[i] = time.Duration(waits[i].Load())
	}
	slices.Sort(all)
	return []value{
		{"latency_p50", "ms", quantile(all, 0.50)}, {"latency_p95", "ms", quantile(all, 0.95)}, {"latency_p99", "ms", quantile(all, 0.99)},
	}, err
}

// quantile returns in milliseconds what a fraction q of sorted is not above.
func quantile(sorted []time.Duration, q float64) float64 {
	return sorted[int(q*float64(len(sorted)-1))].Seconds() * 1e3
}

// pace calls do total times, at rate a second; when it is late it catches up at once.
func pace(ctx context.Context, rate, total int, do func(i int)) {
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range total {
		due := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
		timer.Reset(time.Until(due))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		do(i)
	}
}
