package main

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"time"
)

// A reconciler tells the table about messages that ended without being completed. That verdict is the
// worker's, after the handler has returned, so no transaction of the handler's can hold it. Nor could
// an Observer: a process that is killed between the verdict and the call would never make it. The
// table and the messages are in one database, so the question is a join, and may be asked at any time,
// again and again, by any number of processes.
type reconciler struct {
	db    *sql.DB
	every time.Duration
	log   *slog.Logger
}

// run reconciles until ctx ends.
func (r *reconciler) run(ctx context.Context) {
	for {
		if _, err := r.reconcile(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("outcomes not written back, will try again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(r.every):
		}
	}
}

// reconcile marks rows as failed whose messages have ended without being completed, and returns how
// many. It reads first: most of the time there is nothing to write, and a write would lock the file.
func (r *reconciler) reconcile(ctx context.Context) (int, error) {
	all, err := selectEnded(ctx, r.db)
	if err != nil || len(all) == 0 {
		return 0, err
	}
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("write back outcomes: %w", err)
	}
	defer tx.Rollback()
	changed := 0
	for _, e := range all {
		res, err := tx.ExecContext(ctx, failSQL, e.reason, e.id, e.message[:], e.message[:])
		if err != nil {
			return 0, fmt.Errorf("write back the outcome of row %d: %w", e.id, err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return 0, fmt.Errorf("write back the outcome of row %d: %w", e.id, err)
		}
		changed += int(n)
	}
	if err := tx.Commit(); err != nil {
		return 0, fmt.Errorf("write back outcomes: %w", err)
	}
	return changed, nil
}
