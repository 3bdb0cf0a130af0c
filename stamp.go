package symphony

import (
	"cmp"
	"fmt"
	"time"
)

// A Stamp sets something on an envelope before it is sent, or says why it cannot. A stamp that is
// applied later overrides; headers merge by name, and tags add up. The order, lowest first: the
// message's own [Stamped], the route, [Bus.With], the call, [Wrap].
type Stamp func(*Envelope) error

const priorityRule = "between 1 and 10"

// Queue chooses the queue, [a-z0-9][a-z0-9_.-]{0,62}. Default: that of the route, else "default".
func Queue(name string) Stamp {
	return func(e *Envelope) error { e.Queue = name; return CheckName("queue", name) }
}

// Priority orders messages within their queue: 1 to 10, higher first, 5 by default. Lower priorities
// wait while there are higher ones, for ever if need be.
func Priority(n int) Stamp {
	return func(e *Envelope) error {
		e.Priority = n
		return check(n >= 1 && n <= 10, "priority", n, priorityRule)
	}
}

// Delay makes the message due d after the store has accepted it, by the store's clock, rounded up to
// the millisecond.
func Delay(d time.Duration) Stamp {
	return func(e *Envelope) error {
		e.Delay, e.At = d, time.Time{}
		return check(d >= 0, "delay", d, "zero or more")
	}
}

// At makes the message due at t, rounded up to the millisecond. A t in the past means now.
func At(t time.Time) Stamp {
	return func(e *Envelope) error {
		e.At, e.Delay = t, 0
		return checkTime(t)
	}
}

// Expires makes the message worthless d after it was accepted: no attempt starts later. One that was
// never started ends as expired, one whose next retry would come too late as a dead letter.
func Expires(d time.Duration) Stamp {
	return func(e *Envelope) error { e.Expires = d; return check(d > 0, "expiry", d, "more than zero") }
}

// IdempotencyKey stores at most one message of a type under key, 1 to 255 bytes. The key is taken
// from the acceptance of the first message until window has passed by the store's clock, whatever
// became of that message, and in any case while it lives; a window of zero means only while it lives.
// A second dispatch stores nothing and returns the [Receipt] of the first, marked Duplicate; the
// bodies are not compared.
func IdempotencyKey(key string, window time.Duration) Stamp { return keyed(key, window, KeepFirst) }

func keyed(key string, window time.Duration, action KeyAction) Stamp {
	return func(e *Envelope) error {
		e.Key, e.Window, e.WhenTaken = key, window, action
		if err := check(window >= 0, "idempotency window", window, "zero or more"); err != nil {
			return err
		}
		return checkKey("idempotency key", key)
	}
}

// A KeyAction says what a dispatch does whose idempotency key another message has.
type KeyAction string

// The actions.
const (
	KeepFirst       KeyAction = ""         // nothing, see [IdempotencyKey]
	ReplaceWaiting  KeyAction = "replace"  // see [Replace]
	DebounceWaiting KeyAction = "debounce" // see [Debounce]
)

// Replace is [IdempotencyKey] for the latest message instead of the first. One that has the key and waits, also for a retry, gets the
// body of the one dispatched, with its version, headers, tags, priority and retries; its ID, queue, group, place and times stay. The
// [Receipt] names it, marked Duplicate and Replaced. While it is being handled the key passes to the one dispatched, which is stored.
func Replace(key string, window time.Duration) Stamp { return keyed(key, window, ReplaceWaiting) }

// Debounce is [Replace] with a [Delay] that begins again with each dispatch: the message is due once none came for wait.
func Debounce(key string, wait time.Duration) Stamp {
	return func(e *Envelope) error { return cmp.Or(Delay(wait)(e), keyed(key, 0, DebounceWaiting)(e)) }
}

// Group makes messages of one group and queue run one at a time, in the order in which they became
// due. A message that is to be retried or was snoozed keeps its place and holds the others back; a
// dead letter does not.
func Group(key string) Stamp {
	return func(e *Envelope) error { e.Group = key; return checkKey("group", key) }
}

// MaxRetries says how often the message is tried again after its first attempt has failed. It
// overrides the retry policies of handler, queue and worker. 0: never.
func MaxRetries(n int) Stamp {
	return func(e *Envelope) error { e.MaxRetries = &n; return checkMaxRetries(n) }
}

// Header adds a header, such as a tenant or a trace. Names are [a-z0-9][a-z0-9-]{0,63} and must not
// begin with symphony-, webhook- or ce-; values are at most 4 KiB of UTF-8 without control characters.
func Header(name, value string) Stamp {
	return func(e *Envelope) error {
		if e.Headers == nil {
			e.Headers = make(map[string]string, 1)
		}
		e.Headers[name] = value
		if name == HeaderCorrelation || name == HeaderCausation {
			return invalid("header name", name, "a name that is not set by the bus itself")
		}
		return checkHeader(name, value)
	}
}

// Tag adds tags, by which people find messages: at most 16, each 1 to 64 bytes.
func Tag(tags ...string) Stamp {
	return func(e *Envelope) error {
		for _, tag := range tags {
			if err := checkTag(tag); err != nil {
				return err
			}
		}
		e.Tags = append(e.Tags, tags...)
		return nil
	}
}

// Via sends by s, which writes into t inside the caller's transaction; InTx of a transport makes it.
// Dispatch fails when the message is handled in place or its route does not lead to t. Both must be
// comparable, as pointers are.
func Via(t Transport, s Sender) Stamp {
	return func(e *Envelope) error { e.via, e.viaOf = s, t; return nil }
}

func checkTime(t time.Time) error {
	year := t.UTC().Year()
	return check(year >= 1970 && year < 10000, "time", t, "between the years 1970 and 9999")
}

func checkMaxRetries(n int) error { return check(n >= 0, "max retries", n, "zero or more") }

func check[T any](ok bool, what string, value T, rule string) error {
	if ok {
		return nil
	}
	return invalid(what, fmt.Sprint(value), rule)
}

func invalid(what, value, rule string) error {
	return &InvalidError{What: what, Value: value, Rule: rule}
}
