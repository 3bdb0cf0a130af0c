package main

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	_ "modernc.org/sqlite" // the driver that the application uses
)

// A cronJob is what the application had before: it knows nothing of Symphony. It claims a few rows,
// sends them one after another, and marks each. It shows what such a job must do so that a mover can
// work beside it: claim with an update that asks for status = 'queued' once more.
type cronJob struct {
	db    *sql.DB
	mail  *mailer
	batch int
	every time.Duration
	log   *slog.Logger
}

const (
	cronClaimSQL = `update email_queue set status = 'processing'
		where id in (
			select id from email_queue
			where status = 'queued' and (scheduled_at is null or scheduled_at <= ?)
			order by id limit ?
		) and status = 'queued'
		returning ` + columns

	cronSentSQL = `update email_queue set status = 'sent', last_error = null where id = ?`

	cronRetrySQL = `update email_queue set status = 'queued', retry_count = retry_count + 1, scheduled_at = ?, last_error = ?
		where id = ?`

	cronFailedSQL = `update email_queue set status = 'failed', last_error = ? where id = ?`
)

// openApplicationDB opens the file as the application does, which has its own connections.
func openApplicationDB(o options) (*sql.DB, error) {
	busy := fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds())
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {busy, "synchronous(" + o.sync + ")", "foreign_keys(ON)"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: o.database, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", o.database, err)
	}
	return db, nil
}

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
	rows, err := selectRows(ctx, c.db, cronClaimSQL, time.Now().UTC().Format(timeLayout), c.batch)
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
		_, err = c.db.ExecContext(ctx, cronSentSQL, r.ID)
	case forGood(refusal) || r.RetryCount >= r.MaxRetries:
		_, err = c.db.ExecContext(ctx, cronFailedSQL, refusal.Error(), r.ID)
	default:
		again := time.Now().Add(c.every).UTC().Format(timeLayout)
		_, err = c.db.ExecContext(ctx, cronRetrySQL, again, refusal.Error(), r.ID)
	}
	return err
}
