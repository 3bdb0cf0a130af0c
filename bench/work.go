package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/symphony-messenger/symphony/internal/sleep"
)

// A tally counts which of the jobs 0…n-1 have been handled. Others, from warming up, have negative
// numbers and do not count.
type tally struct {
	handled []atomic.Int32
	left    atomic.Int64
	done    chan struct{}
}

func newTally(n int) *tally {
	t := &tally{handled: make([]atomic.Int32, n), done: make(chan struct{})}
	t.left.Store(int64(n))
	return t
}

// add counts i, once.
func (t *tally) add(i int) {
	if i < 0 || t.handled[i].Add(1) != 1 {
		return
	}
	if t.left.Add(-1) == 0 {
		close(t.done)
	}
}

// wait blocks until every job has been handled.
func (t *tally) wait(ctx context.Context) error {
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d of %d messages were never handled: %w", t.left.Load(), len(t.handled), context.Cause(ctx))
	}
}

// patience bounds every wait, beside the time that a figure takes by itself: a lost message must end the run, not hang it.
const patience = 5 * time.Minute

// A shift is a time in which a system works.
type shift struct {
	handle func(job)
	takes  time.Duration // beside waiting
	do     func(context.Context) error
}

// whileWorking runs do while the system works, then stops the system.
func whileWorking(ctx context.Context, s system, w shift) error {
	ctx, cancel := context.WithTimeout(ctx, w.takes+patience)
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	working, stop := context.WithCancel(ctx)
	defer stop()
	worked := make(chan error, 1)
	go func() {
		err := s.work(working, w.handle)
		if working.Err() == nil {
			fail(fmt.Errorf("the worker ended by itself: %w", err))
		}
		worked <- err
	}()
	err := w.do(ctx)
	stop()
	return errors.Join(err, <-worked)
}

// emptied blocks until the store has recorded all messages as done.
func emptied(ctx context.Context, s system) error {
	for {
		n, err := s.left(ctx)
		if err != nil || n == 0 {
			return err
		}
		if sleep.For(ctx, time.Millisecond) != nil {
			return fmt.Errorf("%d messages were handled and not recorded as done: %w", n, context.Cause(ctx))
		}
	}
}

// stored checks that the store has exactly the messages that it acknowledged.
func stored(ctx context.Context, s system, want int) error {
	got, err := s.left(ctx)
	if err == nil && got != want {
		err = fmt.Errorf("%d messages were acknowledged and %d are stored", want, got)
	}
	return err
}

// warmUp sends a few messages that do not count and waits for them, so that the first real one does not
// pay for the start of the worker.
func warmUp(ctx context.Context, s system) error {
	for i := range 20 {
		if err := s.insert(ctx, newJob(-1-i)); err != nil {
			return fmt.Errorf("warm up: %w", err)
		}
	}
	return emptied(ctx, s)
}
