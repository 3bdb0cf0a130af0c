package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// Find implements [monitor.Finder].
func (t *Transport) Find(ctx context.Context, id symphony.ID) (monitor.Record, error) {
	var found []monitor.Record
	err := t.read(ctx, func(q *queries) (err error) {
		for _, look := range []struct {
			query string
			args  []any
		}{
			{sqlRecordLive, []any{hexes([]symphony.ID{id})}},
			{sqlRecordDead, []any{hexes([]symphony.ID{id})}},
			{sqlRecordHistory, []any{hexes([]symphony.ID{id})}},
		} {
			if found, err = records(q, look.query, look.args); err != nil || len(found) > 0 {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return monitor.Record{}, t.fail("find message in", err)
	}
	if len(found) == 0 {
		return monitor.Record{}, fmt.Errorf("message %s: %w", id, monitor.ErrNotFound)
	}
	return found[0], nil
}

// records reads rows of the record_*.sql queries, which have the same columns.
func records(q *queries, query string, args []any) ([]monitor.Record, error) {
	var all []monitor.Record
	err := q.each(query, args, func(rows *sql.Rows) error {
		r, err := scanRecord(rows)
		all = append(all, r)
		return err
	})
	return all, err
}

func scanRecord(rows *sql.Rows) (r monitor.Record, err error) {
	var id []byte
	var created int64
	var scheduled, available, expires, finished, most, lockedAt, lockedUntil sql.NullInt64
	var waiting, lockedBy, key, group, reason, lastError, class, fingerprint, attempts, headers, tags sql.NullString
	err = rows.Scan(&id, &r.Queue, &r.Type, &r.Subscriber, &r.Status, &waiting, &r.Priority, &created, &scheduled, &available, &expires, &finished,
		&r.RetryCount, &most, &r.CrashCount, &r.SnoozeCount, &r.Fence, &lockedBy, &lockedAt,
		&lockedUntil, &key, &group, &reason, &lastError, &class, &fingerprint, &attempts,
		&headers, &tags, &r.Version, &r.ContentType, &r.Body)
	if err != nil {
		return r, err
	}
	copy(r.ID[:], id)
	r.CreatedAt = time.UnixMilli(created).UTC()
	r.ScheduledAt, r.AvailableAt, r.ExpiresAt, r.FinishedAt = instant(scheduled), instant(available), instant(expires), instant(finished)
	r.LockedAt, r.LockedUntil = instant(lockedAt), instant(lockedUntil)
	r.WaitingFor, r.LockedBy, r.Key, r.Group = waiting.String, lockedBy.String, key.String, group.String
	r.Reason, r.LastError, r.ErrorClass, r.Fingerprint = symphony.Reason(reason.String), lastError.String, class.String, fingerprint.String
	if most.Valid {
		n := int(most.Int64)
		r.MaxRetries = &n
	}
	for _, part := range []struct {
		text sql.NullString
		into any
	}{{attempts, &r.Attempts}, {headers, &r.Headers}, {tags, &r.Tags}} {
		if err := decode(part.text, part.into); err != nil {
			return r, fmt.Errorf("message %s: %w", r.ID, err)
		}
	}
	return r, nil
}

func instant(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return time.UnixMilli(ms.Int64).UTC()
}

// Counts implements [monitor.Counter].
func (t *Transport) Counts(ctx context.Context) (monitor.Counts, error) {
	var c monitor.Counts
	err := t.read(ctx, func(q *queries) error {
		err := q.each("select queue_name, message_type, status, count from messenger_stats where count <> 0 order by queue_name, message_type, status", nil,
			func(rows *sql.Rows) error {
				var n monitor.Count
				err := rows.Scan(&n.Queue, &n.Type, &n.Status, &n.N)
				if n.Status == noHandler {
					n.Status = monitor.Scheduled
					c.NoHandler = append(c.NoHandler, n)
				} else {
					c.Counts = append(c.Counts, n)
				}
				return err
			})
		if err != nil {
			return err
		}
		now := t.clock()
		// The heads of the queues, one for each priority: no scan of a long queue.
		return q.each(sqlOldest, nil, func(rows *sql.Rows) error {
			var since int64
			err := rows.Scan(&since)
			c.OldestReady = max(c.OldestReady, time.Duration(now-since)*time.Millisecond)
			return err
		})
	})
	if err != nil {
		return monitor.Counts{}, t.fail("count messages in", err)
	}
	return c, nil
}
