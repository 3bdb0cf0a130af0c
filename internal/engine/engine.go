// Package engine keeps a worker busy: its slots full, its leases alive, its verdicts on their way, and
// its end orderly. It does not know what a message is or what becomes of one: that is what the
// functions of a Config are for.
package engine

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/symphony-messenger/symphony/internal/crew"
	"github.com/symphony-messenger/symphony/internal/gather"
	"github.com/symphony-messenger/symphony/internal/share"
)

// A Config says what an engine drives. Each function is called by one goroutine at a time, but Claim, which two may call: Start, Refuse
// and Lost by the pump, which they must not block, the others by goroutines beside it.
type Config[V any] struct {
	Concurrency int
	Lease       time.Duration   // of what Claim brings
	Grace       time.Duration   // for handlers, when the engine is to end
	Hurry       <-chan struct{} // closed: Grace is over
	Limits      Limits
	Queues      *share.Queues // the engine's from now on
	Log         *slog.Logger
	LeaseLost   error // the causes with which contexts of handlers end
	Cancelled   error
	Stopping    error

	Open   func(ctx context.Context) error                       // until it succeeds, nothing is claimed
	Claim  func(ctx context.Context, c Claim) ([]*Job[V], error) // blocks until there is a job
	Settle func(ctx context.Context, js []*Job[V]) error         // hands over their verdicts
	Renew  func(ctx context.Context, js []*Job[V]) (lost, cancelled []*Job[V], err error)
	Fatal  func(err error) bool // an error of Open or of the first claims that will stay

	// Upkeep is called about every minute from Open until nothing more is claimed, and again at once
	// while there is more to do.
	Upkeep func(ctx context.Context, round int) (more bool, err error)

	// Leave is called last, unless something is left whose lease must run out.
	Leave func(ctx context.Context) error

	// Exchange, if there is one, does what Settle and then Claim do, but does not block. Claimed jobs are
	// valid without an error only.
	Exchange func(ctx context.Context, js []*Job[V], c Claim) ([]*Job[V], error)

	Start  func(js []*Job[V])         // gives each of them to Go
	Refuse func(j *Job[V], why Cause) // makes the verdict on a job that will not be started
	Lost   func(js []*Job[V])         // is told which have no lease any more and get no verdict
}

// Limits end an engine without an error. Zero fields do not limit.
type Limits struct {
	Messages int
	Failures int
	Memory   int64
	Time     time.Duration
	Idle     time.Duration
}

// A Claim says what there is room for.
type Claim struct {
	Queues []share.Part
	Max    int
	Except []string // types
}

// A Kind is what jobs of some types have in common: how many of them may run at once.
type Kind struct {
	Types  []string
	AtMost int // 1 or more

	running int
}

// A Cause says why a job is not started.
type Cause int

// The causes.
const (
	GivenBack Cause = iota // there was no room, or the engine ends
	Cancelled
	Expired
)

// A Job is one leased message. Whoever claims it fills it in; from then on it belongs to the engine, but
// for the time from Start to Finish, and that of a call that it is given to.
type Job[V any] struct {
	Value    V
	Queue    string
	Kind     *Kind     // nil: any number may run
	Alone    bool      // runs only while nothing else does: its process may not survive it
	Prompt   bool      // others can go on when its verdict is in the store
	Lease    time.Time // ends then at the earliest
	Deadline time.Time // it must not start later; zero: never mind
	Decided  bool      // it has a verdict already

	// Set by Go: the context of its handler, which it shares with those that came to Go with it.
	Context context.Context

	Failed    bool // to be set before Finish: it counts for Limits.Failures
	Undone    bool // to be set by Settle or Exchange: the same, found out only by the store
	Cancelled bool // to be read when it is settled: somebody cancelled it while it ran

	end     context.CancelCauseFunc
	company bool // it does not have its context for itself
	lost    bool
	state   state
	since   time.Time // it is held
}

type state int

const (
	held    state = iota // not started, not decided
	running              // from Start to Finish
	decided              // has a verdict that the store does not have
	settling
)

// An Engine is one run of a worker. One goroutine, the pump, owns all fields but the first ones: it
// decides and never blocks. Calls of the store and handlers have goroutines of their own.
type Engine[V any] struct {
	Config[V]
	handling            context.Context // parent of handlers': it does not end, each of them has an end of its own
	intake              context.Context // of what brings new work; ends when nothing more is claimed
	calls               context.Context // of verdicts and leases; ends last
	endIntake, endCalls context.CancelFunc
	troubleMu           sync.Mutex
	troubleAt           time.Time // of the last line in the log about the store
	finished            *gather.Basket[*Job[V]]
	answers             chan func() // of calls; there is room for one of each, and for three claims
	handlers            crew.Crew
	callers             sync.WaitGroup

	now     time.Time // of this step
	alarm   time.Time // when the next step is due
	began   time.Time
	phase   phase
	until   time.Time // when the phase ends at the latest
	hurried bool
	fatal   error

	inHand  map[*Job[V]]struct{}
	held    []*Job[V] // there is no room for their kinds
	alone   *Job[V]   // waits until nothing else runs, or runs itself
	pending []*Job[V] // decided
	running int       // slots in use
	kinds   map[*Kind]struct{}
	free    []*Job[V] // room for the next that finish
	linger  time.Time // no longer for more to finish

	prompt    bool      // one of pending is Prompt
	settledAt time.Time // the last call for verdicts began

	claim   call
	takings []*taking // at most three
	careful bool      // the last claim brought one that runs alone
	plenty  bool      // more can be claimed than the last claim had room for
	freed   bool      // perhaps room that the claims under way do not know of
	opened  bool
	claimed bool // the store has given us something
	settle  call
	renewal call
	guard   time.Time // a lease may end then

	started, failures   int
	idleSince, memoryAt time.Time
	looked              time.Time // the last claim began that found nothing
}

// New returns an engine that is to be run once.
func New[V any](c Config[V]) *Engine[V] {
	e := &Engine[V]{Config: c}
	e.finished = gather.New[*Job[V]]()
	e.answers = make(chan func(), 5)
	e.inHand = make(map[*Job[V]]struct{})
	e.kinds = make(map[*Kind]struct{})
	return e
}

// Run works until ctx ends or a limit is reached. It returns the error for which Fatal is true, and the
// jobs whose handlers would not end. Else all that it has started has returned.
func (e *Engine[V]) Run(ctx context.Context) (stuck []*Job[V], err error) {
	e.handling = context.WithoutCancel(ctx)
	e.intake, e.endIntake = context.WithCancel(ctx)
	e.calls, e.endCalls = context.WithCancel(e.handling)
	e.began = time.Now()
	e.idleSince = e.began
	e.renewal.next = e.began.Add(e.Lease / 3)
	e.pump(ctx.Done())
	e.handlers.Close()
	e.endIntake()
	e.endCalls()
	e.callers.Wait()
	for j := range e.inHand {
		if j.state == running {
			stuck = append(stuck, j)
		}
	}
	if len(stuck) == 0 {
		e.handlers.Wait()
	}
	if n := len(e.inHand) - len(stuck); n > 0 {
		e.Log.Warn("worker ends without the verdicts of some messages: their leases will run out", "messages", n)
	}
	if e.opened && len(e.inHand) == 0 {
		e.goodbye()
	}
	return stuck, e.fatal
}

// pump takes a step whenever something has happened or is due.
func (e *Engine[V]) pump(end <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	hurry := e.Hurry
	var answer func()
	for e.step(answer); e.phase < over; e.step(answer) {
		answer = nil
		timer.Reset(time.Until(e.alarm))
		select {
		case answer = <-e.answers:
		case <-e.finished.Wake():
		case <-timer.C:
		case <-end:
			end = nil
			e.Log.Info("worker stops", "running", e.running)
			e.interrupt()
		case <-hurry:
			hurry, e.hurried = nil, true
		}
	}
}

// step brings everything up to now. Leases come first: after a pause of the process nothing starts, and
// no answer counts, before the handlers whose leases may be over have been told.
func (e *Engine[V]) step(answer func()) {
	e.now = time.Now()
	e.alarm = e.now.Add(time.Hour)
	e.checkLeases()
	if answer != nil {
		answer()
	}
	e.collect()
	e.checkLimits()
	e.advance()
	e.startHeld()
	e.renew()
	e.settleAll()
	e.claimMore()
}

// due reports whether t has come, and else makes the pump look again then.
func (e *Engine[V]) due(t time.Time) bool {
	if !e.now.Before(t) {
		return true
	}
	if t.Before(e.alarm) {
		e.alarm = t
	}
	return false
}

// Go runs f, which must Finish each of js, once, with a context of theirs. To be called by Start.
func (e *Engine[V]) Go(js []*Job[V], f func()) {
	ctx, end := context.WithCancelCause(e.handling)
	for _, j := range js {
		j.Context, j.end, j.company = ctx, end, len(js) > 1
	}
	e.handlers.Do(func() {
		defer end(nil)
		f()
	})
}

// Finish gives a job with its verdict back to the engine. It may be called by any goroutine.
func (e *Engine[V]) Finish(j *Job[V]) { e.finished.Put(j) }
