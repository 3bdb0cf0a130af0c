package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Backfill is what became of a call of [Manager.Backfill].
type Backfill struct {
	Ticks  int       `json:"ticks"`  // in the range
	Fired  int       `json:"fired"`  // now; of a dry run: that would fire
	Before int       `json:"before"` // that had fired before
	First  time.Time `json:"first_tick_at,omitzero"`
	Last   time.Time `json:"last_tick_at,omitzero"`
}

// MaxBackfill is how many ticks one backfill may have.
const MaxBackfill = maxUpcoming

// backfillPart is how many ticks one transaction of a backfill fires.
const backfillPart = 500

// Backfill fires the ticks of a schedule in a period, but those that fired already, as far as its ticks are kept: older
// ones fire again. All messages are due at once, whatever the policies say, and count as no run. dry only counts.
// A period that reaches into the future is refused. When it fails half way, it may be repeated.
func (m *Manager) Backfill(ctx context.Context, name string, p Period, dry bool) (Backfill, error) {
	b, err := m.backfill(ctx, name, p, dry)
	if err != nil {
		return b, fmt.Errorf("backfill schedule %.80s: %w", name, err)
	}
	return b, nil
}

func (m *Manager) backfill(ctx context.Context, name string, p Period, dry bool) (b Backfill, err error) {
	ticks, err := m.ticksIn(ctx, name, p)
	if err != nil || len(ticks) == 0 {
		return b, err
	}
	b.First, b.Last = ticks[0], ticks[len(ticks)-1]
	for part := range slices.Chunk(ticks, backfillPart) {
		before := 0
		if dry {
			before, err = m.firedAmong(ctx, name, part)
		} else {
			before, err = m.fireAll(ctx, name, part)
		}
		if err != nil {
			return b, err
		}
		b.Ticks += len(part)
		b.Before += before
		b.Fired += len(part) - before
	}
	return b, nil
}

// ticksIn returns the ticks of a schedule in a period of the past.
func (m *Manager) ticksIn(ctx context.Context, name string, p Period) (ticks []time.Time, err error) {
	if err := errors.Join(checkTime("beginning of a backfill", p.From), checkTime("end of a backfill", p.Until)); err != nil {
		return nil, err
	}
	if p.From.IsZero() || !p.Until.After(p.From) {
		return nil, invalid("end of a backfill", show(p.Until), "after its beginning, "+show(p.From))
	}
	err = m.with(ctx, name, func(now time.Time, e Entry) (Change, error) {
		if p.Until.After(now) {
			return Change{}, invalid("end of a backfill", show(p.Until), "not in the future")
		}
		c, err := e.calendar()
		if err != nil {
			return Change{}, err
		}
		if c.until.IsZero() || p.Until.Before(c.until) {
			c.until = p.Until
		}
		if ticks, err = c.upcoming(p.From.Add(-time.Nanosecond), MaxBackfill+1); err != nil {
			return Change{}, err
		}
		return Change{}, errSettled
	})
	if err != nil && !errors.Is(err, errSettled) {
		return nil, err
	}
	if len(ticks) > MaxBackfill {
		return nil, invalid("period of a backfill", show(p.From)+" to "+show(p.Until), fmt.Sprintf("one with at most %d ticks", MaxBackfill))
	}
	return ticks, nil
}

// fireAll fires ticks in one transaction, and returns how many had fired before.
func (m *Manager) fireAll(ctx context.Context, name string, ticks []time.Time) (before int, err error) {
	var c Change
	err = m.with(ctx, name, func(now time.Time, e Entry) (Change, error) {
		c = Change{Entry: e.madeBy(now), Write: Advance}
		if slices.ContainsFunc(ticks, e.NextRunAt.Equal) { // else a scheduler would decide about what has fired here
			cal, err := e.calendar()
			if err != nil {
				return c, err
			}
			if c.Entry.NextRunAt, err = cal.next(ticks[len(ticks)-1]); err != nil {
				return c, err
			}
		}
		for _, at := range ticks {
			t := Tick{Schedule: name, At: at, Outcome: TickFired, RecordedAt: now, Runs: 1, Backfill: true, Envelope: e.envelope(at, true)}
			c.Ticks = append(c.Ticks, t)
		}
		return c, nil
	})
	for _, t := range c.Ticks {
		if t.Repeated {
			before++
		}
	}
	return before, err
}

// firedAmong returns how many of ticks have fired. Others may have fired between them, by what the schedule said before.
func (m *Manager) firedAmong(ctx context.Context, name string, ticks []time.Time) (n int, err error) {
	q := TickQuery{Schedule: name, Outcome: TickFired, From: ticks[0], Until: ticks[len(ticks)-1].Add(time.Millisecond), Limit: MaxBackfill}
	for {
		there, err := m.Ticks(ctx, q)
		for _, t := range there {
			if _, ok := slices.BinarySearchFunc(ticks, t.At, time.Time.Compare); ok {
				n++
			}
		}
		if err != nil || len(there) < q.Limit {
			return n, err
		}
		q.Until = there[len(there)-1].At
	}
}
