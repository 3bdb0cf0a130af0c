package history_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony/internal/history"
)

const simSeeds, simSendings = 25, 400

// TestSimulatedQueuePasses: whatever the faults, a correct queue leaves a history without a violation.
func TestSimulatedQueuePasses(t *testing.T) {
	var sum history.Figures
	phases := map[history.Phase]int{}
	outcomes := map[history.Outcome]int{}
	for seed := range uint64(simSeeds) {
		events, final := simulate(seed, simSendings)
		r := history.Check(events, final)
		if err := r.Err(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err := history.Check(timeless(events), final).Err(); err != nil {
			t.Fatalf("seed %d, store's time unknown: %v", seed, err)
		}
		skewed := final
		skewed.Rules.SkewedClock = true
		if err := history.Check(shifted(events), skewed).Err(); err != nil {
			t.Fatalf("seed %d, clocks an hour apart: %v", seed, err)
		}
		if err := history.Check(events, amnesic(final)).Err(); err != nil {
			t.Fatalf("seed %d, store without history: %v", seed, err)
		}
		sum.Jobs += r.Jobs
		sum.Kills += r.Kills
		sum.Restarts += r.Restarts
		phases[history.Unknown] += r.Unknown
		for _, e := range events {
			phases[e.Phase]++
			if e.Kind == history.Verdict && e.Phase == history.Call {
				outcomes[e.Outcome]++
			}
		}
	}
	t.Logf("%+v\nphases %v\nverdicts %v", sum, phases, outcomes)
	for _, p := range []history.Phase{history.OK, history.Duplicate, history.Lost, history.Refused, history.Rollback, history.Unknown} {
		if phases[p] == 0 {
			t.Errorf("the simulation never answers %s", p)
		}
	}
	for _, o := range []history.Outcome{history.Completed, history.Failed, history.Retried, history.Snoozed, history.Released} {
		if outcomes[o] == 0 {
			t.Errorf("the simulation never settles as %s", o)
		}
	}
}

// timeless is the history of a store that does not tell its time.
func timeless(events []history.Event) []history.Event {
	events = slices.Clone(events)
	for i := range events {
		events[i].Store = 0
	}
	return events
}

// shifted is the history of a store whose clock is an hour ahead.
func shifted(events []history.Event) []history.Event {
	events = slices.Clone(events)
	for i := range events {
		for _, t := range []*int64{&events[i].Store, &events[i].LeaseEnd, &events[i].Due} {
			if *t != 0 {
				*t += int64(time.Hour)
			}
		}
	}
	return events
}

// amnesic is the final state of a store that forgets messages once they have completed or were cancelled.
func amnesic(final history.Final) history.Final {
	final.IDs = maps.Clone(final.IDs)
	delete(final.IDs, history.Completed)
	delete(final.IDs, history.Cancelled)
	return final
}

// TestCheckChangesNothing: the same events can be checked again, with the same report.
func TestCheckChangesNothing(t *testing.T) {
	events, final := simulate(1, simSendings)
	events = slices.DeleteFunc(events, func(e history.Event) bool { return e.Kind == history.Tx || e.Kind == history.Claim && e.Fence == 1 })
	before := slices.Clone(events)
	first := history.Check(events, final)
	second := history.Check(events, final)
	if !slices.Equal(before, events) {
		t.Error("Check changed the events")
	}
	if a, b := fmt.Sprint(first.Violations), fmt.Sprint(second.Violations); a != b || len(first.Violations) == 0 {
		t.Errorf("two reports of the same history differ:\n%s\n%s", a, b)
	}
}

// BenchmarkCheck shows that the time per event does not grow with the history.
func BenchmarkCheck(b *testing.B) {
	for _, jobs := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("jobs=%d", jobs), func(b *testing.B) {
			s := newScript()
			for n := range jobs {
				id := fmt.Sprintf("m%d", n)
				s.send(id, history.OK, group(fmt.Sprintf("g%d", n%100)))
				s.done(id, 1)
			}
			b.ReportAllocs()
			for b.Loop() {
				if r := s.check(); r.Jobs != jobs || len(r.Violations) > 0 {
					b.Fatal(r.Jobs, r.Err())
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(s.events)), "ns/event")
		})
	}
}
