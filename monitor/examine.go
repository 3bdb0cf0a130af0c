package monitor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/symphony-messenger/symphony"
)

// A Level says how bad it is.
type Level string

// The levels.
const (
	LevelOK   Level = "ok"
	LevelWarn Level = "warn" // it works, and somebody should look
	LevelFail Level = "fail" // it does not work, or not for long
)

// A Check is one thing about a store that was looked at.
type Check struct {
	Name  string `json:"check"` // one word, such as schema or clock
	Level Level  `json:"level"`
	Text  string `json:"text"`           // what was found
	Hint  string `json:"hint,omitempty"` // what to do about it
	Err   error  `json:"-"`              // of a check that failed: what Text says, for programs
	Health
}

// Health is the figures behind a [Check].
type Health struct {
	Tables  []Table  `json:"tables,omitempty"`
	Holders []Holder `json:"holders,omitempty"` // the oldest first
	Files   []File   `json:"files,omitempty"`
}

// A Table is one table of the store, with its indexes and, if it has some, its partitions.
type Table struct {
	Name     string    `json:"name"`
	Bytes    int64     `json:"bytes"`
	Rows     int64     `json:"rows"`                 // about
	Dead     int64     `json:"dead_rows"`            // about: versions that nobody needs any more, and that were not removed yet
	Vacuumed time.Time `json:"vacuumed_at,omitzero"` // last, by whomever
	Parts    int       `json:"partitions,omitempty"`
}

// A Holder is something because of which dead rows cannot be removed: a transaction that has been open for long, one that is
// prepared, or a replica. Claims must step over such rows.
type Holder struct {
	Kind  string        `json:"kind"` // transaction, prepared or replica
	Name  string        `json:"name"` // the application, the prepared transaction, the slot
	PID   int           `json:"pid,omitempty"`
	State string        `json:"state,omitempty"`
	Age   time.Duration `json:"age,omitempty"`   // nanoseconds for which a transaction has been open; 0: unknown
	Held  int64         `json:"transactions"`    // that began since
	Query string        `json:"query,omitempty"` // its last statement, as far as the user of the store may see it
	Ours  bool          `json:"ours,omitempty"`  // it is the store's own
}

// A File is one file of a store.
type File struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	Free  int64  `json:"free_bytes,omitempty"` // inside it
}

// An Examiner looks at itself and at what it stands on.
type Examiner interface {
	// Examine returns what it has looked at, in the order of importance. What it could not find out is a
	// check that failed. It changes nothing and takes a few seconds at most.
	Examine(ctx context.Context) []Check
}

// Late is how long a message may be due before [ExamineCounts] warns.
const Late = 5 * time.Minute

// ExamineSubscriptions is the check of subscriptions without a worker since [StaleAfter]: they go on collecting messages.
func ExamineSubscriptions(unseen []symphony.Subscription) Check {
	if len(unseen) == 0 {
		return Check{Name: "subscriptions", Level: LevelOK, Text: "each was seen within 7 days"}
	}
	var names []string
	for _, s := range unseen {
		name := s.Type
		if s.Subscriber != "" {
			name += " to " + s.Subscriber
		}
		if s.Owner != "" {
			name += " (" + s.Owner + ")"
		}
		names = append(names, name)
	}
	return Check{
		Name: "subscriptions", Level: LevelWarn, Text: "no worker for 7 days, and they collect messages: " + strings.Join(names, ", "),
		Hint: "start a worker of theirs, or end those that nobody needs with `types unsubscribe`",
	}
}

// ExamineWorkers is the check of workers alive.
func ExamineWorkers(alive int) Check {
	if alive == 0 {
		return Check{Name: "workers", Level: LevelWarn, Text: "none is alive", Hint: "messages wait until one is started"}
	}
	return Check{Name: "workers", Level: LevelOK, Text: fmt.Sprintf("%d alive", alive)}
}

// ExamineCounts looks at what a store counts: messages that wait too long, dead letters, types that nobody
// handles.
func ExamineCounts(c Counts) []Check {
	ready := Check{Name: "waiting", Level: LevelOK, Text: "nothing has been due for long"}
	if c.OldestReady >= Late {
		ready.Level, ready.Hint = LevelWarn, "there are too few workers, they do not serve its queue, or its type is held up"
		ready.Text = fmt.Sprintf("the longest waiting message has been due for %v", c.OldestReady.Round(time.Second))
	}
	var dead int64
	types := make(map[string]bool)
	for _, n := range c.Counts {
		if n.Status == Failed && n.N > 0 {
			dead += n.N
			types[n.Type] = true
		}
	}
	letters := Check{Name: "dead-letters", Level: LevelOK, Text: "none"}
	if dead > 0 {
		letters.Level, letters.Hint = LevelWarn, "look at them with `failed list`; retry or discard them"
		letters.Text = fmt.Sprintf("%d of %d types", dead, len(types))
	}
	unknown := Check{Name: "unknown-types", Level: LevelOK, Text: "every type had a handler"}
	var names []string
	for _, n := range c.NoHandler {
		names = append(names, fmt.Sprintf("%s (%d in %s)", n.Type, n.N, n.Queue))
	}
	if len(names) > 0 {
		unknown.Level, unknown.Hint = LevelWarn, "start a worker that has their handlers; after 24 hours they become dead letters"
		unknown.Text = "no worker had a handler for " + strings.Join(names, ", ")
	}
	return []Check{ready, letters, unknown}
}

// ExamineSchema is the check of a schema's steps.
func ExamineSchema(steps []Migration) Check {
	pending := 0
	var last Migration
	for _, m := range steps {
		if last = m; m.Applied.IsZero() {
			pending++
		}
	}
	if pending > 0 {
		return Check{
			Name: "schema", Level: LevelFail, Text: fmt.Sprintf("%d of %d steps are pending", pending, len(steps)), Hint: "run `migrate up`",
		}
	}
	if last.SQL == "" && last.Version > 0 {
		return Check{Name: "schema", Level: LevelOK, Text: fmt.Sprintf("version %d, of a later release that this one can work with", last.Version)}
	}
	return Check{Name: "schema", Level: LevelOK, Text: fmt.Sprintf("version %d, up to date", last.Version)}
}
