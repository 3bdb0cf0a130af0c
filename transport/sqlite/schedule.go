package sqlite

import (
	"context"
	"database/sql"
	"math"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/schedule"
)

// Update implements [schedule.Store]. It holds the file's write lock while it decides.
func (t *Transport) Update(ctx context.Context, sel schedule.Selection, decide func(time.Time, []schedule.Entry) ([]schedule.Change, error)) (u schedule.Update, err error) {
	if due := sel.Due; due != nil {
		if waiting, err := t.peekDue(ctx, &u, due); err != nil || !waiting {
			if err != nil {
				err = t.fail("look for schedules that are due in", err)
			}
			return u, err
		}
	}
	var refused error
	err = t.write(ctx, func(q *queries) error {
		now := t.clock()
		u.Now = timeAt(now)
		found, err := t.chosen(q, sel, now)
		if err != nil {
			return err
		}
		if sel.Due != nil && len(found) == 0 { // others were faster
			return t.nextDue(q, &u, sel.Due, now)
		}
		changes, err := decide(u.Now, found)
		if refused = err; err != nil {
			return err
		}
		if err := t.changeSchedules(q, now, changes); err != nil || sel.Due == nil {
			return err
		}
		return t.nextDue(q, &u, sel.Due, now)
	})
	if refused != nil {
		return u, refused
	}
	if err != nil {
		return u, t.fail("update schedules in", err)
	}
	return u, nil
}

// peekDue looks whether anything is due, without the write lock.
func (t *Transport) peekDue(ctx context.Context, u *schedule.Update, due *schedule.Due) (waiting bool, err error) {
	err = t.read(ctx, func(q *queries) error {
		u.Now = timeAt(t.clock())
		return t.nextDue(q, u, due, math.MinInt64)
	})
	return !u.Next.IsZero() && !u.Next.After(u.Now), err
}

// nextDue says when the first schedule is due after a time.
func (t *Transport) nextDue(q *queries, u *schedule.Update, due *schedule.Due, after int64) error {
	u.Next, u.Wait = time.Time{}, 0
	var next int64
	found, err := q.one(sqlSchedulesNext, []any{after, nameList(due.Custom), nameList(due.Except)}, &next)
	if found {
		u.Next = timeAt(next)
		u.Wait = u.Next.Sub(timeAt(t.clock()))
	}
	return err
}

func (t *Transport) chosen(q *queries, sel schedule.Selection, now int64) (all []schedule.Entry, err error) {
	if due := sel.Due; due != nil {
		all, err = scheduleEntries(q, sqlSchedulesDue, now, due.Limit, nameList(due.Custom), nameList(due.Except))
	} else {
		all, err = scheduleEntries(q, sqlSchedulesOf, nameList(sel.Names), sel.Owner)
	}
	for i := range all {
		e := &all[i]
		if err != nil || e.Overlap == schedule.OverlapAllow {
			continue
		}
		for _, id := range e.LastMessages {
			var fence int64
			var found bool
			if found, err = q.one("select fence from messenger_messages where id = ?", []any{id[:]}, &fence); err != nil {
				break
			}
			if found {
				e.Live = append(e.Live, schedule.Live{ID: id, Started: fence > 0})
			}
		}
	}
	return all, err
}

// change writes what was decided.
func (t *Transport) changeSchedules(q *queries, now int64, changes []schedule.Change) error {
	for i := range changes {
		for _, id := range changes[i].Cancel {
			if err := t.cancelPrevious(q, id, now); err != nil {
				return err
			}
		}
	}
	for i := range changes {
		c := &changes[i]
		if err := t.fire(q, c); err != nil {
			return err
		}
		e := &c.Entry
		var err error
		switch c.Write {
		case schedule.Advance:
			err = q.exec(sqlSchedulesAdvance, e.Name, msOf(e.NextRunAt), msOf(e.LastTickAt), msOf(e.LastRunAt), e.RunCount, e.MissedCount, e.SkippedCount,
				idTexts(e.LastMessages), null(e.LastError))
		case schedule.Create, schedule.Replace: // the write lock is ours since they were read
			var args []any
			if args, err = scheduleArgs(e); err == nil {
				err = q.exec(sqlSchedulesWrite, args...)
			}
		case schedule.Remove:
			if err = q.exec("delete from messenger_schedules where name = ?", e.Name); err == nil {
				err = q.exec("delete from messenger_ticks where schedule_name = ?", e.Name)
			}
		}
		if err != nil {
			return err
		}
		if c.Keep == 0 {
			continue
		}
		for _, o := range []schedule.Outcome{schedule.TickFired, schedule.TickManual, schedule.TickMissed, schedule.TickSkipped} {
			if err := q.exec(sqlTicksTrim, e.Name, string(o), c.Keep); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Transport) cancelPrevious(q *queries, id symphony.ID, now int64) error {
	var seq int64
	var status monitor.Status
	found, err := q.one("select seq, status from messenger_messages where id = ?", []any{id[:]}, &seq, &status)
	if err != nil || !found {
		return err
	}
	if status == monitor.Processing {
		return q.exec("update messenger_messages set cancel_requested = 1 where seq = ?", seq)
	}
	return t.cancelWaiting(q, seq, now)
}

// fire records the ticks of a change, and stores the messages of those that were not there before.
func (t *Transport) fire(q *queries, c *schedule.Change) error {
	for i := range c.Ticks {
		tick := &c.Ticks[i]
		n, err := q.affected(`insert into messenger_ticks (schedule_name, tick_at, outcome, recorded_at, until_at, runs, backfill)
values (?, ?, ?, ?, ?, ?, ?) on conflict do nothing`, tick.Schedule, tick.At.UnixMilli(), string(tick.Outcome), tick.RecordedAt.UnixMilli(), msOf(tick.Until), tick.Runs, tick.Backfill)
		if err != nil {
			return err
		}
		if n == 0 || tick.Envelope == nil {
			c.Settle(i, nil, n == 0)
			continue
		}
		rs, err := t.insert(q, []*symphony.Envelope{tick.Envelope})
		if err != nil {
			return err
		}
		ids := rs[0].Copies
		if len(ids) == 0 || ids[0] != rs[0].ID {
			ids = append([]symphony.ID{rs[0].ID}, ids...)
		}
		c.Settle(i, ids, false)
		err = q.exec("update messenger_ticks set message_ids = ? where schedule_name = ? and tick_at = ? and outcome = ?",
			idTexts(ids), tick.Schedule, tick.At.UnixMilli(), string(tick.Outcome))
		if err != nil {
			return err
		}
	}
	return nil
}

// Schedules implements [schedule.Store].
func (t *Transport) Schedules(ctx context.Context, f schedule.Query) (all []schedule.Entry, err error) {
	err = t.read(ctx, func(q *queries) error {
		if len(f.Names) > 0 {
			all, err = scheduleEntries(q, sqlSchedulesOf, nameList(f.Names), nil)
			return err
		}
		limit := f.Limit
		if limit <= 0 {
			limit = 50
		}
		all, err = scheduleEntries(q, sqlSchedulesList, null(f.Owner), null(f.Type), null(f.Tag), f.After, limit, f.Dropped)
		return err
	})
	if err != nil {
		return nil, t.fail("list schedules of", err)
	}
	return all, nil
}

// Ticks implements [schedule.Store].
func (t *Transport) Ticks(ctx context.Context, f schedule.TickQuery) (all []schedule.Tick, err error) {
	limit := f.Limit
	if limit <= 0 {
		limit = 50
	}
	err = t.read(ctx, func(q *queries) error {
		all = nil
		return q.each(sqlTicksList, []any{f.Schedule, null(string(f.Outcome)), msOf(f.From), msOf(f.Until), limit}, func(rows *sql.Rows) error {
			var tick schedule.Tick
			var at, recorded int64
			var until sql.NullInt64
			var ids sql.NullString
			if err := rows.Scan(&tick.Schedule, &at, &tick.Outcome, &recorded, &until, &tick.Runs, &tick.Backfill, &ids); err != nil {
				return err
			}
			tick.At, tick.RecordedAt, tick.Until = timeAt(at), timeAt(recorded), timeOrZero(until)
			var err error
			tick.Messages, err = idsOf(ids)
			all = append(all, tick)
			return err
		})
	})
	if err != nil {
		return nil, t.fail("list ticks of", err)
	}
	return all, nil
}
