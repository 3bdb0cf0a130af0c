package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// A cronJob is what the application had before: it knows nothing of Symphony. It claims a few rows,
// sends them one after another, and marks each. It shows what such a job must do so that a mover can
// work beside it: claim with an update that asks for status = 'queued' once more.
type cronJob struct {
	db    database
	mail  *mailer
	batch int
	every time.Duration
	log   *slog.Logger
}

const (
	cronSentSQL = `update email_queue set status = 'sent', last_error = null where id = $1`

	cronRetrySQL = `update email_queue set status = 'queued', retry_count = retry_count + 1, scheduled_at = $1, last_error = $2
		where id = $3`

	cronFailedSQL = `update email_queue set status = 'failed', last_error = $1 where id = $2`
)

// run works every so often until ctx ends. Then it finishes the rows that it has claimed: nobody else
// would.
func (c *cronJob) run(ctx context.Context) error {
	for {
		if err := c.tick(context.WithoutCancel(ctx)); err != nil {
			return fmt.Errorf("cron job: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(c.every):
		}
	}
}

func (c *cronJob) tick(ctx context.Context) error {
	rows, err := selectRows(ctx, c.db, c.db.dialect().cronClaim, time.Now().UTC().Format(timeLayout), c.batch)
	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	for _, r := range rows {
		if err := c.send(ctx, r); err != nil {
			return fmt.Errorf("row %d: %w", r.ID, err)
		}
	}
	return nil
}

// send sends one row and marks it. Its error is that of the database.
func (c *cronJob) send(ctx context.Context, r row) error {
	refusal := c.mail.send(ctx, letter{
		row: r.ID, to: r.ToEmail, subject: r.Subject, html: r.HTML, fromName: r.FromName, fromEmail: r.FromEmail,
	})
	var err error
	switch {
	case refusal == nil:
		_, err = c.db.exec(ctx, cronSentSQL, r.ID)
	case forGood(refusal) || r.RetryCount >= r.MaxRetries:
		_, err = c.db.exec(ctx, cronFailedSQL, textOf(refusal), r.ID)
	default:
		again := time.Now().Add(c.every).UTC().Format(timeLayout)
		_, err = c.db.exec(ctx, cronRetrySQL, again, textOf(refusal), r.ID)
	}
	return err
}
