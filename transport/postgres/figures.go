package postgres

import (
	"context"
	"strconv"
	"time"

	"github.com/symphony-messenger/symphony/internal/sleep"
	"github.com/symphony-messenger/symphony/monitor"
)

// How often a process that works writes what it did, if that is due, and looks after paused types.
const (
	mindEvery   = 500 * time.Millisecond
	pausesEvery = time.Second
)

// mind does what must not wait for a vacuum.
func (t *Transport) mind(ctx context.Context) {
	for round := 0; sleep.For(ctx, mindEvery) == nil; round++ {
		if t.tally.Due() {
			t.writeMinutes(ctx)
		}
		if round%int(pausesEvery/mindEvery) == 0 {
			if err := t.mindPauses(ctx); err != nil {
				t.service.complain("look after paused types", err)
			}
		}
	}
}

// mindPauses looks after paused types, one process at a time.
func (t *Transport) mindPauses(ctx context.Context) error {
	ours := false
	err := within(ctx, func(ctx context.Context) error {
		var paused, resumed bool
		if err := t.upkeep.QueryRow(ctx, t.sql.pausing).Scan(&paused, &resumed); err != nil || !paused && !resumed {
			return err
		}
		tag, err := t.upkeep.Exec(ctx, t.sql.turn, "pauses", (pausesEvery - mindEvery).Milliseconds())
		ours = tag.RowsAffected() > 0
		return err
	})
	if err != nil || !ours {
		return err
	}
	return t.tidyPauses(ctx, 5*time.Second, asideRows)
}

// writeMinutes writes what was done here and not written yet.
func (t *Transport) writeMinutes(ctx context.Context) {
	sums := t.tally.Take()
	if len(sums) == 0 {
		return
	}
	n := len(sums)
	queues, types, waits, runs := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	completed, retried, failed, other := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	for i, m := range sums {
		queues[i], types[i], waits[i], runs[i] = m.Queue, m.Type, list(m.Wait, number), list(m.Run, number)
		completed[i], retried[i], failed[i], other[i] = m.Completed, m.Retried, m.Failed, m.Other
	}
	err := t.retry(ctx, func(ctx context.Context) error {
		_, err := t.upkeep.Exec(ctx, t.sql.addMinutes, queues, types, completed, retried, failed, other, waits, runs)
		return err
	})
	if err != nil {
		t.service.complain("write figures", err)
		if !unanswered(err) { // else they may be there, and would be counted twice
			t.tally.GiveBack(sums)
		}
	}
}

// Minutes implements [monitor.Figures].
func (t *Transport) Minutes(ctx context.Context, since, until time.Time) (all []monitor.Minute, err error) {
	err = t.read(ctx, func(ctx context.Context, ex executor) error {
		all = nil
		return ex.query(ctx, t.sql.minutes, []any{since, until}, func(scan scanner) error {
			var m monitor.Minute
			err := scan(&m.At, &m.Queue, &m.Type, &m.Completed, &m.Retried, &m.Failed, &m.Other, (*[]int64)(&m.Wait), (*[]int64)(&m.Run))
			m.At = m.At.UTC()
			all = append(all, m)
			return err
		})
	})
	if err != nil {
		return nil, t.fail("read figures of", ended(ctx, err))
	}
	return all, nil
}
