// Package memory is a transport that keeps messages in this process. It honours the contract of every
// other transport but one promise: what it holds is lost when the process ends. It is for tests, for
// development, and for work that nobody misses.
//
// It keeps ended messages for 24 hours, of those the latest 10,000 and 64 MiB of bodies at most. Only
// as long does it recognise the ID of an ended message that is sent again; idempotency keys stay taken
// for the whole of their window.
package memory

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/schedule"
)

// A Transport is a store in this process. Its zero value is ready to use. All methods may be called
// concurrently; only Receive blocks. It starts no goroutine and has nothing to close. It must not be
// copied.
type Transport struct {
	mu    sync.Mutex
	shift time.Duration // of the clock, zero outside tests

	messages      map[symphony.ID]*message // in any state
	queues        map[string]*queue
	subscriptions map[string][]symphony.Subscription // by type; each list in the order of the subscribers
	keys          map[keyName]*key
	workers       map[string]*worker
	waiters       map[*waiter]struct{}
	pauses        map[pauseName]monitor.Pause

	due      index     // scheduled, the next one first
	oldest   index     // ready, the longest due first
	expiring index     // waiting with an expiry, the next one first
	leaseEnd int64     // no lease ends before
	dead     list.List // of *message, the latest last: in the order of message.buried
	history  history
	freeing  keysByEnd // keys of ended messages

	schedules schedules

	accepted int64 // the sequence of the queues
	joined   int64 // the sequence of the groups
	buried   int64 // the sequence of the dead letters
	leases   int64 // makes tokens unique
}

var (
	_ symphony.Transport         = (*Transport)(nil)
	_ symphony.Exchanger         = (*Transport)(nil)
	_ symphony.SubscriptionStore = (*Transport)(nil)
	_ symphony.Maintainer        = (*Transport)(nil)
	_ monitor.Finder             = (*Transport)(nil)
	_ monitor.DeadLetters        = (*Transport)(nil)
	_ monitor.Canceller          = (*Transport)(nil)
	_ monitor.Counter            = (*Transport)(nil)
	_ schedule.Store             = (*Transport)(nil)
	_ monitor.Lister             = (*Transport)(nil)
	_ monitor.Grouper            = (*Transport)(nil)
	_ monitor.Changer            = (*Transport)(nil)
	_ monitor.Editor             = (*Transport)(nil)
	_ monitor.Pauser             = (*Transport)(nil)
	_ monitor.Crew               = (*Transport)(nil)
)

// never is later than every time of the store.
const never = 1<<63 - 1

// Capabilities says that messages can have every wish, but cannot be sent in somebody's transaction.
func (t *Transport) Capabilities() symphony.Capabilities {
	return symphony.Capabilities{MaxDelay: never, Priority: true, Expiry: true, Idempotency: true, Replace: true, Group: true}
}

// begin locks t for one operation that ctx allows, and brings the store up to the moment of it: the
// operation sees, and later ones cannot change, what was due by now. Whoever calls it unlocks t.mu
// unless it returns an error.
func (t *Transport) begin(ctx context.Context) (now time.Time, err error) {
	if err := ctx.Err(); err != nil {
		return now, err
	}
	t.mu.Lock()
	if t.messages == nil {
		t.messages = make(map[symphony.ID]*message)
		t.queues = make(map[string]*queue)
		t.subscriptions = make(map[string][]symphony.Subscription)
		t.keys = make(map[keyName]*key)
		t.workers = make(map[string]*worker)
		t.waiters = make(map[*waiter]struct{})
		t.pauses = make(map[pauseName]monitor.Pause)
		t.due = index{kind: byDue}
		t.oldest = index{kind: byAge}
		t.expiring = index{kind: byExpiry}
		t.leaseEnd = never
	}
	now = time.Now().Add(t.shift)
	t.catchUp(now)
	return now, nil
}

// catchUp does what time has brought: leases and messages that ran out, messages that became due.
func (t *Transport) catchUp(now time.Time) {
	ms := now.UnixMilli()
	if t.leaseEnd <= ms {
		t.endLeases(now)
	}
	for t.expiring.first(ms) != nil {
		t.expire(t.expiring.first(ms), now)
	}
	for t.due.first(ms) != nil {
		m := t.due.first(ms)
		m.leave()
		t.line(m)
	}
}

// nextEvent is when catchUp has something to do again.
func (t *Transport) nextEvent() int64 {
	return min(t.leaseEnd, t.expiring.next(), t.due.next())
}

// roundUp makes milliseconds of a time, so that nothing with that time is early.
func roundUp(at time.Time) int64 {
	ms := at.UnixMilli()
	if at.Nanosecond()%int(time.Millisecond) != 0 {
		ms++
	}
	return ms
}

// timeOf is the inverse; zero stands for no time.
func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
