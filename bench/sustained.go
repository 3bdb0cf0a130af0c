package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/symphony-messenger/symphony/internal/sleep"
)

// sustainedBatch is how many messages one call of sustained sends.
const sustainedBatch = 100

// sustained sends and handles at once, as fast as both go together: what a drain leaves behind, and what others' cleaning costs, is
// in it. The whole time counts, and its thirds tell whether it gets slower.
func sustained(ctx context.Context, s system, n sizes) ([]value, error) {
	f := flow{system: s, permits: make(chan struct{}, n.Backlog/sustainedBatch-1)}
	third := n.Sustained / 3
	var at [4]time.Time
	var done [4]int64
	err := whileWorking(ctx, s, shift{handle: f.handle, takes: n.Sustained, do: func(ctx context.Context) error {
		if err := warmUp(ctx, s); err != nil {
			return err
		}
		sending, stop := context.WithCancel(ctx)
		sent := make(chan error, 1)
		go func() { sent <- f.send(sending, ctx, n.Goroutines) }()
		var err error
		for i := range at {
			at[i], done[i] = time.Now(), f.handled.Load()
			if i < len(at)-1 && err == nil {
				err = sleep.For(ctx, third)
			}
		}
		stop()
		if err = errors.Join(err, <-sent); err != nil {
			return err
		}
		if err := f.wait(ctx); err != nil {
			return err
		}
		return emptied(ctx, s)
	}})
	rate := func(from, to int) float64 { return float64(done[to]-done[from]) / at[to].Sub(at[from]).Seconds() }
	return []value{
		{"sustained", "msg/s", rate(0, 3)}, {"sustained_first_third", "msg/s", rate(0, 1)}, {"sustained_last_third", "msg/s", rate(2, 3)},
	}, err
}

// A flow is messages on their way through a system. Those that are sent and not handled are bounded: whoever sends a batch needs a
// permit, and the handler gives one back for as many messages.
type flow struct {
	system  system
	permits chan struct{}
	sent    atomic.Int64
	handled atomic.Int64 // each message once
	seen    numbers
}

func (f *flow) handle(j job) {
	if f.seen.add(j.N) && f.handled.Add(1)%sustainedBatch == 0 {
		<-f.permits // there is one for each batch that was begun
	}
}

// send sends until sending ends. Calls that have begun then go on, unless ctx ends too.
func (f *flow) send(sending, ctx context.Context, goroutines int) error {
	errs := make([]error, goroutines)
	var all sync.WaitGroup
	for g := range errs {
		all.Go(func() {
			for errs[g] == nil {
				select {
				case f.permits <- struct{}{}:
				case <-sending.Done():
					return
				}
				first := int(f.sent.Add(sustainedBatch)) - sustainedBatch
				errs[g] = f.system.insertMany(ctx, newJobs(first, sustainedBatch))
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// wait blocks until everything that was sent has been handled.
func (f *flow) wait(ctx context.Context) error {
	for f.handled.Load() < f.sent.Load() {
		if sleep.For(ctx, time.Millisecond) != nil {
			return fmt.Errorf("%d of %d messages were never handled: %w", f.sent.Load()-f.handled.Load(), f.sent.Load(), context.Cause(ctx))
		}
	}
	return nil
}

// numbers is a set of numbers from 0 on, which nobody knows the last of. It is safe for concurrent use.
type numbers struct {
	mu   sync.RWMutex // held for writing only to make room
	bits []atomic.Uint64
}

// add reports whether n is new. Negative numbers, which do not count, never are.
func (s *numbers) add(n int) bool {
	if n < 0 {
		return false
	}
	s.mu.RLock()
	for n/64 >= len(s.bits) {
		s.mu.RUnlock()
		s.grow(n/64 + 1)
		s.mu.RLock()
	}
	defer s.mu.RUnlock()
	bit := uint64(1) << (n % 64)
	return s.bits[n/64].Or(bit)&bit == 0
}

func (s *numbers) grow(words int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if words <= len(s.bits) {
		return
	}
	more := make([]atomic.Uint64, max(words, 2*len(s.bits)))
	for i := range s.bits {
		more[i].Store(s.bits[i].Load())
	}
	s.bits = more
}
