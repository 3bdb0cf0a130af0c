package cli

import (
	"math"
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90": 90 * time.Second, "0.5": 500 * time.Millisecond, "0": 0, "1h30m": 90 * time.Minute, "10ms": 10 * time.Millisecond, "-5s": -5 * time.Second,
	} {
		var d duration
		if err := d.Set(text); err != nil || time.Duration(d) != want {
			t.Errorf("%q is %v, %v; want %v", text, time.Duration(d), err, want)
		}
	}
	for _, text := range []string{"", "soon", "1y", "NaN", "Inf", "1e300", "-1e300", "1h 2m"} {
		if err := new(duration).Set(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1, "1048576": 1 << 20, "128M": 128 << 20, "2G": 2 << 30, "1k": 1 << 10, "1T": 1 << 40, "8388607T": math.MaxInt64 &^ (1<<40 - 1),
	} {
		var n size
		if err := n.Set(text); err != nil || int64(n) != want {
			t.Errorf("%q is %d, %v; want %d", text, n, err, want)
		}
	}
	for _, text := range []string{"", "M", "0", "-1M", "1.5G", "128MB", "8388608T", "99999999999999999999"} {
		if err := new(size).Set(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestCount(t *testing.T) {
	var n count
	if err := n.Set("7"); err != nil || n != 7 {
		t.Errorf("7 is %d, %v", n, err)
	}
	for _, text := range []string{"", "0", "-1", "1.5", "x"} {
		if err := new(count).Set(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestPast(t *testing.T) {
	var p past
	if err := p.Set("2026-01-31T09:00:00+01:00"); err != nil || !p.Equal(time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)) {
		t.Errorf("got %v, %v", p.Time, err)
	}
	before := time.Now().Add(-90 * time.Minute)
	if err := p.Set("90m"); err != nil || p.Before(before) || p.After(time.Now().Add(-90*time.Minute)) {
		t.Errorf("90m ago is %v, %v", p.Time, err)
	}
	for _, text := range []string{"", "-5m", "yesterday", "2026-01-31", "300000-01-01T00:00:00Z"} {
		if err := new(past).Set(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

// TestPolicy: zero means zero, and -1 no limit.
func TestPolicy(t *testing.T) {
	for _, tt := range []struct {
		name     string
		flags    exec
		failures int
		wait     time.Duration // within the jitter of a tenth
		again    bool
	}{
		{"first", exec{retries: 3, delay: duration(time.Second), multiplier: 2}, 1, time.Second, true},
		{"third", exec{retries: 3, delay: duration(time.Second), multiplier: 2}, 3, 4 * time.Second, true},
		{"over", exec{retries: 3, delay: duration(time.Second), multiplier: 2}, 4, 8 * time.Second, false},
		{"capped", exec{retries: 3, delay: duration(time.Second), multiplier: 10, most: duration(5 * time.Second)}, 3, 5 * time.Second, true},
		{"never", exec{retries: 0, delay: duration(time.Second), multiplier: 2}, 1, time.Second, false},
		{"no limit", exec{retries: -1, delay: duration(time.Second), multiplier: 1}, 1000, time.Second, true},
		{"no wait", exec{retries: 3, delay: 0, multiplier: 2}, 2, 0, true},
	} {
		wait, again := tt.flags.policy().Next(tt.failures, nil)
		if again != tt.again || wait < tt.wait*9/10 || wait > tt.wait*11/10 {
			t.Errorf("%s: wait %v, again %v; want about %v, %v", tt.name, wait, again, tt.wait, tt.again)
		}
	}
}

func TestParseQueues(t *testing.T) {
	s := &session{}
	queues, strict, err := s.parseQueues([]string{"high", "low"})
	if err != nil || !strict || len(queues) != 2 || queues[0].Name != "high" || queues[0].Weight != 0 {
		t.Errorf("names alone: %+v, strict %v, %v", queues, strict, err)
	}
	queues, strict, err = s.parseQueues([]string{"high", "low=3"})
	if err != nil || strict || queues[1].Name != "low" || queues[1].Weight != 3 {
		t.Errorf("a weight: %+v, strict %v, %v", queues, strict, err)
	}
}
