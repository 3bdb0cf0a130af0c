package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/search"
	"github.com/symphony-messenger/symphony/monitor"
)

// Failed implements [monitor.DeadLetters].
func (t *Transport) Failed(ctx context.Context, f monitor.Filter) (page monitor.Page, err error) {
	err = t.read(ctx, func(q *queries) (err error) {
		page, err = search.Letters(&letters{q, &f}, &f)
		return err
	})
	if err != nil {
		return monitor.Page{}, t.fail("list dead letters of", err)
	}
	return page, nil
}

// A letters is a [search.LetterStore] for one call.
type letters struct {
	q      *queries
	filter *monitor.Filter
}

func (l *letters) Portion(below int64, most int) (p search.Portion[int64], err error) {
	var ids any
	f := l.filter
	if len(f.IDs) > 0 {
		ids = hexes(f.IDs)
	}
	args := []any{
		below, search.Rows, ids, most, null(f.Type), null(f.Queue), null(string(f.Reason)), null(f.Class), null(f.Fingerprint), moment(f.Since), moment(f.Until),
	}
	err = l.q.each(sqlLetters, args, func(rows *sql.Rows) error {
		var last, seq sql.NullInt64
		var id []byte
		if err := rows.Scan(&p.Read, &last, &seq, &id); err != nil {
			return err
		}
		if p.Last = last.Int64; seq.Valid {
			p.Hits = append(p.Hits, search.Hit[int64]{Key: seq.Int64, ID: symphony.ID(id), Place: search.Failed})
		}
		return nil
	})
	return p, err
}

func (l *letters) Records(_ search.Place, ids []symphony.ID) ([]monitor.Record, error) {
	return records(l.q, sqlRecordDead, []any{hexes(ids)})
}

// hexes are ids as statements take them.
func hexes(ids []symphony.ID) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = hex.EncodeToString(id[:])
	}
	return array(texts)
}

// moment is the argument for a time, which may be none.
func moment(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

// RetryFailed implements [monitor.DeadLetters].
func (t *Transport) RetryFailed(ctx context.Context, ids []symphony.ID) ([]error, error) {
	return t.repair(ctx, "retry dead letters of", ids, t.revive)
}

// DiscardFailed implements [monitor.DeadLetters].
func (t *Transport) DiscardFailed(ctx context.Context, ids []symphony.ID) ([]error, error) {
	return t.repair(ctx, "discard dead letters of", ids, func(q *queries, d deadLetter) error {
		if d.key.Valid {
			err := q.exec("delete from messenger_keys where message_type = ? and subscriber = ? and key = ? and message_id = ?",
				d.typ, d.subscriber, d.key.String, d.id[:])
			if err != nil {
				return err
			}
		}
		q.count(d.queue, d.typ, monitor.Failed, -1)
		return q.exec("delete from messenger_failed_messages where id = ?", d.id[:])
	})
}

// A deadLetter is what a repair must know of one.
type deadLetter struct {
	id                     symphony.ID
	queue, typ, subscriber string
	key, group             sql.NullString
}

// repair does something with dead letters in one transaction and gives each its answer.
func (t *Transport) repair(ctx context.Context, what string, ids []symphony.ID, do func(*queries, deadLetter) error) ([]error, error) {
	answers := make([]error, len(ids))
	err := t.write(ctx, func(q *queries) error {
		for i, id := range ids {
			d := deadLetter{id: id}
			found, err := q.one("select queue_name, message_type, subscriber, idempotency_key, group_key from messenger_failed_messages where id = ?",
				[]any{id[:]}, &d.queue, &d.typ, &d.subscriber, &d.key, &d.group)
			if err != nil {
				return err
			}
			if !found {
				answers[i] = fmt.Errorf("dead letter %s: %w", id, monitor.ErrNotFound)
				continue
			}
			answers[i] = nil
			err = do(q, d)
			if _, taken := errors.AsType[*monitor.KeyTakenError](err); taken {
				answers[i] = fmt.Errorf("dead letter %s: %w", id, err)
			} else if err != nil {
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

// revive puts a dead letter back into its queue, unless its key has passed to another message.
func (t *Transport) revive(q *queries, d deadLetter) error {
	now := t.clock()
	if d.key.Valid {
		if err := t.keepKey(q, d, now); err != nil {
			return err
		}
	}
	if d.group.Valid {
		if err := t.promote(q, now); err != nil {
			return err
		}
	}
	if err := q.exec(sqlRevive, d.id[:], string(monitor.Pending), nil, now); err != nil {
		return err
	}
	if err := q.exec("delete from messenger_failed_messages where id = ?", d.id[:]); err != nil {
		return err
	}
	q.move(d.queue, d.typ, monitor.Failed, monitor.Pending)
	q.ready = true
	if !d.group.Valid {
		return nil
	}
	m := member{queue: d.queue, group: d.group.String}
	if _, err := q.one("select seq from messenger_messages where id = ?", []any{d.id[:]}, &m.seq); err != nil {
		return err
	}
	return q.hold(m)
}

// keepKey takes a dead letter's key again, for as long as it lives. A window that is not over yet
// goes on.
func (t *Transport) keepKey(q *queries, d deadLetter, now int64) error {
	var holder []byte
	found, err := q.one(`select message_id from messenger_keys k where message_type = ?1 and subscriber = ?2 and key = ?3
and (expires_at > ?4 or exists (select 1 from messenger_messages m where m.id = k.message_id))`,
		[]any{d.typ, d.subscriber, d.key.String, now}, &holder)
	if err != nil {
		return err
	}
	if found {
		if len(holder) == len(d.id) && symphony.ID(holder) == d.id {
			return nil
		}
		e := &monitor.KeyTakenError{Key: d.key.String}
		copy(e.Holder[:], holder)
		return e
	}
	return q.exec(`insert into messenger_keys as k (message_type, subscriber, key, message_id, body_hash, expires_at)
values (?, ?, ?, ?, zeroblob(0), ?) on conflict (message_type, subscriber, key) do update
set body_hash = case when k.message_id = excluded.message_id then k.body_hash else excluded.body_hash end,
  message_id = excluded.message_id, expires_at = excluded.expires_at`, d.typ, d.subscriber, d.key.String, d.id[:], now)
}

// Cancel implements [monitor.Canceller].
func (t *Transport) Cancel(ctx context.Context, id symphony.ID) (monitor.Record, error) {
	err := t.write(ctx, func(q *queries) error {
		var seq int64
		var status monitor.Status
		found, err := q.one("select seq, status from messenger_messages where id = ?", []any{id[:]}, &seq, &status)
		if err != nil {
			return err
		}
		if !found {
			return monitor.ErrNotFound
		}
		if status == monitor.Processing {
			return q.exec("update messenger_messages set cancel_requested = 1 where seq = ?", seq)
		}
		return t.cancelWaiting(q, seq, t.clock())
	})
	if err != nil {
		return monitor.Record{}, t.fail(fmt.Sprintf("cancel message %s in", id), err)
	}
	return t.Find(ctx, id)
}
