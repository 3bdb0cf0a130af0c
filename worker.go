package symphony

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// A RetryPolicy says how long to wait after the given number of failures; false: give up.
// Package retry has the usual ones. It must be safe for concurrent use.
type RetryPolicy interface {
	Next(failures int, err error) (wait time.Duration, again bool)
}

// A Worker takes messages from a transport and hands them to the handlers of a bus.
// Its fields must not change once Run is called.
type Worker struct {
	Bus         *Bus
	Transport   Transport     // nil: that of the bus
	Name        string        // for people; "": the host's name. Its identity is new with every Run
	Queues      []WorkerQueue // nil: "default"
	Strict      bool          // a queue waits while one before it has messages; else weights share
	Concurrency int           // handlers at once; 0: 10
	Lease       time.Duration // 0: 30 s, renewed three times in that
	Grace       time.Duration // for running handlers, after ctx has ended; 0: 20 s
	MaxCrashes  int           // leases that may run out before a message is a dead letter; 0: 5
	Unknown     time.Duration // how long messages without a handler are kept before they are dead letters; 0: 24 h
	Retry       RetryPolicy   // nil: 3 retries after 1 s, 2 s, 4 s, each ± 10 %
	Limits      Limits
	Logger      *slog.Logger // nil: that of the bus
	Observer    Observer     // nil: none
}

// A WorkerQueue is a queue that a worker serves.
type WorkerQueue struct {
	Name        string
	Weight      int         // share of the claims beside the other queues; 0: 1
	Concurrency int         // at most so many of the worker's; 0: all
	Retry       RetryPolicy // nil: that of the worker. That of the handler goes before both
}

// Limits end a worker's Run without an error, as Symfony's consume does. Zero fields do not limit.
type Limits struct {
	Messages int           // attempts started
	Failures int           // attempts that failed
	Memory   int64         // bytes in use by the Go runtime
	Time     time.Duration // since Run
	Idle     time.Duration // without a message
}

// An Observer is told what happens to messages. It is called often, from many goroutines, and must
// not block.
type Observer interface {
	Observe(ctx context.Context, e Event)
}

// An Event is one step in the life of a message.
type Event struct {
	Kind     EventKind
	Envelope *Envelope     // must not be changed
	Outcome  Outcome       // Settled: what became of the delivery
	Reason   Reason        // Settled as Failed: why
	After    time.Duration // Settled: the wait before the next attempt, if there is one
	Took     time.Duration // Settled: how long the handler ran
	Err      error         // Settled: what the handler returned; LeaseLost: nil
}

// An EventKind says which step an [Event] is.
type EventKind string

// The steps.
const (
	EventClaimed   EventKind = "claimed"    // the worker has a lease
	EventStarted   EventKind = "started"    // the handler is about to run
	EventSettled   EventKind = "settled"    // the store has the verdict
	EventLeaseLost EventKind = "lease lost" // the verdict, or the attempt to renew, came too late
)

// Run works until ctx ends or a limit is reached, then takes nothing new, gives back what it has not
// started, and lets running handlers finish for Grace; after that it ends their contexts with
// ErrStopping and waits 5 s more. A store that cannot be reached is tried again and again, with growing
// pauses: Run returns an error only for a worker that cannot work at all, before the first claim, and
// for handlers that would not stop. Else, when it returns, every goroutine it started has returned.
func (w *Worker) Run(ctx context.Context) error {
	return errors.ErrUnsupported // being written
}
