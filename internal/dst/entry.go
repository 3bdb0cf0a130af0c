package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// An entry is an expression of five fields, read in the plainest way. It takes numbers only, and no hashes.
type entry struct {
	minutes  [60]bool
	hours    [24]bool
	interval bool // else it means times on the wall
	day      func(date time.Time) bool
}

func readEntry(expr string) (entry, error) {
	fields := strings.Fields(expr)
	if len(fields) != 5 {
		return entry{}, fmt.Errorf("the oracle cannot read %q: it has %d fields", expr, len(fields))
	}
	e := entry{interval: strings.ContainsAny(fields[0]+fields[1], "*-/")}
	var err error
	holds := func(field string, value, least, most int) bool {
		ok, problem := fieldHolds(field, value, least, most)
		if problem != nil {
			err = fmt.Errorf("the oracle cannot read %q: %w", expr, problem)
		}
		return ok
	}
	for m := range e.minutes {
		e.minutes[m] = holds(fields[0], m, 0, 59)
	}
	for h := range e.hours {
		e.hours[h] = holds(fields[1], h, 0, 23)
	}
	var months [13]bool
	for m := 1; m <= 12; m++ {
		months[m] = holds(fields[3], m, 1, 12)
	}
	date, week := strings.Split(fields[2], ","), strings.Split(fields[4], ",")
	free := func(field string) bool { return strings.HasPrefix(field, "*") }
	either := !free(fields[2]) && !free(fields[4])
	e.day = func(t time.Time) bool {
		var inDate, inWeek bool
		for _, item := range date {
			inDate = inDate || dateHolds(item, t)
		}
		for _, item := range week {
			inWeek = inWeek || weekHolds(item, t)
		}
		if either {
			return months[t.Month()] && (inDate || inWeek)
		}
		return months[t.Month()] && inDate && inWeek
	}
	return e, err
}

// fieldHolds asks every item of a list.
func fieldHolds(field string, value, least, most int) (bool, error) {
	for item := range strings.SplitSeq(field, ",") {
		ok, err := itemHolds(item, value, least, most)
		if ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// itemHolds counts from the first value of a range to its last one, around the end of the field.
func itemHolds(item string, value, least, most int) (bool, error) {
	text, stepText, stepped := strings.Cut(item, "/")
	step := 1
	if stepped {
		n, err := strconv.Atoi(stepText)
		if err != nil {
			return false, err
		}
		step = n
	}
	from, to := least, most
	if text != "*" {
		a, b, ranged := strings.Cut(text, "-")
		var err error
		if from, err = strconv.Atoi(a); err != nil {
			return false, err
		}
		switch {
		case ranged:
			if to, err = strconv.Atoi(b); err != nil {
				return false, err
			}
		case !stepped:
			to = from
		}
	}
	for n, count := from, 0; ; n, count = n+1, count+1 {
		if n > most {
			n = least
		}
		if n == value && count%step == 0 {
			return true, nil
		}
		if n == to {
			return false, nil
		}
	}
}

// dateHolds asks one item of the day of month.
func dateHolds(item string, t time.Time) bool {
	weekday := func(t time.Time) bool { return t.Weekday() != time.Saturday && t.Weekday() != time.Sunday }
	sameMonth := func(other time.Time) bool { return other.Month() == t.Month() }
	if item == "L" {
		return !sameMonth(t.AddDate(0, 0, 1))
	}
	if item == "LW" {
		for later := t.AddDate(0, 0, 1); sameMonth(later); later = later.AddDate(0, 0, 1) {
			if weekday(later) {
				return false
			}
		}
		return weekday(t)
	}
	if text, ok := strings.CutSuffix(item, "W"); ok {
		n, err := strconv.Atoi(text)
		wanted := t.AddDate(0, 0, n-t.Day())
		if err != nil || !sameMonth(wanted) {
			return false
		}
		for _, distance := range []int{0, -1, 1, -2, 2} {
			if near := wanted.AddDate(0, 0, distance); sameMonth(near) && weekday(near) {
				return near.Equal(t)
			}
		}
	}
	ok, err := itemHolds(item, t.Day(), 1, 31)
	return ok && err == nil
}

// weekHolds asks one item of the day of week.
func weekHolds(item string, t time.Time) bool {
	today := int(t.Weekday())
	if text, nth, ok := strings.Cut(item, "#"); ok {
		return text == strconv.Itoa(today) && nth == strconv.Itoa((t.Day()-1)/7+1)
	}
	if text, ok := strings.CutSuffix(item, "L"); ok {
		return text == strconv.Itoa(today) && t.AddDate(0, 0, 7).Month() != t.Month()
	}
	ok, err := itemHolds(item, today, 0, 6)
	return ok && err == nil
}
