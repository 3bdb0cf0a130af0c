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

// sizes says how much is done for each figure.
type sizes struct {
	Drain      int           `json:"drain"`        // messages, loaded beforehand
	Batch      int           `json:"batch"`        // messages in one call
	Goroutines int           `json:"goroutines"`   // that dispatch
	For        time.Duration `json:"for_ns"`       // single and batch: for so long
	Rate       int           `json:"latency_rate"` // messages a second
	Latency    time.Duration `json:"latency_for_ns"`
}

// A figure measures one fresh system and returns what it found by name.
type figure struct {
	name string
	unit string
	run  func(ctx context.Context, s system, n sizes) (map[string]float64, error)
}

func figures() []figure {
	return []figure{
		{"drain", "msg/s", drain},
		{"single", "msg/s", single},
		{"batch", "msg/s", batch},
		{"latency", "ms", latency},
	}
}

// patience bounds every wait: a lost message must end the run, not hang it.
const patience = 5 * time.Minute

// drain loads the store, then measures from the start of the worker until nothing is left unfinished.
func drain(ctx context.Context, s system, n sizes) (map[string]float64, error) {
	for first := 0; first < n.Drain; first += n.Batch {
		if err := s.insertMany(ctx, newJobs(first, min(n.Batch, n.Drain-first))); err != nil {
			return nil, fmt.Errorf("load: %w", err)
		}
	}
	if err := stored(ctx, s, n.Drain); err != nil {
		return nil, err
	}
	seen := newTally(n.Drain)
	began := time.Now()
	var took time.Duration
	err := whileWorking(ctx, s, func(j job) { seen.add(j.N) }, func(ctx context.Context) error {
		if err := seen.wait(ctx); err != nil {
			return err
		}
		if err := emptied(ctx, s); err != nil {
			return err
		}
		took = time.Since(began)
		return nil
	})
	return map[string]float64{"drain": float64(n.Drain) / took.Seconds()}, err
}

// single measures concurrent calls that send one message each; nothing works meanwhile.
func single(ctx context.Context, s system, n sizes) (map[string]float64, error) {
	rate, err := insertFor(ctx, s, n, 1, func(ctx context.Context, first int) error {
		return s.insert(ctx, newJob(first))
	})
	return map[string]float64{"single": rate}, err
}

// batch measures concurrent calls that send n.Batch messages each; nothing works meanwhile.
func batch(ctx context.Context, s system, n sizes) (map[string]float64, error) {
	rate, err := insertFor(ctx, s, n, n.Batch, func(ctx context.Context, first int) error {
		return s.insertMany(ctx, newJobs(first, n.Batch))
	})
	return map[string]float64{"batch": rate}, err
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
	return float64(total) / took.Seconds(), stored(ctx, s, total)
}

// latency sends at a fixed rate, whatever the answers take (an open loop: a slow system cannot slow
// down what it is asked), and measures from each call of insert to the start of its handler.
func latency(ctx context.Context, s system, n sizes) (map[string]float64, error) {
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
	err := whileWorking(ctx, s, handle, func(ctx context.Context) error {
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
	})
	sorted := make([]float64, total)
	for i := range waits {
		sorted[i] = time.Duration(waits[i].Load()).Seconds() * 1e3
	}
	slices.Sort(sorted)
	at := func(q float64) float64 { return sorted[int(q*float64(total-1))] }
	return map[string]float64{"latency_p50": at(0.50), "latency_p95": at(0.95), "latency_p99": at(0.99)}, err
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
