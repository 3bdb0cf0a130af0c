package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/symphony-messenger/symphony/schedule/cron"
)

// sample is a part of what the command does: some zones, each fifth expression, three years.
func sample(t *testing.T, parse parseFunc, zones ...string) *report {
	t.Helper()
	var exprs []string
	for i, expr := range expressions() {
		if i%5 == 0 {
			exprs = append(exprs, expr)
		}
	}
	r := &report{out: io.Discard}
	if testing.Verbose() {
		r.out = t.Output()
	}
	for _, zone := range zones {
		j := job{zone: zone, exprs: exprs, from: 2025, years: 3}
		if err := j.do(r, parse); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestSample(t *testing.T) {
	r := sample(t, parseCron, "Africa/Cairo", "Africa/Casablanca", "America/New_York", "America/Santiago", "Asia/Kolkata", "Australia/Lord_Howe", "Europe/Berlin")
	if r.Missed != 0 || r.Doubled != 0 || r.runs < 10_000 || r.changes < 30 {
		t.Errorf("%d missed and %d doubled of %d runs around %d changes", r.Missed, r.Doubled, r.runs, r.changes)
	}
}

func TestWholeYears(t *testing.T) {
	r := &report{out: t.Output()}
	j := job{zone: "America/Havana", exprs: wholeExpressions()[1:], from: 2026, years: 1, whole: true}
	if err := j.do(r, parseCron); err != nil {
		t.Fatal(err)
	}
	if r.Missed != 0 || r.Doubled != 0 || r.runs < 100_000 || r.minutes != 365*24*60 {
		t.Errorf("%d missed and %d doubled of %d runs in %d minutes", r.Missed, r.Doubled, r.runs, r.minutes)
	}
}

func TestExpressions(t *testing.T) {
	seen := make(map[string]bool)
	for _, expr := range expressions() {
		if seen[expr] {
			t.Errorf("%s is there twice", expr)
		}
		seen[expr] = true
	}
	if len(seen) != 300 || len(wholeExpressions()) != 20 || len(wholeZones) != 20 {
		t.Errorf("%d expressions, %d and %d zones for whole years", len(seen), len(wholeExpressions()), len(wholeZones))
	}
}

// faults are what cron libraries do wrong, and what ours could.
var faults = map[string]struct {
	zone string
	next func(s *cron.Schedule, zone *time.Location, after time.Time) time.Time
}{
	"a time in the gap is skipped": {"America/New_York", func(s *cron.Schedule, zone *time.Location, after time.Time) time.Time {
		next := s.Next(after)
		if start, _ := next.ZoneBounds(); start.Equal(next) {
			return s.Next(next)
		}
		return next
	}},
	"a time in the gap runs as much later as the clock was moved": {"America/New_York", func(s *cron.Schedule, zone *time.Location, after time.Time) time.Time {
		next := s.Next(after)
		if start, _ := next.ZoneBounds(); start.Equal(next) && after.Before(next) {
			return next.Add(30 * time.Minute)
		}
		return next
	}},
	"a time that comes twice runs twice": {"Europe/Berlin", func(s *cron.Schedule, zone *time.Location, after time.Time) time.Time {
		next := s.Next(after)
		if _, before := after.Zone(); !next.IsZero() {
			again := after.Add(time.Hour)
			if _, offset := again.In(zone).Zone(); offset < before && again.Before(next) && again.Second() == 0 {
				return again
			}
		}
		return next
	}},
	"an interval misses the second copy": {"Europe/Berlin", func(s *cron.Schedule, zone *time.Location, after time.Time) time.Time {
		next := s.Next(after)
		for start, _ := next.ZoneBounds(); !start.IsZero() && next.Sub(start) < time.Hour; next = s.Next(next) {
		}
		return next
	}},
	"the lost midnight loses its day": {"Africa/Cairo", func(s *cron.Schedule, zone *time.Location, after time.Time) time.Time {
		next := s.Next(after)
		if start, _ := next.ZoneBounds(); start.Equal(next) && next.Hour() == 1 {
			return s.Next(next)
		}
		return next
	}},
	"a minute late": {"Asia/Kolkata", func(s *cron.Schedule, zone *time.Location, after time.Time) time.Time {
		return s.Next(after.Add(-time.Minute)).Add(time.Minute)
	}},
	"a second late": {"Asia/Kolkata", func(s *cron.Schedule, zone *time.Location, after time.Time) time.Time {
		return s.Next(after.Add(-time.Second)).Add(time.Second)
	}},
	"not strictly after": {"Asia/Kolkata", func(s *cron.Schedule, zone *time.Location, after time.Time) time.Time {
		return s.Next(after.Add(-time.Second))
	}},
	"nothing": {"Asia/Kolkata", func(*cron.Schedule, *time.Location, time.Time) time.Time { return time.Time{} }},
	"the clock of another zone": {"Europe/Berlin", func(s *cron.Schedule, zone *time.Location, after time.Time) time.Time {
		return s.Next(after.Add(time.Hour)).Add(-time.Hour)
	}},
}

// The walk must see them, else that it found nothing says nothing.
func TestFaultsAreSeen(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			r := sample(t, func(expr string, zone *time.Location) (nextFunc, error) {
				s, err := cron.Parse(expr, cron.In(zone))
				if err != nil {
					return nil, err
				}
				return func(after time.Time) time.Time { return fault.next(s, zone, after.In(zone)) }, nil
			}, fault.zone)
			if r.Missed+r.Doubled == 0 {
				t.Error("it was not seen")
			}
		})
	}
}

func TestCommand(t *testing.T) {
	var out bytes.Buffer
	if err := run(&out, 2026, "^Asia/Dubai$"); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var last Result
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatalf("the last line is %q: %v", lines[len(lines)-1], err)
	}
	if want := (Result{Zones: 1, Expressions: 300, Years: 10}); last != want {
		t.Errorf("the result is %+v, want %+v", last, want)
	}
	if err := run(io.Discard, 2026, "Atlantis"); err == nil {
		t.Error("no zone at all is no error")
	}
}
