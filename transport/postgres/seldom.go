package postgres

import (
	"sync"
	"time"
)

// seldomly is how many times its cost a search waits that reads all that workers have had. While some transaction is long that is much, and it hardly ever
// finds anything.
const seldomly = 1000

// A seldom says when such a search is due. Its zero value is ready: the first is due.
type seldom struct {
	mu    sync.Mutex
	last  time.Time // search
	cost  time.Duration
	asked time.Time // when it was asked for out of turn, by our clock; zero: it was not
}

// ask lets a search be due as soon as the least time between two of them is over.
func (s *seldom) ask() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = time.Now()
}

// due reports whether to search now, at least so long after the last time, or so long after it was asked for. now may be of another clock, always the same.
func (s *seldom) due(now time.Time, least time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.asked.IsZero() && time.Since(s.asked) > least:
		s.asked = time.Time{}
	case now.Sub(s.last) < max(least, seldomly*s.cost):
		return false
	}
	s.last = now
	return true
}

// took notes what the search cost.
func (s *seldom) took(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cost = d
}
