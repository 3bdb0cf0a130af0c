package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/schedule"
)

// errAnew says that something has changed while an update of schedules was decided: it begins anew.
var errAnew = errors.New("others change the schedules or the subscriptions all the time")

// anewTries is how often an update of schedules is begun.
const anewTries = 5

// Update implements [schedule.Store]. It does not wait longer than 2 s for schedules that another update has locked. When the
// connection is lost during the commit its outcome is unknown, and the error matches symphony.ErrOutcomeUnknown.
func (t *Transport) Update(ctx context.Context, sel schedule.Selection, decide func(time.Time, []schedule.Entry) ([]schedule.Change, error)) (u schedule.Update, err error) {
	if err := t.check(ctx); err != nil {
		return u, t.fail("update schedules in", ended(ctx, err))
	}
	for try := 1; ; try++ {
		err := t.retry(ctx, func(ctx context.Context) error {
			// What was sent is not interrupted: it would take effect all the same.
			ctx, cancel := outlast(ctx, stopWithin)
			defer cancel()
			u = schedule.Update{}
			return t.update(ctx, &u, sel, decide)
		})
		if err == nil {
			return u, nil
		}
		if wrong, ok := errors.AsType[*refusedUpdate](err); ok {
			return u, wrong.err
		}
		if !errors.Is(err, errAnew) || try == anewTries {
			return u, t.fail("update schedules in", ended(ctx, err))
		}
	}
}

// A refusedUpdate is an error of whoever decides.
type refusedUpdate struct{ err error }

func (r *refusedUpdate) Error() string { return r.err.Error() }

func (t *Transport) update(ctx context.Context, u *schedule.Update, sel schedule.Selection, decide func(time.Time, []schedule.Entry) ([]schedule.Change, error)) error {
	if sel.Due != nil {
		if due, err := t.peek(ctx, u, sel.Due); err != nil || !due {
			return err
		}
	}
	tx, err := t.sending.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // does nothing after Commit
	var found []schedule.Entry
	if due := sel.Due; due != nil {
		found, err = entries(ctx, native{tx}, u, t.sql.schedulesDue, due.Limit, texted(due.Custom), texted(due.Except))
	} else {
		found, err = entries(ctx, native{tx}, u, t.sql.schedulesLock, texted(sel.Names), sel.Owner)
	}
	if err != nil {
		return err
	}
	if sel.Due != nil && len(found) == 0 { // others were faster
		u.Wait = u.Next.Sub(u.Now)
		return nil
	}
	changes, err := decide(u.Now, found)
	if err != nil {
		return &refusedUpdate{err}
	}
	c := changing{t: t, ex: native{tx}, now: u.Now, changes: changes}
	if err := c.apply(ctx); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		if unanswered(err) {
			err = fmt.Errorf("%w: %w", symphony.ErrOutcomeUnknown, err)
		}
		return err
	}
	for i := range changes {
		if next := changes[i].Entry.NextRunAt; !next.IsZero() && (u.Next.IsZero() || next.Before(u.Next)) {
			u.Next = next
		}
	}
	u.Wait = u.Next.Sub(u.Now)
	if len(c.sent) > 0 {
		t.announce(c.sent)
	}
	return nil
}

// peek looks whether anything is due, without a transaction.
func (t *Transport) peek(ctx context.Context, u *schedule.Update, due *schedule.Due) (bool, error) {
	var next *time.Time
	err := t.sending.QueryRow(ctx, t.sql.schedulesPeek, texted(due.Custom), texted(due.Except)).Scan(&u.Now, &next)
	if err != nil || next == nil {
		return false, err
	}
	u.Next = next.UTC()
	u.Wait = u.Next.Sub(u.Now)
	return u.Wait <= 0, nil
}

// texted is a list that is no null.
func texted(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// Schedules implements [schedule.Store].
func (t *Transport) Schedules(ctx context.Context, q schedule.Query) (all []schedule.Entry, err error) {
	if err = t.check(ctx); err == nil {
		err = within(ctx, func(ctx context.Context) error {
			if len(q.Names) > 0 {
				all, err = entries(ctx, native{t.work}, nil, t.sql.schedulesFind, q.Names)
				return err
			}
			limit := q.Limit
			if limit <= 0 {
				limit = 50
			}
			all, err = entries(ctx, native{t.work}, nil, t.sql.schedulesList, null(q.Owner), null(q.Type), null(q.Tag), q.After, limit, q.Dropped)
			return err
		})
	}
	if err != nil {
		return nil, t.fail("list schedules of", ended(ctx, err))
	}
	return all, nil
}

// Ticks implements [schedule.Store].
func (t *Transport) Ticks(ctx context.Context, q schedule.TickQuery) (all []schedule.Tick, err error) {
	limit := q.Limit
	if limit <= 0 {
		limit = 50
	}
	if err = t.check(ctx); err == nil {
		err = within(ctx, func(ctx context.Context) error {
			all = nil
			return native{t.work}.query(ctx, t.sql.ticksList, []any{q.Schedule, null(string(q.Outcome)), when(q.From), when(q.Until), limit}, func(scan scanner) error {
				tick, err := readTick(scan)
				all = append(all, tick)
				return err
			})
		})
	}
	if err != nil {
		return nil, t.fail("list ticks of", ended(ctx, err))
	}
	return all, nil
}

func readTick(scan scanner) (tick schedule.Tick, err error) {
	var until *time.Time
	var ids *string
	if err := scan(&tick.Schedule, &tick.At, &tick.Outcome, &tick.RecordedAt, &until, &tick.Runs, &tick.Backfill, &ids); err != nil {
		return tick, err
	}
	tick.At, tick.RecordedAt, tick.Until = tick.At.UTC(), tick.RecordedAt.UTC(), timeOf(until)
	tick.Messages, err = idList(ids)
	return tick, err
}
