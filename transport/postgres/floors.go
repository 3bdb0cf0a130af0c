package postgres

import (
	"math"
	"slices"
	"sync"
	"time"
)

// Floors let claims pass over what was claimed before, which stays in its index until a vacuum: a claim begins behind the last
// message that this transport has claimed of the queue and priority, and so does not walk over it. What lies before, such as a retry
// of another process, or what was committed late, is found by a claim from the start, of which there is one every startEvery, and
// at once for what another claim had room for.
//
// While some transaction in the database is long, no vacuum removes anything, and a claim from the start would walk over all that was done since,
// hundreds of thousands of entries after a minute. Then the floors are high: the start is where they were a moment ago, so that what was
// committed late is found as before, and what lies before the start is searched for piece by piece, beside the claims (behind.go).
type floors struct {
	mu     sync.Mutex
	queues map[string]*levels
	start  time.Time        // of the last claim from the start
	pause  time.Duration    // until the next one
	ahead  map[string]int64 // messages of each queue that claims under way may bring: another claim begins behind them
	falls  int              // how often floors were lowered

	slow   int // claims from the start, in a row, that took far too long for what they brought
	high   bool
	dirty  bool      // something may lie before the start
	looked time.Time // when a statement that is no claim began at the start
}

// Levels are those of one queue, by priority - 1; 0: none.
type levels struct {
	floor level

	// While the floors are high.
	low    level // the start
	mark   level // where it goes next: the floor at the time marked
	marked time.Time
}

type level [10]int64

const startEvery = 25 * time.Millisecond

// markEvery is how far the start is behind the floors while they are high, twice that mostly. What takes longer to commit waits for the search.
const markEvery = 50 * time.Millisecond

// A claim that finds nothing in its way takes a millisecond and some ten microseconds a message, on a slow machine a few times that. Whether
// dead rows are the reason is another question.
const (
	slowClaim  = 8 * time.Millisecond
	slowRow    = 40 * time.Microsecond
	slowClaims = 3
	manyDead   = 10_000
)

// A climb is what a claim of the queues names is told, of which it may bring mosts messages each and most in all: ten numbers for each of them, behind
// which it begins.
type climb struct {
	names     []string
	mosts     []int32
	most      int
	floors    []int64
	fromStart bool
	falls     int
}

// of is for a statement that is no claim: it begins at the start, while the floors are high as often as claims do, and else where the next claim would.
func (f *floors) of(names []string) []int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.lows(names)
	if now := time.Now(); now.Sub(f.looked) >= startEvery {
		f.looked = now
	} else if f.high {
		f.climbed(all, names, false)
	}
	return all
}

// lows is the start: ten numbers for each of the queues names. f.mu is held.
func (f *floors) lows(names []string) []int64 {
	all := make([]int64, 10*len(names))
	for i, name := range names {
		if q := f.queues[name]; q != nil && f.high {
			copy(all[10*i:], q.low[:])
		}
	}
	return all
}

// climb says where a claim begins. It is to be followed by claimed.
func (f *floors) climb(names []string, mosts []int32, most int) climb {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := climb{names: names, mosts: mosts, most: most, floors: f.lows(names), falls: f.falls}
	if now := time.Now(); now.Sub(f.start) >= f.pause {
		f.start, c.fromStart = now, true
	} else {
		f.climbed(c.floors, names, true)
	}
	f.expect(c, int64(most))
	return c
}

// climbed raises the start to the floors, where there are any. ahead: and beyond what claims under way may bring. f.mu is held.
func (f *floors) climbed(all []int64, names []string, ahead bool) {
	for i, name := range names {
		q := f.queues[name]
		for p := range 10 {
			if q == nil || q.floor[p] == 0 {
				continue
			}
			if all[10*i+p] = q.floor[p]; ahead {
				all[10*i+p] += f.ahead[name]
			}
		}
	}
}

func (f *floors) expect(c climb, n int64) {
	if f.ahead == nil {
		f.ahead = make(map[string]int64)
	}
	for _, name := range c.names {
		f.ahead[name] += n
	}
}

// claimed notes what a claim brought and how long it took. It reports whether there may be more from the start.
func (f *floors) claimed(c climb, rows []*leased, took time.Duration) (again bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expect(c, -int64(c.most))
	full := len(rows) == c.most
	if c.fromStart {
		f.pause = max(startEvery, 10*took)
		if f.slow++; took < slowClaim+time.Duration(len(rows))*slowRow {
			f.slow = 0
		}
		if full { // what lies behind these may be old, too
			f.forget(c.names, rows)
		}
	}
	if c.fromStart || c.falls == f.falls {
		f.raise(rows)
	}
	if c.fromStart && f.high {
		for i, name := range c.names {
			f.follow(name, rows, full, c.mosts[i])
		}
	}
	if f.high { // the way from the start is not so short that each claim could go it
		return false
	}
	if !full {
		f.pause = 0
	}
	return !full && !c.fromStart
}

// forget takes floors away, where a claim from the start that was filled has not come to the end: of the last priority that it took of a queue, and
// of those below. Claims that began earlier do not put them back.
func (f *floors) forget(names []string, rows []*leased) {
	f.falls++
	for _, name := range names {
		if q := f.queues[name]; q != nil {
			lowest, _, _ := taken(name, rows)
			clear(q.floor[:lowest])
		}
	}
}

// taken says of what a claim took of a queue: the lowest priority, 10 if it took nothing; the last message of that; and how many.
func taken(queue string, rows []*leased) (lowest int, last int64, n int32) {
	lowest = 10
	for _, l := range rows {
		if l.env.Queue != queue {
			continue
		}
		if n++; l.env.Priority < lowest {
			lowest, last = l.env.Priority, 0
		}
		if l.env.Priority == lowest {
			last = max(last, l.seq)
		}
	}
	return lowest, last, n
}

func (f *floors) raise(rows []*leased) {
	if f.queues == nil {
		f.queues = make(map[string]*levels)
	}
	for _, l := range rows {
		q := f.queues[l.env.Queue]
		if q == nil {
			q = new(levels)
			f.queues[l.env.Queue] = q
		}
		at := &q.floor[l.env.Priority-1]
		*at = max(*at, l.seq)
	}
}

// follow lets the start of a queue follow its floor, after a claim from the start, as far as that has come: there is nothing before that now.
func (f *floors) follow(queue string, rows []*leased, full bool, most int32) {
	q := f.queues[queue]
	now := time.Now()
	if q == nil || now.Sub(q.marked) < markEvery {
		return
	}
	lowest, last, n := taken(queue, rows)
	if !full && n < most { // it has come to the end
		lowest, last = 1, math.MaxInt64
	}
	for p := lowest - 1; p < 10; p++ {
		to := q.mark[p]
		if p == lowest-1 {
			to = min(to, last)
		}
		q.low[p] = max(q.low[p], to)
	}
	q.mark, q.marked = q.floor, now
}

// suspect reports whether claims have become slow, those from the start too.
func (f *floors) suspect() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.high && f.slow >= slowClaims
}

// rise ends claims from the very start.
func (f *floors) rise() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.high, f.dirty = true, true
	for _, q := range f.queues {
		q.low, q.mark, q.marked = q.floor, q.floor, time.Now()
	}
}

// sink lets claims begin from the very start again.
func (f *floors) sink() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.high, f.slow, f.dirty = false, 0, false
}

// back notes that something may lie before the start.
func (f *floors) back() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pause, f.dirty = 0, f.high
}

// found lowers the start of a queue to the first messages that were found before it, and lets the next claim begin there.
func (f *floors) found(queue string, first level) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := f.queues[queue]
	for p, seq := range first {
		if seq > 0 && q.low[p] >= seq {
			q.low[p], q.mark[p] = seq-1, min(q.mark[p], seq-1)
			f.pause = 0
		}
	}
}

// below returns how far what lies before the start reaches in each queue; nil while the floors are not high.
func (f *floors) below() map[string]int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.high {
		return nil
	}
	f.dirty = false
	ends := make(map[string]int64, len(f.queues))
	for name, q := range f.queues {
		ends[name] = slices.Max(q.low[:])
	}
	return ends
}

// hurry reports whether something may have been put back before the start since the search through it began.
func (f *floors) hurry() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dirty
}
