package postgres

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
)

// TestSight: what a Receive begins with after what came before.
func TestSight(t *testing.T) {
	ms := func(n int64) *int64 { return &n }
	usual := claimFor("w", 10)
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
		"something has become due": {
			func(s *sight, told chan struct{}) {
				s.looks(7)
				s.saw(look{due: ms(5)})
				s.took(usual, 10, nil)
				time.Sleep(5 * time.Millisecond)
			}, usual, stepLook,
		},
		"something will be due": {
			func(s *sight, told chan struct{}) {
				s.looks(7)
				s.saw(look{due: ms(5)})
				s.took(usual, 10, nil)
				time.Sleep(4 * time.Millisecond)
			}, usual, stepClaim,
		},
		"another queue": {
			func(s *sight, told chan struct{}) { s.looks(7); s.took(usual, 3, told) },
			other(func(c *symphony.Claim) { c.Queues = []symphony.QueueClaim{{Name: "other"}} }), stepLook,
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
				got, wait, next := s.first(c.claim, 7)
				if got != c.want || (got == stepWait) != (wait == (<-chan struct{})(told)) || got == stepWait && next <= 0 {
					t.Errorf("step %d, waits for %v, %v, want step %d", got, wait, next, c.want)
				}
			})
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
