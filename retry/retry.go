// Package retry says how long to wait before the next attempt.
package retry

import (
	"math"
	"math/rand/v2"
	"time"
)

// Exponential waits Delay × Multiplier^(failures−1), at most Cap, each ± Jitter.
// The zero value is the default policy of a worker: 3 retries after 1 s, 2 s and 4 s, ± 10 %.
// It is safe for concurrent use.
type Exponential struct {
	Max        int           // retries after the first attempt; 0: 3; less than 0: without limit
	Delay      time.Duration // before the first retry; 0: 1 s
	Multiplier float64       // 0: 2; less than 1 counts as 1, because pauses never shrink
	Cap        time.Duration // 0: none
	Jitter     float64       // share of the wait; 0: 0.1; less than 0: none; more than 1 counts as 1
}

// longest is the longest wait: 100 years, so that no sum of a time and a wait can overflow.
const longest = 100 * 365 * 24 * time.Hour

// Next returns the wait after that many failures, 1 or more, and whether there is another attempt.
// The wait is never negative and never more than Cap or 100 years.
func (p Exponential) Next(failures int, _ error) (wait time.Duration, again bool) {
	limit := or(p.Max, 3)
	return p.Wait(failures), limit < 0 || failures <= limit
}

// Wait returns the wait after that many failures, whatever Max says.
func (p Exponential) Wait(failures int) time.Duration {
	delay, mult, jitter := or(p.Delay, time.Second), or(p.Multiplier, 2), min(or(p.Jitter, 0.1), 1)
	d := float64(max(delay, 0)) * math.Pow(max(mult, 1), float64(max(failures, 1)-1))
	if jitter > 0 {
		d *= 1 + jitter*(2*rand.Float64()-1)
	}
	most := longest
	if p.Cap > 0 {
		most = min(most, p.Cap)
	}
	if math.IsNaN(d) || d > float64(most) { // NaN: a delay of 0 times an infinite factor
		if delay <= 0 {
			return 0
		}
		return most
	}
	return time.Duration(d)
}

func or[T int | float64 | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}
