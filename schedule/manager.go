package schedule

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/sleep"
)

// A Manager looks at the schedules of a store and changes them, whoever runs. Bus is that of the store: its transport must be a
// [Store]. A Manager is safe for concurrent use. Errors match [ErrNotFound] for schedules that are not there,
// and [symphony.ErrUnsupported] without a store.
type Manager struct{ Bus *symphony.Bus }

// List lists schedules by name.
func (m *Manager) List(ctx context.Context, q Query) ([]Entry, error) {
	store, err := storeOf(m.Bus)
	if err != nil {
		return nil, err
	}
	return store.Schedules(ctx, q)
}

// Find returns one schedule.
func (m *Manager) Find(ctx context.Context, name string) (Entry, error) {
	all, err := m.List(ctx, Query{Names: []string{name}, Dropped: true})
	if err != nil {
		return Entry{}, err
	}
	if len(all) == 0 {
		return Entry{}, fmt.Errorf("schedule %.80s: %w", name, ErrNotFound)
	}
	return all[0], nil
}

// Ticks lists what became of ticks, the latest first. Of each schedule and outcome the latest hundred or so are kept.
func (m *Manager) Ticks(ctx context.Context, q TickQuery) ([]Tick, error) {
	store, err := storeOf(m.Bus)
	if err != nil {
		return nil, err
	}
	return store.Ticks(ctx, q)
}

// errSettled ends an update that has nothing to change.
var errSettled = errors.New("nothing to change")

// update changes one schedule.
func (m *Manager) update(ctx context.Context, what, name string, change func(now time.Time, e *Entry) (Write, error)) (Entry, error) {
	var after Entry
	err := m.with(ctx, name, func(now time.Time, e Entry) (Change, error) {
		w, err := change(now, &e)
		if after = e; err != nil {
			return Change{}, err
		}
		return Change{Entry: e, Write: w}, nil
	})
	if err != nil && !errors.Is(err, errSettled) {
		return Entry{}, fmt.Errorf("%s schedule %.80s: %w", what, name, err)
	}
	return after, nil
}

func (m *Manager) with(ctx context.Context, name string, decide func(now time.Time, e Entry) (Change, error)) error {
	store, err := storeOf(m.Bus)
	if err != nil {
		return err
	}
	_, err = store.Update(ctx, Selection{Names: []string{name}}, func(now time.Time, found []Entry) ([]Change, error) {
		if len(found) == 0 {
			return nil, ErrNotFound
		}
		c, err := decide(now, found[0])
		return []Change{c}, err
	})
	return err
}

// Pause stops a schedule from firing until it is resumed; a deploy does not resume it. What it has dispatched goes on.
func (m *Manager) Pause(ctx context.Context, name string) (Entry, error) {
	return m.update(ctx, "pause", name, func(now time.Time, e *Entry) (Write, error) {
		if !e.Enabled {
			return "", errSettled
		}
		e.Enabled, e.UpdatedAt = false, now
		return Replace, nil
	})
}

// Resume lets a paused schedule fire again, from its next tick on. Those that passed meanwhile are not missed: nobody wanted
// them.
func (m *Manager) Resume(ctx context.Context, name string) (Entry, error) {
	return m.update(ctx, "resume", name, func(now time.Time, e *Entry) (Write, error) {
		if e.Enabled {
			return "", errSettled
		}
		e.Enabled, e.UpdatedAt = true, now
		return Replace, e.plan(now)
	})
}

// plan sets the next tick to the first one after now. Where the trigger is in Go and not known it stays as it was, and the policy for missed
// runs decides.
func (e *Entry) plan(now time.Time) error {
	c, err := e.calendar()
	if errors.Is(err, errNoTrigger) {
		return nil
	}
	e.NextRunAt = time.Time{}
	if err != nil || !e.DroppedAt.IsZero() || e.MaxRuns > 0 && e.RunCount >= e.MaxRuns {
		return err
	}
	e.NextRunAt, err = c.next(now)
	return err
}

// Edit changes a schedule by edit, which gets it as it is. Name, owner and kind custom stay. The edit lasts until the owner declares
// the schedule differently from before; then that counts. When anything changes that says when it ticks, it goes on with
// the first tick from now. dry changes nothing: it returns what the schedule would be.
func (m *Manager) Edit(ctx context.Context, name string, edit func(s *Schedule) error, dry bool) (Entry, error) {
	return m.update(ctx, "edit", name, func(now time.Time, e *Entry) (Write, error) {
		was := *e
		before := e.Schedule
		before.Exclude = slices.Clone(before.Exclude)
		after := e.Schedule
		after.Exclude = slices.Clone(after.Exclude)
		if err := edit(&after); err != nil {
			return "", err
		}
		if after.Name != before.Name || after.Owner != before.Owner {
			return "", invalid("edit of a schedule", after.Name, "one that leaves name and owner as they are")
		}
		if (after.Kind == KindCustom || before.Kind == KindCustom) && (after.Kind != before.Kind || after.Expression != before.Expression) {
			return "", invalid("kind of schedule", string(after.Kind), "as it is: the trigger is in Go")
		}
		if err := e.become(ctx, m.Bus, after, now); err != nil {
			return "", err
		}
		if reflect.DeepEqual(before, e.Schedule) {
			*e = was
			return "", errSettled
		}
		if e.EditedAt = now; dry {
			return "", errSettled
		}
		return Replace, nil
	})
}

// become makes e say what s says.
func (e *Entry) become(ctx context.Context, b *symphony.Bus, s Schedule, now time.Time) error {
	s.normal()
	if err := s.check(); err != nil && !errors.Is(err, errNoTrigger) {
		return err
	}
	if !reflect.DeepEqual(s.Message, e.Message) {
		// It has the stamps of its route already.
		if err := s.Message.prepareData(ctx, &symphony.Bus{Transport: b.Transport, MaxBody: b.MaxBody, Logger: b.Logger}); err != nil {
			return err
		}
	}
	moved := !s.ticksLike(&e.Schedule)
	e.Schedule, e.UpdatedAt = s, now
	if moved {
		return e.plan(now)
	}
	return nil
}

// ticksLike reports whether s and other have the same ticks.
func (s *Schedule) ticksLike(other *Schedule) bool {
	return s.Kind == other.Kind && s.Expression == other.Expression && s.Timezone == other.Timezone && s.Anchor.Equal(other.Anchor) &&
		s.From.Equal(other.From) && s.Until.Equal(other.Until) && s.MaxRuns == other.MaxRuns && slices.EqualFunc(s.Exclude, other.Exclude, func(a, b Period) bool {
		return a.From.Equal(b.From) && a.Until.Equal(b.Until)
	})
}

// Delete deletes a schedule with its ticks, whoever owns it. What it has dispatched stays. When a program declares
// it, the next deploy adds it again.
func (m *Manager) Delete(ctx context.Context, name string) error {
	_, err := m.update(ctx, "delete", name, func(time.Time, *Entry) (Write, error) { return Remove, nil })
	return err
}

// Run dispatches the message of a schedule now, also when it is paused, whatever lives of it. That is no run of its own:
// the ticks stay as they are, and it does not count.
func (m *Manager) Run(ctx context.Context, name string) (Tick, error) {
	var changes []Change
	for {
		err := m.with(ctx, name, func(now time.Time, e Entry) (Change, error) {
			at := stored(now)
			t := Tick{Schedule: name, At: at, Outcome: TickManual, RecordedAt: now, Runs: 1, Envelope: e.envelope(at, false)}
			changes = []Change{{Entry: e.madeBy(now), Write: Advance, Ticks: []Tick{t}, Keep: keptTicks}}
			return changes[0], nil
		})
		if err != nil {
			return Tick{}, fmt.Errorf("run schedule %.80s: %w", name, err)
		}
		if t := changes[0].Ticks[0]; !t.Repeated { // else there was another run in the same millisecond
			return t, nil
		}
		if sleep.For(ctx, time.Millisecond) != nil {
			return Tick{}, ctx.Err()
		}
	}
}

// madeBy is e after a run outside its ticks: the last messages are those that live, and Update adds the new ones.
func (e *Entry) madeBy(now time.Time) Entry {
	after := *e
	after.LastRunAt, after.LastMessages = now, nil
	for _, l := range e.Live[max(0, len(e.Live)-keptMessages):] {
		after.LastMessages = append(after.LastMessages, l.ID)
	}
	return after
}

// Now is the store's clock.
func (m *Manager) Now(ctx context.Context) (time.Time, error) {
	store, err := storeOf(m.Bus)
	if err != nil {
		return time.Time{}, err
	}
	u, err := store.Update(ctx, Selection{}, func(time.Time, []Entry) ([]Change, error) { return nil, nil })
	return u.Now, err
}
