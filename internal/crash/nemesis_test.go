//go:build unix

package main

import (
	"slices"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony/internal/history"
)

func TestPlan(t *testing.T) {
	c := config{jobs: 1000, kills: 40, stops: 20, workers: 4, lease: 2 * time.Second, seed: 42}
	faults := plan(c)
	if !slices.Equal(faults, plan(c)) {
		t.Error("the same seed draws other faults")
	}
	other := c
	other.seed++
	if slices.Equal(faults, plan(other)) {
		t.Error("another seed draws the same faults")
	}
	kinds := map[history.Fault]int{}
	slots := map[int]int{}
	busy := map[int]time.Duration{}
	for _, f := range faults {
		kinds[f.kind]++
		slots[f.slot]++
		if f.at < busy[f.slot] {
			t.Errorf("%+v comes while the one before still lasts", f)
		}
		busy[f.slot] = f.at + f.length
		switch {
		case f.kind == history.Stop && (f.slot >= c.workers || f.length <= c.lease || f.length > 2*c.lease):
			t.Errorf("%+v: must be a worker, for longer than its lease", f)
		case f.at <= 0 || f.at > 2*c.span():
			t.Errorf("%+v: must be within %v, or soon after", f, c.span())
		}
	}
	if kinds[history.Kill] != c.kills || kinds[history.Stop] != c.stops {
		t.Errorf("%v, want %d kills and %d stops", kinds, c.kills, c.stops)
	}
	if len(slots) != c.workers+producers {
		t.Errorf("hits the slots %v, want all of %d workers and %d producers", slots, c.workers, producers)
	}
}

// TestPlanOfOne: with one worker, which is down half of the time, faults wait for each other.
func TestPlanOfOne(t *testing.T) {
	free := time.Duration(0)
	for _, f := range plan(config{jobs: 1, kills: 5, stops: 30, workers: 1, lease: time.Second, seed: 3}) {
		if f.slot != 0 {
			continue
		}
		if f.at < free {
			t.Errorf("%+v comes while the one before lasts until %v", f, free)
		}
		free = f.at + f.length
	}
}
