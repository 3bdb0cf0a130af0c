package main

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/symphony-messenger/symphony/examples/emailqueue/mailserver"
)

// An application queues mails by inserting rows, as it always did.
type application struct {
	db        database
	rows      int // in all
	perSecond int
	inserted  atomic.Int64
}

const insertSQL = `insert into email_queue
	(id, user_id, mailbox_id, to_email, subject, html, from_name, from_email, type, priority, scheduled_at, max_retries)
	values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`

// run inserts a fifth of the rows at once, as those that were there before, and the others bit by bit.
func (a *application) run(ctx context.Context) error {
	if err := a.insert(ctx, a.rows/5); err != nil {
		return err
	}
	const tick = 20 * time.Millisecond
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	due := 0.0
	for int(a.inserted.Load()) < a.rows {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		due += float64(a.perSecond) * tick.Seconds() * 2 * rand.Float64() // so much on average
		n := min(int(due), a.rows-int(a.inserted.Load()))
		due -= float64(n)
		if err := a.insert(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (a *application) insert(ctx context.Context, n int) error {
	if n == 0 {
		return nil
	}
	next := a.inserted.Load()
	err := a.db.tx(ctx, func(tx querier) error {
		for range n {
			next++
			r := sample(next, time.Now())
			if _, err := tx.exec(ctx, insertSQL, r.ID, r.UserID, r.MailboxID, r.ToEmail, r.Subject, r.HTML,
				r.FromName, r.FromEmail, r.Type, r.Priority, nullable(r.ScheduledAt), r.MaxRetries); err != nil {
				return fmt.Errorf("row %d: %w", r.ID, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("insert into email_queue: %w", err)
	}
	a.inserted.Store(next)
	return nil
}

func nullable(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

// sample returns the nth row. What the mail server will answer follows from n.
func sample(n int64, now time.Time) row {
	kinds := []string{"welcome", "receipt", "reminder", "newsletter"}
	priorities := []string{"normal", "high", "low", "normal", "urgent"}
	r := row{
		ID: n, UserID: 1000 + n%97, MailboxID: 1 + n%7,
		Subject:  fmt.Sprintf("Grüße Nr. %d – your order", n),
		HTML:     fmt.Sprintf("<p>Dear customer %d,</p>\r\n<p>żółć = \"ok\".</p>\r\n.\r\n", n),
		FromName: "Shop & Söhne", FromEmail: fmt.Sprintf("box%d@example.test", 1+n%7),
		Type: kinds[n%4], Priority: priorities[n%5], MaxRetries: 3,
	}
	answer := mailserver.Answer{Kind: mailserver.OK}
	switch {
	case n%50 == 7:
		answer = mailserver.Answer{Kind: mailserver.Gone}
	case n%100 == 13:
		answer = mailserver.Answer{Kind: mailserver.Busy}
	case n%20 == 3:
		answer = mailserver.Answer{Kind: mailserver.Busy, Times: 1}
	case n%40 == 11:
		answer = mailserver.Answer{Kind: mailserver.Busy, Times: 2}
	case n%250 == 99:
		answer = mailserver.Answer{Kind: mailserver.Silent, Times: 1}
	case n%500 == 249:
		answer = mailserver.Answer{Kind: mailserver.Silent}
		r.MaxRetries = 1 // each attempt lasts as long as the client waits
	}
	r.ToEmail = answer.Address(fmt.Sprintf("%d@example.test", n))
	if n%25 == 5 {
		in := time.Duration(n%7) * 500 * time.Millisecond
		r.ScheduledAt = now.Add(in).UTC().Format(timeLayout)
	}
	return r
}
