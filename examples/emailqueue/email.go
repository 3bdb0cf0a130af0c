package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/symphony-messenger/symphony"
)

// An EmailMessage is a row of email_queue on its way. It has all that is needed to send the mail, so
// that a worker reads the row for its state only.
type EmailMessage struct {
	ID        int64  `json:"id"` // of the row
	UserID    int64  `json:"user_id"`
	MailboxID int64  `json:"mailbox_id"`
	ToEmail   string `json:"to_email"`
	Subject   string `json:"subject"`
	HTML      string `json:"html"`
	FromName  string `json:"from_name"`
	FromEmail string `json:"from_email"`
	Type      string `json:"type"`
	Retried   int    `json:"retried,omitempty"` // retries that the old cron job made before the row was moved
}

// MessageType implements symphony.Message.
func (EmailMessage) MessageType() string { return "email" }

// Validate implements symphony.Validator.
func (m EmailMessage) Validate() error {
	if m.ID <= 0 || m.ToEmail == "" {
		return &symphony.InvalidError{What: "email", Value: fmt.Sprintf("id %d to %q", m.ID, m.ToEmail), Rule: "one with an id and an address"}
	}
	return nil
}

// message turns a row into a message that keeps what the row asks for.
func (r row) message() (symphony.Message, error) {
	stamps := []symphony.Stamp{
		// While its message lives a row gets no second one, even if somebody sets it back to queued.
		symphony.IdempotencyKey("email_queue/"+strconv.FormatInt(r.ID, 10), 0),
		symphony.Priority(r.priority()),
		symphony.MaxRetries(max(r.MaxRetries-r.RetryCount, 0)), // what the cron job has left of them
	}
	if r.ScheduledAt != "" {
		at, err := time.Parse(timeLayout, r.ScheduledAt)
		if err != nil {
			return nil, &symphony.InvalidError{What: "scheduled_at", Value: r.ScheduledAt, Rule: "a time such as " + timeLayout}
		}
		stamps = append(stamps, symphony.At(at))
	}
	return symphony.Wrap(EmailMessage{
		ID: r.ID, UserID: r.UserID, MailboxID: r.MailboxID, ToEmail: r.ToEmail, Subject: r.Subject, HTML: r.HTML,
		FromName: r.FromName, FromEmail: r.FromEmail, Type: r.Type, Retried: r.RetryCount,
	}, stamps...), nil
}

// priority maps the application's words to Symphony's 1 to 10, of which 5 is the default.
func (r row) priority() int {
	switch r.Priority {
	case "low":
		return 2
	case "high":
		return 8
	case "urgent":
		return 10
	default:
		return 5
	}
}

// refused reports whether err says that a message breaks the rules, and always will.
func refused(err error) bool {
	_, invalid := errors.AsType[*symphony.InvalidError](err)
	return invalid || errors.Is(err, symphony.ErrTooLarge)
}
