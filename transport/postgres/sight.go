package postgres

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/symphony-messenger/symphony"
)

// lookEvery is how long messages may be due, or a worker dead, until it is noticed by a worker that is told of new messages all the time, or never
// runs out of them.
const lookEvery = 20 * time.Millisecond

// stir tells workers here that a look may find more to claim than a claim does, such as the next of a group.
func (t *Transport) stir() {
	t.stirs.Add(1)
	t.wake.Send()
}

// A sight is what a worker knows of what there is to do, from its last look and its last claim. With few messages at a time a look before each claim
// would be a fifth of all statements.
type sight struct {
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

// sight returns what a worker knows.
func (t *Transport) sight(worker string) *sight {
	s, known := t.sights.Load(worker)
	if !known {
		s, _ = t.sights.LoadOrStore(worker, new(sight))
	}
	return s.(*sight)
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
	s.full = n == c.Max && n > 1 // the only one says little about others
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

// first says what a Receive begins with; if that is to wait, for what, and how long nothing happens by itself.
func (s *sight) first(c symphony.Claim, stirs uint64) (st step, told <-chan struct{}, next time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fresh(stirs) {
		return stepLook, nil, 0
	}
	if s.full {
		return stepClaim, nil, 0
	}
	names, _ := queuesOf(c)
	if s.told == nil || !slices.Equal(names, s.queues) || !slices.Equal(c.Except, s.except) {
		return stepLook, nil, 0
	}
	select {
	case <-s.told:
		return stepClaim, nil, 0
	default:
		return stepWait, s.told, s.quiet()
	}
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

// quiet is how long nothing happens by itself. s.mu is held.
func (s *sight) quiet() time.Duration {
	if s.due.IsZero() {
		return math.MaxInt64
	}
	return time.Until(s.due)
}

// fresh reports whether another look would hardly find out more than the last one. s.mu is held.
func (s *sight) fresh(stirs uint64) bool {
	return stirs == s.stirs && time.Since(s.looked) < lookEvery && s.quiet() > 0
}
