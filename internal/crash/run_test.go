//go:build unix

package main

import (
	"bytes"
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony/internal/history"
)

func runTest(t *testing.T, c config) (result, string, error) {
	t.Helper()
	var log bytes.Buffer
	c = c.withDefaults()
	c.drainWithin *= 5 // a machine that does other things has leases of a second run out
	c.store, c.dir = cmp.Or(c.store, "sqlite"), t.TempDir()
	if isServer(c.store) { // which runs as another user when the test is root's
		if err := os.Chmod(filepath.Dir(c.dir), 0o711); err != nil {
			t.Fatal(err)
		}
	}
	if c.sabotage != "" {
		c.drainWithin = 4 * time.Second // it may never drain
	}
	begun := time.Now()
	r, err := c.run(t.Context(), &log)
	t.Logf("took %v\n%s", time.Since(begun).Round(time.Millisecond), &log)
	return r, log.String(), err
}

// TestFaults: under kills and pauses that hit work, nothing is lost, doubled or early.
func TestFaults(t *testing.T) {
	c := config{jobs: 1500, kills: 6, stops: 8, workers: 4, lease: time.Second, seed: 11}
	r, _, err := runTest(t, c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Kills != c.kills || r.Restarts != c.kills || r.Jobs < c.jobs*8/10 || r.P99RerunS == nil {
		t.Errorf("%+v, want %d kills and nearly %d jobs", r.Figures, c.kills, c.jobs)
	}
	for what, n := range map[string]int{
		"messages of a killed process run again": r.Reruns,
		"operations with an unknown outcome":     r.Unknown,
		"claims after a lease ran out":           r.seen.crashed,
		"verdicts that came too late":            r.seen.lost,
		"claims after a failure":                 r.seen.retried,
		"snoozed":                                r.seen.snoozed,
		"completed in a transaction":             r.seen.inTx,
		"not committed":                          r.seen.undone,
		"duplicates":                             r.seen.duplicates,
		"rolled back":                            r.seen.rolledBack,
		"completed":                              r.seen.ends[history.Completed],
		"failed":                                 r.seen.ends[history.Failed],
		"cancelled":                              r.seen.ends[history.Cancelled],
		"expired":                                r.seen.ends[history.Expired],
	} {
		if n == 0 {
			t.Errorf("%s: none, so that the run has not shown anything about them", what)
		}
	}
}

// TestFaultsOfServer: nor when the server crashes too, sessions are ended, and connections are cut and hang.
func TestFaultsOfServer(t *testing.T) {
	c := config{
		store: "postgres", jobs: 1200, kills: 3, stops: 4, workers: 4, lease: time.Second, seed: 12,
		serverFaults: serverFaults{restarts: 2, terminates: 6, cuts: 8, hangs: 2},
	}
	r, _, err := runTest(t, c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Kills != c.kills || r.Restarts != c.kills || r.Jobs < c.jobs*8/10 {
		t.Errorf("%+v, want %d kills and nearly %d jobs", r.Figures, c.kills, c.jobs)
	}
	s := r.server
	if got := (serverFaults{s.ServerRestarts, s.Terminated, s.Cuts, s.Hangs}); got != c.serverFaults || s.FirstJobS == nil {
		t.Errorf("%+v, want %+v", s, c.serverFaults)
	}
	for what, n := range map[string]int{
		"operations with an unknown outcome": r.Unknown,
		"claims after a lease ran out":       r.seen.crashed,
		"claims after a failure":             r.seen.retried,
		"completed in a transaction":         r.seen.inTx,
		"not committed":                      r.seen.undone,
		"duplicates":                         r.seen.duplicates,
		"completed":                          r.seen.ends[history.Completed],
		"failed":                             r.seen.ends[history.Failed],
	} {
		if n == 0 {
			t.Errorf("%s: none, so that the run has not shown anything about them", what)
		}
	}
}

// TestCompletionsUnderKill: each effect of a handler is there exactly once, whoever is killed when.
func TestCompletionsUnderKill(t *testing.T) {
	for _, store := range []string{"sqlite", "postgres"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			c := config{store: store, onlyTx: true, jobs: 1000, kills: 4, workers: 3, lease: time.Second, seed: 31}
			r, _, err := runTest(t, c)
			if err != nil {
				t.Fatal(err)
			}
			if r.Kills != c.kills || r.Jobs < c.jobs/2 || r.seen.inTx < r.Jobs*9/10 || r.seen.ends[history.Completed] < r.Jobs*9/10 {
				t.Errorf("%+v, %+v, want %d kills and about %d jobs, all of them completed in transactions", r.Figures, r.seen, c.kills, c.jobs)
			}
		})
	}
}

// TestSabotage: a run finds what is broken.
func TestSabotage(t *testing.T) {
	for name, want := range map[string]struct {
		store  string
		stops  int
		server serverFaults
		broken []history.Invariant // at least one of them
		figure func(history.Figures) int
	}{
		"deaf": {
			stops:  8, // some of them hit a worker with messages in hand, also on a slow machine
			broken: []history.Invariant{history.Fencing, history.OneVerdict},
			figure: func(f history.Figures) int { return f.StaleAccepted + f.Doubled },
		},
		"eraser": {broken: []history.Invariant{history.NoLoss, history.AllOrNothing}, figure: func(f history.Figures) int { return f.Lost }},
		"thief":  {broken: []history.Invariant{history.EffectOnce}},
		"hasty":  {broken: []history.Invariant{history.NotEarly}, figure: func(f history.Figures) int { return f.Early }},
		"liar": {
			store: "postgres", server: serverFaults{restarts: 2},
			broken: []history.Invariant{history.NoLoss}, figure: func(f history.Figures) int { return f.Lost },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			r, log, err := runTest(t, config{
				store: want.store, jobs: 200, stops: want.stops, serverFaults: want.server, workers: 2, lease: time.Second, seed: 1, sabotage: name,
			})
			if err == nil {
				t.Fatal("the run has found nothing")
			}
			found := slices.ContainsFunc(r.Violations, func(v history.Violation) bool { return slices.Contains(want.broken, v.Invariant) })
			if !found || (want.figure != nil && want.figure(r.Figures) == 0) {
				t.Errorf("%+v, want violations of %v\n%v", r.Figures, want.broken, err)
			}
			_, dir, ok := strings.Cut(log, "kept: ")
			if !ok {
				t.Fatal("the run has not said where its directory is")
			}
			if _, err := os.Stat(filepath.Join(strings.TrimSpace(dir), "server.log")); isServer(want.store) && err != nil {
				t.Errorf("what the server said is not kept: %v", err)
			}
		})
	}
}
