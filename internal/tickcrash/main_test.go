//go:build unix

package main

import (
	"io"
	"os"
	"testing"
	"time"
)

// TestMain lets the test binary be the processes of a run.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == childCommand {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// TestTicks: five schedulers that are killed and paused fire each tick once.
func TestTicks(t *testing.T) {
	for _, store := range []string{"sqlite", "postgres"} {
		t.Run(store, func(t *testing.T) {
			c := config{
				store: store, schedulers: 5, schedules: 90, time: 10 * time.Second, pause: 200 * time.Millisecond, seed: 5, dir: t.TempDir(), log: io.Discard,
			}
			r, err := c.run(t.Context())
			t.Logf("%+v", r)
			if err != nil {
				t.Fatal(err)
			}
			if r.Kills == 0 || r.Stops == 0 || r.Fired < 90*4 || r.Missed == 0 {
				t.Errorf("the run was too small: %+v", r)
			}
		})
	}
}
