package postgres

import (
	"slices"
	"sync"
	"time"
)

// Floors let claims pass over what was claimed before, which stays in its index until a vacuum: a claim begins behind the last
// message that this transport has claimed of the queue and priority, and so does not walk over it. What lies before, such as a retry
// of another process, or what was committed late, is found by a claim from the start, of which there is one every startEvery, and,
// unless the floors are high, at once for what another claim had room for.
//
// While some transaction in the database is long, no vacuum removes anything, and a claim from the start would walk over all that was done since,
// hundreds of thousands of entries after a minute. Then the floors are high: the start is where they were a moment ago, so that what was
// committed late is found as before, and what lies before the start is searched for piece by piece, beside the claims (behind.go).
type floors struct {
	mu     sync.Mutex
	queues map[string]*levels
	high   bool
	dirty  bool // something may lie before the start
}

// Levels are those of one queue, by priority - 1; 0: none.
type levels struct {
	floor level
	ahead int64         // messages that claims under way may bring: another claim begins behind them
	falls int           // how often floors were taken away
	start time.Time     // of the last claim from the start
	pause time.Duration // until the next one
	slow  int           // those that took far too long for what they brought, in a row

	// While the floors are high.
	low    level // the start
	mark   level // where it goes next: the floor at the time marked
	marked time.Time
	found  level     // what it was lowered to, by the search that goes on; claims that leave out types do not let it go past that
	looked time.Time // when a statement that is no claim began at the start
}

type level [10]int64

// A claim from the start comes after so long, or ten times what the last one took, but not more than lastStart.
const (
	startEvery = 25 * time.Millisecond
	lastStart  = 2 * time.Second
)

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

// A climb is what a claim is told: for each queue ten numbers, behind which it begins.
type climb struct {
	names  []string
	mosts  []int32 // messages of each queue, most in all
	most   int
	except bool // types
	floors []int64

	begun     time.Time
	fromStart []bool // of each queue
	falls     []int
}

// queue is the levels of a queue. f.mu is held.
func (f *floors) queue(name string) *levels {
	q := f.queues[name]
	if q == nil {
		if f.queues == nil {
			f.queues = make(map[string]*levels)
		}
		q = new(levels)
		f.queues[name] = q
	}
	return q
}

// of is for a statement that is no claim. It begins at the start, but while the floors are high not more often than claims do, and else at the floors.
func (f *floors) of(names []string) (all []int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for _, name := range names {
		q := f.queue(name)
		begin := f.startOf(q)
		if f.high && now.Sub(q.looked) < startEvery {
			begin = q.from(begin, 0)
		} else {
			q.looked = now
		}
		all = append(all, begin[:]...)
	}
	return all
}

// startOf is where claims of q from the start begin. f.mu is held.
func (f *floors) startOf(q *levels) level {
	if f.high {
		return q.low
	}
	return level{}
}

// from is the floor and what lies ahead of it, and the start where there is no floor.
func (q *levels) from(start level, ahead int64) level {
	for p, seq := range q.floor {
		if seq > 0 {
			start[p] = seq + ahead
		}
	}
	return start
}

// climb says where a claim begins, of at most mosts messages of the queues and most in all. It is to be followed by claimed or failed.
func (f *floors) climb(names []string, mosts []int32, most int) climb {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := climb{names: names, mosts: mosts, most: most, begun: time.Now()}
	for _, name := range names {
		q := f.queue(name)
		begin, fromStart := f.startOf(q), c.begun.Sub(q.start) >= q.pause
		if !fromStart {
			begin = q.from(begin, q.ahead)
		} else if q.start = c.begun; f.high {
			q.pause = startEvery // not for all until this one has ended
		}
		q.ahead += int64(most)
		c.floors, c.fromStart, c.falls = append(c.floors, begin[:]...), append(c.fromStart, fromStart), append(c.falls, q.falls)
	}
	return c
}

// failed is claimed for a claim that failed.
func (f *floors) failed(c climb) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, name := range c.names {
		q := f.queue(name)
		if q.ahead -= int64(c.most); c.fromStart[i] {
			q.started(time.Since(c.begun), 0)
		}
	}
}

// claimed notes what a claim brought and how long it took. It reports whether there may be more from the start.
func (f *floors) claimed(c climb, rows []*leased, took time.Duration) (again bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	full := len(rows) == c.most
	for i, name := range c.names {
		q := f.queue(name)
		q.ahead -= int64(c.most)
		got := taken(name, rows)
		beyond := slices.ContainsFunc(rows, func(l *leased) bool { return slices.Contains(c.names[i+1:], l.env.Queue) })
		ended := got.n < c.mosts[i] && (!full || beyond)
		if c.fromStart[i] {
			q.started(took, len(rows))
			if !ended { // what lies behind these may be old, too
				q.forget(got.lowest)
			}
		}
		if c.fromStart[i] || c.falls[i] == q.falls {
			q.raise(name, rows)
		}
		switch {
		case !f.high:
			if !full {
				q.pause = 0
			}
			again = again || !full && !c.fromStart[i]
		case c.fromStart[i] && c.begun.Sub(q.marked) >= c.patience():
			q.follow(got, ended, c.except)
		}
	}
	return again // while the floors are high, the way from the start is not so short that each claim could go it
}

// patience is how long the start waits before it follows: longer for what was left out now, which another claim may take.
func (c *climb) patience() time.Duration {
	if c.except {
		return lastStart
	}
	return markEvery
}

// started notes how long a claim from the start took, and how much it brought.
func (q *levels) started(took time.Duration, rows int) {
	q.pause = min(max(startEvery, 10*took), lastStart)
	if q.slow++; took < slowClaim+time.Duration(rows)*slowRow {
		q.slow = 0
	}
}

// forget takes floors away, where a claim from the start has not come to the end: of the lowest priority that it took, and
// of those below. Claims that began earlier do not put them back.
func (q *levels) forget(lowest int) {
	q.falls++
	clear(q.floor[:lowest])
}

// raise raises the floors of the queue name to what was taken of it.
func (q *levels) raise(name string, rows []*leased) {
	for _, l := range rows {
		if at := &q.floor[l.env.Priority-1]; l.env.Queue == name {
			*at = max(*at, l.seq)
		}
	}
}

// follow lets the start follow the floor, after a claim from the start, as far as that has come: there is nothing before that now, but for types
// that were left out.
func (q *levels) follow(got took, ended, except bool) {
	for p := range q.low {
		if !ended && p < got.lowest-1 {
			continue
		}
		to, cut := q.mark[p], !ended && p == got.lowest-1
		if cut {
			to = min(to, got.last)
		}
		if q.found[p] > 0 && to >= q.found[p] {
			switch {
			case except:
				to = q.found[p] - 1
			case cut:
				q.found[p] = to + 1
			default:
				q.found[p] = 0
			}
		}
		q.low[p] = max(q.low[p], to)
	}
	q.remember()
}

// remember marks where the floor is; where there is none, the mark stays.
func (q *levels) remember() {
	q.mark, q.marked = q.from(q.mark, 0), time.Now()
}

// A took is what a claim took of a queue: the lowest priority, 10 if nothing; the last message of that; and how many.
type took struct {
	lowest int
	last   int64
	n      int32
}

func taken(queue string, rows []*leased) took {
	t := took{lowest: 10}
	for _, l := range rows {
		if l.env.Queue != queue {
			continue
		}
		if t.n++; l.env.Priority < t.lowest {
			t.lowest, t.last = l.env.Priority, 0
		}
		if l.env.Priority == t.lowest {
			t.last = max(t.last, l.seq)
		}
	}
	return t
}

// suspect reports whether claims have become slow, those from the start too.
func (f *floors) suspect() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, q := range f.queues {
		if !f.high && q.slow >= slowClaims {
			return true
		}
	}
	return false
}

// rise ends claims from the very start.
func (f *floors) rise() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.high, f.dirty = true, true
	for _, q := range f.queues {
		q.low, q.mark, q.found = q.floor, q.floor, level{}
		q.remember()
	}
}

// sink lets claims begin from the very start again.
func (f *floors) sink() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.high, f.dirty = false, false
	for _, q := range f.queues {
		q.slow = 0
	}
}

// back notes that something may lie before the start.
func (f *floors) back() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dirty = f.high
	for _, q := range f.queues {
		q.pause = 0
	}
}

// found lowers the start of a queue to the first messages that were found before it, and lets its next claim begin there.
func (f *floors) found(queue string, first level) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := f.queue(queue)
	for p, seq := range first {
		if seq > 0 && q.low[p] >= seq {
			q.low[p], q.mark[p], q.found[p] = seq-1, min(q.mark[p], seq-1), seq
			q.pause = 0
		}
	}
}

// below returns how far a search must go that begins now, in each queue; nil while the floors are not high.
func (f *floors) below() map[string]int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.high {
		return nil
	}
	f.dirty = false
	ends := make(map[string]int64, len(f.queues))
	for name, q := range f.queues {
		q.found = level{}
		ends[name] = max(slices.Max(q.floor[:]), slices.Max(q.low[:]))
	}
	return ends
}

// hurry reports whether something may have been put back before the start since the search through it began.
func (f *floors) hurry() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dirty
}
