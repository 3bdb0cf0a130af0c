package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
)

// ErrNotFound is returned for a schedule that the store does not have.
var ErrNotFound = errors.New("schedule: not found")

// An OwnedError says that a schedule cannot be declared, because the name is that of another owner's.
type OwnedError struct{ Name, Owner string }

// Error names both.
func (e *OwnedError) Error() string {
	return fmt.Sprintf("schedule %s belongs to owner %q: choose another name, or delete that one", e.Name, e.Owner)
}

// A Store keeps schedules beside the messages they dispatch. Transports implement it; find it with [symphony.As]. It
// carries out what this package decides. All methods may be called concurrently, in any number of processes.
type Store interface {
	// Update reads the store's clock, locks the schedules that sel chooses, calls decide with both, and writes what
	// that returns: all or nothing, in one transaction, which other processes see whole. decide may be called again when
	// the store has to begin anew. Update sets Messages and Repeated of the ticks, and adds the messages to the entries.
	// It does not call decide when sel is about due ones and there are none.
	Update(ctx context.Context, sel Selection, decide func(now time.Time, found []Entry) ([]Change, error)) (Update, error)
	// Schedules lists schedules by name, as far as q chooses them.
	Schedules(ctx context.Context, q Query) ([]Entry, error)
	// Ticks lists what became of ticks, the latest tick first.
	Ticks(ctx context.Context, q TickQuery) ([]Tick, error)
}

// A Selection chooses schedules to be locked: those that are due, or those with one of Names and those of Owner.
type Selection struct {
	Names []string
	Owner string
	Due   *Due // not with the others; schedules that somebody else has locked are passed over
}

// Due chooses enabled schedules whose next tick the store's clock has reached, the oldest tick first.
type Due struct {
	Limit  int
	Custom []string // schedules of kind custom whose triggers are known
	Except []string // names to pass over
}

// An Update is what [Store.Update] found and did.
type Update struct {
	Now  time.Time     // the store's clock
	Next time.Time     // of Due: the earliest next tick of the schedules that were not due; zero: there is none
	Wait time.Duration // of Due: from Now to Next
}

// An Entry is a schedule as the store has it. Update gives Live of those with an overlap policy other than allow.
type Entry struct {
	Schedule
	Enabled      bool
	NextRunAt    time.Time // the next tick; zero: none
	LastTickAt   time.Time // the last tick that fired
	LastRunAt    time.Time // when that was
	RunCount     int64     // ticks that fired
	MissedCount  int64     // ticks that were missed for good
	SkippedCount int64     // ticks that did not run because of an overlap
	LastMessages []symphony.ID
	Live         []Live
	LastError    string // why it could not fire
	Declared     string // what the owner declared: a fingerprint
	EditedAt     time.Time
	DroppedAt    time.Time // when its owner declared it no more
	CreatedAt    time.Time
	UpdatedAt    time.Time // when it was last changed, other than by ticks
}

// Live is one of an entry's last messages that has not ended yet.
type Live struct {
	ID      symphony.ID
	Started bool // a worker has had it
}

// A State is one word for how an entry stands.
type State string

// The states.
const (
	Active  State = "active"  // fires at its next tick
	Paused  State = "paused"  // by somebody, until it is resumed
	Dropped State = "dropped" // its owner declares it no more
	Ended   State = "ended"   // there is no next tick
)

// State tells how e stands.
func (e Entry) State() State {
	switch {
	case !e.DroppedAt.IsZero():
		return Dropped
	case !e.Enabled:
		return Paused
	case e.NextRunAt.IsZero():
		return Ended
	}
	return Active
}

// A Change is what becomes of one schedule in an [Store.Update].
type Change struct {
	Entry  Entry // as it is from now on
	Write  Write
	Ticks  []Tick
	Cancel []symphony.ID // messages to be cancelled, as far as they live
	Keep   int           // delete all but so many of its ticks of each outcome; 0: none
}

// A Write says how much of an entry is written.
type Write string

// The ways to write.
const (
	Advance Write = "advance" // what ticks change: next and last tick and run, counts, last messages and error
	Create  Write = "create"  // a new one; Update begins anew if the name was taken meanwhile
	Replace Write = "replace" // all of it
	Remove  Write = "remove"  // delete it, with its ticks
)

// An Outcome says what became of a tick.
type Outcome string

// The outcomes.
const (
	TickFired   Outcome = "fired"   // its message was stored
	TickManual  Outcome = "manual"  // somebody asked for a run; the tick is when
	TickMissed  Outcome = "missed"  // nobody could fire it in time
	TickSkipped Outcome = "skipped" // because of an overlap
)

// A Tick is what became of one tick, or of several in a row that were missed. It is unique in the store by
// schedule, time and outcome.
type Tick struct {
	Schedule   string             `json:"schedule"`
	At         time.Time          `json:"tick_at"`
	Outcome    Outcome            `json:"outcome"`
	RecordedAt time.Time          `json:"recorded_at"`        // by the store's clock
	Runs       int64              `json:"runs"`               // how many ticks these are, from At to Until
	Until      time.Time          `json:"until_at,omitzero"`  // the last of them
	Backfill   bool               `json:"backfill,omitempty"` // somebody asked for it afterwards
	Messages   []symphony.ID      `json:"messages,omitempty"` // for the handler and each subscriber
	Repeated   bool               `json:"repeated,omitempty"` // it was there already, and nothing was stored
	Envelope   *symphony.Envelope `json:"-"`                  // to be stored; nil: nothing
}

// Lag is how long after its time a tick fired.
func (t *Tick) Lag() time.Duration {
	if t.Outcome != TickFired {
		return 0
	}
	return t.RecordedAt.Sub(t.At)
}

// Counts reports whether t counts as a run of its schedule.
func (t *Tick) Counts() bool { return t.Outcome == TickFired && !t.Backfill }

// A Query chooses schedules. Zero fields choose all; fields that are set must all match.
type Query struct {
	Names   []string
	Owner   string
	Type    string // of the message
	Tag     string // of the message
	After   string // continue after this name
	Limit   int    // 0: 50
	Dropped bool   // those too that their owners declare no more
}

// A TickQuery chooses ticks.
type TickQuery struct {
	Schedule string    // whose
	Outcome  Outcome   // "": all
	From     time.Time // at or after
	Until    time.Time // before
	Limit    int       // 0: 50
}
