package main

import (
	"strings"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony/schedule/cron"
)

// Seconds count like minutes: the same walk, second by second, through some hours around changes of the clock.
func TestSeconds(t *testing.T) {
	compared := 0
	for zoneName, change := range map[string]string{
		"America/New_York": "2026-03-08T07:00:00Z", "Europe/Berlin": "2026-10-25T01:00:00Z", "Australia/Lord_Howe": "2026-04-04T15:00:00Z",
		"Africa/Cairo": "2026-04-23T22:00:00Z", "America/St_Johns": "2026-11-01T04:30:00Z", "Atlantic/Azores": "2026-03-29T01:00:00Z",
	} {
		zone, err := time.LoadLocation(zoneName)
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339, change)
		if err != nil {
			t.Fatal(err)
		}
		if _, before := at.Add(-time.Second).In(zone).Zone(); before == offsetAt(at, zone) {
			t.Fatalf("%s does not change its clock at %s", zoneName, change)
		}
		from, to := at.Add(-2*time.Hour), at.Add(2*time.Hour)
		for _, seconds := range []string{"0", "30", "5,50", "*/20", "58-2", "7/30"} {
			for _, five := range []string{"* * * * *", "30 * * * *", "0 0 * * *", "15,45 0,1,2 * * *", "0 1-3 * * *", "59 1 * * *", "*/10 2 * * *", "0 2,3 * * 0", "29,30 1,2 * * *"} {
				s, err := cron.Parse(seconds+" "+five, cron.In(zone))
				if err != nil {
					t.Fatal(err)
				}
				want := walkSeconds(t, zone, span{from, to}, seconds, five)
				got := compare(&clock{from: from, to: to}, want, s.Next)
				compared += got.runs
				if len(got.missed)+len(got.doubled) > 0 {
					t.Errorf("%s in %s: missed %v, doubled %v", s, zoneName, got.missed, got.doubled)
				}
			}
		}
	}
	if compared < 10_000 {
		t.Errorf("only %d runs were compared", compared)
	}
}

func offsetAt(at time.Time, zone *time.Location) int {
	_, offset := at.In(zone).Zone()
	return offset
}

// walkSeconds returns the runs of a span by the rule.
func walkSeconds(t *testing.T, zone *time.Location, s span, seconds, five string) (runs []time.Time) {
	e, err := readEntry(five)
	if err != nil {
		t.Fatal(err)
	}
	e.interval = e.interval || strings.ContainsAny(seconds, "*-/")
	var matching [60]bool
	for n := range matching {
		if matching[n], err = fieldHolds(seconds, n, 0, 59); err != nil {
			t.Fatal(err)
		}
	}
	shows := func(local time.Time) bool {
		return matching[local.Second()] && e.minutes[local.Minute()] && e.hours[local.Hour()] && e.day(local.Truncate(24*time.Hour))
	}
	shown := make(map[int64]bool)
	var previous time.Time
	for at := s.from.Add(-3 * time.Hour); at.Before(s.to); at = at.Add(time.Second) {
		local := time.Unix(at.Unix()+int64(offsetAt(at, zone)), 0).UTC()
		run := shows(local)
		if !e.interval {
			run = run && !shown[local.Unix()]
			for missing := previous.Add(time.Second); !previous.IsZero() && missing.Before(local); missing = missing.Add(time.Second) {
				run = run || shows(missing)
			}
		}
		shown[local.Unix()], previous = true, local
		if run && !at.Before(s.from) {
			runs = append(runs, at)
		}
	}
	return runs
}
