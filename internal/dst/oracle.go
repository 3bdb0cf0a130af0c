package main

import "time"

// A clock is what the clock of a zone shows in a span, minute by minute.
type clock struct {
	from, to time.Time
	minutes  []minute
	dates    []time.Time // of which minutes have the index
}

// A minute is one that passes.
type minute struct {
	at      time.Time
	shows   face
	again   bool   // the clock has shown this before
	skipped []face // what it should have shown between the minute before and this one
}

// A face is what a clock can show.
type face struct {
	date      int
	hour, min int
}

// walk looks at the clock every minute. It begins a day before the span, to know what was shown before.
func walk(zone *time.Location, s span) *clock {
	const before = 24 * time.Hour
	c := &clock{from: s.from, to: s.to}
	shown := make(map[int64]bool)
	known := make(map[int64]int)
	faceOf := func(local time.Time) face {
		local = local.UTC()
		midnight := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, time.UTC)
		date, ok := known[midnight.Unix()]
		if !ok {
			date = len(c.dates)
			known[midnight.Unix()] = date
			c.dates = append(c.dates, midnight)
		}
		return face{date, local.Hour(), local.Minute()}
	}
	var previous time.Time
	for at := s.from.Add(-before); at.Before(s.to); at = at.Add(time.Minute) {
		here := at.In(zone)
		// The same face on a clock that is never changed, to count minutes between faces.
		local := time.Date(here.Year(), here.Month(), here.Day(), here.Hour(), here.Minute(), 0, 0, time.UTC)
		m := minute{at: at, shows: faceOf(local), again: shown[local.Unix()]}
		shown[local.Unix()] = true
		if !previous.IsZero() {
			for missing := previous.Add(time.Minute); missing.Before(local); missing = missing.Add(time.Minute) {
				m.skipped = append(m.skipped, faceOf(missing))
			}
		}
		previous = local
		if !at.Before(s.from) {
			c.minutes = append(c.minutes, m)
		}
	}
	return c
}

// runs returns when an entry runs by the rule.
func (c *clock) runs(e *entry) (runs []time.Time) {
	days := make([]bool, len(c.dates))
	for i, date := range c.dates {
		days[i] = e.day(date)
	}
	shows := func(f face) bool { return e.minutes[f.min] && e.hours[f.hour] && days[f.date] }
	for i := range c.minutes {
		m := &c.minutes[i]
		run := shows(m.shows)
		if !e.interval {
			run = run && !m.again
			for _, f := range m.skipped {
				run = run || shows(f)
			}
		}
		if run {
			runs = append(runs, m.at)
		}
	}
	return runs
}
