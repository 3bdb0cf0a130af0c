// Package transporttest is the suite that every transport passes. A transport's own test calls [Run]:
//
//	func TestConformance(t *testing.T) {
//		transporttest.Run(t, func(tb testing.TB) transporttest.Store {
//			store := open(tb)
//			return transporttest.Store{Transport: store, Advance: store.advance}
//		})
//	}
//
// Each case proves one sentence of the contract, and prints it when it fails. Nothing is observed that
// the contract does not promise, and nothing sleeps: time passes when the suite says so.
package transporttest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/schedule"
)

// A Store is a new, empty store, for one case alone. Whoever opens it closes it with the Cleanup of
// the test.
type Store struct {
	Transport symphony.Transport
	// Reopen returns another handle on the same store, as a second process would have. nil: there is
	// no other way in.
	Reopen func(tb testing.TB) symphony.Transport
	// Advance moves the store's clock forward: leases, delays, windows and expiries see it. The clock
	// of the process, by which workers go, stays.
	Advance func(d time.Duration)
	// Begin starts a transaction of the user's. nil: Capabilities has no InTx.
	Begin func(tb testing.TB) Tx
}

// A Tx is a transaction of the user's on the same store.
type Tx struct {
	Stamp    symphony.Stamp                  // sends in it
	Complete func(ctx context.Context) error // completes the message that is handled in ctx
	Commit   func() error
	Rollback func() error
}

// A test is one case.
type test struct {
	name    string
	promise string // the sentence of the contract, and where it stands
	needs   power
	run     func(k *kit)
}

// A power is something that not every transport has. What it declares is tested; a case that needs
// another power is left out, by name.
type power uint

const (
	delays power = 1 << iota
	priorities
	expiries
	keys
	groups
	transactions
	exchange
	subscriptions
	find
	deadLetters
	cancels
	counts
	maintenance
	reopening
	scheduling
	searching
	grouping
	changing
	editing
	pausing
	crews
	leaving
	unsubscribing
	figures
	bulks
	replacing
)

// missing names the powers of needs that s does not have.
func missing(s Store, needs power) string {
	caps := s.Transport.Capabilities()
	var names []string
	for _, p := range []struct {
		power power
		has   bool
		name  string
	}{
		{delays, caps.MaxDelay > 0, "delays"},
		{priorities, caps.Priority, "priorities"},
		{expiries, caps.Expiry, "expiries"},
		{keys, caps.Idempotency, "idempotency keys"},
		{groups, caps.Group, "groups"},
		{transactions, caps.InTx, "transactions of the user"},
		{exchange, has[symphony.Exchanger](s), "Exchange"},
		{subscriptions, has[symphony.SubscriptionStore](s), "Subscribe"},
		{find, has[monitor.Finder](s), "Find"},
		{deadLetters, has[monitor.DeadLetters](s), "dead letters"},
		{cancels, has[monitor.Canceller](s), "Cancel"},
		{counts, has[monitor.Counter](s), "Counts"},
		{maintenance, has[symphony.Maintainer](s), "Maintain"},
		{reopening, s.Reopen != nil, "a second way in"},
		{scheduling, has[schedule.Store](s), "schedules"},
		{searching, has[monitor.Lister](s), "searching"},
		{grouping, has[monitor.Grouper](s), "groups of dead letters"},
		{changing, has[monitor.Changer](s), "changes of live messages"},
		{editing, has[monitor.Editor](s), "edited retries"},
		{pausing, has[monitor.Pauser](s), "pauses"},
		{leaving, has[symphony.Leaver](s), "Leave"},
		{crews, has[monitor.Crew](s), "workers"},
		{unsubscribing, has[monitor.Subscriptions](s), "ends of subscriptions"},
		{figures, has[monitor.Figures](s), "figures"},
		{bulks, has[monitor.BulkStore](s), "bulks"},
		{replacing, caps.Replace, "replacing what waits under a key"},
	} {
		if needs&p.power != 0 && !p.has {
			names = append(names, p.name)
		}
	}
	return strings.Join(names, ", ")
}

func has[T any](s Store) bool {
	_, ok := symphony.As[T](s.Transport)
	return ok
}

func all() []test {
	var list []test
	for _, part := range [][]test{
		sendTests(), contentTests(), orderTests(), queueTests(), delayTests(), countingTests(), verdictTests(), leaseTests(),
		deadLetterTests(), keyTests(), groupTests(), expiryTests(), cancelTests(), subscriptionTests(), exchangeTests(),
		concurrencyTests(), findTests(), transactionTests(), modelTests(), scheduleTests(), tickTests(), ownerTests(), manageTests(),
		searchTests(), changeTests(), pauseTests(), figureTests(), bulkTests(), replaceTests(),
	} {
		list = append(list, part...)
	}
	return list
}

// chosen returns the cases whose names have one of begins, each of which must have a case.
func chosen(t *testing.T, begins []string) (cases []test) {
	used := make(map[string]bool)
	for _, c := range all() {
		n := slices.IndexFunc(begins, func(begin string) bool { return strings.HasPrefix(c.name, begin) })
		if n >= 0 {
			used[begins[n]] = true
		}
		if n >= 0 || len(begins) == 0 {
			cases = append(cases, c)
		}
	}
	for _, begin := range begins {
		if !used[begin] {
			t.Errorf("no case has a name that begins with %q", begin)
		}
	}
	return cases
}

// Run runs every case as a parallel subtest of t on a store of its own. What the store declares is
// tested; a case about something else is left out, and the log says why. With begins of names, such as
// "lease/", it runs those cases only: for a store that another test has put through all of them.
func Run(t *testing.T, open func(tb testing.TB) Store, begins ...string) {
	declared := open(t)
	if declared.Advance == nil {
		t.Fatal("the store cannot move its clock: set Advance")
	}
	if declared.Transport.Capabilities().InTx != (declared.Begin != nil) {
		t.Fatal("Begin must be set if, and only if, Capabilities has InTx")
	}
	for _, c := range chosen(t, begins) {
		if without := missing(declared, c.needs); without != "" {
			t.Logf("left out: %s: the store does not declare %s", c.name, without)
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("the contract says: %s", c.promise)
				}
			})
			c.run(newKit(t, t, open(t)))
		})
	}
}
