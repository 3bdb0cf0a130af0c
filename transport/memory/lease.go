package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// A worker is one that holds messages. All its leases end together: its heartbeat renews them all.
type worker struct {
	name    string
	lease   time.Duration // what its claims ask for
	started int64
	until   int64
	queues  map[string]bool // that it has asked for
	held    map[symphony.Token]*message
}

// worker notes that c.Worker lives, and for how long.
func (t *Transport) worker(c symphony.Claim, now time.Time) *worker {
	w := t.workers[c.Worker]
	if w == nil {
		w = &worker{name: c.Worker, started: now.UnixMilli(), queues: make(map[string]bool), held: make(map[symphony.Token]*message)}
		t.workers[c.Worker] = w
	}
	for _, queue := range c.Queues { // without those of which it has as many as it may
		w.queues[queue.Name] = true
	}
	w.lease = c.Lease
	w.until = max(w.until, roundUp(now.Add(c.Lease)))
	t.leaseEnd = min(t.leaseEnd, w.until)
	t.wakeBy(w.until)
	return w
}

// unlease takes m out of its worker's hands: its token is worth nothing from now on.
func (t *Transport) unlease(m *message) (by *worker) {
	by = m.lease.worker
	delete(by.held, m.lease.token)
	m.lease = lease{}
	if len(by.held) == 0 {
		delete(t.workers, by.name)
	}
	return by
}

// endLeases puts back what workers held that did not renew in time.
func (t *Transport) endLeases(now time.Time) {
	t.leaseEnd = never
	for _, w := range t.workers {
		if w.until > now.UnixMilli() {
			t.leaseEnd = min(t.leaseEnd, w.until)
			continue
		}
		for _, m := range w.held {
			t.unlease(m)
			m.crashes++
			t.putBack(m, 0, now)
		}
	}
}

// putBack makes m, which is no longer leased, wait again.
func (t *Transport) putBack(m *message, after time.Duration, now time.Time) {
	if m.cancelled {
		t.finish(m, monitor.Cancelled, now)
		return
	}
	m.available = now.UnixMilli()
	if after > 0 {
		m.available = roundUp(now.Add(after))
	}
	t.enqueue(m, now)
}

// Renew implements [symphony.Transport].
func (t *Transport) Renew(ctx context.Context, name string, held []symphony.Token) (symphony.Renewal, error) {
	var r symphony.Renewal
	now, err := t.begin(ctx)
	if err != nil {
		return r, err
	}
	defer t.mu.Unlock()
	w := t.workers[name]
	if w == nil {
		r.Lost = slices.Clone(held)
		return r, nil
	}
	w.until = max(w.until, roundUp(now.Add(w.lease)))
	known := make(map[symphony.Token]bool, len(held))
	for _, token := range held {
		known[token] = true
		m := w.held[token]
		switch {
		case m == nil:
			r.Lost = append(r.Lost, token)
		case m.cancelled:
			r.Cancelled = append(r.Cancelled, token)
		}
	}
	t.putOrphansBack(w, known, now)
	return r, nil
}

// putOrphansBack gives to others what was leased to w and never arrived. That is no crash: the worker
// lives, and nothing ran.
func (t *Transport) putOrphansBack(w *worker, known map[symphony.Token]bool, now time.Time) {
	old := now.Add(-w.lease).UnixMilli()
	var orphans []*message
	for token, m := range w.held {
		if !known[token] && m.lease.since < old {
			orphans = append(orphans, m)
		}
	}
	slices.SortFunc(orphans, func(a, b *message) int { return cmp.Compare(a.seq, b.seq) })
	for _, m := range orphans {
		t.unlease(m)
		t.putBack(m, 0, now)
	}
}
