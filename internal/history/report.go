package history

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Final is what the store held after the drain, and what it had promised.
type Final struct {
	// IDs are the messages in each state: Completed, Failed, Cancelled, Expired, Live. A state that is
	// no key of the map is one of which the store keeps no record; an empty slice says it holds none.
	IDs map[Outcome][]string
	// Counters are what the store's own statistics say of the states, and of all Accepted. Only those
	// given are checked.
	Counters map[Outcome]int
	// Effects counts what the handlers have left behind, by message id. Nil: not looked at.
	Effects map[string]int
	Rules   Rules
}

// Rules are the settings of a run that the checker cannot see in its events.
type Rules struct {
	MaxRetries *int // of messages that do not say themselves; nil: no bound
	MaxCrashes int  // with so many crashes a message is not run again; 0: no bound
	// Backoff is the least wait after the nth failure, if the policy alone decides it. Nil: what the
	// verdict asked for (After) is all that is checked.
	Backoff func(failures int) time.Duration
	// DrainWithin is how long after the last fault, or after it is due, a message may take to
	// end. 0: not checked.
	DrainWithin time.Duration
	// SkewedClock says that the store's clock is not this machine's. Times of one are then
	// never compared with those of the other.
	SkewedClock bool
}

// An Invariant is a promise that every history keeps. Its number is that of the list HC-1 to HC-17; 11
// (ticks), 16 (subscriptions) and 17 (push) are not checked yet.
type Invariant int

// The invariants.
const (
	NoLoss          Invariant = 1
	NoPhantom       Invariant = 2
	OneVerdict      Invariant = 3
	Fencing         Invariant = 4
	NoClaimAfterEnd Invariant = 5
	NotEarly        Invariant = 6
	Bounded         Invariant = 7
	LeaseExclusion  Invariant = 8
	GroupOrder      Invariant = 9
	OnePerKey       Invariant = 10
	EffectOnce      Invariant = 12
	AllOrNothing    Invariant = 13
	Conservation    Invariant = 14
	Liveness        Invariant = 15
)

func (i Invariant) String() string { return fmt.Sprintf("HC-%d", int(i)) }

// MarshalText makes it readable in JSON.
func (i Invariant) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// Sentence is the promise in words.
func (i Invariant) Sentence() string {
	switch i {
	case NoLoss:
		return "every accepted message has an accepted final verdict or is found in the store"
	case NoPhantom:
		return "every message delivered was accepted before, and has the bytes that were sent"
	case OneVerdict:
		return "at most one final verdict is accepted per life of a message"
	case Fencing:
		return "the fences of a message strictly increase, and only a verdict of the highest is accepted"
	case NoClaimAfterEnd:
		return "nothing is claimed after its end, unless somebody replays it"
	case NotEarly:
		return "nothing is claimed before it is due, waits after a failure included"
	case Bounded:
		return "failures and crashes stay within their limits, and their counters agree with the history"
	case LeaseExclusion:
		return "a message is claimed again only after a verdict or the end of its lease"
	case GroupOrder:
		return "messages of one group are held one at a time, in the order of becoming due"
	case OnePerKey:
		return "an idempotency key names one message in its window, and a duplicate names a stored message"
	case EffectOnce:
		return "a completed message has its effect, exactly once if it completes in its handler's transaction; no other has one then"
	case AllOrNothing:
		return "messages of a committed transaction always appear, of a rolled-back one never"
	case Conservation:
		return "every message is in exactly the state that its verdict says, and the counters agree"
	case Liveness:
		return "after the last fault everything ends in time"
	}
	return "unknown invariant"
}

// A Violation is one broken promise, with the events that show it.
type Violation struct {
	Invariant Invariant `json:"invariant"`
	Message   string    `json:"message,omitempty"` // the id; empty when it is about all
	Detail    string    `json:"detail"`
	Events    []Event   `json:"events,omitempty"`
}

// String gives the promise, the message and what was seen, then one event a line.
func (v Violation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: %s: ", v.Invariant, v.Invariant.Sentence())
	if v.Message != "" {
		fmt.Fprintf(&b, "message %s: ", v.Message)
	}
	b.WriteString(v.Detail)
	for _, e := range v.Events {
		fmt.Fprintf(&b, "\n\t%s", e)
	}
	return b.String()
}

// String is a short form of the event for people.
func (e Event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s#%d %s", time.Unix(0, e.Wall).UTC().Format("15:04:05.000000"), e.Proc, e.Seq, e.Kind)
	word := func(name string, value any, show bool) {
		if show {
			fmt.Fprintf(&b, " %s=%v", name, value)
		}
	}
	word("phase", e.Phase, e.Phase != "")
	word("op", e.Op, e.Op != 0)
	word("message", e.Message, e.Message != "")
	word("fence", e.Fence, e.Fence != 0)
	word("token", e.Token, e.Token != "")
	word("attempt", e.Attempt, e.Attempt != 0)
	word("crashes", e.Crashes, e.Crashes != 0)
	word("outcome", e.Outcome, e.Outcome != "")
	word("after", e.After, e.After != 0)
	word("delay", e.Delay, e.Delay != 0)
	for _, t := range []struct {
		name string
		ns   int64
	}{{"due", e.Due}, {"store", e.Store}, {"lease_end", e.LeaseEnd}} {
		word(t.name, time.Unix(0, t.ns).UTC().Format("15:04:05.000000"), t.ns != 0)
	}
	word("group", e.Group, e.Group != "")
	word("key", e.Key, e.Key != "")
	word("tx", e.Tx, e.Tx != "")
	word("holder", e.Holder, e.Holder != "")
	word("fault", e.Fault, e.Fault != "")
	word("target", e.Target, e.Target != "")
	return b.String()
}

// Figures are the numbers a crash run prints. Messages and claims are counted, not violations.
type Figures struct {
	Jobs          int      `json:"jobs"` // messages that were stored
	Kills         int      `json:"kills"`
	Restarts      int      `json:"restarts"`
	Lost          int      `json:"lost"`
	Doubled       int      `json:"doubled"` // more than one accepted final verdict in one life
	Early         int      `json:"early"`
	StaleAccepted int      `json:"stale_accepted"`
	P99RerunS     *float64 `json:"p99_rerun_s"` // from the kill of a holder to the next claim; nil: there was none
}

// A Report is the judgement of [Check].
type Report struct {
	Figures
	Reruns     int         `json:"-"` // how many P99RerunS is drawn from
	Unknown    int         `json:"-"` // operations whose outcome nobody learnt
	Violations []Violation `json:"-"`
}

// Err is nil when nothing is violated; else it says how often and shows the first ten.
func (r Report) Err() error {
	if len(r.Violations) == 0 {
		return nil
	}
	shown := r.Violations[:min(len(r.Violations), 10)]
	lines := make([]string, 0, len(shown))
	for _, v := range shown {
		lines = append(lines, v.String())
	}
	return errors.New(fmt.Sprintf("history: %d violations\n", len(r.Violations)) + strings.Join(lines, "\n"))
}
