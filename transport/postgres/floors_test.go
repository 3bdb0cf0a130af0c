package postgres

import (
	"testing"
	"testing/synctest"
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
	c := f.climb(names, []int32{1}, 1)
	if !c.fromStart[0] {
		t.Fatal("the first claim does not begin from the start")
	}
	f.claimed(c, []*leased{row(1000)}, 0)
	if c = f.climb(names, []int32{1}, 1); c.fromStart[0] || c.floors[4] != 1000 {
		t.Fatal("the second claim begins at", c)
	}
	beside := f.climb(names, []int32{1}, 1)
	if beside.floors[4] != 1001 {
		t.Error("a claim at the same time begins at", beside.floors[4])
	}
	if elsewhere := f.climb([]string{"r"}, []int32{1}, 1); elsewhere.floors[4] != 0 {
		t.Error("a claim of another queue begins at", elsewhere.floors[4])
	}
	f.claimed(c, []*leased{row(1001)}, 0)
	f.queue("q").pause = 0
	c = f.climb(names, []int32{1}, 1)
	f.claimed(c, []*leased{row(3)}, 0)
	f.claimed(beside, []*leased{row(1002)}, 0) // it began before
	if c = f.climb(names, []int32{1}, 1); c.fromStart[0] || c.floors[4] != 3 {
		t.Error("after an old message the next claim begins at", c.floors[4])
	}
	if f.claimed(c, nil, 0); !f.climb(names, []int32{1}, 1).fromStart[0] {
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
	c := f.climb(names, []int32{3}, 3)
	f.claimed(c, []*leased{row(10, 9), row(20, 5), row(30, 2)}, 0)
	f.back() // something of priority 2 was put back, before 30
	c = f.climb(names, []int32{2}, 2)
	if !c.fromStart[0] {
		t.Fatal("the claim does not begin from the start")
	}
	f.claimed(c, []*leased{row(11, 9), row(21, 5)}, 0)
	c = f.climb(names, []int32{1}, 1)
	if got := [3]int64{c.floors[8], c.floors[4], c.floors[1]}; c.fromStart[0] || got != [3]int64{11, 21, 0} {
		t.Errorf("the next claim begins at %v, want 11, 21 and the start", got)
	}
}

// TestHighFloors: claims from the start follow the floors by a moment, but not past what they may not have seen.
func TestHighFloors(t *testing.T) {
	t.Parallel()
	row := func(seq int64, priority int) *leased {
		return &leased{seq: seq, env: &symphony.Envelope{Queue: "q", Priority: priority}}
	}
	names := []string{"q"}
	// start returns where claims from the start begin, priorities 5 and 9.
	start := func(f *floors) [2]int64 {
		q := f.queue("q")
		return [2]int64{q.low[4], q.low[8]}
	}
	// from claims from the start, after a while, up to most of the queue and 100 in all.
	from := func(t *testing.T, f *floors, most int32, rows ...*leased) {
		t.Helper()
		time.Sleep(markEvery) // synctest
		c := f.climb(names, []int32{most}, 100)
		if !c.fromStart[0] {
			t.Fatal("the claim does not begin from the start")
		}
		f.claimed(c, rows, time.Millisecond)
	}
	full := func(rows ...*leased) (all []*leased) {
		for len(all) < 100 {
			all = append(all, rows...)
		}
		return all[:100]
	}
	high := func(floor5, floor9 int64) *floors {
		f := new(floors)
		f.claimed(f.climb(names, []int32{100}, 100), []*leased{row(floor5, 5), row(floor9, 9)}, 0)
		f.rise()
		return f
	}
	for name, c := range map[string]struct {
		most  int32
		rows  []*leased // of the claim that lets the start follow from 1000 and 900 to 2000 and 1900
		start [2]int64
	}{
		"that came to the end":               {100, []*leased{row(2100, 5)}, [2]int64{2000, 1900}},
		"that brought nothing":               {100, nil, [2]int64{2000, 1900}},
		"that was filled beyond":             {200, full(row(2100, 5)), [2]int64{2000, 1900}},
		"that was filled before":             {200, full(row(1500, 5), row(1400, 5)), [2]int64{1500, 1900}},
		"that was filled with high ones":     {200, full(row(1850, 9)), [2]int64{1000, 1850}},
		"that had all it might of the queue": {1, []*leased{row(1500, 5)}, [2]int64{1500, 1900}},
	} {
		t.Run("after a claim "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := high(1000, 900)
				from(t, f, 100, row(2000, 5), row(1900, 9))
				if got := start(f); got != [2]int64{1000, 900} {
					t.Fatal("the start has followed at once, to", got)
				}
				from(t, f, c.most, c.rows...)
				if got := start(f); got != c.start {
					t.Errorf("claims from the start begin at %v, want %v", got, c.start)
				}
			})
		})
	}
	t.Run("when something was found before", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := high(1000, 900)
			f.claimed(f.climb(names, []int32{100}, 100), nil, 0)
			f.found("q", level{4: 50, 8: 950})
			if c := f.climb(names, []int32{100}, 100); !c.fromStart[0] || c.floors[4] != 49 || c.floors[8] != 900 {
				t.Fatalf("a claim begins at %v, from the start: %v", c.floors, c.fromStart)
			}
			from(t, f, 100, full(row(50, 5))...)
			if got := start(f); got[0] != 49 {
				t.Error("after a claim that was filled with the first of them the start is", got[0])
			}
			if got := f.queues["q"].floor[4]; got != 50 {
				t.Error("and the floor", got)
			}
		})
	})
	t.Run("after a claim that failed, and one that began before the floor was marked", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := high(1000, 900)
			late := f.climb(names, []int32{100}, 100)
			from(t, f, 100, row(2000, 5))
			time.Sleep(markEvery) // synctest
			f.failed(f.climb(names, []int32{100}, 100))
			f.claimed(late, nil, time.Millisecond)
			if got := start(f); got != [2]int64{1000, 900} {
				t.Error("claims from the start begin at", got)
			}
			if got := f.queue("q").ahead; got != 0 {
				t.Error(got, "messages are ahead of no claim")
			}
		})
	})
	t.Run("while a high priority fills all claims", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := high(1000, 900)
			from(t, f, 100, row(2000, 5))
			from(t, f, 100, full(row(1000, 9))...)
			from(t, f, 100)
			if got := start(f); got[0] != 2000 {
				t.Error("the low one stays at", got[0])
			}
		})
	})
	t.Run("after claims that leave out types", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := high(1000, 900)
			f.below()
			f.found("q", level{4: 50})
			claim := func(except bool, rows ...*leased) {
				time.Sleep(markEvery) // synctest
				c := f.climb(names, []int32{100}, 100)
				c.except = except
				f.claimed(c, rows, time.Millisecond)
			}
			for range 3 {
				time.Sleep(lastStart) // synctest
				claim(true, row(2000, 5))
			}
			if got := start(f); got[0] != 49 {
				t.Error("what was left out is not among what claims from the start see: they begin at", got[0])
			}
			f.below() // the next search finds it again
			claim(true)
			if got := start(f); got[0] != 49 {
				t.Error("the start does not wait for claims that leave out nothing: it is", got[0])
			}
			time.Sleep(lastStart) // synctest
			claim(true)
			if got := start(f); got[0] != 2000 {
				t.Error("the start stays for ever at", got[0])
			}
			f.found("q", level{4: 50})
			claim(false, full(row(50, 5))...)
			claim(false, full(row(60, 5))...)
			time.Sleep(lastStart) // synctest
			claim(true)
			if got := start(f); got[0] != 50 {
				t.Error("what is left of those that were found is not seen any more: the start is", got[0])
			}
			claim(false)
			if got := start(f); got[0] != 60 {
				t.Error("the start stays at", got[0])
			}
		})
	})
	t.Run("when two queues are claimed at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := high(1000, 900)
			both := func(rows ...*leased) {
				time.Sleep(markEvery) // synctest
				f.claimed(f.climb([]string{"q", "r"}, []int32{200, 200}, 100), rows, time.Millisecond)
			}
			both(row(2000, 5))
			other := row(1, 5)
			other.env.Queue = "r"
			both(full(other)...) // so that there was no more of q
			if got := start(f); got[0] != 2000 || f.queue("q").floor[4] != 2000 {
				t.Errorf("the start is %d, the floor %d", got[0], f.queue("q").floor[4])
			}
		})
	})
	t.Run("of a quiet queue beside a busy one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := high(1000, 900)
			busy := []string{"busy"}
			for range 10 { // as soon as there can be one from the start there is
				time.Sleep(startEvery) // synctest
				f.of(busy)
				f.claimed(f.climb(busy, []int32{1}, 1), nil, time.Second)
			}
			if got := f.of(names)[4]; got != 1000 {
				t.Error("a look begins at", got)
			}
			if c := f.climb(names, []int32{1}, 1); !c.fromStart[0] {
				t.Error("a claim begins at", c.floors)
			}
		})
	})
	t.Run("of a look", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := high(1000, 900)
			f.claimed(f.climb(names, []int32{1}, 1), []*leased{row(1100, 5)}, 0)
			for _, want := range []int64{1000, 1100, 1100} {
				if got := f.of(names)[4]; got != want {
					t.Errorf("a look begins at %d, want %d", got, want)
				}
			}
			time.Sleep(startEvery) // synctest
			if got := f.of(names)[4]; got != 1000 {
				t.Errorf("a later look begins at %d, want the start", got)
			}
		})
	})
}

// TestSeldom: a search is due once in a while, less often if it is dear, and once after it was asked for.
func TestSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s seldom
		const least = 30 * time.Second
		due := func(after time.Duration, want bool) {
			t.Helper()
			time.Sleep(after) // synctest
			if got := s.due(time.Now(), least); got != want {
				t.Fatalf("due after %v more: %v", after, got)
			}
		}
		due(0, true)
		s.took(time.Millisecond)
		due(least-1, false)
		due(1, true)
		s.took(time.Second) // by accident
		due(least, true)
		s.took(time.Second)
		due(100*time.Second, false)
		s.ask() // for what is found after least
		due(20*time.Second, false)
		s.ask() // and for something else
		due(least-20*time.Second, false)
		due(1, true)
		due(20*time.Second-1, false)
		due(1, true)
		due(least+1, false)
		s.took(time.Hour)
		s.took(time.Hour)
		due(restMost-least-2, false)
		due(1, true)
	})
}

// TestSlowQueue: claims of one queue that are slow raise the floors, however fast those of another are.
func TestSlowQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := new(floors)
		for begun := time.Now(); !f.suspect() && time.Since(begun) < time.Minute; time.Sleep(startEvery) { // synctest
			for queue, took := range map[string]time.Duration{"slow": 100 * time.Millisecond, "fast": time.Millisecond} {
				row := &leased{seq: 1, env: &symphony.Envelope{Queue: queue, Priority: 5}}
				f.claimed(f.climb([]string{queue}, []int32{1}, 1), []*leased{row}, took)
			}
		}
		if !f.suspect() {
			t.Error("nobody suspects anything")
		}
		f.rise()
		f.sink()
		if f.suspect() {
			t.Error("they rise again at once")
		}
		for range slowClaims {
			time.Sleep(lastStart) // synctest
			c := f.climb([]string{"slow"}, []int32{1}, 1)
			time.Sleep(time.Second) // synctest
			f.failed(c)
		}
		if !f.suspect() {
			t.Error("claims that fail for being slow are not slow")
		}
	})
}
