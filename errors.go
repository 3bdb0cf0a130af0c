package symphony

import (
	"errors"
	"fmt"
	"time"
)

// Errors that callers test for with errors.Is.
var (
	// The cause (context.Cause) of a handler's context when the worker ends it.
	ErrLeaseLost = errors.New("symphony: lease lost")         // another worker may have the message; write nothing more
	ErrCancelled = errors.New("symphony: message cancelled")  // somebody cancelled it while it ran
	ErrStopping  = errors.New("symphony: worker is stopping") // the grace period is over
	ErrTimeout   = errors.New("symphony: handler timed out")  // the time that Timeout gave is over

	ErrNoHandler      = errors.New("symphony: no handler")
	ErrTooLarge       = errors.New("symphony: message too large")
	ErrOutcomeUnknown = errors.New("symphony: outcome of the dispatch unknown") // stored or not; repeat it with the same key
	ErrNotCommitted   = errors.New("symphony: the transaction that completed the message was not committed")

	ErrNotMigrated   = errors.New("symphony: store has no or an older schema") // hint: symphony migrate up
	ErrSchemaTooNew  = errors.New("symphony: schema needs a newer release of this program")
	ErrStoreFull     = errors.New("symphony: store has no space left")
	ErrStoreReadOnly = errors.New("symphony: store is read-only")
	ErrStoreBusy     = errors.New("symphony: store is locked by another writer")
	ErrUnsupported   = fmt.Errorf("symphony: not supported by this transport: %w", errors.ErrUnsupported)
)

// An InvalidError says which value was refused, and by which rule.
type InvalidError struct{ What, Value, Rule string }

// Error shows the value quoted and cut to 80 characters.
func (e *InvalidError) Error() string {
	return fmt.Sprintf("invalid %s %.80q: must be %s", e.What, e.Value, e.Rule)
}

// A fate is an error by which a handler decides what becomes of its message.
type fate struct {
	outcome Outcome
	after   time.Duration
	reason  Reason
	err     error
}

func (f *fate) Error() string {
	if f.err == nil {
		return fmt.Sprintf("%s for %v", f.outcome, f.after)
	}
	return f.err.Error()
}
func (f *fate) Unwrap() error { return f.err }

// Permanent makes the worker give up: the message goes to the dead letters without another attempt.
// Permanent(nil) is nil.
func Permanent(err error) error {
	return decide(&fate{outcome: Failed, reason: ReasonPermanent, err: err})
}

// RetryIn counts a failure like any other but sets the wait itself; less than zero counts as zero.
// The limit of retries still holds. RetryIn(d, nil) is nil.
func RetryIn(d time.Duration, err error) error {
	return decide(&fate{outcome: Retried, after: max(d, 0), err: err})
}

// Snooze puts the message back for d, less than zero counts as zero. It counts as no attempt and is
// limited only by [Expires].
func Snooze(d time.Duration) error { return &fate{outcome: Snoozed, after: max(d, 0)} }

// Cancel ends the message as cancelled: not done, and nothing to repair. Cancel(nil) is nil.
func Cancel(err error) error { return decide(&fate{outcome: Cancelled, err: err}) }

func decide(f *fate) error {
	if f.err == nil {
		return nil
	}
	return f
}

// OutcomeOf says what err, returned by a handler, asks for; decided is false when it is an ordinary
// error, about which the retry policy decides. Logging middleware uses it to tell a snooze from a failure.
func OutcomeOf(err error) (o Outcome, after time.Duration, decided bool) {
	if err == nil {
		return Completed, 0, true
	}
	if f, ok := errors.AsType[*fate](err); ok {
		return f.outcome, f.after, true
	}
	return Retried, 0, false
}

// A PanicError is what a panic or runtime.Goexit in a handler becomes: a failure like any other.
type PanicError struct {
	Value any // what was passed to panic; nil: runtime.Goexit
	Stack []byte
}

// Error shows the value, not the stack, which is kept as the trace of the attempt.
func (e *PanicError) Error() string {
	if e.Value == nil {
		return "handler ended its goroutine with runtime.Goexit"
	}
	return fmt.Sprintf("panic: %v", e.Value)
}

// Unwrap returns the value when it is an error.
func (e *PanicError) Unwrap() error { err, _ := e.Value.(error); return err }
