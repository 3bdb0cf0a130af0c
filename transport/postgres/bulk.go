package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// SaveBulk implements [monitor.BulkStore].
func (t *Transport) SaveBulk(ctx context.Context, b monitor.Bulk) (saved monitor.Bulk, err error) {
	document, err := json.Marshal(b)
	if err == nil {
		err = t.check(ctx)
	}
	n := 0
	if err == nil {
		args := []any{[16]byte(b.ID), string(b.State), string(document), b.Holder, monitor.HoldBulk.Milliseconds()}
		err = t.retry(ctx, func(ctx context.Context) error {
			return native{t.work}.query(ctx, t.sql.saveBulk, args, func(scan scanner) error {
				n++
				return scanBulk(scan, &saved)
			})
		})
	}
	if err == nil && n == 0 {
		err = monitor.ErrHeld
	}
	if err != nil {
		return b, t.fail(fmt.Sprintf("save bulk %s in", b.ID), ended(ctx, err))
	}
	return saved, nil
}

func scanBulk(scan scanner, b *monitor.Bulk) error {
	var document, state string
	var created, updated time.Time
	var finished *time.Time
	var aborted bool
	if err := scan(&document, &state, &aborted, &created, &updated, &finished); err != nil {
		return err
	}
	*b = monitor.Bulk{}
	if err := json.Unmarshal([]byte(document), b); err != nil {
		return fmt.Errorf("bulk: %w", err)
	}
	b.State, b.Aborted = monitor.BulkState(state), aborted
	b.CreatedAt, b.UpdatedAt, b.FinishedAt = created.UTC(), updated.UTC(), instant(finished)
	return nil
}

// Bulks implements [monitor.BulkStore].
func (t *Transport) Bulks(ctx context.Context) (all []monitor.Bulk, err error) {
	err = t.read(ctx, func(ctx context.Context, ex executor) error {
		all = nil
		return ex.query(ctx, t.sql.bulks, nil, func(scan scanner) error {
			all = append(all, monitor.Bulk{})
			return scanBulk(scan, &all[len(all)-1])
		})
	})
	if err != nil {
		return nil, t.fail("list bulks of", ended(ctx, err))
	}
	return all, nil
}

// AbortBulk implements [monitor.BulkStore].
func (t *Transport) AbortBulk(ctx context.Context, id symphony.ID) error {
	err := t.check(ctx)
	if err == nil {
		err = t.retry(ctx, func(ctx context.Context) error {
			tag, err := t.work.Exec(ctx, t.sql.abortBulk, [16]byte(id))
			if err == nil && tag.RowsAffected() == 0 {
				err = monitor.ErrNotFound
			}
			return err
		})
	}
	if err != nil {
		return t.fail(fmt.Sprintf("abort bulk %s in", id), ended(ctx, err))
	}
	return nil
}
