package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// A waitingMessage is what a change must know of a live message.
type waitingMessage struct {
	seq        int64
	queue, typ string
	status     monitor.Status
	group      sql.NullString
	unhandled  bool // it waits for a handler
}

// change changes live messages in one transaction and gives each its answer.
func (t *Transport) change(ctx context.Context, what string, ids []symphony.ID, do func(q *queries, m waitingMessage) error) ([]error, error) {
	answers := make([]error, len(ids))
	err := t.write(ctx, func(q *queries) error {
		for i, id := range ids {
			var m waitingMessage
			found, err := q.one(`select seq, queue_name, message_type, status, group_key, coalesce(waiting_for = 'handler', 0)
from messenger_messages where id = ?`, []any{id[:]}, &m.seq, &m.queue, &m.typ, &m.status, &m.group, &m.unhandled)
			if err == nil && found {
				err = do(q, m)
			}
			switch {
			case err == nil && found:
				answers[i] = nil
			case err == nil, err == monitor.ErrNotFound:
				answers[i] = fmt.Errorf("message %s: %w", id, monitor.ErrNotFound)
			default:
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, t.fail(what, err)
	}
	return answers, nil
}

// CancelAll implements [monitor.Changer].
func (t *Transport) CancelAll(ctx context.Context, ids []symphony.ID) ([]error, error) {
	return t.change(ctx, "cancel messages in", ids, func(q *queries, m waitingMessage) error {
		if m.status == monitor.Processing {
			return q.exec("update messenger_messages set cancel_requested = 1 where seq = ?", m.seq)
		}
		return t.cancelWaiting(q, m.seq, t.clock())
	})
}

// Reschedule implements [monitor.Changer].
func (t *Transport) Reschedule(ctx context.Context, ids []symphony.ID, due monitor.Due) ([]error, error) {
	if err := due.Check(); err != nil {
		return nil, t.fail("reschedule messages in", err)
	}
	at := due.At.UnixMilli()
	if due.At.After(time.UnixMilli(at)) {
		at++
	}
	return t.change(ctx, "reschedule messages in", ids, func(q *queries, m waitingMessage) error {
		if m.status == monitor.Processing {
			return monitor.ErrNotFound
		}
		if due.Delay > 0 {
			return t.reschedule(q, m, addTime(t.clock(), due.Delay))
		}
		return t.reschedule(q, m, at)
	})
}

// reschedule makes a message that waits due at a time, or now.
func (t *Transport) reschedule(q *queries, m waitingMessage, due int64) error {
	now, becomes := t.clock(), monitor.Pending
	if due > now {
		becomes = monitor.Scheduled
	}
	if m.unhandled {
		q.count(m.queue, m.typ, noHandler, -1)
	}
	if m.status != becomes {
		q.move(m.queue, m.typ, m.status, becomes)
	}
	q.ready = true
	if err := q.exec(sqlReschedule, m.seq, string(becomes), max(due, now)); err != nil || !m.group.Valid || becomes != monitor.Pending {
		return err
	}
	if err := t.promote(q, now); err != nil { // those of its group that have become due meanwhile were there first
		return err
	}
	return q.hold(member{seq: m.seq, queue: m.queue, group: m.group.String})
}

// replace does what env wants with the message that has its key. One that waits gets its content; one that is being handled loses the
// key to it, so that it can be stored: free. One that has ended keeps it as long as it is taken.
func (in *inserting) replace(env *symphony.Envelope, holder symphony.ID) (free bool, err error) {
	var m waitingMessage
	found, err := in.q.one(`select seq, queue_name, message_type, status, group_key, coalesce(waiting_for = 'handler', 0)
from messenger_messages where id = ?`, []any{holder[:]}, &m.seq, &m.queue, &m.typ, &m.status, &m.group, &m.unhandled)
	if err != nil || !found {
		return false, err
	}
	hash := sha256.Sum256(env.Body)
	if m.status == monitor.Processing {
		return true, in.q.exec(sqlHandOver, env.Type, env.Subscriber, env.Key, env.ID[:], hash[:], addTime(in.now, env.Window))
	}
	r, err := in.row(env)
	if err == nil {
		err = in.q.exec(sqlReplace, m.seq, env.Priority, env.MaxRetries, r.headers, r.tags, env.Version, env.ContentType, r.body)
	}
	if err == nil {
		err = in.q.exec(sqlHandOver, env.Type, env.Subscriber, env.Key, holder[:], hash[:], nil)
	}
	if err == nil && env.WhenTaken == symphony.DebounceWaiting {
		if err = in.q.exec("update messenger_messages set scheduled_at = ? where seq = ?", r.scheduled, m.seq); err == nil {
			err = in.t.reschedule(in.q, m, r.available)
		}
	}
	in.replaced = in.replaced || err == nil
	return false, err
}

// Prioritize implements [monitor.Changer].
func (t *Transport) Prioritize(ctx context.Context, ids []symphony.ID, priority int) ([]error, error) {
	if priority < 1 || priority > 10 {
		return nil, t.fail("change priorities in", &symphony.InvalidError{What: "priority", Value: fmt.Sprint(priority), Rule: "between 1 and 10"})
	}
	return t.change(ctx, "change priorities in", ids, func(q *queries, m waitingMessage) error {
		if m.status == monitor.Processing {
			return monitor.ErrNotFound
		}
		return q.exec("update messenger_messages set priority = ? where seq = ?", priority, m.seq)
	})
}

// RetryEdited implements [monitor.Editor].
func (t *Transport) RetryEdited(ctx context.Context, id symphony.ID, e monitor.Edit) error {
	if e.Body == nil {
		e.Body = []byte{}
	}
	err := t.write(ctx, func(q *queries) error {
		d := deadLetter{id: id}
		var contentType string
		found, err := q.one("select queue_name, message_type, subscriber, idempotency_key, group_key, content_type from messenger_failed_messages where id = ?",
			[]any{id[:]}, &d.queue, &d.typ, &d.subscriber, &d.key, &d.group, &contentType)
		if err == nil && !found {
			err = monitor.ErrNotFound
		}
		if err == nil {
			err = e.Check(contentType)
		}
		if err != nil {
			return err
		}
		err = q.exec("update messenger_failed_messages set body = ?, content_type = coalesce(?, content_type) where id = ?", e.Body, null(e.ContentType), id[:])
		if err != nil {
			return err
		}
		return t.revive(q, d)
	})
	if err != nil {
		return t.fail(fmt.Sprintf("retry dead letter %s, edited, in", id), err)
	}
	return nil
}
