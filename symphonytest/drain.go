package symphonytest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// Drain runs w until its queues have nothing left that can be done now: no message is ready and none
// is being handled. What is delayed, or waits for a retry, stays. It returns what became of each
// delivery, in the order in which the store recorded it; Event.Outcome and Event.Err say more.
//
// It blocks until then, and ends the test when w cannot work. The transport of w must be a
// [monitor.Counter], as all of this project are. w itself is not changed, and may be drained again.
func Drain(t testing.TB, w *symphony.Worker) []symphony.Event {
	t.Helper()
	return drain(t, w, left.ready)
}

// DrainAll is [Drain], and waits for what is delayed or to be retried as well, until its queues hold
// nothing at all. Use it within testing/synctest, with a transport that was made there: then time
// passes as fast as the handlers can work.
func DrainAll(t testing.TB, w *symphony.Worker) []symphony.Event {
	t.Helper()
	return drain(t, w, left.all)
}

const (
	// A message that stays ready for so long while the worker does nothing cannot be claimed: it waits
	// behind another one of its group.
	stuckAfter = 500 * time.Millisecond
	// So long the worker has for its first look at what has become due, which the store may not have
	// noticed yet.
	firstLook = 20 * time.Millisecond
)

// left is what is in the queues of a worker.
type left struct{ pending, processing, scheduled int64 }

func (l left) all(time.Duration) bool { return l == left{} }

func (l left) ready(quiet time.Duration) bool {
	switch {
	case l.processing > 0:
		return false
	case l.pending > 0:
		return quiet >= stuckAfter
	}
	return l.scheduled == 0 || quiet >= firstLook
}

func drain(t testing.TB, w *symphony.Worker, done func(l left, quiet time.Duration) bool) []symphony.Event {
	t.Helper()
	transport := w.Transport
	if transport == nil && w.Bus != nil {
		transport = w.Bus.Transport
	}
	counter, ok := symphony.As[monitor.Counter](transport)
	if !ok {
		t.Fatalf("symphonytest: drain: the transport %T cannot count its messages", transport)
	}
	saw := &witness{next: w.Observer, news: make(chan struct{}, 1), last: time.Now()}
	run := *w
	run.Observer = saw

	ctx, stop := context.WithCancel(t.Context())
	var failed error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		failed = run.Run(ctx)
	}()
	err := saw.wait(ended, func() (bool, error) {
		l, err := count(ctx, counter, w.Queues)
		return err == nil && done(l, saw.quiet()), err
	})
	stop()
	<-ended
	if err == nil {
		err = failed
	}
	if err != nil {
		t.Fatalf("symphonytest: drain: %v", err)
	}
	return saw.settled
}

// count sums up what is left in the queues.
func count(ctx context.Context, counter monitor.Counter, queues []symphony.WorkerQueue) (l left, err error) {
	counts, err := counter.Counts(ctx)
	if err != nil {
		return l, fmt.Errorf("count messages: %w", err)
	}
	served := make(map[string]bool)
	for _, q := range queues {
		served[q.Name] = true
	}
	if len(queues) == 0 {
		served["default"] = true
	}
	for _, c := range counts.Counts {
		if !served[c.Queue] {
			continue
		}
		switch c.Status {
		case monitor.Pending:
			l.pending += c.N
		case monitor.Processing:
			l.processing += c.N
		case monitor.Scheduled:
			l.scheduled += c.N
		}
	}
	return l, nil
}

// A witness is the observer of a worker that is being drained.
type witness struct {
	next symphony.Observer
	news chan struct{} // something has happened since the last look

	mu      sync.Mutex
	last    time.Time
	settled []symphony.Event
}

// Observe implements [symphony.Observer].
func (w *witness) Observe(ctx context.Context, e symphony.Event) {
	w.mu.Lock()
	w.last = time.Now()
	if e.Kind == symphony.EventSettled {
		w.settled = append(w.settled, e)
	}
	w.mu.Unlock()
	select {
	case w.news <- struct{}{}:
	default:
	}
	if w.next != nil {
		w.next.Observe(ctx, e)
	}
}

// wait returns when done says so, or when the worker has ended by itself. It looks whenever something
// has happened, and now and then in between: rarely when it has waited long, so that a day of fake
// time is short.
func (w *witness) wait(ended <-chan struct{}, done func() (bool, error)) error {
	for start := time.Now(); ; {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ended:
			return nil
		case <-w.news:
		case <-time.After(min(max(time.Since(start)/10, time.Millisecond), time.Minute)):
		}
	}
}

func (w *witness) quiet() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Since(w.last)
}
