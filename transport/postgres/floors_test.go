package postgres

import (
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
)

// TestClaimsFindWhatLiesBehind: claims begin behind the last one, and yet find what another process puts back before that: at once when
// there is nothing else, soon when there is much.
func TestClaimsFindWhatLiesBehind(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	store, other := openDSN(t, dsn, nil), openDSNOnly(t, dsn, nil)
	send := func(n int) (envs []*symphony.Envelope) {
		for range n {
			envs = append(envs, anEnvelope("a"))
		}
		if _, err := store.Send(t.Context(), envs); err != nil {
			t.Fatal(err)
		}
		return envs
	}
	take := func(from *Transport, n int) []symphony.Delivery {
		ds, err := from.Receive(t.Context(), claimFor("w", n))
		if err != nil {
			t.Fatal(err)
		}
		return ds
	}
	release := func(d symphony.Delivery) {
		if err := other.Settle(t.Context(), []symphony.Verdict{{Token: d.Token, Outcome: symphony.Released}}); err != nil {
			t.Fatal(err)
		}
	}

	first := send(1)[0]
	old := take(other, 1)[0]
	for try := 1; ; try++ {
		send(10)
		take(store, 10)
		release(old)
		begun := time.Now()
		if old = take(store, 1)[0]; old.Envelope.ID != first.ID {
			t.Fatal("another message came back")
		}
		d := time.Since(begun)
		if !late(t, store, d, firstPoll+100*time.Millisecond) {
			break
		}
		if try == 3 { // the machine may stop for a while, but not each time
			t.Fatalf("the only message there was is found after %v", d)
		}
	}

	send(8000)
	take(store, 1)
	release(old)
	begun := time.Now()
	for claims := 1; ; claims++ {
		ds := take(store, 1)
		if ds[0].Envelope.ID == first.ID {
			t.Logf("found by claim %d, after %v", claims, time.Since(begun))
			break
		}
		if claims == 4000 {
			t.Fatalf("it was not found by %d claims in %v", claims, time.Since(begun))
		}
	}
	if d := time.Since(begun); late(t, store, d, startEvery+5*time.Second) {
		t.Errorf("it was found after %v, with others ready", d)
	}
}

// TestManyOldOnesAreClaimedInARow: a claim from the start that brings only what lies behind does not leave the rest to the next from the start.
func TestManyOldOnesAreClaimedInARow(t *testing.T) {
	t.Parallel()
	f := new(floors)
	row := func(seq int64) *leased {
		return &leased{seq: seq, env: &symphony.Envelope{Queue: "q", Priority: 5}}
	}
	names := []string{"q"}
	c := f.climb(names, 1)
	if !c.fromStart {
		t.Fatal("the first claim does not begin from the start")
	}
	f.claimed(c, []*leased{row(1000)}, 0)
	if c = f.climb(names, 1); c.fromStart || c.floors[4] != 1000 {
		t.Fatal("the second claim begins at", c)
	}
	beside := f.climb(names, 1)
	if beside.floors[4] != 1001 {
		t.Error("a claim at the same time begins at", beside.floors[4])
	}
	if elsewhere := f.climb([]string{"r"}, 1); elsewhere.fromStart || elsewhere.floors[4] != 0 {
		t.Error("a claim of another queue begins at", elsewhere.floors[4])
	}
	f.claimed(c, []*leased{row(1001)}, 0)
	f.pause = 0
	c = f.climb(names, 1)
	f.claimed(c, []*leased{row(3)}, 0)
	f.claimed(beside, []*leased{row(1002)}, 0) // it began before
	if c = f.climb(names, 1); c.fromStart || c.floors[4] != 3 {
		t.Error("after an old message the next claim begins at", c.floors[4])
	}
	if f.claimed(c, nil, 0); !f.climb(names, 1).fromStart {
		t.Error("after a claim that brought nothing the next one does not begin from the start")
	}
}

// TestLowPrioritiesAreNotPassedOver: a claim from the start that was filled with high priorities has seen nothing of the low ones.
func TestLowPrioritiesAreNotPassedOver(t *testing.T) {
	t.Parallel()
	f := new(floors)
	row := func(seq int64, priority int) *leased {
		return &leased{seq: seq, env: &symphony.Envelope{Queue: "q", Priority: priority}}
	}
	names := []string{"q"}
	c := f.climb(names, 3)
	f.claimed(c, []*leased{row(10, 9), row(20, 5), row(30, 2)}, 0)
	f.back() // something of priority 2 was put back, before 30
	c = f.climb(names, 2)
	if !c.fromStart {
		t.Fatal("the claim does not begin from the start")
	}
	f.claimed(c, []*leased{row(11, 9), row(21, 5)}, 0)
	c = f.climb(names, 1)
	if got := [3]int64{c.floors[8], c.floors[4], c.floors[1]}; c.fromStart || got != [3]int64{11, 21, 0} {
		t.Errorf("the next claim begins at %v, want 11, 21 and the start", got)
	}
}
