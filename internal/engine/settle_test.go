package engine

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestVerdictsGoTogether: those that come one after the other wait for each other, but not long; one that somebody waits for takes all along
// at once, and so does an end.
func TestVerdictsGoTogether(t *testing.T) {
	const jobs, every = 1000, 500 * time.Microsecond
	for name, c := range map[string]struct {
		prompt func(n int) bool
		least  int // calls
		most   int
	}{
		"nobody waits":          {func(int) bool { return false }, jobs / 6, jobs/4 + 2},
		"somebody always waits": {func(int) bool { return true }, jobs, jobs},
		"for every tenth":       {func(n int) bool { return n%10 == 0 }, jobs / 5, jobs/4 + jobs/10 + 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var finished [jobs + 1]time.Time
				e := endless(Limits{Messages: jobs}, func(*Job[int]) {})
				e.Exchange = nil
				n := 0
				e.Claim = func(context.Context, Claim) ([]*Job[int], error) {
					time.Sleep(every)
					n++
					j := &Job[int]{Value: n, Queue: "q", Lease: time.Now().Add(time.Minute), Prompt: c.prompt(n)}
					finished[n] = time.Now() // its handler takes no time
					return []*Job[int]{j}, nil
				}
				calls, settled := 0, 0
				e.Settle = func(_ context.Context, js []*Job[int]) error {
					calls++
					settled += len(js)
					for _, j := range js {
						if late := time.Since(finished[j.Value]); late > settleEvery || (j.Prompt || j.Value == jobs) && late > 0 {
							t.Errorf("the verdict on job %d waited for %v", j.Value, late)
						}
					}
					return nil
				}
				if stuck, err := e.Run(t.Context()); err != nil || stuck != nil {
					t.Fatal(stuck, err)
				}
				if settled != jobs || calls < c.least || calls > c.most {
					t.Errorf("%d verdicts in %d calls, want %d in %d to %d", settled, calls, jobs, c.least, c.most)
				}
			})
		})
	}
}

// TestAloneAfterTheVerdicts: a job that may end its process starts when the store has the verdicts on all others, also on those that are given back for it.
func TestAloneAfterTheVerdicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var settled atomic.Int64
		e := endless(Limits{Messages: 1}, func(j *Job[int]) {
			if n := settled.Load(); j.Alone && n != 5 {
				t.Errorf("it starts when %d verdicts are in the store, want 5", n)
			}
		})
		e.Exchange = nil
		first := true
		e.Claim = func(ctx context.Context, _ Claim) (js []*Job[int], err error) {
			if !first {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			first = false
			for n := range 6 {
				js = append(js, &Job[int]{Value: n, Queue: "q", Lease: time.Now().Add(time.Minute), Alone: n == 3})
			}
			return js, nil
		}
		e.Settle = func(_ context.Context, js []*Job[int]) error {
			time.Sleep(10 * time.Millisecond)
			settled.Add(int64(len(js)))
			return nil
		}
		if stuck, err := e.Run(t.Context()); err != nil || stuck != nil {
			t.Fatal(stuck, err)
		}
	})
}
