package cron_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony/schedule/cron"
)

// What other libraries lose or run twice: the rule of the package comment, case by case. That it holds in every
// zone is shown by internal/dst.
func TestChangesOfTheClock(t *testing.T) {
	for _, tt := range []struct {
		name, expr, zone, after string
		want                    []string
	}{
		{
			"a time in the gap runs once, at its end", "30 2 * * *", "America/New_York", "2026-03-07T00:00:00-05:00",
			[]string{"2026-03-07 02:30:00 Sat -0500", "2026-03-08 03:00:00 Sun -0400", "2026-03-09 02:30:00 Mon -0400"},
		},
		{
			"all times in one gap are one run", "0,30 2 * * *", "America/New_York", "2026-03-08T00:00:00-05:00",
			[]string{"2026-03-08 03:00:00 Sun -0400", "2026-03-09 02:00:00 Mon -0400"},
		},
		{
			"and one with the time at its end", "0 2,3 * * *", "America/New_York", "2026-03-08T00:00:00-05:00",
			[]string{"2026-03-08 03:00:00 Sun -0400", "2026-03-09 02:00:00 Mon -0400"},
		},
		{
			"seconds in the gap", "15 59 2 * * *", "America/New_York", "2026-03-08T00:00:00-05:00",
			[]string{"2026-03-08 03:00:00 Sun -0400", "2026-03-09 02:59:15 Mon -0400"},
		},
		{
			"a time that comes twice runs once", "30 1 * * *", "America/New_York", "2026-10-31T12:00:00-04:00",
			[]string{"2026-11-01 01:30:00 Sun -0400", "2026-11-02 01:30:00 Mon -0500"},
		},
		{
			"also when asked between the two", "30 1 * * *", "America/New_York", "2026-11-01T05:45:00Z",
			[]string{"2026-11-02 01:30:00 Mon -0500"},
		},
		{
			"and in the second of the two hours", "45 1 * * *", "America/New_York", "2026-11-01T06:10:00Z",
			[]string{"2026-11-02 01:45:00 Mon -0500"},
		},
		{
			"the end of the overlap comes once", "0 2 * * *", "America/New_York", "2026-11-01T05:45:00Z",
			[]string{"2026-11-01 02:00:00 Sun -0500"},
		},
		{
			"also when asked in the second hour", "0 2 * * *", "America/New_York", "2026-11-01T06:10:00Z",
			[]string{"2026-11-01 02:00:00 Sun -0500"},
		},
		{
			"an interval runs in both copies", "0 * * * *", "America/New_York", "2026-11-01T00:30:00-04:00",
			[]string{"2026-11-01 01:00:00 Sun -0400", "2026-11-01 01:00:00 Sun -0500", "2026-11-01 02:00:00 Sun -0500"},
		},
		{
			"also one whose hour is a plain number", "*/30 1 * * *", "America/New_York", "2026-11-01T00:30:00-04:00",
			[]string{
				"2026-11-01 01:00:00 Sun -0400", "2026-11-01 01:30:00 Sun -0400",
				"2026-11-01 01:00:00 Sun -0500", "2026-11-01 01:30:00 Sun -0500", "2026-11-02 01:00:00 Mon -0500",
			},
		},
		{
			"also when there is no other for a year", "*/30 1 1 11 *", "America/New_York", "2026-11-01T01:30:00-04:00",
			[]string{"2026-11-01 01:00:00 Sun -0500", "2026-11-01 01:30:00 Sun -0500", "2027-11-01 01:00:00 Mon -0400"},
		},
		{
			"seconds make it an interval, too", "*/30 0 1 * * *", "America/New_York", "2026-11-01T00:30:00-04:00",
			[]string{
				"2026-11-01 01:00:00 Sun -0400", "2026-11-01 01:00:30 Sun -0400",
				"2026-11-01 01:00:00 Sun -0500", "2026-11-01 01:00:30 Sun -0500",
			},
		},
		{
			"an interval has nothing to run in a gap", "*/30 2 * * *", "America/New_York", "2026-03-07T02:30:00-05:00",
			[]string{"2026-03-09 02:00:00 Mon -0400"},
		},
		{
			"a range of one is a range", "30 2-2 * * *", "America/New_York", "2026-03-07T03:00:00-05:00",
			[]string{"2026-03-09 02:30:00 Mon -0400"},
		},
		{
			"one item that is a range is enough", "20-20,30 2 * * *", "America/New_York", "2026-03-07T03:00:00-05:00",
			[]string{"2026-03-09 02:20:00 Mon -0400"},
		},
		{
			"no midnight in Santiago", "0 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z",
			[]string{"2026-09-06 01:00:00 Sun -0300", "2026-09-07 00:00:00 Mon -0300"},
		},
		{
			"no midnight in Cairo, on a Friday only", "0 0 * * FRI", "Africa/Cairo", "2026-04-20T12:00:00Z",
			[]string{"2026-04-24 01:00:00 Fri +0300", "2026-05-01 00:00:00 Fri +0300"},
		},
		{
			"half an hour on Lord Howe", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00+10:30",
			[]string{"2026-10-04 02:30:00 Sun +1100", "2026-10-05 02:15:00 Mon +1100"},
		},
		{
			"half an hour twice on Lord Howe", "*/15 1 * * *", "Australia/Lord_Howe", "2026-04-05T01:15:00+11:00",
			[]string{
				"2026-04-05 01:30:00 Sun +1100", "2026-04-05 01:45:00 Sun +1100",
				"2026-04-05 01:30:00 Sun +1030", "2026-04-05 01:45:00 Sun +1030", "2026-04-06 01:00:00 Mon +1030",
			},
		},
		{
			"Samoa had no 30 December 2011", "0 12 30 12 *", "Pacific/Apia", "2011-01-01T00:00:00Z",
			[]string{"2011-12-31 00:00:00 Sat +1400", "2012-12-30 12:00:00 Sun +1400"},
		},
		{
			"and no hour of it", "0 */8 29-31 12 *", "Pacific/Apia", "2011-12-30T01:00:00Z",
			[]string{"2011-12-29 16:00:00 Thu -1000", "2011-12-31 00:00:00 Sat +1400", "2011-12-31 08:00:00 Sat +1400"},
		},
		{
			"Alaska had one Friday twice", "0 12 18 10 *", "America/Juneau", "1867-01-01T00:00:00Z",
			[]string{"1867-10-18 12:00:00 Fri +1502", "1868-10-18 12:00:00 Sun -0857"},
		},
		{
			"half a minute on an old clock", "0 12 * * *", "Africa/Monrovia", "1950-01-01T00:00:00Z",
			[]string{"1950-01-01 12:00:00 Sun -0044"},
		},
		{
			"nothing but gaps: once in a while there was one before 2007, and then never", "*/5 2 ? 3 SUN#2", "America/New_York", "2026-01-01T00:00:00Z",
			[]string{"never"},
		},
		{
			"the last day of a leap year", "0 0 31 12 *", "Europe/Berlin", "2040-12-30T00:00:00Z",
			[]string{"2040-12-31 00:00:00 Mon +0100", "2041-12-31 00:00:00 Tue +0100"},
		},
		{
			"from there into the summer", "0 */6 1 7 *", "America/New_York", "2040-12-31T12:00:00-05:00",
			[]string{"2041-07-01 00:00:00 Mon -0400"},
		},
		{
			"every interval does not know of clocks", "@every 12h", "America/New_York", "2026-03-08T00:00:00Z",
			[]string{"2026-03-08 08:00:00 Sun -0400", "2026-03-08 20:00:00 Sun -0400"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, runs(t, parse(t, tt.expr, in(t, tt.zone)), tt.after, len(tt.want))); diff != "" {
				t.Errorf("%s in %s, want - got +\n%s", tt.expr, tt.zone, diff)
			}
		})
	}
}

// Numbers that a seed chose are times on the wall, steps from one are intervals.
func TestHashesAreClassified(t *testing.T) {
	for _, tt := range []struct {
		expr string
		want string
	}{
		{"H(30-30) H(2-2) * * *", "2026-03-08 03:00:00 Sun -0400"},
		{"#(30-30) #(2-2) * * *", "2026-03-08 03:00:00 Sun -0400"},
		{"H(30-30)/20 H(2-2) * * *", "2026-03-09 02:30:00 Mon -0400"},
	} {
		s := parse(t, tt.expr, in(t, "America/New_York"), cron.Seed("x"))
		if got := runs(t, s, "2026-03-07T03:00:00-05:00", 1)[0]; got != tt.want {
			t.Errorf("%s runs at %s, want %s", tt.expr, got, tt.want)
		}
	}
}

func TestNeverInItsYear(t *testing.T) {
	// The only times that match were skipped by the clock.
	if s, err := cron.Parse("0 */5 2 8 3 ? 2026", in(t, "America/New_York")); err == nil {
		t.Errorf("%v fires at %v", s, s.Next(time.Time{}))
	}
	parse(t, "0 0,5 2 8 3 ? 2026", in(t, "America/New_York"))
	parse(t, "0 */5 2 8 3 ? 2026", in(t, "Europe/Berlin"))
}

func TestEndsOfTime(t *testing.T) {
	s := parse(t, "0 0 1 1 *", in(t, "Asia/Tokyo"))
	for _, tt := range []struct{ after, want time.Time }{
		{time.Time{}, time.Date(2, 1, 1, 0, 0, 0, 0, time.UTC)},
		{time.Date(-300_000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2, 1, 1, 0, 0, 0, 0, time.UTC)},
		{time.Date(9998, 6, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 1, 1, 0, 0, 0, 0, s.Location())},
		{time.Date(9999, 6, 1, 0, 0, 0, 0, time.UTC), time.Time{}},
		{time.Date(300_000, 1, 1, 0, 0, 0, 0, time.UTC), time.Time{}},
		{time.Unix(1<<62, 0), time.Time{}},
	} {
		got := s.Next(tt.after)
		if y, m, d := got.Date(); y != tt.want.Year() || m != tt.want.Month() || d != tt.want.Day() {
			t.Errorf("after %v: %v, want %v", tt.after, got, tt.want)
		}
	}
	if got := parse(t, "@every 2400000h").Next(time.Date(9950, 1, 1, 0, 0, 0, 0, time.UTC)); !got.IsZero() {
		t.Errorf("after the last interval: %v", got)
	}
}

// The slowest expressions there are, in the zone whose far future costs most.
func TestNextTakesNoTime(t *testing.T) {
	for _, expr := range []string{
		"*/5 2 ? 3 SUN#2", "* * * * * *", "0 0 29 2 *", "0 0 29 2 */7", "59 59 23 31 12 ? 2099", "59 23 31 12 *", "0 0 L-30 1 MON", "*/7 */5 29W 2 */3",
		"1,3,5,7,9 2 15W,LW,L-3 * MON#5,FRIL",
	} {
		s := parse(t, expr, in(t, "America/New_York"), cron.BothDays())
		for _, after := range []time.Time{{}, time.Now(), time.Date(2096, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(9998, 12, 31, 0, 0, 0, 0, time.UTC)} {
			fastest := time.Hour // what the machine does beside it is not our time
			for range 20 {
				start := time.Now()
				s.Next(after)
				fastest = min(fastest, time.Since(start))
			}
			if fastest > slower*time.Millisecond {
				t.Errorf("%s after %v took %v", expr, after, fastest)
			}
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	s := parse(t, "*/5 9-17 * * MON-FRI", in(t, "Europe/Berlin"))
	want := runs(t, s, "2026-01-01T00:00:00Z", 200)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if diff := cmp.Diff(want, runs(t, s, "2026-01-01T00:00:00Z", 200)); diff != "" || s.Describe() == "" || s.String() == "" {
				t.Error(diff)
			}
		})
	}
	all.Wait()
}

func BenchmarkNext(b *testing.B) {
	for _, expr := range []string{"* * * * *", "30 2 * * *", "0 9 * * MON-FRI", "0 0 29 2 *"} {
		b.Run(expr, func(b *testing.B) {
			s := parse(b, expr, in(b, "America/New_York"))
			at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			b.ReportAllocs()
			for b.Loop() {
				s.Next(at)
			}
		})
	}
}
