package postgres

import (
	"sync"
	"time"
)

// A scheduleFloor lets schedulers pass over what fired before, as floors do for claims: while some transaction in the database is long,
// the index of next ticks keeps an entry for each tick that fired, and each look at what is due would walk over all of them. It is used
// only while that takes long. What lies before the floor, such as a schedule whose process died with it in hand, is found by
// a look at everything now and then.
type scheduleFloor struct {
	mu   sync.Mutex
	slow int // looks in a row that took far too long for what they brought
	on   bool
	at   time.Time     // by the store's clock
	all  time.Time     // the last look at everything, by ours
	cost time.Duration // of that
}

const (
	slowLook    = 10 * time.Millisecond
	slowEntry   = 50 * time.Microsecond
	slowLooks   = 5
	floorMargin = 5 * time.Second // for what others had locked
)

// from returns where a look begins; nil: at the first entry.
func (f *scheduleFloor) from() *time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.on || f.at.IsZero() || time.Since(f.all) > max(time.Second, 50*f.cost) {
		return nil
	}
	at := f.at
	return &at
}

// A dueLook is what one brought.
type dueLook struct {
	from *time.Time
	took time.Duration
	rows int
	done time.Time // everything before has fired or is in the hands of others
}

func (f *scheduleFloor) looked(l dueLook) {
	f.mu.Lock()
	defer f.mu.Unlock()
	slow := l.took > slowLook+time.Duration(l.rows)*slowEntry
	if l.from == nil {
		f.all, f.cost = time.Now(), l.took
		if f.slow++; !slow {
			f.slow = 0
		}
		f.on = f.slow >= slowLooks
	}
	f.at = l.done.Add(-floorMargin)
}
