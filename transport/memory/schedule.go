package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/schedule"
)

// schedules are those of a store, and their ticks in order.
type schedules struct {
	entries map[string]schedule.Entry
	ticks   map[string][]schedule.Tick
}

// Update implements [schedule.Store]. It holds up the whole store while it decides.
func (t *Transport) Update(ctx context.Context, sel schedule.Selection, decide func(time.Time, []schedule.Entry) ([]schedule.Change, error)) (u schedule.Update, err error) {
	now, err := t.begin(ctx)
	if err != nil {
		return u, err
	}
	defer t.mu.Unlock()
	u.Now = time.UnixMilli(now.UnixMilli()).UTC()
	found := t.schedules.chosen(sel, u.Now)
	for i := range found {
		t.alive(&found[i])
	}
	if sel.Due == nil || len(found) > 0 {
		changes, err := decide(u.Now, found)
		if err != nil {
			return u, err
		}
		for i := range changes {
			t.changeSchedules(&changes[i], now)
		}
	}
	if sel.Due != nil {
		u.Next = t.schedules.next(sel.Due, u.Now)
		u.Wait = u.Next.Sub(u.Now)
	}
	return u, nil
}

func (s *schedules) chosen(sel schedule.Selection, now time.Time) (found []schedule.Entry) {
	for _, e := range s.entries {
		due := sel.Due
		if due != nil && isDue(&e, due) && !e.NextRunAt.After(now) || due == nil && (slices.Contains(sel.Names, e.Name) || e.Owner == sel.Owner) {
			found = append(found, copyEntry(e))
		}
	}
	if sel.Due == nil {
		slices.SortFunc(found, func(a, b schedule.Entry) int { return cmp.Compare(a.Name, b.Name) })
		return found
	}
	slices.SortFunc(found, func(a, b schedule.Entry) int { return a.NextRunAt.Compare(b.NextRunAt) })
	return found[:min(len(found), sel.Due.Limit)]
}

// isDue reports whether e can fire, whenever that is.
func isDue(e *schedule.Entry, due *schedule.Due) bool {
	return e.Enabled && !e.NextRunAt.IsZero() && !slices.Contains(due.Except, e.Name) && (e.Kind != schedule.KindCustom || slices.Contains(due.Custom, e.Name))
}

func (s *schedules) next(due *schedule.Due, now time.Time) (next time.Time) {
	for _, e := range s.entries {
		if isDue(&e, due) && e.NextRunAt.After(now) && (next.IsZero() || e.NextRunAt.Before(next)) {
			next = e.NextRunAt
		}
	}
	return next
}

// copyEntry lets nobody change what the store has.
func copyEntry(e schedule.Entry) schedule.Entry {
	e.Exclude, e.LastMessages, e.Live = slices.Clone(e.Exclude), slices.Clone(e.LastMessages), nil
	e.Message.Body, e.Message.Tags, e.Message.Headers = slices.Clone(e.Message.Body), slices.Clone(e.Message.Tags), maps.Clone(e.Message.Headers)
	return e
}

// alive says which of the last messages of e live.
func (t *Transport) alive(e *schedule.Entry) {
	if e.Overlap == schedule.OverlapAllow {
		return
	}
	for _, id := range e.LastMessages {
		if m := t.messages[id]; m != nil && live(m.status) {
			e.Live = append(e.Live, schedule.Live{ID: id, Started: m.fence > 0})
		}
	}
}

func (t *Transport) changeSchedules(c *schedule.Change, now time.Time) {
	s := &t.schedules
	if s.entries == nil {
		s.entries, s.ticks = make(map[string]schedule.Entry), make(map[string][]schedule.Tick)
	}
	for _, id := range c.Cancel {
		if m := t.messages[id]; m != nil && m.status == monitor.Processing {
			m.cancelled = true
		} else if m != nil && live(m.status) {
			t.finish(m, monitor.Cancelled, now)
		}
	}
	for i := range c.Ticks {
		t.tick(c, i, now)
	}
	name := c.Entry.Name
	if c.Write == schedule.Remove {
		delete(s.entries, name)
		delete(s.ticks, name)
		return
	}
	s.entries[name] = copyEntry(c.Entry)
	if c.Keep > 0 {
		kept := make(map[schedule.Outcome]int)
		s.ticks[name] = slices.DeleteFunc(s.ticks[name], func(t schedule.Tick) bool { kept[t.Outcome]++; return kept[t.Outcome] > c.Keep })
	}
}

// tick records a tick, and stores its message, unless it is there already. The latest ticks are first.
func (t *Transport) tick(c *schedule.Change, i int, now time.Time) {
	tick := c.Ticks[i]
	all := t.schedules.ticks[c.Entry.Name]
	at, there := slices.BinarySearchFunc(all, tick, func(a, b schedule.Tick) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Outcome, b.Outcome))
	})
	if there {
		c.Settle(i, nil, true)
		return
	}
	if tick.Envelope != nil {
		r := t.fanOut(tick.Envelope, now)
		tick.Messages = r.Copies
		if !slices.Contains(r.Copies, r.ID) {
			tick.Messages = append([]symphony.ID{r.ID}, r.Copies...)
		}
		tick.Envelope = nil
	}
	c.Settle(i, tick.Messages, false)
	t.schedules.ticks[c.Entry.Name] = slices.Insert(all, at, tick)
}

// Schedules implements [schedule.Store].
func (t *Transport) Schedules(ctx context.Context, q schedule.Query) ([]schedule.Entry, error) {
	if _, err := t.begin(ctx); err != nil {
		return nil, err
	}
	defer t.mu.Unlock()
	var found []schedule.Entry
	limit := cmp.Or(max(q.Limit, 0), 50)
	for _, name := range slices.Sorted(maps.Keys(t.schedules.entries)) {
		e := t.schedules.entries[name]
		if len(q.Names) > 0 {
			if slices.Contains(q.Names, name) {
				found = append(found, copyEntry(e))
			}
			continue
		}
		if name > q.After && len(found) < limit && (q.Owner == "" || q.Owner == e.Owner) && (q.Type == "" || q.Type == e.Message.Type) &&
			(q.Tag == "" || slices.Contains(e.Message.Tags, q.Tag)) && (q.Dropped || e.DroppedAt.IsZero()) {
			found = append(found, copyEntry(e))
		}
	}
	return found, nil
}

// Ticks implements [schedule.Store].
func (t *Transport) Ticks(ctx context.Context, q schedule.TickQuery) ([]schedule.Tick, error) {
	if _, err := t.begin(ctx); err != nil {
		return nil, err
	}
	defer t.mu.Unlock()
	var found []schedule.Tick
	for _, tick := range t.schedules.ticks[q.Schedule] {
		if len(found) < cmp.Or(max(q.Limit, 0), 50) && (q.Outcome == "" || q.Outcome == tick.Outcome) && !tick.At.Before(q.From) && (q.Until.IsZero() || tick.At.Before(q.Until)) {
			found = append(found, tick)
		}
	}
	return found, nil
}
