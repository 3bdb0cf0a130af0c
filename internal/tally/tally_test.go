package tally

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func verdict(token symphony.Token, typ string, outcome symphony.Outcome, took time.Duration) symphony.Verdict {
	due := time.Unix(1000, 0)
	d := &symphony.Delivery{Envelope: &symphony.Envelope{Queue: "q", Type: typ}, Token: token, DueAt: due, ClaimedAt: due.Add(time.Second)}
	return symphony.Verdict{Token: token, Outcome: outcome, Attempt: d, Took: took}
}

func TestAdd(t *testing.T) {
	var tally Tally
	inTx := verdict("5", "b", symphony.Retried, time.Second)
	inTx.InTx = true
	undone := verdict("6", "b", symphony.Retried, time.Second)
	undone.InTx = true
	tally.Add([]symphony.Verdict{
		verdict("1", "a", symphony.Completed, time.Millisecond), verdict("2", "a", symphony.Failed, time.Millisecond),
		verdict("3", "b", symphony.Snoozed, time.Second), verdict("4", "a", symphony.Completed, time.Hour), inTx, undone,
		{Token: "7", Outcome: symphony.Released}, // it never ran
	}, lostAndUndone{})
	sums := tally.Take()
	var got []monitor.Minute
	for _, m := range sums {
		if n := m.Wait.Count(); n != m.Attempts() || m.Run.Count() != n {
			t.Errorf("type %s: %d attempts, %d waits, %d runs", m.Type, m.Attempts(), n, m.Run.Count())
		}
		if w := m.Wait.Quantile(0.5); w < 900*time.Millisecond || w > 1100*time.Millisecond {
			t.Errorf("type %s waited %v, want about 1 s", m.Type, w)
		}
		m.Wait, m.Run = nil, nil
		got = append(got, m)
	}
	want := []monitor.Minute{
		{Queue: "q", Type: "a", Completed: 1, Failed: 1},
		{Queue: "q", Type: "b", Completed: 1, Retried: 1, Other: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if again := tally.Take(); len(again) != 0 {
		t.Errorf("taken twice: %+v", again)
	}
	tally.GiveBack(sums)
	tally.GiveBack(sums)
	if both := tally.Take(); both[0].Completed != 2 || both[0].Run.Count() != 4 {
		t.Errorf("given back twice: %+v", both)
	}
}

// lostAndUndone names tokens as the errors of stores do.
type lostAndUndone struct{}

func (lostAndUndone) Error() string { return "refused" }

func (lostAndUndone) Unwrap() []error {
	return []error{&symphony.LostError{Tokens: []symphony.Token{"4"}}, &symphony.NotCommittedError{Tokens: []symphony.Token{"6"}}}
}

func TestDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tally Tally
		if tally.Due() {
			t.Error("nothing is due")
		}
		one := []symphony.Verdict{verdict("1", "a", symphony.Completed, 0)}
		tally.Add(one, nil)
		if !tally.Due() {
			t.Error("the first sums are not due")
		}
		tally.Take()
		tally.Add(one, nil)
		if tally.Due() {
			t.Error("sums are due again at once")
		}
		time.Sleep(Every)
		if !tally.Due() {
			t.Errorf("sums are not due after %v", Every)
		}
	})
}

func TestConcurrency(t *testing.T) {
	var tally Tally
	var all sync.WaitGroup
	var n int64
	for range 8 {
		all.Go(func() {
			for range 100 {
				tally.Add([]symphony.Verdict{verdict("1", "a", symphony.Completed, time.Second)}, nil)
			}
		})
	}
	for range 10 {
		for _, m := range tally.Take() {
			n += m.Completed
		}
	}
	all.Wait()
	for _, m := range tally.Take() {
		n += m.Completed
	}
	if n != 800 {
		t.Errorf("counted %d, want 800", n)
	}
}

func BenchmarkAdd(b *testing.B) {
	var tally Tally
	vs := make([]symphony.Verdict, 1000)
	for i := range vs {
		vs[i] = verdict("t", "a", symphony.Completed, time.Duration(i)*time.Millisecond)
	}
	for b.Loop() {
		tally.Add(vs, nil)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/verdict")
}
