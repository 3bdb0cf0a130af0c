package postgres

import (
	"sync"
	"time"
)

// A search that reads all that workers have had waits for restTimes times what each of the last two took, but not longer than restMost. While some
// transaction is long that is much, and it hardly ever finds anything. One that was slow may have been slow by accident: 30 ms on a busy machine let
// what a lost claim had leased wait for another lease.
const (
	restTimes = 1000
	restMost  = 10 * time.Minute
)

// A seldom says when such a search is due. Its zero value is ready: the first is due.
type seldom struct {
	mu    sync.Mutex
	last  time.Time        // search
	cost  [2]time.Duration // of the last two
	asked time.Time        // when one was first asked for out of turn, by our clock; zero: it was not
	again time.Time        // and last
}

// ask lets a search be due when the least time between two of them is over from now.
func (s *seldom) ask() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.again = time.Now(); s.asked.IsZero() {
		s.asked, s.again = s.again, time.Time{}
	}
}

// open reports whether a search was asked for that was not made.
func (s *seldom) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.asked.IsZero()
}

// due reports whether to search now, at least so long after the last time, or so long after it was asked for. now may be of another clock, always the same.
func (s *seldom) due(now time.Time, least time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.asked.IsZero() && time.Since(s.asked) > least:
		s.asked, s.again = s.again, time.Time{}
	case now.Sub(s.last) < max(least, min(restTimes*min(s.cost[0], s.cost[1]), restMost)):
		return false
	}
	s.last = now
	return true
}

// took notes what the search cost.
func (s *seldom) took(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cost[0], s.cost[1] = s.cost[1], d
}
