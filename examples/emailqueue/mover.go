package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/symphony-messenger/symphony"
)

// A mover turns rows of email_queue into messages. Any number of them may run at once, beside the
// application and its old cron job, and each may be killed at any moment: what a transaction has
// claimed and what it has dispatched are committed together or not at all.
type mover struct {
	store backend
	bus   *symphony.Bus
	batch int           // rows in one transaction
	every time.Duration // pause between two transactions; SQLite has one writer, and others need it too
	log   *slog.Logger
}

// run moves rows until ctx ends.
func (m *mover) run(ctx context.Context) {
	for {
		if _, err := m.move(ctx, m.batch); err != nil && ctx.Err() == nil {
			m.log.Warn("rows not moved, will try again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(m.every):
		}
	}
}

// move moves up to limit rows and returns how many it dealt with.
func (m *mover) move(ctx context.Context, limit int) (int, error) {
	rows, err := m.moveTogether(ctx, limit)
	if !refused(err) {
		return len(rows), err
	}
	// One of them cannot become a message. It must not hold up those behind it.
	if len(rows) == 1 {
		return 1, m.refuse(ctx, rows[0], err)
	}
	for done := range len(rows) {
		if n, err := m.move(ctx, 1); n == 0 || err != nil {
			return done, err
		}
	}
	return len(rows), nil
}

// moveTogether claims rows and dispatches their messages in one transaction, and returns the rows.
// With an error they are as they were.
func (m *mover) moveTogether(ctx context.Context, limit int) (rows []row, err error) {
	err = m.store.send(ctx, m.bus, func(tx transaction, d symphony.Dispatcher) (err error) {
		if rows, err = selectRows(ctx, tx, m.store.database().dialect().claim, limit); err != nil {
			return fmt.Errorf("claim rows of email_queue: %w", err)
		}
		ms := make([]symphony.Message, len(rows))
		for i, r := range rows {
			if ms[i], err = r.message(); err != nil {
				return fmt.Errorf("row %d of email_queue: %w", r.ID, err)
			}
		}
		receipts, err := d.DispatchAll(ctx, ms)
		if err != nil {
			return err
		}
		for i, r := range rows {
			// A duplicate has the id of the message that the row has already: no second one was stored.
			if _, err := tx.exec(ctx, linkSQL, r.ID, receipts[i].ID[:]); err != nil {
				return fmt.Errorf("link row %d of email_queue: %w", r.ID, err)
			}
		}
		return nil
	})
	return rows, err
}

// refuse marks a row that cannot become a message, so that somebody sees it.
func (m *mover) refuse(ctx context.Context, r row, why error) error {
	m.log.Warn("row cannot be moved", "row", r.ID, "error", why)
	if _, err := m.store.database().exec(ctx, refuseSQL, textOf(why), r.ID); err != nil {
		return fmt.Errorf("refuse row %d of email_queue: %w", r.ID, errors.Join(why, err))
	}
	return nil
}
