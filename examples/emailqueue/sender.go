package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/symphony-messenger/symphony"
)

// A sender handles EmailMessages: it sends the mail and writes the outcome to the row.
type sender struct {
	store backend
	bus   *symphony.Bus
	mail  *mailer
	log   *slog.Logger
}

// handle is the handler of EmailMessage.
func (s *sender) handle(ctx context.Context, m EmailMessage) error {
	env, _ := symphony.EnvelopeFrom(ctx)
	status, message, err := owner(ctx, s.store.database(), m.ID)
	switch {
	case err != nil:
		return err
	case status == sent:
		return nil
	case message != env.ID:
		return symphony.Cancel(fmt.Errorf("row %d of email_queue was deleted or set back to queued", m.ID))
	}
	retried := m.Retried + env.Attempt - 1
	// No transaction is open while the server takes its time: SQLite has one writer, and PostgreSQL would keep
	// what others have deleted meanwhile.
	err = s.mail.send(ctx, letter{
		row: m.ID, to: m.ToEmail, subject: m.Subject, html: m.HTML, fromName: m.FromName, fromEmail: m.FromEmail,
		crashes: env.Crashes,
	})
	if err == nil {
		return s.finish(ctx, m.ID, retried)
	}
	// For people who look at the row. It says how often the mail was retried until now; whether it will
	// be again is not known here. The reconciler writes the end.
	if _, dbErr := s.store.database().exec(ctx, triedSQL, retried, textOf(err), m.ID, env.ID[:]); dbErr != nil {
		err = errors.Join(err, fmt.Errorf("note it at row %d of email_queue: %w", m.ID, dbErr))
	}
	if forGood(err) {
		return symphony.Permanent(err)
	}
	return err
}

// finish completes the message and marks its row as sent. The server has the mail: every failure from
// here on would mean a second one, so it tries again until it has succeeded or has lost the lease.
func (s *sender) finish(ctx context.Context, row int64, retried int) error {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := s.complete(ctx, row, retried)
		if err == nil || errors.Is(err, symphony.ErrLeaseLost) {
			return err
		}
		s.log.Warn("mail sent but not recorded, will try again", "row", row, "error", err)
		select {
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		case <-time.After(wait):
		}
	}
}

// complete does both or neither. It is not stopped by the end of ctx: the token of the lease decides
// whether it is too late.
func (s *sender) complete(ctx context.Context, row int64, retried int) error {
	ctx = context.WithoutCancel(ctx)
	return s.store.send(ctx, s.bus, func(tx transaction, _ symphony.Dispatcher) error {
		if _, err := tx.exec(ctx, sentSQL, retried, row); err != nil {
			return fmt.Errorf("mark row %d of email_queue as sent: %w", row, err)
		}
		return tx.complete(ctx)
	})
}
