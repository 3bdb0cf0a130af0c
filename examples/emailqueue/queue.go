package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/symphony-messenger/symphony"
)

// The states of a row. They are the application's; both the old cron job and the mover keep to them.
const (
	queued     = "queued"
	processing = "processing"
	sent       = "sent"
	failed     = "failed"
)

// timeLayout is how the table of SQLite keeps times, always in UTC. PostgreSQL reads it, too.
const timeLayout = "2006-01-02T15:04:05.000Z"

// A row is one of email_queue.
type row struct {
	ID          int64
	UserID      int64
	MailboxID   int64
	ToEmail     string
	Subject     string
	HTML        string
	FromName    string
	FromEmail   string
	Type        string
	Priority    string
	Status      string
	ScheduledAt string // timeLayout; "": at once
	RetryCount  int
	MaxRetries  int
	LastError   string
}

const (
	columns = `id, user_id, mailbox_id, to_email, subject, html, from_name, from_email, type, priority, status,
		scheduled_at, retry_count, max_retries, last_error`

	// A row belongs to the message that it is linked to, and to no other that there may be of it.
	linkSQL = `insert into email_queue_messages (email_id, message_id) values ($1, $2)
		on conflict (email_id) do update set message_id = excluded.message_id`

	refuseSQL = `update email_queue set status = 'failed', last_error = $1 where id = $2 and status = 'queued'`

	ownerSQL = `select q.status, l.message_id from email_queue q
		left join email_queue_messages l on l.email_id = q.id where q.id = $1`

	// Whoever owns the row meanwhile: the mail is out, and nobody must send it again.
	sentSQL = `update email_queue set status = 'sent', retry_count = $1, last_error = null where id = $2`

	triedSQL = `update email_queue set status = 'processing', retry_count = $1, last_error = $2
		where id = $3 and status in ('processing', 'failed')
			and exists (select 1 from email_queue_messages l where l.email_id = email_queue.id and l.message_id = $4)`
)

// A dialect is what has to be written differently for the two databases.
type dialect struct {
	schema                        string
	claim, cronClaim, ended, fail string
}

// newDialect takes the schema of the application, the name that precedes Symphony's tables, and what lets
// those who claim rows at the same time pass over each other's.
func newDialect(schema, messenger, skipLocked string) *dialect {
	replace := strings.NewReplacer("messenger_", messenger+"messenger_", "SKIP LOCKED", skipLocked).Replace
	return &dialect{
		schema: schema,

		// One statement, so that no row is claimed twice: by two movers, or by a mover and the cron job.
		// It takes rows that are not due yet too: to wait is Symphony's job from now on.
		claim: replace(`with free as materialized (
				select id from email_queue where status = 'queued' order by id limit $1 SKIP LOCKED
			)
			update email_queue set status = 'processing'
			where id in (select id from free) and status = 'queued'
			returning ` + columns),

		// The cron job's, which takes what is due.
		cronClaim: replace(`with free as materialized (
				select id from email_queue
				where status = 'queued' and (scheduled_at is null or scheduled_at <= $1)
				order by id limit $2 SKIP LOCKED
			)
			update email_queue set status = 'processing'
			where id in (select id from free) and status = 'queued'
			returning ` + columns),

		// Completing a message and marking its row as sent are one transaction. So the message of a row in
		// processing lives, or it has ended otherwise: as a dead letter, or because a person cancelled or
		// discarded it.
		ended: replace(`select q.id, l.message_id,
				coalesce(f.error, 'its message was cancelled or discarded')
			from email_queue q
			join email_queue_messages l on l.email_id = q.id
			left join messenger_failed_messages f on f.id = l.message_id
			where q.status = 'processing' and not exists (select 1 from messenger_messages m where m.id = l.message_id)
			order by q.id limit 1000`), // in order, so that two who write them back do not wait for each other

		// Asked again at the moment of the change: somebody may have retried the dead letter meanwhile.
		fail: replace(`update email_queue set status = 'failed', last_error = $1
			where id = $2 and status = 'processing'
				and exists (select 1 from email_queue_messages l where l.email_id = email_queue.id and l.message_id = $3)
				and not exists (select 1 from messenger_messages m where m.id = $3)`),
	}
}

// createTables makes the application's table and the one that links it to messages.
func createTables(ctx context.Context, db database) error {
	if _, err := db.exec(ctx, db.dialect().schema); err != nil {
		return fmt.Errorf("create email_queue: %w", err)
	}
	return nil
}

// selectRows reads rows; query must return columns.
func selectRows(ctx context.Context, db querier, query string, args ...any) ([]row, error) {
	rs, err := db.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rs.Close()
	var all []row
	for rs.Next() {
		var r row
		var at any
		var lastError sql.NullString
		if err := rs.Scan(&r.ID, &r.UserID, &r.MailboxID, &r.ToEmail, &r.Subject, &r.HTML, &r.FromName, &r.FromEmail,
			&r.Type, &r.Priority, &r.Status, &at, &r.RetryCount, &r.MaxRetries, &lastError); err != nil {
			return nil, err
		}
		r.ScheduledAt, r.LastError = timeText(at), lastError.String
		all = append(all, r)
	}
	return all, rs.Err()
}

// timeText returns a time of the table in timeLayout, and what is none, such as infinity, as it is.
func timeText(at any) string {
	switch at := at.(type) {
	case nil:
		return ""
	case time.Time: // rounded up: no mail may be sent before its time
		return at.Add(time.Millisecond - 1).UTC().Format(timeLayout)
	default:
		return fmt.Sprint(at)
	}
}

// owner returns the state of a row and the message that it belongs to. A row that is gone has no
// state; one that was never moved, or was set back to queued, has no message.
func owner(ctx context.Context, db querier, id int64) (status string, message symphony.ID, err error) {
	var owner []byte
	if _, err := selectOne(ctx, db, ownerSQL, []any{id}, &status, &owner); err != nil {
		return "", symphony.ID{}, fmt.Errorf("read row %d of email_queue: %w", id, err)
	}
	copy(message[:], owner)
	return status, message, nil
}

// An ended row is one in processing whose message has ended without being completed.
type ended struct {
	id      int64
	message symphony.ID
	reason  string
}

func selectEnded(ctx context.Context, db database) ([]ended, error) {
	rs, err := db.query(ctx, db.dialect().ended)
	if err != nil {
		return nil, fmt.Errorf("look for ended messages: %w", err)
	}
	defer rs.Close()
	var all []ended
	for rs.Next() {
		var e ended
		var id []byte
		if err := rs.Scan(&e.id, &id, &e.reason); err != nil {
			return nil, fmt.Errorf("look for ended messages: %w", err)
		}
		copy(e.message[:], id)
		all = append(all, e)
	}
	return all, rs.Err()
}
