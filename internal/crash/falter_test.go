//go:build unix

package main

import (
	"strings"
	"testing"
	"time"
)

// TestFaultyStore: whatever of the calls of a worker fails, before or after the store has done it, or is late, nothing is lost,
// doubled or early.
func TestFaultyStore(t *testing.T) {
	for _, store := range stores() {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			r, _, err := runTest(t, config{store: store, jobs: 1200, workers: 3, lease: 500 * time.Millisecond, seed: 21, faults: 0.08})
			if err != nil {
				t.Fatal(err)
			}
			if r.Jobs < 900 {
				t.Errorf("%+v, want about 1200 jobs", r.Figures)
			}
			for _, fault := range []string{"before", "after", "late"} {
				n := 0 // of calls of workers
				for what, times := range r.faults {
					if !strings.HasPrefix(what, "Send") && strings.Contains(what, " "+fault) {
						n += times
					}
				}
				if n == 0 {
					t.Errorf("%s: none, so that the run has not shown anything about it", fault)
				}
			}
			for what, n := range map[string]int{
				"operations with an unknown outcome": r.Unknown,
				"claims after a lease ran out":       r.seen.crashed,
				"claims after a failure":             r.seen.retried,
				// A worker that gets its store back may ask for either first.
				"verdicts or renewals that came too late": r.seen.lost + r.seen.gone,
			} {
				if n == 0 {
					t.Errorf("%s: none, so that the run has not shown anything about them", what)
				}
			}
		})
	}
}
