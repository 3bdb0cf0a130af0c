package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/outlast"
	"github.com/symphony-messenger/symphony/schedule"
)

// errAnew says that something has changed while an update of schedules was decided: it begins anew.
var errAnew = errors.New("others change the schedules or the subscriptions all the time")

// applyTimeout is callTimeout for what may change all schedules of an owner at once, of which there may be a hundred thousand.
const applyTimeout = 2 * time.Minute

// anewTries is how often an update of schedules is begun.
const anewTries = 5

// Update implements [schedule.Store]. It does not wait longer than 2 s for schedules that another update has locked. When the
// connection is lost during the commit its outcome is unknown, and the error matches symphony.ErrOutcomeUnknown.
func (t *Transport) Update(ctx context.Context, sel schedule.Selection, decide func(time.Time, []schedule.Entry) ([]schedule.Change, error)) (u schedule.Update, err error) {
	if err := t.check(ctx); err != nil {
		return u, t.fail("update schedules in", ended(ctx, err))
	}
	most := callTimeout
	if sel.Due == nil {
		most = applyTimeout
	}
	for try := 1; ; try++ {
		err := t.retryFor(ctx, most, func(ctx context.Context) error {
			// What was sent is not interrupted: it would take effect all the same.
			ctx, cancel := outlast.Context(ctx, stopWithin)
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
	l := dueLook{from: t.ticking.from()}
	if sel.Due != nil {
		if due, err := t.peek(ctx, u, sel.Due, &l); err != nil || !due {
			return err
		}
	}
	tx, err := t.sending.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // does nothing after Commit
	found, err := t.choose(ctx, native{tx}, u, sel, &l)
	if err != nil {
		return err
	}
	if sel.Due != nil && len(found) == 0 { // others were faster
		t.ticking.looked(l)
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
		next := changes[i].Entry.NextRunAt
		if !next.IsZero() && (u.Next.IsZero() || next.Before(u.Next)) {
			u.Next = next
		}
		if !next.IsZero() && next.Before(l.done) {
			l.done = next
		}
	}
	u.Wait = u.Next.Sub(u.Now)
	if sel.Due != nil {
		t.ticking.looked(l)
	}
	if len(c.sent) > 0 {
		t.announce(c.sent)
	}
	return nil
}

// choose locks what sel chooses.
func (t *Transport) choose(ctx context.Context, ex executor, u *schedule.Update, sel schedule.Selection, l *dueLook) (found []schedule.Entry, err error) {
	due := sel.Due
	if due == nil {
		return entries(ctx, ex, u, t.sql.schedulesLock, texted(sel.Names), sel.Owner)
	}
	begun := time.Now()
	found, err = entries(ctx, ex, u, t.sql.schedulesDue, due.Limit, texted(due.Custom), texted(due.Except), l.from)
	l.took, l.rows, l.done = l.took+time.Since(begun), len(found), u.Now
	if len(found) == due.Limit {
		l.done = found[len(found)-1].NextRunAt
	}
	u.Wait = u.Next.Sub(u.Now)
	return found, err
}

// peek looks whether anything is due, without a transaction.
func (t *Transport) peek(ctx context.Context, u *schedule.Update, due *schedule.Due, l *dueLook) (bool, error) {
	var next *time.Time
	begun := time.Now()
	err := t.sending.QueryRow(ctx, t.sql.schedulesPeek, texted(due.Custom), texted(due.Except), l.from).Scan(&u.Now, &next)
	l.took, l.done = time.Since(begun), u.Now
	if err != nil {
		return false, err
	}
	if u.Next = timeOf(next); !u.Next.IsZero() {
		u.Wait = u.Next.Sub(u.Now)
		if u.Wait <= 0 {
			return true, nil
		}
	}
	t.ticking.looked(*l)
	return false, nil
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
