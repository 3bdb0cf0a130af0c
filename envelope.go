package symphony

import (
	"context"
	"time"
)

// Headers that Dispatch sets inside a handler: the message that began the conversation, and the one
// whose handler dispatched this one.
const (
	HeaderCorrelation = "symphony-correlation-id"
	HeaderCausation   = "symphony-causation-id"
)

// An Envelope is a message on its way: the body and everything that decides how it travels.
//
// Until it is sent it belongs to the bus, and stamps and sending middleware may change it. Once a
// handler has it, it is a copy: to change it changes nothing in the store.
type Envelope struct {
	ID         ID
	Type       string
	Version    int    // of the body's shape; 0 unless the message is Versioned
	Subscriber string // "" unless this copy belongs to one subscriber; see On

	Message     Message // decoded; nil inside a transport
	Body        []byte  // encoded; nil until the codec has run. Never altered by a transport
	ContentType string
	Headers     map[string]string // lower-case names; at most 64, 16 KiB together
	Tags        []string

	Queue      string
	Group      string        // messages of one group and queue are handled one at a time, in order
	Priority   int           // 1 to 10, higher first, within its queue
	Delay      time.Duration // counted by the store's clock from the moment it accepts the message
	At         time.Time     // zero: now. Compared with the store's clock, to the millisecond
	Expires    time.Duration // no attempt starts later than this after acceptance; 0: never
	Key        string        // idempotency key; unique together with Type and Subscriber
	Window     time.Duration // how long Key stays taken after acceptance; 0: while the message lives
	WhenTaken  KeyAction     // what happens when another message has Key
	MaxRetries *int          // nil: the retry policy of the handler decides

	// Set by the store, on delivery.
	CreatedAt time.Time
	Attempt   int   // 1 at first; a failure adds one; a crash, snooze or release does not
	Crashes   int   // leases that ran out without a verdict
	Fence     int64 // grows with every delivery of this message; lets your own store refuse stale writers

	via   Sender // writes into viaOf, inside somebody's transaction
	viaOf Transport
}

// EnvelopeFrom returns the envelope that is being handled in ctx.
func EnvelopeFrom(ctx context.Context) (*Envelope, bool) {
	env, ok := ctx.Value(envelopeKey{}).(*Envelope)
	return env, ok
}

type envelopeKey struct{}

// check refuses what stamps or sending middleware have put into e against the rules. It runs after
// all of them, because a middleware may set fields directly.
func (e *Envelope) check() error {
	if err := CheckType(e.Type); err != nil {
		return err
	}
	if err := CheckName("queue", e.Queue); err != nil {
		return err
	}
	if err := check(e.Priority >= 1 && e.Priority <= 10, "priority", e.Priority, priorityRule); err != nil {
		return err
	}
	if e.Group != "" {
		if err := checkKey("group", e.Group); err != nil {
			return err
		}
	}
	if e.Key != "" {
		if err := checkKey("idempotency key", e.Key); err != nil {
			return err
		}
	}
	if e.WhenTaken != KeepFirst && e.WhenTaken != ReplaceWaiting && e.WhenTaken != DebounceWaiting {
		return invalid("action for a taken key", string(e.WhenTaken), "empty, replace or debounce")
	}
	if e.Delay < 0 || e.Expires < 0 || e.Window < 0 {
		return invalid("delay, expiry or window", min(e.Delay, e.Expires, e.Window).String(), "zero or more")
	}
	if !e.At.IsZero() {
		if err := checkTime(e.At); err != nil {
			return err
		}
	}
	if e.MaxRetries != nil {
		if err := checkMaxRetries(*e.MaxRetries); err != nil {
			return err
		}
	}
	if len(e.ContentType) > maxContentType {
		return invalid("content type", e.ContentType, "at most 255 bytes")
	}
	if err := checkText("content type", e.ContentType); err != nil {
		return err
	}
	return e.checkLabels()
}

func (e *Envelope) checkLabels() error {
	if len(e.Headers) > maxHeaders {
		return check(false, "number of headers", len(e.Headers), "at most 64")
	}
	bytes := 0
	for name, value := range e.Headers {
		bytes += len(name) + len(value)
		if err := checkHeader(name, value); err != nil {
			return err
		}
	}
	if bytes > maxHeaderBytes {
		return check(false, "size of headers", bytes, "at most 16 KiB together")
	}
	if len(e.Tags) > maxTags {
		return check(false, "number of tags", len(e.Tags), "at most 16")
	}
	for _, tag := range e.Tags {
		if err := checkTag(tag); err != nil {
			return err
		}
	}
	return nil
}
