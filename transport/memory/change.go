package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// change changes live messages and gives each its answer.
func (t *Transport) change(ctx context.Context, verb string, ids []symphony.ID, do func(m *message, now time.Time) error) ([]error, error) {
	now, err := t.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer t.mu.Unlock()
	errs := make([]error, len(ids))
	for i, id := range ids {
		m := t.messages[id]
		err := monitor.ErrNotFound
		if m != nil && live(m.status) {
			err = do(m, now)
		}
		if err != nil {
			errs[i] = fmt.Errorf("%s message %s: %w", verb, id, err)
		}
	}
	return errs, nil
}

// CancelAll implements [monitor.Changer].
func (t *Transport) CancelAll(ctx context.Context, ids []symphony.ID) ([]error, error) {
	return t.change(ctx, "cancel", ids, func(m *message, now time.Time) error {
		if m.status == monitor.Processing {
			m.cancelled = true
		} else {
			t.finish(m, monitor.Cancelled, now)
		}
		return nil
	})
}

// Reschedule implements [monitor.Changer].
func (t *Transport) Reschedule(ctx context.Context, ids []symphony.ID, due monitor.Due) ([]error, error) {
	if err := due.Check(); err != nil {
		return nil, fmt.Errorf("reschedule messages: %w", err)
	}
	return t.change(ctx, "reschedule", ids, func(m *message, now time.Time) error {
		if m.status == monitor.Processing {
			return monitor.ErrNotFound
		}
		m.leave()
		m.waitFor("")
		m.available = max(roundUp(due.At), now.UnixMilli())
		if due.Delay > 0 {
			m.available = roundUp(now.Add(due.Delay))
		}
		t.enqueue(m, now)
		return nil
	})
}

// Prioritize implements [monitor.Changer].
func (t *Transport) Prioritize(ctx context.Context, ids []symphony.ID, priority int) ([]error, error) {
	if priority < 1 || priority > 10 {
		return nil, &symphony.InvalidError{What: "priority", Value: fmt.Sprint(priority), Rule: "between 1 and 10"}
	}
	return t.change(ctx, "prioritize", ids, func(m *message, _ time.Time) error {
		if m.status == monitor.Processing {
			return monitor.ErrNotFound
		}
		x := m.in[byOrder]
		if x != nil {
			x.remove(m)
		}
		m.env = clone(m.env)
		m.env.Priority = priority
		if x != nil {
			x.add(m)
		}
		return nil
	})
}

// RetryEdited implements [monitor.Editor].
func (t *Transport) RetryEdited(ctx context.Context, id symphony.ID, e monitor.Edit) error {
	errs, err := t.eachLetter(ctx, []symphony.ID{id}, "retry", func(m *message, now time.Time) error {
		if err := e.Check(m.env.ContentType); err != nil {
			return err
		}
		before := m.env
		m.env = clone(m.env)
		m.env.Body = slices.Clone(e.Body)
		m.env.ContentType = cmp.Or(e.ContentType, before.ContentType)
		err := t.revive(m, now)
		if err != nil {
			m.env = before
		}
		return err
	})
	if err == nil {
		err = errs[0]
	}
	return err
}

type pauseName struct {
	kind monitor.PauseKind
	name string
}

// Pause implements [monitor.Pauser].
func (t *Transport) Pause(ctx context.Context, p monitor.Pause) error {
	if err := p.Check(); err != nil {
		return err
	}
	now, err := t.begin(ctx)
	if err != nil {
		return err
	}
	defer t.mu.Unlock()
	name := pauseName{p.Kind, p.Name}
	if _, there := t.pauses[name]; !there {
		p.Since = timeOf(now.UnixMilli())
		t.pauses[name] = p
	}
	return nil
}

// Resume implements [monitor.Pauser].
func (t *Transport) Resume(ctx context.Context, p monitor.Pause) error {
	if err := p.Check(); err != nil {
		return err
	}
	if _, err := t.begin(ctx); err != nil {
		return err
	}
	defer t.mu.Unlock()
	name := pauseName{p.Kind, p.Name}
	if _, there := t.pauses[name]; !there {
		return fmt.Errorf("resume %s %s: %w", p.Kind, p.Name, monitor.ErrNotFound)
	}
	delete(t.pauses, name)
	for w := range t.waiters {
		t.wake(w)
	}
	return nil
}

// Pauses implements [monitor.Pauser].
func (t *Transport) Pauses(ctx context.Context) (all []monitor.Pause, err error) {
	if _, err := t.begin(ctx); err != nil {
		return nil, err
	}
	defer t.mu.Unlock()
	for _, p := range t.pauses {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b monitor.Pause) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	return all, nil
}

func (t *Transport) paused(kind monitor.PauseKind, name string) bool {
	_, paused := t.pauses[pauseName{kind, name}]
	return paused
}

// Workers implements [monitor.Crew]. It knows only those that have something: nobody else's process is here.
func (t *Transport) Workers(ctx context.Context) (all []monitor.Worker, err error) {
	if _, err := t.begin(ctx); err != nil {
		return nil, err
	}
	defer t.mu.Unlock()
	for _, w := range t.workers {
		one := monitor.Worker{Identity: w.name, StartedAt: timeOf(w.started), AliveUntil: timeOf(w.until), Lease: w.lease, Count: len(w.held), Queues: slices.Sorted(maps.Keys(w.queues))}
		for _, m := range w.held {
			one.Running = append(one.Running, monitor.Running{
				ID: m.env.ID, Type: m.env.Type, Queue: m.env.Queue, Attempt: m.retries + 1, Since: timeOf(m.lease.since), Cancelled: m.cancelled,
			})
		}
		slices.SortFunc(one.Running, func(a, b monitor.Running) int {
			return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID.String(), b.ID.String()))
		})
		one.Running = one.Running[:min(len(one.Running), monitor.MaxRunning)]
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b monitor.Worker) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.Identity, b.Identity))
	})
	return all, nil
}
