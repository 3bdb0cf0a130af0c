package main

import (
	"context"
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
	db    database
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
// many. It reads first: most of the time there is nothing to write, and a write would lock the file of SQLite.
func (r *reconciler) reconcile(ctx context.Context) (int, error) {
	all, err := selectEnded(ctx, r.db)
	if err != nil || len(all) == 0 {
		return 0, err
	}
	changed := 0
	err = r.db.tx(ctx, func(tx querier) error {
		for _, e := range all {
			n, err := tx.exec(ctx, r.db.dialect().fail, e.reason, e.id, e.message[:])
			if err != nil {
				return fmt.Errorf("row %d: %w", e.id, err)
			}
			changed += n
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("write back outcomes: %w", err)
	}
	return changed, nil
}
