package monitor

import (
	"context"
	"encoding/json"
	"mime"
	"strings"
	"time"

	"github.com/symphony-messenger/symphony"
)

// A Changer changes live messages. Its methods return one error for each id, in order: nil, or one that matches
// [ErrNotFound] for a message that is not live, or is being handled where only waiting ones can be changed.
type Changer interface {
	// CancelAll does for many messages what [Canceller] does for one.
	CancelAll(ctx context.Context, ids []symphony.ID) ([]error, error)
	// Reschedule makes waiting messages due at another time. One that has its group's turn keeps it.
	Reschedule(ctx context.Context, ids []symphony.ID, due Due) ([]error, error)
	// Prioritize gives waiting messages a priority, 1 to 10. They keep their places among those of the same.
	Prioritize(ctx context.Context, ids []symphony.ID, priority int) ([]error, error)
}

// A Due says when messages are to be due: at a time, or after a while, which the store adds to its own clock as it does for
// [symphony.Delay]. What is past is now, and so is the zero Due.
type Due struct {
	At    time.Time     `json:"at,omitzero"`
	Delay time.Duration `json:"delay,omitempty"` // nanoseconds; At does not count then
}

// Check returns an error that matches *[symphony.InvalidError] for a time that no store can keep.
func (d Due) Check() error {
	if d.At.UTC().Year() > 9999 {
		return &symphony.InvalidError{What: "time", Value: d.At.String(), Rule: "between the years 1970 and 9999"}
	}
	if d.Delay < 0 {
		return &symphony.InvalidError{What: "delay", Value: d.Delay.String(), Rule: "zero or more"}
	}
	return nil
}

// An Edit is what a dead letter is to be when it is retried.
type Edit struct {
	Body        []byte
	ContentType string // "": as it was
}

// Check refuses a body that its content type belies.
func (e Edit) Check(contentType string) error {
	if e.ContentType != "" {
		contentType = e.ContentType
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err == nil && (media == "application/json" || strings.HasSuffix(media, "+json")) && !json.Valid(e.Body) {
		return &symphony.InvalidError{What: "body", Value: string(e.Body[:min(len(e.Body), 80)]), Rule: "JSON, as its content type says"}
	}
	return nil
}

// An Editor retries dead letters with another body.
type Editor interface {
	// RetryEdited does for one dead letter what RetryFailed of [DeadLetters] does, with another body. It returns an error that matches
	// [ErrNotFound], *[KeyTakenError], or *[symphony.InvalidError] for a body that is not what its content type says.
	RetryEdited(ctx context.Context, id symphony.ID, e Edit) error
}

// A Pause is a queue or a type that no worker takes messages of.
type Pause struct {
	Kind  PauseKind `json:"kind"`
	Name  string    `json:"name"`
	Since time.Time `json:"since,omitzero"`
	By    string    `json:"by,omitempty"` // who wanted it, for people
	// Resuming: it is over, and its messages are being made claimable again.
	Resuming bool `json:"resuming,omitempty"`
}

// A PauseKind says what is paused.
type PauseKind string

// What can be paused.
const (
	PausedQueue PauseKind = "queue"
	PausedType  PauseKind = "type"
)

// Check returns an error that matches *[symphony.InvalidError] for what cannot be paused.
func (p Pause) Check() error {
	switch p.Kind {
	case PausedQueue:
		return symphony.CheckName("queue", p.Name)
	case PausedType:
		return symphony.CheckType(p.Name)
	}
	return &symphony.InvalidError{What: "pause", Value: string(p.Kind), Rule: "of a queue or a type"}
}

// A Pauser pauses queues and types. Messages go on being accepted; those that are being handled are not
// disturbed. Pauses are stored: they hold for all workers, also those that start later.
type Pauser interface {
	// Pause lets no claim begin after it returns that takes such a message. Pausing again changes nothing.
	Pause(ctx context.Context, p Pause) error
	// Resume ends a pause. It returns [ErrNotFound] when there is none.
	Resume(ctx context.Context, p Pause) error
	// Pauses lists what is paused.
	Pauses(ctx context.Context) ([]Pause, error)
}

// A Worker is one that is alive: its last heartbeat is not older than its lease.
type Worker struct {
	Identity   string        `json:"identity"`
	StartedAt  time.Time     `json:"started_at"`
	AliveUntil time.Time     `json:"alive_until"`
	Lease      time.Duration `json:"-"`
	Queues     []string      `json:"queues"`            // that it has asked for messages of, in the order of their names
	Count      int           `json:"messages"`          // that it has
	Running    []Running     `json:"running,omitempty"` // those that it has had longest, 100 at most
}

// A Running is a message that a worker has. It is being handled, or is about to be.
type Running struct {
	ID        symphony.ID `json:"id"`
	Type      string      `json:"type"`
	Queue     string      `json:"queue"`
	Attempt   int         `json:"attempt"`
	Since     time.Time   `json:"since"`
	Cancelled bool        `json:"cancel_requested,omitempty"`
}

// MaxRunning is how many messages of a worker are listed.
const MaxRunning = 100

// A Crew knows the workers.
type Crew interface {
	// Workers lists those alive in the order in which they started, also those that have nothing.
	Workers(ctx context.Context) ([]Worker, error)
}

// A Subscriber is a stored subscription.
type Subscriber struct {
	symphony.Subscription
	CreatedAt time.Time `json:"created_at"`
	LastSeen  time.Time `json:"last_seen"` // when a worker of it last said that it is there
}

// StaleAfter is how long a subscriber may not have been seen until people should look: it collects messages.
const StaleAfter = 7 * 24 * time.Hour

// A Subscriptions looks at stored subscriptions and ends them.
type Subscriptions interface {
	// Subscribers lists them by type and name.
	Subscribers(ctx context.Context) ([]Subscriber, error)
	// Unsubscribe ends the subscription of subscriber ("": the handler) to a type: what is dispatched from now on
	// has no copy for it. Copies that wait stay. It returns [ErrNotFound] when there is none.
	Unsubscribe(ctx context.Context, messageType, subscriber string) error
}
