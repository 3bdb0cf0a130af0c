package postgres

import (
	"context"
	"sync"
	"time"
)

// Floors let claims pass over what was claimed before, which stays in its index until a vacuum: a claim begins behind the last
// message that this transport has claimed of the queue and priority, and so does not walk over it. What lies before, such as a retry
// of another process, or what was committed late, is found by a claim from the start, of which there is one every startEvery, and
// at once for what another claim had room for.
//
// While some transaction in the database is long, no vacuum removes anything, and a claim from the start would walk over all that was done since,
// hundreds of thousands of entries after a minute. Then what lies before is looked for beside the claims.
type floors struct {
	mu     sync.Mutex
	queues map[string]*[10]int64 // by priority - 1; 0: none
	start  time.Time             // of the last claim from the start
	pause  time.Duration         // until the next one
	ahead  map[string]int64      // messages of each queue that claims under way may bring: another claim begins behind them
	falls  int                   // how often floors were lowered

	slow  int  // claims from the start, in a row, that took far too long for what they brought
	high  bool // there are no claims from the start
	dirty bool // something may lie before a floor
}

const startEvery = 25 * time.Millisecond

// A claim that finds nothing in its way takes a millisecond and some ten microseconds a message, on a slow machine a few times that. Whether
// dead rows are the reason is another question.
const (
	slowClaim  = 8 * time.Millisecond
	slowRow    = 40 * time.Microsecond
	slowClaims = 3
	manyDead   = 10_000
)

// A climb is what a claim of the queues names is told: ten numbers for each of them, behind which it begins.
type climb struct {
	names     []string
	most      int
	floors    []int64
	fromStart bool
	falls     int
}

// of is for a statement that is no claim: it begins where the next claim would.
func (f *floors) of(names []string) []int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.high {
		return make([]int64, 10*len(names))
	}
	return f.numbers(names)
}

func (f *floors) numbers(names []string) []int64 {
	all := make([]int64, 10*len(names))
	for i, name := range names {
		if q := f.queues[name]; q != nil {
			copy(all[10*i:], q[:])
		}
	}
	return all
}

// climb says where a claim of at most most messages begins. It is to be followed by claimed.
func (f *floors) climb(names []string, most int) climb {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := climb{names: names, most: most, falls: f.falls}
	if now := time.Now(); !f.high && now.Sub(f.start) >= f.pause {
		f.start, c.fromStart = now, true
		c.floors = make([]int64, 10*len(names))
	} else {
		c.floors = f.numbers(names)
		for i, seq := range c.floors {
			if seq > 0 {
				c.floors[i] = seq + f.ahead[names[i/10]]
			}
		}
	}
	f.expect(c, int64(most))
	return c
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
	if !full {
		f.pause = 0
	}
	return !full && !c.fromStart && !f.high
}

// forget takes floors away, where a claim from the start that was filled has not come to the end: of the last priority that it took of a queue, and
// of those below. Claims that began earlier do not put them back.
func (f *floors) forget(names []string, rows []*leased) {
	f.falls++
	for _, name := range names {
		q := f.queues[name]
		if q == nil {
			continue
		}
		last := len(q)
		for _, l := range rows {
			if l.env.Queue == name {
				last = min(last, l.env.Priority)
			}
		}
		clear(q[:last])
	}
}

func (f *floors) raise(rows []*leased) {
	if f.queues == nil {
		f.queues = make(map[string]*[10]int64)
	}
	for _, l := range rows {
		q := f.queues[l.env.Queue]
		if q == nil {
			q = new([10]int64)
			f.queues[l.env.Queue] = q
		}
		at := &q[l.env.Priority-1]
		*at = max(*at, l.seq)
	}
}

// suspect reports whether claims have become slow, those from the start too.
func (f *floors) suspect() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.high && f.slow >= slowClaims
}

// rise ends claims from the start.
func (f *floors) rise() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.high = true
}

// back notes that something may lie before the floors.
func (f *floors) back() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pause, f.dirty = 0, f.high
}

// lowered sets floors to what lies before them, and lets claims begin from the start again when it was quick to find out.
func (f *floors) lowered(queue string, first [10]int64, took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if took < slowClaim {
		f.high, f.slow, f.dirty = false, 0, false
		return
	}
	if q := f.queues[queue]; q != nil {
		for i, seq := range first {
			if seq > 0 {
				q[i] = min(q[i], seq-1)
			}
		}
	}
}

// lookBehind finds what lies before the floors. It returns how long it took, zero when there are none.
func (t *Transport) lookBehind(ctx context.Context) (took time.Duration, err error) {
	f := &t.floors
	f.mu.Lock()
	names := make([]string, 0, len(f.queues))
	for name := range f.queues {
		names = append(names, name)
	}
	f.dirty = false
	f.mu.Unlock()
	for _, name := range names {
		var first [10]int64
		begun := time.Now()
		err := native{t.upkeep}.query(ctx, t.sql.behind, []any{name}, func(scan scanner) error {
			var priority int
			var seq *int64
			if err := scan(&priority, &seq); err != nil || seq == nil {
				return err
			}
			first[priority-1] = *seq
			return nil
		})
		if err != nil {
			return took, err
		}
		f.lowered(name, first, time.Since(begun))
		took += time.Since(begun)
	}
	return took, nil
}
