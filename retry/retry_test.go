package retry_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/retry"
)

var _ symphony.RetryPolicy = retry.Exponential{}

const century = 100 * 365 * 24 * time.Hour

func TestDefaults(t *testing.T) {
	exact := retry.Exponential{Jitter: -1}
	for _, tt := range []struct {
		failures int
		wait     time.Duration
		again    bool
	}{
		{1, time.Second, true},
		{2, 2 * time.Second, true},
		{3, 4 * time.Second, true},
		{4, 8 * time.Second, false},
	} {
		if wait, again := exact.Next(tt.failures, errors.New("x")); wait != tt.wait || again != tt.again {
			t.Errorf("after %d failures: %v, %v, want %v, %v", tt.failures, wait, again, tt.wait, tt.again)
		}
		for range 100 {
			wait, again := retry.Exponential{}.Next(tt.failures, nil)
			if off := (wait - tt.wait).Abs(); off > tt.wait/10 || again != tt.again {
				t.Fatalf("after %d failures: %v, %v, want %v ± 10 %%, %v", tt.failures, wait, again, tt.wait, tt.again)
			}
		}
	}
}

func TestFields(t *testing.T) {
	for _, tt := range []struct {
		name     string
		policy   retry.Exponential
		failures int
		wait     time.Duration
		again    bool
	}{
		{"one retry", retry.Exponential{Max: 1, Jitter: -1}, 1, time.Second, true},
		{"only one", retry.Exponential{Max: 1, Jitter: -1}, 2, 2 * time.Second, false},
		{"without limit", retry.Exponential{Max: -1, Jitter: -1, Cap: time.Hour}, 1_000_000, time.Hour, true},
		{"delay", retry.Exponential{Delay: time.Minute, Jitter: -1}, 2, 2 * time.Minute, true},
		{"no delay", retry.Exponential{Delay: -1, Jitter: -1}, 2, 0, true},
		{"no delay, for ever", retry.Exponential{Delay: -1, Max: -1}, math.MaxInt, 0, true},
		{"multiplier", retry.Exponential{Multiplier: 10, Jitter: -1}, 3, 100 * time.Second, true},
		{"multiplier of one", retry.Exponential{Multiplier: 1, Jitter: -1}, 3, time.Second, true},
		{"pauses never shrink", retry.Exponential{Multiplier: 0.5, Jitter: -1}, 3, time.Second, true},
		{"cap", retry.Exponential{Cap: 3 * time.Second, Jitter: -1}, 3, 3 * time.Second, true},
		{"cap below the delay", retry.Exponential{Cap: time.Millisecond, Jitter: -1}, 1, time.Millisecond, true},
		{"a cap of ages", retry.Exponential{Max: -1, Cap: math.MaxInt64}, math.MaxInt, century, true},
		{"no cap", retry.Exponential{Max: -1}, math.MaxInt, century, true},
		{"no failure counts as one", retry.Exponential{Jitter: -1}, 0, time.Second, true},
		{"fewer than none as well", retry.Exponential{Jitter: -1}, math.MinInt, time.Second, true},
		{"no number", retry.Exponential{Multiplier: math.NaN(), Jitter: -1}, 2, century, true},
		{"infinite", retry.Exponential{Multiplier: math.Inf(1), Jitter: -1, Cap: time.Hour}, 2, time.Hour, true},
	} {
		if wait, again := tt.policy.Next(tt.failures, nil); wait != tt.wait || again != tt.again {
			t.Errorf("%s: %v, %v, want %v, %v", tt.name, wait, again, tt.wait, tt.again)
		}
	}
}

// policies draws any policy at all: every field takes every value of its type.
func policies(t *rapid.T) retry.Exponential {
	return retry.Exponential{
		Max:        rapid.Int().Draw(t, "max"),
		Delay:      time.Duration(rapid.Int64().Draw(t, "delay")),
		Multiplier: rapid.Float64().Draw(t, "multiplier"),
		Cap:        time.Duration(rapid.Int64().Draw(t, "cap")),
		Jitter:     rapid.Float64().Draw(t, "jitter"),
	}
}

func TestWaitIsWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policies(t)
		failures := rapid.Int().Draw(t, "failures")
		wait, _ := p.Next(failures, nil)
		if wait < 0 || wait > century || p.Cap > 0 && wait > p.Cap {
			t.Fatalf("%+v waits %v after %d failures", p, wait, failures)
		}
	})
}

func TestWaitGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policies(t)
		p.Jitter = -1
		n := rapid.IntRange(0, math.MaxInt-1).Draw(t, "failures")
		if a, b := p.Wait(n), p.Wait(n+1); b < a {
			t.Fatalf("%+v waits %v after %d failures, then %v", p, a, n, b)
		}
	})
}

func TestJitterIsAShareOfTheWait(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := retry.Exponential{
			Delay:  time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "delay")),
			Jitter: rapid.Float64Range(0.001, 2).Draw(t, "jitter"),
		}
		n := rapid.IntRange(1, 10).Draw(t, "failures")
		exact := p
		exact.Jitter = -1
		most := float64(exact.Wait(n)) * min(p.Jitter, 1)
		if off := float64((p.Wait(n) - exact.Wait(n)).Abs()); off > most+1 {
			t.Fatalf("%+v is %v off after %d failures, at most %v", p, time.Duration(off), n, time.Duration(most))
		}
	})
}

// Jitter spreads, so that what failed together does not come back together.
func TestJitterSpreads(t *testing.T) {
	p, seen := retry.Exponential{Delay: time.Hour, Jitter: 0.5}, map[time.Duration]bool{}
	low, high := time.Hour, time.Hour
	for range 1000 {
		wait := p.Wait(1)
		seen[wait] = true
		low, high = min(low, wait), max(high, wait)
	}
	if len(seen) < 900 || low > 35*time.Minute || high < 85*time.Minute {
		t.Errorf("%d different waits between %v and %v", len(seen), low, high)
	}
}

func TestMaxDecidesAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policies(t)
		n := rapid.IntRange(1, math.MaxInt).Draw(t, "failures")
		limit := p.Max
		if limit == 0 {
			limit = 3
		}
		if _, again := p.Next(n, nil); again != (limit < 0 || n <= limit) {
			t.Fatalf("%+v after %d failures: again is %v", p, n, again)
		}
	})
}
