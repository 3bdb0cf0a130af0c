package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// Claims pass over messages of paused types. So that they need not pass over many, what comes near the begin of a queue is set
// aside: the first asideRows of each queue and priority are looked at, and asideRows are moved by one statement.
const (
	asideRows = 5000
	// A statement that began before a pause ended may still act on it.
	resumedAfter = 2 * callTimeout
)

// Pause implements [monitor.Pauser].
func (t *Transport) Pause(ctx context.Context, p monitor.Pause) error {
	err := p.Check()
	if err == nil {
		err = t.check(ctx)
	}
	if err == nil {
		_, err = t.number(ctx, t.sql.pause, string(p.Kind), p.Name, p.By)
	}
	if err != nil {
		return t.fail(fmt.Sprintf("pause %s %s in", p.Kind, p.Name), ended(ctx, err))
	}
	if p.Kind == monitor.PausedType {
		t.beginPauses(ctx)
	}
	return nil
}

// Resume implements [monitor.Pauser].
func (t *Transport) Resume(ctx context.Context, p monitor.Pause) error {
	n := 0
	err := p.Check()
	if err == nil {
		err = t.check(ctx)
	}
	if err == nil {
		n, err = t.number(ctx, t.sql.resume, string(p.Kind), p.Name)
	}
	if err == nil && n == 0 {
		err = monitor.ErrNotFound
	}
	if err != nil {
		return t.fail(fmt.Sprintf("resume %s %s in", p.Kind, p.Name), ended(ctx, err))
	}
	if p.Kind == monitor.PausedType {
		t.beginPauses(ctx)
	}
	t.floors.back()
	t.stir()
	if p.Kind == monitor.PausedQueue {
		t.announceQueues(p.Name)
	}
	return nil
}

// Pauses implements [monitor.Pauser].
func (t *Transport) Pauses(ctx context.Context) (all []monitor.Pause, err error) {
	err = t.read(ctx, func(ctx context.Context, ex executor) error {
		all = nil
		return ex.query(ctx, t.sql.pauses, nil, func(scan scanner) error {
			var p monitor.Pause
			err := scan(&p.Kind, &p.Name, &p.Since, &p.By, &p.Resuming)
			p.Since = p.Since.UTC()
			all = append(all, p)
			return err
		})
	})
	if err != nil {
		return nil, t.fail("list pauses of", ended(ctx, err))
	}
	return all, nil
}

// beginPauses does a little of what workers go on with, so that little is done at once.
func (t *Transport) beginPauses(ctx context.Context) {
	if err := t.tidyPauses(ctx, 50*time.Millisecond, asideRows/5); err != nil {
		t.service.complain("set messages of paused types aside", err)
	}
}

// tidyPauses sets messages of paused types aside and brings back those of types that are not paused any more, in steps of so many rows,
// for as long as there are some, but about most.
func (t *Transport) tidyPauses(ctx context.Context, most time.Duration, rows int) error {
	var paused, resumed bool
	if err := within(ctx, func(ctx context.Context) error { return t.upkeep.QueryRow(ctx, t.sql.pausing).Scan(&paused, &resumed) }); err != nil {
		return err
	}
	for begun := time.Now(); (paused || resumed) && time.Since(begun) < most; {
		if resumed {
			n, err := t.number(ctx, t.sql.bringBack, rows)
			if err != nil {
				return err
			}
			if t.service.changed(n); n > 0 {
				t.floors.back()
				t.stir()
			} else if _, err := t.upkeep.Exec(ctx, t.sql.resumed, resumedAfter.Milliseconds()); err != nil {
				return err
			}
			resumed = n == rows
		}
		if paused {
			n, err := t.number(ctx, t.sql.setAside, rows, rows)
			if err != nil {
				return err
			}
			t.service.changed(n)
			paused = n > 0
		}
	}
	return nil
}

// meet lets a worker be known before it has had a message. Its heartbeats do so from then on.
func (t *Transport) meet(ctx context.Context, c symphony.Claim) {
	seen := t.sight(c.Worker)
	if seen.met.Load() {
		return
	}
	names, _ := queuesOf(c)
	err := within(ctx, func(ctx context.Context) error {
		_, err := t.work.Exec(ctx, t.sql.present, c.Worker, max(c.Lease.Milliseconds(), 1), names)
		return err
	})
	if err == nil { // else it is known when it has had one
		seen.met.Store(true)
	}
}

// Workers implements [monitor.Crew].
func (t *Transport) Workers(ctx context.Context) (all []monitor.Worker, err error) {
	err = t.read(ctx, func(ctx context.Context, ex executor) error {
		all = nil
		return ex.query(ctx, t.sql.workers, []any{monitor.MaxRunning}, func(scan scanner) error {
			var w monitor.Worker
			var lease int64
			var id *[16]byte
			var typ, queue *string
			var attempt *int
			var since *time.Time
			var cancelled *bool
			err := scan(&w.Identity, &w.StartedAt, &w.AliveUntil, &lease, &w.Queues, &w.Count, &id, &typ, &queue, &attempt, &since, &cancelled)
			if err != nil {
				return err
			}
			if len(all) == 0 || all[len(all)-1].Identity != w.Identity {
				w.StartedAt, w.AliveUntil, w.Lease = w.StartedAt.UTC(), w.AliveUntil.UTC(), time.Duration(lease)*time.Millisecond
				all = append(all, w)
			}
			if id != nil {
				last := &all[len(all)-1]
				last.Running = append(last.Running, monitor.Running{
					ID: *id, Type: *typ, Queue: *queue, Attempt: *attempt, Since: instant(since), Cancelled: *cancelled,
				})
			}
			return nil
		})
	})
	if err != nil {
		return nil, t.fail("list workers of", ended(ctx, err))
	}
	return all, nil
}

// Subscribers implements [monitor.Subscriptions].
func (t *Transport) Subscribers(ctx context.Context) (all []monitor.Subscriber, err error) {
	err = t.read(ctx, func(ctx context.Context, ex executor) error {
		all = nil
		return ex.query(ctx, t.sql.subscribers, nil, func(scan scanner) error {
			var s monitor.Subscriber
			var stamps string
			if err := scan(&stamps, &s.CreatedAt, &s.LastSeen); err != nil {
				return err
			}
			s.CreatedAt, s.LastSeen = s.CreatedAt.UTC(), s.LastSeen.UTC()
			err := json.Unmarshal([]byte(stamps), &s.Subscription)
			all = append(all, s)
			return err
		})
	})
	if err != nil {
		return nil, t.fail("list subscriptions of", ended(ctx, err))
	}
	return all, nil
}

// Unsubscribe implements [monitor.Subscriptions].
func (t *Transport) Unsubscribe(ctx context.Context, messageType, subscriber string) error {
	what := fmt.Sprintf("unsubscribe %q from %s in", subscriber, messageType)
	if err := symphony.CheckType(messageType); err != nil {
		return t.fail(what, err)
	}
	n := 0
	err := t.check(ctx)
	if err == nil {
		n, err = t.number(ctx, t.sql.unsubscribe, messageType, subscriber)
	}
	if err == nil && n == 0 {
		err = monitor.ErrNotFound
	}
	if err != nil {
		return t.fail(what, ended(ctx, err))
	}
	return nil
}
