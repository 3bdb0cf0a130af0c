package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// Claims pass over messages of paused types. So that they need not pass over many, those among the first asideDepth of a queue are set
// aside before it is claimed from; what is resumed comes back in steps of backRows. Each step holds the write lock.
const (
	asideDepth = 1000
	backRows   = 1000
)

// A pausing is what is paused, as a claim must know it.
type pausing struct{ queues, types []string }

// pausing reads what is paused, and brings some messages back of types that are not paused any more.
func (t *Transport) pausing(q *queries) (p pausing, err error) {
	resumed := false
	err = q.each("select kind, name, resumed_at is not null from messenger_pauses", nil, func(rows *sql.Rows) error {
		var kind monitor.PauseKind
		var name string
		var over bool
		if err := rows.Scan(&kind, &name, &over); err != nil {
			return err
		}
		switch {
		case over:
			resumed = true
		case kind == monitor.PausedQueue:
			p.queues = append(p.queues, name)
		default:
			p.types = append(p.types, name)
		}
		return nil
	})
	if err == nil && resumed {
		_, err = bringBack(q)
	}
	return p, err
}

// bringBack reports whether there is more.
func bringBack(q *queries) (more bool, err error) {
	n, err := q.affected(sqlBringBack, backRows)
	if err != nil {
		return false, err
	}
	q.ready = q.ready || n > 0
	if n < backRows {
		err = q.exec(sqlResumed)
	}
	return n == backRows, err
}

func (p pausing) setAside(q *queries, queue string) error {
	if len(p.types) == 0 {
		return nil
	}
	return q.exec(sqlSetAside, queue, asideDepth)
}

// Pause implements [monitor.Pauser].
func (t *Transport) Pause(ctx context.Context, p monitor.Pause) error {
	err := p.Check()
	if err == nil {
		err = t.write(ctx, func(q *queries) error { return q.exec(sqlPause, string(p.Kind), p.Name, t.clock(), p.By) })
	}
	if err != nil {
		return t.fail(fmt.Sprintf("pause %s %s in", p.Kind, p.Name), err)
	}
	return nil
}

// Resume implements [monitor.Pauser].
func (t *Transport) Resume(ctx context.Context, p monitor.Pause) error {
	err := p.Check()
	if err == nil {
		err = t.write(ctx, func(q *queries) error {
			text := "delete from messenger_pauses where kind = 'queue' and name = ?1 and ?2 > 0"
			if p.Kind == monitor.PausedType {
				text = "update messenger_pauses set resumed_at = ?2 where kind = 'type' and name = ?1 and resumed_at is null"
			}
			n, err := q.affected(text, p.Name, t.clock())
			if err == nil && n == 0 {
				err = monitor.ErrNotFound
			}
			if err == nil {
				_, err = bringBack(q)
			}
			q.ready = true
			return err
		})
	}
	if err != nil {
		return t.fail(fmt.Sprintf("resume %s %s in", p.Kind, p.Name), err)
	}
	return nil
}

// Pauses implements [monitor.Pauser].
func (t *Transport) Pauses(ctx context.Context) (all []monitor.Pause, err error) {
	err = t.read(ctx, func(q *queries) error {
		return q.each("select kind, name, paused_at, paused_by, resumed_at is not null from messenger_pauses order by kind, name", nil, func(rows *sql.Rows) error {
			var p monitor.Pause
			var since int64
			err := rows.Scan(&p.Kind, &p.Name, &since, &p.By, &p.Resuming)
			p.Since = time.UnixMilli(since).UTC()
			all = append(all, p)
			return err
		})
	})
	if err != nil {
		return nil, t.fail("list pauses of", err)
	}
	return all, nil
}

// meet lets a worker be known before it has had a message. Its heartbeats do so from then on.
func (t *Transport) meet(ctx context.Context, c symphony.Claim) {
	if _, known := t.workers.Load(c.Worker); known {
		return
	}
	err := t.write(ctx, func(q *queries) error {
		_, err := note(q, c, t.clock())
		return err
	})
	if err == nil { // else it is known when it has had one
		t.workers.Store(c.Worker, true)
	}
}

// note writes that c.Worker lives, and returns its number.
func note(q *queries, c symphony.Claim, now int64) (worker int64, err error) {
	lease := max(c.Lease.Milliseconds(), 1)
	names := make([]string, len(c.Queues))
	for i, queue := range c.Queues {
		names[i] = queue.Name
	}
	slices.Sort(names)
	_, err = q.one(sqlWorker, []any{c.Worker, now, now + lease, lease, array(names)}, &worker)
	return worker, err
}

// Workers implements [monitor.Crew].
func (t *Transport) Workers(ctx context.Context) (all []monitor.Worker, err error) {
	err = t.read(ctx, func(q *queries) error {
		return q.each(sqlWorkers, []any{t.clock(), monitor.MaxRunning}, func(rows *sql.Rows) error {
			var w monitor.Worker
			var started, alive, lease int64
			var queues string
			var id []byte
			var typ, queue sql.NullString
			var attempt, since sql.NullInt64
			var cancelled sql.NullBool
			if err := rows.Scan(&w.Identity, &started, &alive, &lease, &queues, &w.Count, &id, &typ, &queue, &attempt, &since, &cancelled); err != nil {
				return err
			}
			if len(all) == 0 || all[len(all)-1].Identity != w.Identity {
				w.StartedAt, w.AliveUntil, w.Lease = time.UnixMilli(started).UTC(), time.UnixMilli(alive).UTC(), milliseconds(lease)
				if err := json.Unmarshal([]byte(queues), &w.Queues); err != nil {
					return fmt.Errorf("queues of worker %s: %w", w.Identity, err)
				}
				all = append(all, w)
			}
			if typ.Valid {
				last := &all[len(all)-1]
				last.Running = append(last.Running, monitor.Running{
					ID: symphony.ID(id), Type: typ.String, Queue: queue.String, Attempt: int(attempt.Int64), Since: instant(since), Cancelled: cancelled.Bool,
				})
			}
			return nil
		})
	})
	if err != nil {
		return nil, t.fail("list workers of", err)
	}
	return all, nil
}

// Subscribers implements [monitor.Subscriptions].
func (t *Transport) Subscribers(ctx context.Context) (all []monitor.Subscriber, err error) {
	err = t.read(ctx, func(q *queries) error {
		return q.each("select stamps, created_at, last_seen from messenger_subscriptions order by message_type, subscriber", nil, func(rows *sql.Rows) error {
			var s monitor.Subscriber
			var stamps string
			var created, seen int64
			if err := rows.Scan(&stamps, &created, &seen); err != nil {
				return err
			}
			s.CreatedAt, s.LastSeen = time.UnixMilli(created).UTC(), time.UnixMilli(seen).UTC()
			err := json.Unmarshal([]byte(stamps), &s.Subscription)
			all = append(all, s)
			return err
		})
	})
	if err != nil {
		return nil, t.fail("list subscriptions of", err)
	}
	return all, nil
}

// Unsubscribe implements [monitor.Subscriptions].
func (t *Transport) Unsubscribe(ctx context.Context, messageType, subscriber string) error {
	err := symphony.CheckType(messageType)
	if err == nil {
		err = t.write(ctx, func(q *queries) error {
			n, err := q.affected("delete from messenger_subscriptions where message_type = ? and subscriber = ?", messageType, subscriber)
			if err == nil && n == 0 {
				err = monitor.ErrNotFound
			}
			return err
		})
	}
	if err != nil {
		return t.fail(fmt.Sprintf("unsubscribe %q from %s in", subscriber, messageType), err)
	}
	return nil
}
