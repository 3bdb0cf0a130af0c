package cron

import (
	"math"
	"time"
)

const (
	day = 24 * 60 * 60

	// reach is more than any clock was ever moved at once, and more than any is off UTC.
	reach = 2 * day

	// lastYear is the last that every format of a time can hold.
	lastYear = 9999

	// maxSkipped is how many slots of an interval may fall into gaps, one after another, before they all do: more
	// than a century of a yearly one.
	maxSkipped = 300
)

// first and last are the first and the last second of the years in which there are runs.
var (
	first = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	last  = time.Date(lastYear, 12, 31, 23, 59, 59, 0, time.UTC).Unix()
)

// Next returns the first time strictly after the given one at which the schedule fires, in whole
// seconds and in the schedule's zone. It is the zero time when there is none: the field of years has come to its end,
// or all that is left would fall into gaps of the clock for the next hundred years, or into the year
// 10000. It takes microseconds, whatever the expression.
func (s *Schedule) Next(after time.Time) time.Time {
	from := max(after.Unix(), first-1)
	if from >= last {
		return time.Time{}
	}
	var at int64
	var ok bool
	switch {
	case s.every > 0:
		at, ok = from+s.every-floorMod(from, s.every), true
	case s.wall:
		at, ok = s.nextOnWall(from)
	default:
		at, ok = s.nextInterval(from)
	}
	if !ok || at > last {
		return time.Time{}
	}
	return time.Unix(at, 0).In(s.zone)
}

// nextOnWall returns the first instant after from at which the clock reaches a slot: shows it, or a later time,
// for the first time.
func (s *Schedule) nextOnWall(from int64) (int64, bool) {
	slot, ok := s.slot(s.shown(from) + 1)
	if !ok {
		return 0, false
	}
	for at := max(from+1, slot-reach); ; {
		p := periodOf(s.zone, at)
		if reached := max(at, slot-p.offset); reached < p.end {
			return reached, true
		}
		at = p.end
	}
}

// shown returns the latest time that the clock has shown until at. It is later than the one it
// shows when it has just been set back.
func (s *Schedule) shown(at int64) int64 {
	p := periodOf(s.zone, at)
	latest := at + p.offset
	for p.start > at-reach {
		end := p.start
		p = periodOf(s.zone, end-1)
		latest = max(latest, end-1+p.offset)
	}
	return latest
}

// nextInterval returns the first instant after from at which the clock shows a slot.
func (s *Schedule) nextInterval(from int64) (int64, bool) {
	at := from + 1
	for range maxSkipped {
		p := periodOf(s.zone, at)
		slot, ok := s.slot(at + p.offset)
		if ok && slot-p.offset < p.end {
			return slot - p.offset, true
		}
		switch {
		case p.end < at+reach: // the clock may be set back to before what it shows now
			at = p.end
		case !ok:
			return 0, false
		default: // it shows nothing that matches until it comes near the slot
			at = max(p.end, slot-reach)
		}
	}
	return 0, false
}

// slot returns the first local time from local on that matches all fields. Local times are written as
// the seconds since 1970 of a clock that is never set.
func (s *Schedule) slot(local int64) (int64, bool) {
	rest := floorMod(local, day)
	y, m, d := time.Unix(local, 0).UTC().Date()
	midnight, ok := s.date(y, int(m), d)
	if ok && midnight == local-rest { // today: only what is left of it
		if at := s.timeOfDay(int(rest)); at >= 0 {
			return midnight + int64(at), true
		}
		midnight, ok = s.date(y, int(m), d+1)
	}
	return midnight + int64(s.timeOfDay(0)), ok
}

// date returns the midnight that begins the first day that matches, from a day on that may be the one after the
// last of its month.
func (s *Schedule) date(y, m, d int) (midnight int64, ok bool) {
	for ; y <= lastYear; y, m, d = y+1, 1, 1 {
		if next := s.nextYear(y); next < 0 {
			return 0, false
		} else if next != y {
			y, m, d = next, 1, 1
		}
		for ; ; m, d = m+1, 1 {
			next := s.month.next(m)
			if next < 0 {
				break
			}
			if next != m {
				m, d = next, 1
			}
			begin := time.Date(y, time.Month(m), 1, 0, 0, 0, 0, time.UTC)
			matching := s.days.in(y, m, begin.Weekday())
			if d = matching.next(d); d > 0 {
				return begin.Unix() + int64(d-1)*day, true
			}
		}
	}
	return 0, false
}

// nextYear returns the first year from y on that matches, or -1.
func (s *Schedule) nextYear(y int) int {
	if s.anyYear {
		return y
	}
	if y > year.max {
		return -1
	}
	if next := s.year.next(max(y-year.min, 0)); next >= 0 {
		return next + year.min
	}
	return -1
}

// timeOfDay returns the first second of a day from rest on that matches, or -1.
func (s *Schedule) timeOfDay(rest int) int {
	h, m, sec := rest/3600, rest/60%60, rest%60
	if s.hour.has(h) {
		if s.minute.has(m) {
			if next := s.second.next(sec); next >= 0 {
				return h*3600 + m*60 + next
			}
		}
		if next := s.minute.next(m + 1); next >= 0 {
			return h*3600 + next*60 + s.second.next(0)
		}
	}
	if next := s.hour.next(h + 1); next >= 0 {
		return next*3600 + s.minute.next(0)*60 + s.second.next(0)
	}
	return -1
}

// A period is a time during which the clock of a zone is not changed: from start until just before end.
type period struct{ start, end, offset int64 }

// periodOf returns the period around at. Two that follow one another may have the same offset.
func periodOf(zone *time.Location, at int64) period {
	t := time.Unix(at, 0).In(zone)
	_, offset := t.Zone()
	p := period{math.MinInt64, math.MaxInt64, int64(offset)}
	start, end := t.ZoneBounds()
	if !start.IsZero() {
		p.start = start.Unix()
	}
	if !end.IsZero() {
		p.end = end.Unix()
	}
	if p.end <= at {
		// After the table of a zone ends, package time takes every year to have 365 days; its answers
		// for the day that is too many are right except for this end.
		p.end = at - floorMod(at, day) + day
	}
	return p
}

func floorMod(a, b int64) int64 { return (a%b + b) % b }
