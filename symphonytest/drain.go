package symphonytest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// Drain runs w until its queues have nothing left that can be done now: it finds nothing to claim, and
// nothing is being handled. What is delayed, waits for a retry, or waits behind such a one in its group
// stays. It returns what became of each delivery, in the order in which the store recorded it:
// Event.Outcome and Event.Err say more.
//
// It blocks until then, and ends the test when w cannot work. The transport of w must be a
// [monitor.Counter] and a [symphony.Exchanger], as those for memory and SQLite are. w itself is not
// changed, and may be drained again.
func Drain(t testing.TB, w *symphony.Worker) []symphony.Event {
	t.Helper()
	d := newDrain(t, w)
	exchanger, ok := symphony.As[symphony.Exchanger](d.worker.Transport)
	if !ok {
		t.Fatalf("symphonytest: drain: the transport %T cannot say that it has nothing", d.worker.Transport)
	}
	d.worker.Transport = &looker{Transport: d.worker.Transport, exchanger: exchanger, saw: d.saw, queues: len(d.queues)}
	return d.run(t, func(l left) bool { return l.processing == 0 && d.saw.idle() })
}

// DrainAll is [Drain], and waits for what is delayed or to be retried as well, until its queues hold
// nothing at all. Use it within testing/synctest, with a transport that was made there: then time
// passes as fast as the handlers can work. The transport need not be an Exchanger.
func DrainAll(t testing.TB, w *symphony.Worker) []symphony.Event {
	t.Helper()
	return newDrain(t, w).run(t, func(l left) bool { return l == left{} })
}

// A draining is one call of Drain or DrainAll.
type draining struct {
	worker  symphony.Worker // a copy
	queues  map[string]bool // that it serves
	counter monitor.Counter
	saw     *witness
}

func newDrain(t testing.TB, w *symphony.Worker) *draining {
	t.Helper()
	d := &draining{worker: *w, queues: make(map[string]bool), saw: newWitness(w.Observer)}
	d.worker.Observer = d.saw
	if w.Transport == nil && w.Bus != nil {
		d.worker.Transport = w.Bus.Transport
	}
	var ok bool
	if d.counter, ok = symphony.As[monitor.Counter](d.worker.Transport); !ok {
		t.Fatalf("symphonytest: drain: the transport %T cannot count its messages", d.worker.Transport)
	}
	for _, q := range w.Queues {
		d.queues[q.Name] = true
	}
	if len(w.Queues) == 0 {
		d.queues["default"] = true
	}
	return d
}

func (d *draining) run(t testing.TB, done func(left) bool) []symphony.Event {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var failed error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		failed = d.worker.Run(ctx)
	}()
	err := d.wait(ctx, ended, done)
	stop()
	<-ended
	if err == nil {
		err = failed
	}
	if err != nil {
		t.Fatalf("symphonytest: drain: %v", err)
	}
	return d.saw.settled
}

// wait returns when done says so, or when the worker has ended by itself. It looks whenever something
// has happened, and now and then in between: rarely when it has waited long, so that a day of fake
// time is short.
func (d *draining) wait(ctx context.Context, ended <-chan struct{}, done func(left) bool) error {
	for start := time.Now(); ; {
		l, err := d.count(ctx)
		if err != nil || done(l) {
			return err
		}
		select {
		case <-ended:
			return nil
		case <-d.saw.news:
		case <-time.After(min(max(time.Since(start)/10, time.Millisecond), time.Minute)):
		}
	}
}

// left is what is in the queues of a worker.
type left struct{ pending, processing, scheduled int64 }

func (d *draining) count(ctx context.Context) (l left, err error) {
	counts, err := d.counter.Counts(ctx)
	if err != nil {
		return l, fmt.Errorf("count messages: %w", err)
	}
	for _, c := range counts.Counts {
		switch {
		case !d.queues[c.Queue]:
		case c.Status == monitor.Pending:
			l.pending += c.N
		case c.Status == monitor.Processing:
			l.processing += c.N
		case c.Status == monitor.Scheduled:
			l.scheduled += c.N
		}
	}
	return l, nil
}
