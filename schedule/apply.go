package schedule

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/symphony-messenger/symphony"
)

// An Action is what [Manager.Apply] does with a schedule.
type Action string

// The actions.
const (
	Added     Action = "added"
	Changed   Action = "changed"
	Unchanged Action = "unchanged"
	Removed   Action = "dropped" // it fires no more; its ticks stay until somebody deletes it
)

// An Applied says what became of one schedule, and which of its fields changed.
type Applied struct {
	Name   string   `json:"name"`
	Action Action   `json:"action"`
	Fields []string `json:"fields,omitempty"`
}

// Apply makes the schedules of owner in the store those that are declared: it adds new ones, changes those whose declaration has changed,
// and drops those that are declared no more: they stop, and begin anew with the next tick when they are declared
// again. One that was edited by hand keeps the edit as long as its declaration stays the same, and one that was paused stays
// paused. It returns what became of each, by name, and does not touch the schedules of others: a name that
// somebody else has is an *[OwnedError], and nothing is changed. dry changes nothing at all.
func (m *Manager) Apply(ctx context.Context, owner string, declared []Schedule, dry bool) ([]Applied, error) {
	return m.apply(ctx, owner, declared, application{drops: true, dry: dry})
}

// Merge is Apply that drops nothing: what owner has beside those that are declared stays as it is.
func (m *Manager) Merge(ctx context.Context, owner string, declared []Schedule, dry bool) ([]Applied, error) {
	return m.apply(ctx, owner, declared, application{dry: dry})
}

func (m *Manager) apply(ctx context.Context, owner string, declared []Schedule, a application) ([]Applied, error) {
	if err := a.take(ctx, m.Bus, owner, declared); err != nil {
		return nil, fmt.Errorf("apply schedules of %.80s: %w", owner, err)
	}
	store, err := storeOf(m.Bus)
	if err != nil {
		return nil, err
	}
	which := Selection{Names: slices.Collect(maps.Keys(a.declared))}
	if a.drops {
		which.Owner = owner
	}
	_, err = store.Update(ctx, which, func(now time.Time, found []Entry) ([]Change, error) {
		changes, err := a.decide(now, found)
		if err == nil && (a.dry || len(changes) == 0) {
			err = errSettled
		}
		return changes, err
	})
	if err != nil && !errors.Is(err, errSettled) {
		return nil, fmt.Errorf("apply schedules of %s: %w", owner, err)
	}
	return a.applied, nil
}

// An application is one call of Apply or Merge.
type application struct {
	drops    bool // what is declared no more
	dry      bool
	owner    string
	declared map[string]Schedule
	prints   map[string]string
	applied  []Applied
}

// take checks what is declared, and makes it what a store keeps.
func (a *application) take(ctx context.Context, b *symphony.Bus, owner string, declared []Schedule) error {
	if err := checkOwner(owner); err != nil {
		return err
	}
	a.owner, a.declared, a.prints = owner, make(map[string]Schedule, len(declared)), make(map[string]string, len(declared))
	for _, s := range declared {
		s.Owner = owner
		s.Exclude = slices.Clone(s.Exclude)
		s.normal()
		if err := s.check(); err != nil {
			return fmt.Errorf("schedule %.80s: %w", s.Name, err)
		}
		if !s.prepared {
			if err := s.Message.prepareData(ctx, b); err != nil {
				return fmt.Errorf("schedule %s: %w", s.Name, err)
			}
		}
		if _, twice := a.declared[s.Name]; twice {
			return invalid("schedule", s.Name, "declared once")
		}
		var err error
		if a.prints[s.Name], err = s.fingerprint(); err != nil {
			return err
		}
		a.declared[s.Name] = s
	}
	return nil
}

func (a *application) decide(now time.Time, found []Entry) (changes []Change, err error) {
	a.applied = nil
	there := make(map[string]Entry, len(found))
	for _, e := range found {
		if _, ok := a.declared[e.Name]; ok && e.Owner != a.owner {
			return nil, &OwnedError{Name: e.Name, Owner: e.Owner}
		}
		there[e.Name] = e
	}
	for _, name := range slices.Sorted(maps.Keys(a.declared)) {
		s := a.declared[name]
		e, ok := there[name]
		write := Replace
		done := Applied{Name: name, Action: Unchanged}
		switch {
		case !ok:
			e = Entry{Schedule: s, Enabled: !s.Paused, CreatedAt: now, UpdatedAt: now, Declared: a.prints[name]}
			write, done.Action, err = Create, Added, e.plan(now)
		case e.Declared != a.prints[name] || !e.DroppedAt.IsZero():
			e.Paused = strings.HasSuffix(e.Declared, pausedMark)
			done.Action, done.Fields = Changed, differences(&e.Schedule, &s)
			err = e.declare(s, a.prints[name], now)
		}
		if err != nil {
			return nil, fmt.Errorf("schedule %s: %w", name, err)
		}
		if a.applied = append(a.applied, done); done.Action != Unchanged {
			changes = append(changes, Change{Entry: e, Write: write})
		}
	}
	for _, e := range found {
		if _, ok := a.declared[e.Name]; !a.drops || ok || e.Owner != a.owner || !e.DroppedAt.IsZero() {
			continue
		}
		e.DroppedAt, e.UpdatedAt, e.NextRunAt = now, now, time.Time{}
		changes = append(changes, Change{Entry: e, Write: Replace})
		a.applied = append(a.applied, Applied{Name: e.Name, Action: Removed})
	}
	return changes, nil
}

// declare makes e what its owner says now.
func (e *Entry) declare(s Schedule, fingerprint string, now time.Time) error {
	moved := !s.ticksLike(&e.Schedule) || !e.DroppedAt.IsZero()
	if e.Paused != s.Paused {
		moved = moved || !e.Enabled // nobody wanted the ticks of a pause
		e.Enabled = !s.Paused
	}
	e.Schedule, e.Declared, e.UpdatedAt = s, fingerprint, now
	e.EditedAt, e.DroppedAt = time.Time{}, time.Time{}
	if moved {
		return e.plan(now)
	}
	return nil
}

const pausedMark = " paused"

// fingerprint tells declarations apart, also after an upgrade: of all that is set.
func (s *Schedule) fingerprint() (string, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	mark := hex.EncodeToString(sum[:16])
	if s.Paused {
		mark += pausedMark
	}
	return mark, nil
}

// differences names the fields in which two schedules differ.
func differences(before, after *Schedule) (names []string) {
	was, is := before.fields(), after.fields()
	for name := range is {
		if !bytes.Equal(was[name], is[name]) {
			names = append(names, name)
		}
	}
	for name := range was {
		if _, ok := is[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// fields is s in JSON, with the parts of the message as fields of their own.
func (s *Schedule) fields() map[string]json.RawMessage {
	all := make(map[string]json.RawMessage)
	text, err := json.Marshal(s)
	if err != nil || json.Unmarshal(text, &all) != nil {
		return all
	}
	message := make(map[string]json.RawMessage)
	if json.Unmarshal(all["message"], &message) == nil {
		delete(all, "message")
		for name, value := range message {
			all["message."+name] = value
		}
	}
	return all
}
