package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// writeMinutes writes what workers here did, if that is due or must be now. Whoever claims or settles calls it, and a Receive that
// waits: no goroutine is needed for it.
func (t *Transport) writeMinutes(ctx context.Context, now bool) {
	if !now && !t.tally.Due() {
		return
	}
	sums := t.tally.Take()
	if len(sums) == 0 {
		return
	}
	err := t.write(ctx, func(q *queries) error {
		at := time.UnixMilli(t.clock()).Truncate(time.Minute)
		for _, m := range sums {
			before, err := minutes(q, "at = ?1 and queue_name = ?2 and message_type = ?3", at.UnixMilli(), m.Queue, m.Type)
			if err != nil {
				return err
			}
			for _, b := range before {
				m.Add(b)
			}
			wait, run := array(m.Wait), array(m.Run)
			if err := q.exec(sqlMinute, at.UnixMilli(), m.Queue, m.Type, m.Completed, m.Retried, m.Failed, m.Other, wait, run); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.tally.GiveBack(sums)
		if ctx.Err() == nil {
			t.options.Logger.Warn("the store failed in the background", "to", "write figures", "store", t.config.path, "error", err)
		}
	}
}

func minutes(q *queries, where string, args ...any) (all []monitor.Minute, err error) {
	return all, q.each("select at, queue_name, message_type, completed, retried, failed, other, wait, run from messenger_minutes where "+where, args,
		func(rows *sql.Rows) error {
			var m monitor.Minute
			var at int64
			var wait, run string
			if err := rows.Scan(&at, &m.Queue, &m.Type, &m.Completed, &m.Retried, &m.Failed, &m.Other, &wait, &run); err != nil {
				return err
			}
			m.At = time.UnixMilli(at).UTC()
			err := errors.Join(json.Unmarshal([]byte(wait), &m.Wait), json.Unmarshal([]byte(run), &m.Run))
			all = append(all, m)
			return err
		})
}

// Minutes implements [monitor.Figures].
func (t *Transport) Minutes(ctx context.Context, since, until time.Time) (all []monitor.Minute, err error) {
	err = t.read(ctx, func(q *queries) (err error) {
		all, err = minutes(q, "at >= ?1 and at < ?2 order by at, queue_name, message_type", since.UnixMilli(), until.UnixMilli())
		return err
	})
	if err != nil {
		return nil, t.fail("read figures of", err)
	}
	return all, nil
}

// SaveBulk implements [monitor.BulkStore].
func (t *Transport) SaveBulk(ctx context.Context, b monitor.Bulk) (saved monitor.Bulk, err error) {
	document, err := json.Marshal(b)
	if err == nil {
		err = t.write(ctx, func(q *queries) error {
			now := t.clock()
			all, err := scanBulks(q, sqlSaveBulk, b.ID[:], string(b.State), string(document), b.Holder, now, now+monitor.HoldBulk.Milliseconds())
			if err == nil && len(all) == 0 {
				err = monitor.ErrHeld
			}
			if err == nil {
				saved = all[0]
			}
			return err
		})
	}
	if err != nil {
		return b, t.fail(fmt.Sprintf("save bulk %s in", b.ID), err)
	}
	return saved, nil
}

func scanBulks(q *queries, text string, args ...any) (all []monitor.Bulk, err error) {
	err = q.each(text, args, func(rows *sql.Rows) error {
		var document, state string
		var created, updated int64
		var finished sql.NullInt64
		var b monitor.Bulk
		var aborted bool
		if err := rows.Scan(&document, &state, &aborted, &created, &updated, &finished); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(document), &b); err != nil {
			return fmt.Errorf("bulk: %w", err)
		}
		b.State, b.Aborted = monitor.BulkState(state), aborted
		b.CreatedAt, b.UpdatedAt, b.FinishedAt = time.UnixMilli(created).UTC(), time.UnixMilli(updated).UTC(), instant(finished)
		all = append(all, b)
		return nil
	})
	return all, err
}

// Bulks implements [monitor.BulkStore].
func (t *Transport) Bulks(ctx context.Context) (all []monitor.Bulk, err error) {
	err = t.read(ctx, func(q *queries) (err error) {
		all, err = scanBulks(q, "select document, state, aborted, created_at, updated_at, finished_at from messenger_bulks order by created_at desc, id desc limit 100")
		return err
	})
	if err != nil {
		return nil, t.fail("list bulks of", err)
	}
	return all, nil
}

// AbortBulk implements [monitor.BulkStore].
func (t *Transport) AbortBulk(ctx context.Context, id symphony.ID) error {
	err := t.write(ctx, func(q *queries) error {
		n, err := q.affected(sqlAbortBulk, id[:], t.clock())
		if err == nil && n == 0 {
			err = monitor.ErrNotFound
		}
		return err
	})
	if err != nil {
		return t.fail(fmt.Sprintf("abort bulk %s in", id), err)
	}
	return nil
}
