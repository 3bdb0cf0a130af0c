package postgres

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/symphony-messenger/symphony"
)

// lookEvery is how old the last look may be that a worker relies on. What nobody told of is noticed within that and the first wait (see firstPoll), also by a worker
// that never runs out of messages.
const lookEvery = 20 * time.Millisecond

// stir tells workers here that a look may find more to claim than a claim does, such as the next of a group.
func (t *Transport) stir() {
	t.stirs.Add(1)
	t.wake.Send()
}

// A sight is what a worker knows of what there is to do, from its last look and its last claim. With few messages at a time a look before each claim
// would be a fifth of all statements.
type sight struct {
	met     atomic.Bool // the store knows the worker
	orphans seldom      // what was leased to it and never arrived

	mu     sync.Mutex
	looked time.Time // when the last look began
	stirs  uint64    // of the transport, at that time
	due    time.Time // when more can be claimed by itself, as far as that look knew; zero: never
	full   bool      // the last claim got all that it asked for, so that there may be more

	// Of the last claim, if it left nothing in these queues but these types: closed when something was told after it had begun. nil: it may
	// have left something.
	told           <-chan struct{}
	queues, except []string
}

// sight returns what a worker knows. Those of workers that are long gone are forgotten when there is a new one: each run of a worker has a name of its own.
func (t *Transport) sight(worker string) *sight {
	if s, known := t.sights.Load(worker); known {
		return s.(*sight)
	}
	t.sights.Range(func(name, s any) bool {
		if s.(*sight).unused() {
			t.sights.Delete(name)
		}
		return true
	})
	s, _ := t.sights.LoadOrStore(worker, &sight{looked: time.Now()})
	return s.(*sight)
}

// unused reports whether the worker has not asked for an hour: one that waits looks four times a second.
func (s *sight) unused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.looked) > time.Hour
}

// looks is to be called when a look begins.
func (s *sight) looks(stirs uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looked, s.stirs, s.due = time.Now(), stirs, time.Time{}
}

// saw notes what a look has found out.
func (s *sight) saw(l look) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next := l.next(); next < time.Hour {
		s.due = s.looked.Add(next)
	}
}

// took notes how many messages a claim has got. told is closed when something was told after it had begun; nil: it may have left something.
func (s *sight) took(c symphony.Claim, n int, told <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = n == c.Max && n > 1 // one of one says little about others
	s.told, s.except = told, c.Except
	s.queues, _ = queuesOf(c)
}

// A step is what a Receive does next.
type step int

const (
	stepLook  step = iota // and claim what the look has found
	stepClaim             // at once
	stepWait
)

// first says what a Receive begins with, and if that is to wait, for what. briefly: it has no time for that.
func (s *sight) first(c symphony.Claim, briefly bool, stirs uint64) (next step, told <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.fresh(stirs):
		return stepLook, nil
	case s.full:
		return stepClaim, nil
	case briefly || !s.leftNothing(c):
		return stepLook, nil
	}
	select {
	case <-s.told:
		return stepClaim, nil
	default:
		return stepWait, s.told
	}
}

// leftNothing reports whether the last claim would have got all that c can get. s.mu is held.
func (s *sight) leftNothing(c symphony.Claim) bool {
	names, _ := queuesOf(c)
	return s.told != nil && contains(s.queues, names) && contains(c.Except, s.except)
}

func contains(all, some []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

// after says what a Receive that has waited and was told of something does.
func (s *sight) after(stirs uint64) step {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fresh(stirs) {
		return stepClaim // what is new is ready, mostly, and nothing else has happened since
	}
	return stepLook
}

// fresh reports whether another look would hardly find out more than the last one. s.mu is held.
func (s *sight) fresh(stirs uint64) bool {
	return stirs == s.stirs && time.Since(s.looked) < lookEvery && (s.due.IsZero() || time.Now().Before(s.due))
}

// quiet is how long nothing happens by itself, as far as is known.
func (s *sight) quiet() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.due.IsZero() {
		return math.MaxInt64
	}
	return time.Until(s.due)
}
