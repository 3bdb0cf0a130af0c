package monitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
)

// An Action is what a [Bulk] does with messages.
type Action string

// The actions.
const (
	ActionRetry      Action = "retry"      // dead letters: RetryFailed of DeadLetters
	ActionDiscard    Action = "discard"    // dead letters: DiscardFailed of DeadLetters
	ActionCancel     Action = "cancel"     // live messages: CancelAll of Changer
	ActionReschedule Action = "reschedule" // waiting ones: Reschedule of Changer
	ActionPriority   Action = "priority"   // waiting ones: Prioritize of Changer
)

// statuses are the states of messages that an action can do something with.
func (a Action) statuses() []Status {
	switch a {
	case ActionRetry, ActionDiscard:
		return []Status{Failed}
	case ActionCancel:
		return []Status{Pending, Scheduled, Processing}
	case ActionReschedule, ActionPriority:
		return []Status{Pending, Scheduled}
	}
	return nil
}

// Changes reports whether an action can do something with a message in this state.
func (a Action) Changes(s Status) bool { return slices.Contains(a.statuses(), s) }

// A BulkState says how a [Bulk] stands.
type BulkState string

// The states of a bulk.
const (
	BulkRunning BulkState = "running" // or waits for somebody to go on with it
	BulkDone    BulkState = "done"
	BulkAborted BulkState = "aborted" // by somebody; what was done stays done
)

// A Bulk does one thing with all messages that a search chooses, in small steps, each of which is stored: others see how far it is
// and can abort it, and when whoever runs it is gone, somebody else may go on. Messages that are sent after it began are left alone.
type Bulk struct {
	ID       symphony.ID `json:"id,omitzero"`
	Action   Action      `json:"action"`
	Search   Search      `json:"search"` // Limit, Cursor and Oldest are not used
	Due                  // of ActionReschedule; Delay counts from CreatedAt
	Priority int         `json:"priority,omitempty"`
	By       string      `json:"by,omitempty"` // who wanted it, for people

	State   BulkState `json:"state"`
	AtMost  int64     `json:"at_most"` // how many messages there were at first in the states, queue and type that are looked for
	Read    int64     `json:"read"`    // rows that were looked at
	Done    int64     `json:"done"`
	Refused int64     `json:"refused"`         // chosen, and changed by somebody else before, or its key is taken
	Error   string    `json:"error,omitempty"` // of the last one that was refused

	CreatedAt  time.Time `json:"created_at,omitzero"`
	UpdatedAt  time.Time `json:"updated_at,omitzero"`
	FinishedAt time.Time `json:"finished_at,omitzero"`

	Holder  string `json:"holder,omitempty"` // who runs it
	Cursor  string `json:"cursor,omitempty"`
	Aborted bool   `json:"-"` // somebody has asked for it
}

// ErrHeld is returned for a bulk that somebody else is running.
var ErrHeld = errors.New("monitor: somebody else runs it")

// HoldBulk is how long a bulk stays with a holder that does not save it.
const HoldBulk = time.Minute

// A BulkStore keeps bulks.
type BulkStore interface {
	// SaveBulk stores b, a new one or its progress, and returns it as stored, with times and Aborted of the store. It returns
	// [ErrHeld] while b is another holder's.
	SaveBulk(ctx context.Context, b Bulk) (Bulk, error)
	// Bulks lists the latest, 100 at most, the latest first. Finished ones are kept for a week.
	Bulks(ctx context.Context) ([]Bulk, error)
	// AbortBulk asks whoever runs a bulk to stop, and ends it when nobody does. It returns [ErrNotFound] for one that is not running.
	AbortBulk(ctx context.Context, id symphony.ID) error
}

// KeepBulks is how long finished bulks are kept.
const KeepBulks = 7 * 24 * time.Hour

// Check completes b and returns an error that matches *[symphony.InvalidError] for one that makes no sense.
func (b *Bulk) Check() error {
	of := b.Action.statuses()
	if of == nil {
		return &symphony.InvalidError{What: "action", Value: string(b.Action), Rule: "one of retry, discard, cancel, reschedule and priority"}
	}
	if len(b.Search.Statuses) == 0 {
		b.Search.Statuses = of
	}
	for _, s := range b.Search.Statuses {
		if !slices.Contains(of, s) {
			return &symphony.InvalidError{What: "status", Value: string(s), Rule: fmt.Sprintf("one of %s for the action %s", of, b.Action)}
		}
	}
	if b.Action == ActionPriority && (b.Priority < 1 || b.Priority > 10) {
		return &symphony.InvalidError{What: "priority", Value: fmt.Sprint(b.Priority), Rule: "between 1 and 10"}
	}
	return cmp.Or(b.Due.Check(), b.Search.Check())
}

// bulkStep is how many messages are changed at once.
const bulkStep = 500

// RunBulk runs b on a transport until all is done, ctx ends or somebody aborts it, and tells progress of every step. A new one has no ID;
// one of [BulkStore] goes on where it was. It blocks. Where the transport keeps no bulks, b is known to the caller only. The
// error matches [symphony.ErrUnsupported] when the transport cannot do what b wants, and [ErrHeld] when somebody else runs it.
func RunBulk(ctx context.Context, t symphony.Transport, b Bulk, progress func(Bulk)) (Bulk, error) {
	if err := b.Check(); err != nil {
		return b, err
	}
	r := bulkRun{progress: progress}
	var ok bool
	if r.lister, ok = symphony.As[Lister](t); !ok {
		return b, fmt.Errorf("%w: searching messages", symphony.ErrUnsupported)
	}
	if r.do, ok = doer(t, b.Action); !ok {
		return b, fmt.Errorf("%w: to %s messages", symphony.ErrUnsupported, b.Action)
	}
	r.store, _ = symphony.As[BulkStore](t)
	if b.ID.IsZero() {
		b.ID, b.State = symphony.NewID(), BulkRunning
		if c, ok := symphony.As[Counter](t); ok {
			counts, err := c.Counts(ctx)
			if err != nil {
				return b, err
			}
			b.AtMost = counts.AtMost(&b.Search)
		}
	}
	b.Holder = symphony.NewID().String()
	return r.run(ctx, b)
}

func doer(t symphony.Transport, a Action) (func(context.Context, *Bulk, []symphony.ID) ([]error, error), bool) {
	letters, hasLetters := symphony.As[DeadLetters](t)
	changer, hasChanger := symphony.As[Changer](t)
	switch a {
	case ActionRetry:
		return func(ctx context.Context, _ *Bulk, ids []symphony.ID) ([]error, error) {
			return letters.RetryFailed(ctx, ids)
		}, hasLetters
	case ActionDiscard:
		return func(ctx context.Context, _ *Bulk, ids []symphony.ID) ([]error, error) {
			return letters.DiscardFailed(ctx, ids)
		}, hasLetters
	case ActionCancel:
		return func(ctx context.Context, _ *Bulk, ids []symphony.ID) ([]error, error) {
			return changer.CancelAll(ctx, ids)
		}, hasChanger
	case ActionReschedule:
		return func(ctx context.Context, b *Bulk, ids []symphony.ID) ([]error, error) {
			due := b.Due
			if due.Delay > 0 && !b.CreatedAt.IsZero() { // the same for all steps, by the clock of the store
				due = Due{At: b.CreatedAt.Add(due.Delay)}
			}
			return changer.Reschedule(ctx, ids, due)
		}, hasChanger
	}
	return func(ctx context.Context, b *Bulk, ids []symphony.ID) ([]error, error) {
		return changer.Prioritize(ctx, ids, b.Priority)
	}, hasChanger
}

// AtMost returns how many messages there are in the states, the queue and the type that s looks for: it matches no more.
func (c Counts) AtMost(s *Search) (n int64) {
	for _, each := range c.Counts {
		if (len(s.Statuses) == 0 || slices.Contains(s.Statuses, each.Status)) && (s.Queue == "" || s.Queue == each.Queue) && (s.Type == "" || s.Type == each.Type) {
			n += each.N
		}
	}
	return n
}

type bulkRun struct {
	lister   Lister
	store    BulkStore // nil: it is not kept
	do       func(context.Context, *Bulk, []symphony.ID) ([]error, error)
	progress func(Bulk)
}

func (r *bulkRun) save(ctx context.Context, b Bulk) (Bulk, error) {
	if r.store == nil {
		return b, ctx.Err()
	}
	return r.store.SaveBulk(ctx, b)
}

func (r *bulkRun) run(ctx context.Context, b Bulk) (Bulk, error) {
	b, err := r.save(ctx, b)
	for err == nil && b.State == BulkRunning {
		if b.Aborted {
			b.State = BulkAborted
		} else if b, err = r.step(ctx, b); err != nil {
			break
		}
		if b, err = r.save(ctx, b); err == nil && r.progress != nil {
			r.progress(b)
		}
	}
	if err != nil {
		return b, fmt.Errorf("%s messages, %d done: %w", b.Action, b.Done, err)
	}
	return b, nil
}

// step changes a page. When it is interrupted after that, the next one who runs b finds those messages changed.
func (r *bulkRun) step(ctx context.Context, b Bulk) (Bulk, error) {
	s := b.Search
	s.Limit, s.Cursor, s.Oldest = bulkStep, b.Cursor, false
	p, err := r.lister.Messages(ctx, s)
	if err != nil {
		return b, err
	}
	if len(p.Records) > 0 {
		ids := make([]symphony.ID, len(p.Records))
		for i := range p.Records {
			ids[i] = p.Records[i].ID
		}
		errs, err := r.do(ctx, &b, ids)
		if err != nil {
			return b, err
		}
		for _, err := range errs {
			if err == nil {
				b.Done++
				continue
			}
			b.Refused++
			b.Error = err.Error()
		}
	}
	b.Read += int64(p.Read)
	if b.Cursor = p.Cursor; b.Cursor == "" {
		b.State = BulkDone
	}
	return b, nil
}
