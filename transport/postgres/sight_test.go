package postgres

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
)

// TestSight: what a Receive begins with after what came before.
func TestSight(t *testing.T) {
	usual := claimFor("w", 10)
	dueIn5ms := func(passed time.Duration) func(*sight, chan struct{}) {
		return func(s *sight, _ chan struct{}) {
			s.looks(7)
			s.saw(look{due: new(int64(5))})
			s.took(usual, 10, nil)
			time.Sleep(passed)
		}
	}
	other := func(change func(*symphony.Claim)) symphony.Claim {
		c := claimFor("w", 10)
		change(&c)
		return c
	}
	for name, c := range map[string]struct {
		before func(s *sight, told chan struct{})
		claim  symphony.Claim
		want   step
	}{
		"nothing":         {func(*sight, chan struct{}) {}, usual, stepLook},
		"a look":          {func(s *sight, _ chan struct{}) { s.looks(7) }, usual, stepLook},
		"a claim of some": {func(s *sight, told chan struct{}) { s.looks(7); s.took(usual, 3, told) }, usual, stepWait},
		"a claim of none": {func(s *sight, told chan struct{}) { s.looks(7); s.took(usual, 0, told) }, usual, stepWait},
		"a claim of all":  {func(s *sight, told chan struct{}) { s.looks(7); s.took(usual, 10, nil) }, usual, stepClaim},
		"a claim of the only one": {
			func(s *sight, told chan struct{}) { s.looks(7); s.took(claimFor("w", 1), 1, nil) }, usual, stepLook,
		},
		"a claim that may have left some": {func(s *sight, told chan struct{}) { s.looks(7); s.took(usual, 3, nil) }, usual, stepLook},
		"something is told after a claim": {
			func(s *sight, told chan struct{}) { s.looks(7); s.took(usual, 3, told); close(told) }, usual, stepClaim,
		},
		"a group may go on": {func(s *sight, told chan struct{}) { s.looks(6); s.took(usual, 3, told); close(told) }, usual, stepLook},
		"a look is too long ago": {
			func(s *sight, told chan struct{}) { s.looks(7); time.Sleep(lookEvery); s.took(usual, 10, nil) }, usual, stepLook,
		},
		"something has become due": {dueIn5ms(5 * time.Millisecond), usual, stepLook},
		"something will be due":    {dueIn5ms(4 * time.Millisecond), usual, stepClaim},
		"another queue": {
			func(s *sight, told chan struct{}) { s.looks(7); s.took(usual, 3, told) },
			other(func(c *symphony.Claim) { c.Queues = []symphony.QueueClaim{{Name: "other"}} }), stepLook,
		},
		"fewer queues, and types for which there is no room now": {
			func(s *sight, told chan struct{}) {
				s.looks(7)
				s.took(other(func(c *symphony.Claim) { c.Queues = []symphony.QueueClaim{{Name: "other"}, {Name: "default"}} }), 3, told)
			}, other(func(c *symphony.Claim) { c.Except = []string{"a"} }), stepWait,
		},
		"a type that there was no room for": {
			func(s *sight, told chan struct{}) {
				s.looks(7)
				s.took(other(func(c *symphony.Claim) { c.Except = []string{"a"} }), 3, told)
			}, usual, stepLook,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s sight
				told := make(chan struct{})
				c.before(&s, told)
				got, wait := s.first(c.claim, false, 7)
				if got != c.want || (got == stepWait) != (wait == (<-chan struct{})(told)) {
					t.Errorf("step %d, waits for %v, want step %d", got, wait, c.want)
				}
				if c.want == stepWait {
					c.want = stepLook // there is no time
				}
				if c.want == stepLook || s.full {
					if got, _ := s.first(c.claim, true, 7); got != c.want {
						t.Errorf("in a hurry step %d, want %d", got, c.want)
					}
				}
			})
		})
	}
}

// TestStir: what only a look finds makes the next Receive look, whoever waits for it.
func TestStir(t *testing.T) {
	var s sight
	s.looks(7)
	if got := s.after(7); got != stepClaim {
		t.Errorf("told of something, step %d", got)
	}
	if got := s.after(8); got != stepLook {
		t.Errorf("told of what only a look finds, step %d", got)
	}
	store := openTest(t, nil)
	for name, inTx := range map[string]bool{"the end of a member of a group": false, "a commit that nobody told of": true} {
		t.Run(name, func(t *testing.T) {
			sendOne(t, store, inGroup("g"))
			ds, err := store.Receive(t.Context(), claimFor("w", 10))
			if err != nil || len(ds) != 1 {
				t.Fatal(ds, err)
			}
			if inTx {
				err := pgx.BeginFunc(t.Context(), store.Pool(), func(tx pgx.Tx) error { return store.Complete(asDelivered(t, ds[0]), tx) })
				if err != nil {
					t.Fatal(err)
				}
			}
			before := store.stirs.Load()
			v := symphony.Verdict{Token: ds[0].Token, Outcome: symphony.Completed, InTx: inTx}
			if err := store.Settle(t.Context(), []symphony.Verdict{v}); err != nil {
				t.Fatal(err)
			}
			if store.stirs.Load() == before {
				t.Error("nobody looks for the next of the group")
			}
		})
	}
}

// TestFewLooks: a worker that is told of every message does not look before each claim, nor does it miss one, nor the next of a group.
func TestFewLooks(t *testing.T) {
	p, through := throughProxy(t, pgtest.DSN(t))
	store := openDSN(t, through, nil)
	var looks atomic.Int64
	p.on(func(statement string) bool {
		if strings.HasPrefix(statement, "-- What is there to do?") {
			looks.Add(1)
		}
		return false
	})
	handle := func(change func(*symphony.Envelope)) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), longest)
		defer cancel()
		env := anEnvelope("a", change)
		if _, err := store.Send(ctx, []*symphony.Envelope{env}); err != nil {
			t.Fatal(err)
		}
		ds, err := store.Receive(ctx, claimFor("w", 10))
		if err != nil || len(ds) != 1 || ds[0].Envelope.ID != env.ID {
			t.Fatal(ds, err)
		}
		if err := store.Settle(ctx, []symphony.Verdict{{Token: ds[0].Token, Outcome: symphony.Completed}}); err != nil {
			t.Fatal(err)
		}
	}
	handle(func(*symphony.Envelope) {})
	before, begun := looks.Load(), time.Now()
	for range 200 {
		handle(func(*symphony.Envelope) {})
	}
	if n, most := looks.Load()-before, int64(time.Since(begun)/lookEvery)+2; n > most {
		t.Errorf("%d looks, want one in %v, %d", n, lookEvery, most)
	}
	for range 20 {
		handle(inGroup("g"))
	}
}

// TestEcho: a transport does not wake its workers once more when it hears of what it told others itself, but for what others tell it does.
func TestEcho(t *testing.T) {
	dsn := pgtest.DSN(t)
	store, other := openDSN(t, dsn, nil), openDSN(t, dsn, nil)
	listening(t, store)
	store.announceQueues("default")
	eventually(t, "it has told others", func() bool {
		store.service.announcer.mu.Lock()
		defer store.service.announcer.mu.Unlock()
		return store.service.announcer.pid != 0 && !store.service.announcer.running
	})
	pid := store.service.announcer.pid
	store.service.announcer.tells(pid) // a moment ago
	if !store.service.announcer.own(pid) || store.service.announcer.own(pid+1) {
		t.Error("it does not know its own session")
	}
	heard := hearWake(store)
	other.announceQueues("default")
	heard(t)
	store.service.announcer.mu.Lock()
	store.service.announcer.told = time.Now().Add(-time.Second)
	store.service.announcer.mu.Unlock()
	if store.service.announcer.own(pid) {
		t.Error("it knows a session that may be somebody else's by now")
	}
}
