// Package monitor is how people and programs look at the messages of a store and repair them. It has
// the types and the small interfaces that transports implement; find them with [symphony.As]:
//
//	if finder, ok := symphony.As[monitor.Finder](transport); ok {
//		record, err := finder.Find(ctx, id)
//	}
package monitor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
)

// ErrNotFound is matched by errors about a message, pause, subscription or bulk that the store does not have, or not in the state asked for.
var ErrNotFound = errors.New("monitor: not found")

// A KeyTakenError says that a dead letter cannot be retried, because its idempotency key has passed
// to another message meanwhile.
type KeyTakenError struct {
	Key    string
	Holder symphony.ID
}

// Error implements error.
func (e *KeyTakenError) Error() string {
	return fmt.Sprintf("idempotency key %q is taken by message %s", e.Key, e.Holder)
}

// A Status is the state of a message, one word in Go, SQL, JSON and on the command line.
type Status string

// The states. The first three are live, the others ends.
const (
	Pending    Status = "pending"    // may be claimed, or waits for what Record.WaitingFor says
	Scheduled  Status = "scheduled"  // not yet due, also when it waits for a retry
	Processing Status = "processing" // leased to a worker
	Completed  Status = "completed"
	Failed     Status = "failed" // a dead letter
	Cancelled  Status = "cancelled"
	Expired    Status = "expired"
)

// Statuses lists all states in the order of a message's life.
func Statuses() []Status {
	return []Status{Pending, Scheduled, Processing, Completed, Failed, Cancelled, Expired}
}

// WaitingFor says why a pending message cannot be claimed, or why one is scheduled again.
const (
	WaitingForGroup   = "group"   // another message of its group is first
	WaitingForHandler = "handler" // no worker had a handler for its type
	WaitingForResume  = "paused"  // its type is paused, and it was set aside for that. Others of the type may not have been yet
)

// A Record is one message as the store has it, in any state. Zero times and fields mean "not so".
type Record struct {
	ID         symphony.ID `json:"id"`
	Type       string      `json:"type"`
	Subscriber string      `json:"subscriber,omitempty"`
	Queue      string      `json:"queue"`
	Status     Status      `json:"status"`
	WaitingFor string      `json:"waiting_for,omitempty"`
	Priority   int         `json:"priority"`

	Body        []byte            `json:"-"` // encoded by the command line and the API as they show it
	ContentType string            `json:"content_type"`
	Version     int               `json:"version,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Tags        []string          `json:"tags,omitempty"`
	Group       string            `json:"group,omitempty"`
	Key         string            `json:"key,omitempty"`

	CreatedAt   time.Time `json:"created_at"`
	ScheduledAt time.Time `json:"scheduled_at,omitzero"` // the time asked for
	AvailableAt time.Time `json:"available_at,omitzero"` // when it is next due
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	FinishedAt  time.Time `json:"finished_at,omitzero"`

	RetryCount  int   `json:"retry_count"`           // failures that led to another attempt
	MaxRetries  *int  `json:"max_retries,omitempty"` // nil: the handler's policy decides
	CrashCount  int   `json:"crash_count"`
	SnoozeCount int   `json:"snooze_count"`
	Fence       int64 `json:"fence"` // deliveries

	LockedBy    string    `json:"locked_by,omitempty"` // the worker, while processing
	LockedAt    time.Time `json:"locked_at,omitzero"`
	LockedUntil time.Time `json:"lock_expires_at,omitzero"`

	Reason      symphony.Reason `json:"reason,omitempty"` // of a dead letter
	LastError   string          `json:"last_error,omitempty"`
	ErrorClass  string          `json:"error_class,omitempty"`
	Fingerprint string          `json:"fingerprint,omitempty"` // of a dead letter: groups those that failed alike
	Attempts    []Attempt       `json:"attempts,omitempty"`
}

// An Attempt is one failed attempt.
type Attempt struct {
	Number int       `json:"attempt"` // 1 at first
	At     time.Time `json:"at"`      // when its verdict was recorded, by the store's clock
	Worker string    `json:"worker,omitempty"`
	Error  string    `json:"error"`
	Class  string    `json:"class"`
	Trace  string    `json:"trace,omitempty"`
}

// How many attempts are kept of a message: the first ones say how it began, the last how it ended.
const (
	firstAttempts = 2
	lastAttempts  = 8
)

// AppendAttempt returns kept and a, without what is in the middle of more than 2 first and 8 last.
// It does not change kept, which somebody else may be reading.
func AppendAttempt(kept []Attempt, a Attempt) []Attempt {
	if over := len(kept) + 1 - firstAttempts - lastAttempts; over > 0 {
		return slices.Concat(kept[:firstAttempts], kept[firstAttempts+over:], []Attempt{a})
	}
	return append(slices.Clip(kept), a)
}

// A Finder finds one message in whatever state.
type Finder interface {
	// Find returns ErrNotFound for a message that never was, or whose history is over.
	Find(ctx context.Context, id symphony.ID) (Record, error)
}

// A Filter chooses dead letters. Zero fields choose all; the fields that are set must all match.
type Filter struct {
	IDs         []symphony.ID // no others are read
	Type        string
	Queue       string
	Reason      symphony.Reason
	Class       string
	Fingerprint string
	Since       time.Time // failed at or after
	Until       time.Time // failed before
	Limit       int       // 0: 50; 1000 at most
	Cursor      string    // of the page before
}

// Most is how many records a page has at most.
func (f *Filter) Most() int { return most(f.Limit) }

// DeadLetters looks at dead letters and repairs them.
type DeadLetters interface {
	// Failed returns a page of the dead letters that f chooses, the one that failed last first. Like Messages of [Lister] it reads
	// [SearchRows] rows at most and stops after about [SearchTime]: the page may have fewer records than there is room for, even
	// none, and a cursor that goes on with those that failed before. That holds whatever becomes of the dead letters meanwhile.
	// It returns an error that matches *[symphony.InvalidError] for a cursor that is none.
	Failed(ctx context.Context, f Filter) (Page, error)
	// RetryFailed puts dead letters back into their queues, with no failures counted, at the end of
	// their groups. It returns one error for each id, in order: nil, ErrNotFound or a *KeyTakenError.
	RetryFailed(ctx context.Context, ids []symphony.ID) ([]error, error)
	// DiscardFailed deletes dead letters for good and frees their idempotency keys. It returns one
	// error for each id, in order: nil or ErrNotFound.
	DiscardFailed(ctx context.Context, ids []symphony.ID) ([]error, error)
}

// A Canceller cancels messages.
type Canceller interface {
	// Cancel ends a waiting message at once. One that is being handled is marked: its worker learns it
	// with its next heartbeat and ends the handler's context. The record says how it stands now.
	// It returns ErrNotFound for a message that is not live.
	Cancel(ctx context.Context, id symphony.ID) (Record, error)
}

// A Count says how many messages of a type are in a state.
type Count struct {
	Queue  string `json:"queue"`
	Type   string `json:"type"`
	Status Status `json:"status"`
	N      int64  `json:"count"`
}

// Counts is what a store counts. Live states and dead letters are those there are now; the others
// are all there ever were.
type Counts struct {
	Counts []Count `json:"counts"`
	// NoHandler says how many of the scheduled ones wait because a worker had no handler for them.
	NoHandler []Count `json:"no_handler,omitempty"`
	// OldestReady is how long the longest waiting message that could be claimed has been due.
	OldestReady time.Duration `json:"-"`
}

// A Counter counts messages from figures that the store maintains, exact at every commit.
type Counter interface {
	Counts(ctx context.Context) (Counts, error)
}
