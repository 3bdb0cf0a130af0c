package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// CancelAll implements [monitor.Changer].
func (t *Transport) CancelAll(ctx context.Context, ids []symphony.ID) ([]error, error) {
	return t.change(ctx, "cancel messages in", ids, func(ctx context.Context, tx pgx.Tx, all []symphony.ID) (map[symphony.ID]bool, error) {
		there := make(map[symphony.ID]bool)
		var waiting, running [][16]byte
		err := native{tx}.query(ctx, t.sql.lockLive, []any{raw(all)}, func(scan scanner) error {
			var text string
			var free bool
			if err := scan(&text, &free); err != nil {
				return err
			}
			id, err := symphony.ParseID(text)
			there[id] = true
			if free {
				waiting = append(waiting, id)
			} else {
				running = append(running, id)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		var n int
		if len(waiting) > 0 {
			if err := tx.QueryRow(ctx, t.sql.end, waiting, string(t.options.History), t.options.Name).Scan(&n); err != nil {
				return nil, err
			}
		}
		if len(running) > 0 {
			if err := tx.QueryRow(ctx, t.sql.mark, running).Scan(&n); err != nil {
				return nil, err
			}
		}
		return there, nil
	})
}

// Reschedule implements [monitor.Changer].
func (t *Transport) Reschedule(ctx context.Context, ids []symphony.ID, due monitor.Due) ([]error, error) {
	if err := due.Check(); err != nil {
		return nil, t.fail("reschedule messages in", err)
	}
	at := due.At
	if at.Before(time.UnixMilli(0)) { // what the server may have no time for
		at = time.UnixMilli(0)
	}
	return t.change(ctx, "reschedule messages in", ids, func(ctx context.Context, tx pgx.Tx, ids []symphony.ID) (map[symphony.ID]bool, error) {
		return t.changedBy(ctx, tx, t.sql.reschedule, raw(ids), at, milliseconds(due.Delay))
	})
}

// Prioritize implements [monitor.Changer].
func (t *Transport) Prioritize(ctx context.Context, ids []symphony.ID, priority int) ([]error, error) {
	if priority < 1 || priority > 10 {
		return nil, t.fail("change priorities in", &symphony.InvalidError{What: "priority", Value: fmt.Sprint(priority), Rule: "between 1 and 10"})
	}
	return t.change(ctx, "change priorities in", ids, func(ctx context.Context, tx pgx.Tx, ids []symphony.ID) (map[symphony.ID]bool, error) {
		return t.changedBy(ctx, tx, t.sql.prioritize, raw(ids), int16(priority))
	})
}

// changedBy returns the ids that a statement answers.
func (t *Transport) changedBy(ctx context.Context, tx pgx.Tx, text string, args ...any) (map[symphony.ID]bool, error) {
	changed := make(map[symphony.ID]bool)
	err := native{tx}.query(ctx, text, args, func(scan scanner) error {
		var text string
		if err := scan(&text); err != nil {
			return err
		}
		id, err := symphony.ParseID(text)
		changed[id] = true
		return err
	})
	return changed, err
}

// change changes live messages in one transaction and gives each its answer.
func (t *Transport) change(ctx context.Context, what string, ids []symphony.ID,
	do func(ctx context.Context, tx pgx.Tx, ids []symphony.ID) (map[symphony.ID]bool, error),
) ([]error, error) {
	var done map[symphony.ID]bool
	err := t.check(ctx)
	if err == nil && len(ids) > 0 {
		err = t.retry(ctx, func(ctx context.Context) error {
			return pgx.BeginFunc(ctx, t.work, func(tx pgx.Tx) (err error) {
				done, err = do(ctx, tx, ids)
				return err
			})
		})
	}
	if err != nil {
		return nil, t.fail(what, ended(ctx, err))
	}
	t.service.changed(len(done))
	t.floors.back()
	t.stir()
	answers := make([]error, len(ids))
	for i, id := range ids {
		if !done[id] {
			answers[i] = fmt.Errorf("message %s: %w", id, monitor.ErrNotFound)
		}
	}
	return answers, nil
}

// RetryEdited implements [monitor.Editor].
func (t *Transport) RetryEdited(ctx context.Context, id symphony.ID, e monitor.Edit) error {
	if e.Body == nil {
		e.Body = []byte{}
	}
	answers, err := t.repair(ctx, []symphony.ID{id}, func(ctx context.Context, ex executor, ids []symphony.ID) (map[symphony.ID]bool, map[symphony.ID]error, error) {
		if len(ids) == 0 {
			return nil, nil, nil
		}
		err := ex.query(ctx, t.sql.edit, []any{[16]byte(id), e.Body, null(e.ContentType)}, func(scan scanner) error {
			var contentType string
			if err := scan(&contentType); err != nil {
				return err
			}
			return e.Check(contentType)
		})
		if err != nil {
			return nil, nil, err
		}
		done, refused, err := t.revive(ctx, ex, ids)
		if err == nil && refused[id] != nil {
			err = refused[id] // and the body stays as it was
		}
		return done, nil, err
	})
	if err == nil {
		err = answers[0]
	}
	if err != nil {
		return t.fail(fmt.Sprintf("retry dead letter %s, edited, in", id), ended(ctx, err))
	}
	t.floors.back()
	t.stir()
	return nil
}
