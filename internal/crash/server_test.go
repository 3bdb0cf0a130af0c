//go:build unix

package main

import (
	"slices"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony/internal/history"
)

// TestPlanOfServer: all faults are there, and the long ones come one after another.
func TestPlanOfServer(t *testing.T) {
	c := config{
		jobs: 1000, kills: 20, stops: 10, workers: 4, lease: 2 * time.Second, seed: 42,
		serverFaults: serverFaults{restarts: 6, terminates: 24, cuts: 25, hangs: 7},
	}
	faults := plan(c)
	other := c
	other.seed++
	if !slices.Equal(faults, plan(c)) || slices.Equal(faults, plan(other)) {
		t.Error("the seed does not decide what is done")
	}
	kinds := map[history.Fault]int{}
	cuts := map[int]int{}
	free := time.Duration(0)
	for i, f := range faults {
		kinds[f.kind]++
		if i > 0 && f.at < faults[i-1].at {
			t.Errorf("%+v comes after %+v", f, faults[i-1])
		}
		switch f.kind {
		case history.Hang, history.ServerDown:
			if f.at < free {
				t.Errorf("%+v comes while the one before still lasts", f)
			}
			free = f.at + f.length
			if f.kind == history.Hang && f.length <= c.lease {
				t.Errorf("%+v is no longer than a lease", f)
			}
		case history.Cut:
			cuts[f.slot]++
		}
		if f.at <= 0 || f.at > c.span() {
			t.Errorf("%+v is not within %v", f, c.span())
		}
	}
	got := serverFaults{kinds[history.ServerDown], kinds[history.Terminate], kinds[history.Cut], kinds[history.Hang]}
	if got != c.serverFaults || kinds[history.Kill] != c.kills || kinds[history.Stop] != c.stops {
		t.Errorf("%v, want %+v", kinds, c)
	}
	for i, r := range requests() {
		if cuts[i] != c.cuts/len(requests()) {
			t.Errorf("%d cuts of a %s, want as many of each", cuts[i], r.what)
		}
	}
}

// TestCutOf: a cut is for the request that it names, after as many others as the roll says.
func TestCutOf(t *testing.T) {
	examples := map[string][]byte{
		"commit":             []byte("Q\x00\x00\x00\x0bcommit\x00"),
		"send":               []byte("B\x00\x00\x00\x00\x00stmt\x00crash.task {\"name\":\"x\",\"does\":\"gives up\"}"),
		"verdict":            []byte("B\x00\x00\x00\x00\x00stmt\x00completed"),
		"claim or heartbeat": []byte("B\x00\x00\x00\x00\x00stmt\x00worker-1.2/abc default"),
	}
	for i, r := range requests() {
		how := map[bool]int{}
		for roll := range uint64(64) {
			cut := cutOf(r, roll)
			how[cut.Answered != nil]++
			for what, other := range examples {
				for range 100 {
					if what != r.what && r.what != "statement" && cut.Request(other) {
						t.Fatalf("%s is taken for a %s", what, r.what)
					}
				}
			}
			if cut.Request([]byte("Q\x00\x00\x00\x0abegin\x00")) || cut.Request(nil) {
				t.Fatalf("anything is taken for a %s", r.what)
			}
			fits := examples[r.what]
			if i == len(examples) {
				fits = examples["verdict"]
			}
			n := uint64(0)
			for !cut.Request(fits) {
				n++
			}
			if n != roll/4 {
				t.Errorf("%s, roll %d: lets %d pass, want %d", r.what, roll, n, roll/4)
			}
		}
		if how[true] != 48 || how[false] != 16 {
			t.Errorf("%s: %d after the answer, %d before, want three quarters and one", r.what, how[true], how[false])
		}
	}
	for answer, want := range map[string]bool{
		"C\x00\x00\x00\x0bCOMMIT\x00Z\x00\x00\x00\x05I": true, "Z\x00\x00\x00\x05T": true, "": false, "D\x00\x00\x00\x05Z": false, "Z\x00\x00\x00\x05": false,
	} {
		if answered([]byte(answer)) != want {
			t.Errorf("%q ends an answer: %v, want %v", answer, !want, want)
		}
	}
}

// TestFirstJobs: what was claimed before the server was gone does not count.
func TestFirstJobs(t *testing.T) {
	up := func(at int64) history.Event {
		return history.Event{Kind: history.Injected, Fault: history.ServerUp, Wall: at}
	}
	claim := func(token string, store, at int64) history.Event {
		return history.Event{Kind: history.Claim, Token: token, Store: store, Wall: at}
	}
	start := func(token string, at int64) history.Event {
		return history.Event{Kind: history.Start, Token: token, Wall: at}
	}
	for name, want := range map[string]struct {
		events []history.Event
		waits  []time.Duration
	}{
		"none":   {[]history.Event{claim("a", 1, 2), start("a", 3)}, nil},
		"at all": {[]history.Event{claim("a", 1, 2), up(10), start("a", 11), claim("b", 15, 16), start("b", 18), start("c", 30)}, []time.Duration{8}},
		"twice": {
			[]history.Event{up(10), claim("a", 15, 16), start("a", 18), up(20), start("a", 21), claim("b", 25, 26), start("b", 27)},
			[]time.Duration{8, 7},
		},
		"two restarts, one start": {[]history.Event{up(10), up(20), claim("a", 25, 26), start("a", 28)}, []time.Duration{18, 8}},
		"never":                   {[]history.Event{up(10), claim("a", 5, 12), start("a", 40)}, []time.Duration{30}},
	} {
		if got := firstJobs(want.events); !slices.Equal(got, want.waits) {
			t.Errorf("%s: %v, want %v", name, got, want.waits)
		}
	}
}
