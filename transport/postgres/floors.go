package postgres

import (
	"context"
	"sync"
	"time"
)

// Floors let claims pass over what was claimed before. While some transaction in the database is long, what the queue has done with stays in
// its index: each claim would walk over all of it, hundreds of thousands of entries after a minute. A claim then begins behind the
// last message that this transport has claimed of the queue and priority. What lies before, such as a retry, is found by looking behind
// now and then, beside the claims.
type floors struct {
	mu     sync.Mutex
	slow   int // claims in a row that took far too long for what they brought
	on     bool
	queues map[string]*[10]int64 // by priority - 1
	dirty  bool                  // something may lie before a floor
}

// A claim that finds nothing in its way takes a millisecond and some ten microseconds a message, on a slow machine a few times that. Whether
// dead rows are the reason is another question.
const (
	slowClaim  = 8 * time.Millisecond
	slowRow    = 40 * time.Microsecond
	slowClaims = 3
	manyDead   = 10_000
)

// of returns ten numbers for each queue: claims begin behind them.
func (f *floors) of(names []string) []int64 {
	all := make([]int64, 10*len(names))
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.on {
		return all
	}
	for i, name := range names {
		if q := f.queues[name]; q != nil {
			copy(all[10*i:], q[:])
		}
	}
	return all
}

// claimed notes what a claim brought and how long it took.
func (f *floors) claimed(rows []*leased, took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.on {
		if f.slow++; took < slowClaim+time.Duration(len(rows))*slowRow {
			f.slow = 0
		}
		return
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

// suspect reports whether claims have become slow and there are no floors yet.
func (f *floors) suspect() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.on && f.slow >= slowClaims
}

func (f *floors) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.on, f.queues = true, make(map[string]*[10]int64)
}

// back notes that something may lie before the floors.
func (f *floors) back() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dirty = f.on
}

// lowered sets floors to what lies before them, and gives up having any when it was quick to find out.
func (f *floors) lowered(queue string, first [10]int64, took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if took < slowClaim {
		f.on, f.slow, f.dirty, f.queues = false, 0, false, nil
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
