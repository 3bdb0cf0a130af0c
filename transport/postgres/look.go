package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// read runs fn on one snapshot of the database: a message may move between tables meanwhile.
func (t *Transport) read(ctx context.Context, fn func(ctx context.Context, ex executor) error) error {
	if err := t.check(ctx); err != nil {
		return err
	}
	return t.retry(ctx, func(ctx context.Context) error {
		tx, err := t.work.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		return fn(ctx, native{tx})
	})
}

// Find implements [monitor.Finder].
func (t *Transport) Find(ctx context.Context, id symphony.ID) (monitor.Record, error) {
	var found []monitor.Record
	err := t.read(ctx, func(ctx context.Context, ex executor) (err error) {
		for _, look := range []struct {
			text string
			args []any
		}{
			{t.sql.recordLive, []any{raw([]symphony.ID{id})}},
			{t.sql.recordDead, []any{raw([]symphony.ID{id})}},
			{t.sql.recordHistory, []any{raw([]symphony.ID{id}), t.options.Retention.Milliseconds()}},
		} {
			if found, err = records(ctx, ex, look.text, look.args); err != nil || len(found) > 0 {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return monitor.Record{}, t.fail("find message in", ended(ctx, err))
	}
	if len(found) == 0 {
		return monitor.Record{}, fmt.Errorf("message %s: %w", id, monitor.ErrNotFound)
	}
	return found[0], nil
}

// records reads rows of the record_*.sql queries, which have the same columns.
func records(ctx context.Context, ex executor, text string, args []any) ([]monitor.Record, error) {
	var all []monitor.Record
	err := ex.query(ctx, text, args, func(scan scanner) error {
		r, err := scanRecord(scan)
		all = append(all, r)
		return err
	})
	return all, err
}

func scanRecord(scan scanner) (r monitor.Record, err error) {
	var scheduled, available, expires, finished, lockedAt, lockedUntil *time.Time
	var most *int64
	var waiting, lockedBy, key, group, reason, lastError, class, fingerprint *string
	var attempts, headers []byte
	err = scan((*[16]byte)(&r.ID), &r.Queue, &r.Type, &r.Subscriber, (*string)(&r.Status), &waiting, &r.Priority, &r.CreatedAt, &scheduled, &available,
		&expires, &finished, &r.RetryCount, &most, &r.CrashCount, &r.SnoozeCount, &r.Fence, &lockedBy, &lockedAt, &lockedUntil, &key, &group, &reason,
		&lastError, &class, &fingerprint, &attempts, &headers, &r.Tags, &r.Version, &r.ContentType, &r.Body)
	if err != nil {
		return r, err
	}
	r.CreatedAt = r.CreatedAt.UTC()
	r.ScheduledAt, r.AvailableAt, r.ExpiresAt, r.FinishedAt = instant(scheduled), instant(available), instant(expires), instant(finished)
	r.LockedAt, r.LockedUntil = instant(lockedAt), instant(lockedUntil)
	r.WaitingFor, r.LockedBy, r.Key, r.Group = text(waiting), text(lockedBy), text(key), text(group)
	r.Reason, r.LastError, r.ErrorClass, r.Fingerprint = symphony.Reason(text(reason)), text(lastError), text(class), text(fingerprint)
	if most != nil {
		n := int(*most)
		r.MaxRetries = &n
	}
	for _, part := range []struct {
		text []byte
		into any
	}{{attempts, &r.Attempts}, {headers, &r.Headers}} {
		if part.text == nil {
			continue
		}
		if err := json.Unmarshal(part.text, part.into); err != nil {
			return r, fmt.Errorf("message %s: %w", r.ID, err)
		}
	}
	for i := range r.Attempts {
		r.Attempts[i].At = r.Attempts[i].At.UTC()
	}
	return r, nil
}

func instant(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// Counts implements [monitor.Counter].
func (t *Transport) Counts(ctx context.Context) (monitor.Counts, error) {
	var c monitor.Counts
	err := t.read(ctx, func(ctx context.Context, ex executor) error {
		c = monitor.Counts{}
		err := ex.query(ctx, t.sql.counts, nil, func(scan scanner) error {
			var n monitor.Count
			var by [8]int64
			err := scan(&n.Queue, &n.Type, &by[0], &by[1], &by[2], &by[3], &by[4], &by[5], &by[6], &by[7])
			for i, status := range monitor.Statuses() {
				if n.Status, n.N = status, by[i]; n.N != 0 {
					c.Counts = append(c.Counts, n)
				}
			}
			if n.Status, n.N = monitor.Scheduled, by[7]; n.N != 0 {
				c.NoHandler = append(c.NoHandler, n)
			}
			return err
		})
		if err != nil {
			return err
		}
		return ex.query(ctx, t.sql.oldest, nil, func(scan scanner) error {
			var ms int64
			err := scan(&ms)
			c.OldestReady = time.Duration(ms) * time.Millisecond
			return err
		})
	})
	if err != nil {
		return monitor.Counts{}, t.fail("count messages in", ended(ctx, err))
	}
	return c, nil
}
