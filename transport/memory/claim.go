package memory

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// A waiter is a call of Receive that found nothing.
type waiter struct {
	claim symphony.Claim
	until int64 // it looks again then, whatever happens
	woken chan struct{}
}

// Receive implements [symphony.Transport]. It does not poll: what makes a message ready wakes it.
func (t *Transport) Receive(ctx context.Context, c symphony.Claim) ([]symphony.Delivery, error) {
	if c.Max < 1 {
		return nil, fmt.Errorf("receive: %w", &symphony.InvalidError{What: "size of a claim", Value: strconv.Itoa(c.Max), Rule: "1 or more"})
	}
	if err := checkClaim(c); err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	for {
		now, err := t.begin(ctx)
		if err != nil {
			return nil, err
		}
		got := t.claim(c, now)
		if len(got) > 0 {
			t.mu.Unlock()
			return got, nil
		}
		w := &waiter{claim: c, until: t.nextEvent(), woken: make(chan struct{})}
		t.waiters[w] = struct{}{}
		t.mu.Unlock()
		w.wait(ctx, now)
		t.mu.Lock()
		delete(t.waiters, w)
		t.mu.Unlock()
	}
}

// wait returns when there may be something to claim, or ctx ends.
func (w *waiter) wait(ctx context.Context, now time.Time) {
	var timeout <-chan time.Time
	if w.until != never {
		timer := time.NewTimer(timeOf(w.until).Sub(now))
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-w.woken:
	case <-timeout:
	case <-ctx.Done():
	}
}

// wakeFor wakes whoever waits for a message like those of k.
func (t *Transport) wakeFor(k *kind) {
	for w := range t.waiters {
		if w.serves(k) {
			t.wake(w)
		}
	}
}

// wakeBy wakes whoever would sleep past ms.
func (t *Transport) wakeBy(ms int64) {
	for w := range t.waiters {
		if ms < w.until {
			t.wake(w)
		}
	}
}

func (t *Transport) wake(w *waiter) {
	delete(t.waiters, w)
	close(w.woken)
}

func (w *waiter) serves(k *kind) bool {
	return !slices.Contains(w.claim.Except, k.name) &&
		slices.ContainsFunc(w.claim.Queues, func(q symphony.QueueClaim) bool { return q.Name == k.queue.name })
}

func checkClaim(c symphony.Claim) error {
	if c.Worker == "" {
		return &symphony.InvalidError{What: "worker of a claim", Rule: "a name"}
	}
	if c.Lease <= 0 {
		return &symphony.InvalidError{What: "lease", Value: c.Lease.String(), Rule: "more than zero"}
	}
	return nil
}

// claim leases what c asks for and there is.
func (t *Transport) claim(c symphony.Claim, now time.Time) []symphony.Delivery {
	var got []*message
	for _, qc := range c.Queues {
		q := t.queues[qc.Name]
		if q == nil || t.paused(monitor.PausedQueue, q.name) {
			continue
		}
		most := c.Max - len(got)
		if qc.Max > 0 {
			most = min(most, qc.Max)
		}
		got = q.take(got, most, func(k *kind) bool { return slices.Contains(c.Except, k.name) || t.paused(monitor.PausedType, k.name) })
	}
	if len(got) == 0 {
		return nil
	}
	w := t.worker(c, now)
	deliveries := make([]symphony.Delivery, len(got))
	for i, m := range got {
		t.leaseTo(w, m, now)
		deliveries[i] = m.delivery(now, now.Add(-t.shift), c.Lease)
	}
	return deliveries
}

// take appends up to most ready messages to got, the first ones first.
func (q *queue) take(got []*message, most int, except func(*kind) bool) []*message {
	var from []*kind
	for _, k := range q.kinds {
		if len(k.ready.items) > 0 && !except(k) {
			from = append(from, k)
		}
	}
	for ; most > 0 && len(from) > 0; most-- {
		best := 0
		for i := range from {
			if from[i].ready.less(from[i].ready.items[0], from[best].ready.items[0]) {
				best = i
			}
		}
		m := from[best].ready.items[0]
		m.leave()
		got = append(got, m)
		if len(from[best].ready.items) == 0 {
			from = slices.Delete(from, best, best+1)
		}
	}
	return got
}

// leaseTo puts m, which waits nowhere any more, into the hands of w.
func (t *Transport) leaseTo(w *worker, m *message, now time.Time) {
	t.leases++
	m.fence++
	m.lease = lease{worker: w, token: newToken(m.env.ID, t.leases), since: now.UnixMilli()}
	w.held[m.lease.token] = m
	m.become(monitor.Processing)
}

// A token is the ID of a message and the number of a lease, which no other lease ever has.
func newToken(id symphony.ID, n int64) symphony.Token {
	b := make([]byte, 0, 33+20)
	b = hex.AppendEncode(b, id[:])
	b = append(b, '-')
	return symphony.Token(strconv.AppendInt(b, n, 10))
}

// messageOf returns the message that token was made for, whoever has it now; nil when there is none.
func (t *Transport) messageOf(token symphony.Token) *message {
	var id symphony.ID
	if len(token) < 33 {
		return nil
	}
	if _, err := hex.Decode(id[:], []byte(token[:32])); err != nil {
		return nil
	}
	return t.messages[id]
}
