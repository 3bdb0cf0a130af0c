package symphonytest

import (
	"context"
	"sync"
	"time"

	"github.com/symphony-messenger/symphony"
)

// A witness is the observer of a worker that is being drained.
type witness struct {
	next symphony.Observer
	news chan struct{} // something has happened since the last look

	mu      sync.Mutex
	events  int
	inHand  map[*symphony.Envelope]bool // claimed, and not yet settled or lost
	nothing int                         // how many events there had been when the worker began to look and found nothing
	settled []symphony.Event
}

func newWitness(next symphony.Observer) *witness {
	return &witness{next: next, news: make(chan struct{}, 1), inHand: make(map[*symphony.Envelope]bool), nothing: -1}
}

// Observe implements [symphony.Observer].
func (w *witness) Observe(ctx context.Context, e symphony.Event) {
	w.note(func() {
		w.events++
		switch e.Kind {
		case symphony.EventClaimed:
			w.inHand[e.Envelope] = true
		case symphony.EventLeaseLost:
			delete(w.inHand, e.Envelope)
		case symphony.EventSettled:
			delete(w.inHand, e.Envelope)
			w.settled = append(w.settled, e)
		}
	})
	if w.next != nil {
		w.next.Observe(ctx, e)
	}
}

func (w *witness) note(what func()) {
	w.mu.Lock()
	what()
	w.mu.Unlock()
	select {
	case w.news <- struct{}{}:
	default:
	}
}

func (w *witness) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.events
}

// idle reports whether the worker has nothing in hand and has found nothing since anything happened.
func (w *witness) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.inHand) == 0 && w.nothing == w.events
}

// A looker is a transport that tells a witness when the worker has found nothing. Where Receive of the
// transport waits until there is something, it looks again and again.
type looker struct {
	symphony.Transport
	exchanger symphony.Exchanger
	saw       *witness
	queues    int
}

// Unwrap gives the worker the other powers of the transport.
func (l *looker) Unwrap() symphony.Transport { return l.Transport }

// Receive implements [symphony.Transport].
func (l *looker) Receive(ctx context.Context, c symphony.Claim) ([]symphony.Delivery, error) {
	const most = 20 * time.Millisecond
	for pause := time.Millisecond; ; pause = min(2*pause, most) {
		events := l.saw.count()
		ds, err := l.exchanger.Exchange(ctx, nil, c)
		if err != nil || len(ds) > 0 {
			return ds, err
		}
		if len(c.Except) == 0 && len(c.Queues) == l.queues { // else it may have passed over something
			l.saw.note(func() { l.saw.nothing = events })
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}
