package symphony

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// A RetryPolicy says how long to wait after the given number of failures, 1 or more; again is false
// to give up. Package retry has the usual ones. It must be safe for concurrent use. Where the stamp
// [MaxRetries] sets the limit, wait counts and again does not.
type RetryPolicy interface {
	Next(failures int, err error) (wait time.Duration, again bool)
}

// A Worker takes messages from a transport and hands them to the handlers of a bus.
// Its fields must not change once Run is called.
type Worker struct {
	Bus         *Bus
	Transport   Transport       // nil: that of the bus
	Name        string          // for people; "": the host's name. Its identity is new with every Run
	Queues      []WorkerQueue   // nil: "default"
	Strict      bool            // a queue waits while one before it has messages; else weights share
	Concurrency int             // handlers at once; 0: 10
	Lease       time.Duration   // 0: 30 s, renewed three times in that
	Grace       time.Duration   // for running handlers, when Run is to end; 0: 20 s
	Hurry       <-chan struct{} // closed: the grace period is over at once. For a second signal; nil: never
	MaxCrashes  int             // leases that may run out before a message is a dead letter; 0: 5
	Unknown     time.Duration   // how long messages without a handler are kept before they are dead letters; 0: 24 h
	Retry       RetryPolicy     // nil: 3 retries after 1 s, 2 s, 4 s, each ± 10 %
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
	Memory   int64         // bytes in use by the Go runtime, looked at every second
	Time     time.Duration // since Run
	Idle     time.Duration // without a message, by the store's own answer, since the store knows the worker
}

// An Observer is told what happens to messages. It is called often, from many goroutines, and must
// not block. For one delivery it is called in the order of the kinds of [Event]; a panic of its is
// logged.
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
	Took     time.Duration // Settled: how long the handler ran; in a batch, the whole batch
	Err      error         // Settled: what the handler returned, or why it was not called; LeaseLost: nil
}

// An EventKind says which step an [Event] is.
type EventKind string

// The steps. A delivery that is not run has no started; each ends with settled or lease lost, unless
// the store cannot be reached when the worker stops.
const (
	EventClaimed   EventKind = "claimed"    // the worker has a lease
	EventStarted   EventKind = "started"    // the handler is about to run
	EventSettled   EventKind = "settled"    // the store has the verdict
	EventLeaseLost EventKind = "lease lost" // the verdict, or the attempt to renew, came too late
)

// Run works until ctx ends or a limit is reached, then takes nothing new, gives back what it has not
// started, and lets running handlers finish: after a limit as long as they need, after the end of ctx
// for Grace. Then it ends their contexts with ErrStopping and waits 5 s more. A store that cannot be reached is tried again and again, with growing
// pauses of at most 2 s, and at most one line a second in the log: Run returns an error only for a
// worker that cannot work at all, before the first claim (wrong fields, no transport, a store without
// our schema), and for handlers that would not stop: one that matches ErrStopping and names them. Else,
// when it returns, every goroutine it started has returned.
//
// Run logs retries and what was completed late as warnings and dead letters as errors. It may be called
// again, and concurrently: each call is a worker of its own.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.check(); err != nil {
		return fmt.Errorf("run worker: %w", err)
	}
	r := newRun(ctx, *w)
	if err := r.checkTransport(); err != nil {
		return fmt.Errorf("run worker: %w", err)
	}
	stuck, err := r.engine.Run(ctx)
	if len(stuck) > 0 {
		var names []string
		for _, j := range stuck[:min(len(stuck), 20)] {
			names = append(names, j.Value.Envelope.Type+" "+j.Value.Envelope.ID.String())
		}
		err = errors.Join(err, fmt.Errorf("%w: %d handlers would not end: %s", ErrStopping, len(stuck), strings.Join(names, ", ")))
	}
	if err != nil {
		return fmt.Errorf("run worker %s: %w", r.id, err)
	}
	return nil
}

func (w *Worker) check() error {
	if w.Bus == nil {
		return errors.New("it has no bus")
	}
	if err := checkText("name of a worker", w.Name); err != nil {
		return err
	}
	names := make(map[string]bool)
	for _, q := range w.Queues {
		if err := CheckName("queue", q.Name); err != nil {
			return err
		}
		if q.Weight < 0 || q.Concurrency < 0 {
			return check(false, "weight or concurrency of queue "+q.Name, min(q.Weight, q.Concurrency), "zero or more")
		}
		if names[q.Name] {
			return invalid("queue of a worker", q.Name, "listed once")
		}
		names[q.Name] = true
	}
	if n := min(w.Concurrency, w.MaxCrashes, w.Limits.Messages, w.Limits.Failures); n < 0 {
		return check(false, "concurrency, crashes or limit of a worker", n, "zero or more")
	}
	if d := min(w.Lease, w.Grace, w.Unknown, w.Limits.Time, w.Limits.Idle); d < 0 {
		return check(false, "lease, grace or time of a worker", d, "zero or more")
	}
	return check(w.Limits.Memory >= 0, "limit of memory", w.Limits.Memory, "zero or more")
}
