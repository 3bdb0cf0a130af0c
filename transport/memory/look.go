package memory

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/search"
	"github.com/symphony-messenger/symphony/monitor"
)

// Find implements [monitor.Finder].
func (t *Transport) Find(ctx context.Context, id symphony.ID) (monitor.Record, error) {
	if _, err := t.begin(ctx); err != nil {
		return monitor.Record{}, err
	}
	defer t.mu.Unlock()
	m := t.messages[id]
	if m == nil {
		return monitor.Record{}, fmt.Errorf("find %s: %w", id, monitor.ErrNotFound)
	}
	return m.record(), nil
}

// Cancel implements [monitor.Canceller].
func (t *Transport) Cancel(ctx context.Context, id symphony.ID) (monitor.Record, error) {
	now, err := t.begin(ctx)
	if err != nil {
		return monitor.Record{}, err
	}
	defer t.mu.Unlock()
	m := t.messages[id]
	if m == nil || !live(m.status) {
		return monitor.Record{}, fmt.Errorf("cancel %s: %w", id, monitor.ErrNotFound)
	}
	if m.status == monitor.Processing {
		m.cancelled = true
	} else {
		t.finish(m, monitor.Cancelled, now)
	}
	return m.record(), nil
}

// Failed implements [monitor.DeadLetters].
func (t *Transport) Failed(ctx context.Context, f monitor.Filter) (page monitor.Page, err error) {
	below, err := search.Number(f.Cursor)
	if err != nil {
		return page, fmt.Errorf("list dead letters: %w", err)
	}
	if _, err := t.begin(ctx); err != nil {
		return page, err
	}
	defer t.mu.Unlock()
	for m := range t.letters(below, f.IDs) {
		if m.matches(f) {
			page.Records = append(page.Records, m.record())
		}
		if page.Read++; len(page.Records) == f.Most() || page.Read == monitor.SearchRows {
			page.Cursor = search.NumberCursor(m.buried)
			break
		}
	}
	return page, nil
}

// letters goes through dead letters with numbers below one, the latest first: all, or those with ids.
func (t *Transport) letters(below int64, ids []symphony.ID) iter.Seq[*message] {
	if len(ids) > 0 {
		var some []*message
		for _, id := range ids {
			if m := t.messages[id]; m != nil && m.letter != nil && m.buried < below {
				some = append(some, m)
			}
		}
		slices.SortFunc(some, func(a, b *message) int { return cmp.Compare(b.buried, a.buried) })
		return slices.Values(slices.Compact(some))
	}
	return func(yield func(*message) bool) {
		for at := t.dead.Back(); at != nil; at = at.Prev() {
			if m := at.Value.(*message); m.buried < below && !yield(m) {
				return
			}
		}
	}
}

func (m *message) matches(f monitor.Filter) bool {
	failed := timeOf(m.finished)
	return (f.Type == "" || f.Type == m.env.Type) &&
		(f.Queue == "" || f.Queue == m.env.Queue) &&
		(f.Reason == "" || f.Reason == m.reason) &&
		(f.Since.IsZero() || !failed.Before(f.Since)) &&
		(f.Until.IsZero() || failed.Before(f.Until)) &&
		(f.Class == "" || f.Class == m.lastClass) &&
		(f.Fingerprint == "" || f.Fingerprint == m.fingerprint())
}

// RetryFailed implements [monitor.DeadLetters]. The expiry of a message does not hold any more: whoever
// retries it wants it done.
func (t *Transport) RetryFailed(ctx context.Context, ids []symphony.ID) ([]error, error) {
	return t.eachLetter(ctx, ids, "retry", t.revive)
}

// revive puts a dead letter back into its queue, unless its key has passed to another message.
func (t *Transport) revive(m *message, now time.Time) error {
	ms := now.UnixMilli()
	if holder, taken := t.retake(m, ms); taken {
		return &monitor.KeyTakenError{Key: m.env.Key, Holder: holder}
	}
	t.unbury(m)
	m.retries, m.crashes, m.unhandled, m.reason, m.expires, m.finished = 0, 0, 0, "", 0, 0
	t.accepted++
	m.seq, m.available = t.accepted, ms
	if m.env.Group != "" {
		m.grp = m.kind.queue.group(m.env.Group)
	}
	t.enqueue(m, now)
	return nil
}

// DiscardFailed implements [monitor.DeadLetters].
func (t *Transport) DiscardFailed(ctx context.Context, ids []symphony.ID) ([]error, error) {
	return t.eachLetter(ctx, ids, "discard", func(m *message, _ time.Time) error {
		t.unbury(m)
		t.freeKey(m)
		m.kind.counts[monitor.Failed]--
		delete(t.messages, m.env.ID)
		return nil
	})
}

func (t *Transport) unbury(m *message) {
	t.dead.Remove(m.letter)
	m.letter = nil
}

func (t *Transport) eachLetter(ctx context.Context, ids []symphony.ID, verb string, do func(*message, time.Time) error) ([]error, error) {
	now, err := t.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer t.mu.Unlock()
	errs := make([]error, len(ids))
	for i, id := range ids {
		m := t.messages[id]
		if m == nil || m.letter == nil {
			errs[i] = fmt.Errorf("%s dead letter %s: %w", verb, id, monitor.ErrNotFound)
			continue
		}
		errs[i] = do(m, now)
	}
	return errs, nil
}

// Counts implements [monitor.Counter].
func (t *Transport) Counts(ctx context.Context) (monitor.Counts, error) {
	var all monitor.Counts
	now, err := t.begin(ctx)
	if err != nil {
		return all, err
	}
	defer t.mu.Unlock()
	for _, queueName := range slices.Sorted(maps.Keys(t.queues)) {
		kinds := t.queues[queueName].kinds
		for _, typ := range slices.Sorted(maps.Keys(kinds)) {
			if n := kinds[typ].noHandler; n > 0 {
				all.NoHandler = append(all.NoHandler, monitor.Count{Queue: queueName, Type: typ, Status: monitor.Scheduled, N: n})
			}
			for _, s := range monitor.Statuses() {
				if n := kinds[typ].counts[s]; n > 0 {
					all.Counts = append(all.Counts, monitor.Count{Queue: queueName, Type: typ, Status: s, N: n})
				}
			}
		}
	}
	oldest := t.oldest.next()
	if len(t.pauses) > 0 {
		oldest = never
		for _, m := range t.oldest.items {
			if !t.paused(monitor.PausedQueue, m.env.Queue) && !t.paused(monitor.PausedType, m.env.Type) {
				oldest = min(oldest, m.available)
			}
		}
	}
	if oldest != never {
		all.OldestReady = now.Sub(timeOf(oldest))
	}
	return all, nil
}
