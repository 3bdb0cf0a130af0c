package engine

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symphony-messenger/symphony/internal/share"
)

// The behaviour of workers is tested with messages and a store, in the root package. Here is what only
// the engine knows.

// endless returns an engine with a store that always has more, whose jobs do what do says.
func endless(limits Limits, do func(*Job[int])) *Engine[int] {
	var e *Engine[int]
	next := 0
	claim := func(_ context.Context, c Claim) ([]*Job[int], error) {
		js := make([]*Job[int], c.Max)
		for i := range js {
			next++
			js[i] = &Job[int]{Value: next, Queue: "q", Lease: time.Now().Add(time.Minute)}
		}
		return js, nil
	}
	q := share.New(false)
	q.Add("q", 1, 0)
	c := Config[int]{
		Concurrency: 10, Lease: time.Minute, Grace: time.Second, Limits: limits, Queues: q, Log: slog.New(slog.DiscardHandler),
		Stopping: errors.New("stopping"),
		Open:     func(context.Context) error { return nil },
		Claim:    claim,
		Settle:   func(context.Context, []*Job[int]) error { return nil },
		Renew:    func(context.Context, []*Job[int]) (lost, cancelled []*Job[int], err error) { return nil, nil, nil },
		Fatal:    func(error) bool { return false },
		Upkeep:   func(context.Context, int) (bool, error) { return false, nil },
		Leave:    func(context.Context) error { return nil },
		Exchange: func(ctx context.Context, _ []*Job[int], c Claim) ([]*Job[int], error) { return claim(ctx, c) },
		Start: func(js []*Job[int]) {
			for _, j := range js {
				e.Go([]*Job[int]{j}, func() {
					defer e.Finish(j)
					do(j)
				})
			}
		},
		Refuse: func(*Job[int], Cause) {},
		Lost:   func([]*Job[int]) {},
	}
	e = New(c)
	return e
}

func TestGoroutinesOfHandlersServeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		most, done := 0, 0
		e := endless(Limits{Messages: 5000}, func(*Job[int]) {
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			done++
			most = max(most, runtime.NumGoroutine())
		})
		before := runtime.NumGoroutine()
		if stuck, err := e.Run(t.Context()); err != nil || stuck != nil {
			t.Fatal(stuck, err)
		}
		// Ten run; one that has just finished may not wait for work yet when the next one starts.
		if grown := most - before; done != 5000 || grown > 10*3 {
			t.Errorf("%d jobs with %d goroutines more than before", done, grown)
		}
	})
}

func TestHandlerThatEndsItsGoroutineHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := endless(Limits{Messages: 1000}, func(j *Job[int]) {
			if j.Value%3 == 0 {
				runtime.Goexit()
			}
		})
		if stuck, err := e.Run(t.Context()); err != nil || stuck != nil {
			t.Fatal(stuck, err)
		}
	})
}

// A worker that ends as idle has told the store of its subscribers, and has looked for messages.
func TestIdleCountsFromWhenTheStoreKnowsTheWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := 0
		e := endless(Limits{Idle: 100 * time.Millisecond, Messages: 1}, func(*Job[int]) { done++ })
		opened := 0
		e.Open = func(context.Context) error {
			time.Sleep(time.Second)
			if opened++; opened < 3 {
				return errors.New("the store is not there")
			}
			return nil
		}
		if stuck, err := e.Run(t.Context()); err != nil || stuck != nil || opened != 3 || done != 1 {
			t.Errorf("opened %d times, %d jobs done, %v, %v", opened, done, stuck, err)
		}
	})
}

// The store needs longer for a look than the worker may be idle: that nothing is there yet does not mean that there is nothing.
func TestIdleIsWhoHasLooked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done, looks := 0, 0
		e := endless(Limits{Idle: 100 * time.Millisecond}, func(*Job[int]) { done++ })
		e.Exchange = nil
		took := time.Now()
		e.Claim = func(ctx context.Context, _ Claim) ([]*Job[int], error) {
			switch looks++; looks {
			case 1: // a look is not interrupted
				time.Sleep(time.Second)
				return []*Job[int]{{Value: 1, Queue: "q", Lease: time.Now().Add(time.Minute)}}, nil
			case 2, 4: // a look that finds nothing; the next one would be much later
				took = time.Now()
				<-ctx.Done()
				return nil, ctx.Err()
			case 3: // there was something after it
				return []*Job[int]{{Value: 2, Queue: "q", Lease: time.Now().Add(time.Minute)}}, nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		if stuck, err := e.Run(t.Context()); err != nil || stuck != nil || done != 2 || looks != 5 {
			t.Errorf("%d jobs done, %d claims, %v, %v", done, looks, stuck, err)
		}
		if idle := time.Since(took); idle < 100*time.Millisecond || idle > 200*time.Millisecond {
			t.Errorf("the worker ended %v after it had looked", idle)
		}
	})
}

func TestPausesGrow(t *testing.T) {
	for fails, most := range map[int]time.Duration{1: 50 * time.Millisecond, 2: 100 * time.Millisecond, 6: 1600 * time.Millisecond, 7: 2 * time.Second, 1e6: 2 * time.Second} {
		for range 100 {
			if got := pause(fails); got < most/2 || got > most {
				t.Fatalf("pause after %d failures: %v, want %v to %v", fails, got, most/2, most)
			}
		}
	}
}
