package cron

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
)

// A date has the words about days, months and years; each is "" when all of them count.
type date struct{ days, months, years string }

func (s *Schedule) describeDate() (d date) {
	months := ""
	if all := s.month.all(); len(all) < month.size() {
		months = list(names(all, &month, monthName), "and")
		d.months = "in " + months
	}
	if !s.anyYear {
		years := s.year.all()
		for i := range years {
			years[i] += year.min
		}
		d.years = "in " + list(runs(years, strconv.Itoa), "and")
	}
	week := s.days.describeWeek()
	dates := s.days.describeMonth()
	if dates == "" && week == "" || s.days.either && (dates == "" || week == "") {
		return d
	}
	if dates != "" {
		dates += " of " + cmp.Or(months, "the month")
	}
	switch {
	case dates == "":
		d.days = "on " + week
	case s.days.either && week != "":
		d.days = "on " + dates + " or on " + week
	default: // the month belongs to the day: "day 24 of December"
		d.days, d.months = "on "+dates, ""
		if week != "" {
			d.days += " if it is " + week
		}
	}
	return d
}

// describeMonth is about the day of month, "" when it is every one.
func (d *days) describeMonth() string {
	var words []string
	dates := d.ofMonth.all()
	if len(dates) == dayOfMonth.size() {
		return ""
	}
	if step, ok := steady(dates); ok {
		words = append(words, fmt.Sprintf("every %s day from day %d", ordinal(step), dates[0]))
	} else if len(dates) > 0 {
		words = append(words, numbered("day", dates))
	}
	for _, n := range d.nearest.all() {
		words = append(words, fmt.Sprintf("the weekday nearest to day %d", n))
	}
	before := d.beforeLast.all()
	slices.Reverse(before)
	for _, n := range before {
		switch n {
		case 0:
			words = append(words, "the last day")
		case 1:
			words = append(words, "the last day but one")
		default:
			words = append(words, fmt.Sprintf("the day %d days before the last", n))
		}
	}
	if d.lastWeekday {
		words = append(words, "the last weekday")
	}
	return list(words, "and")
}

// steady reports whether many days are the same step apart until the month ends.
func steady(dates []int) (step int, ok bool) {
	const many = 5
	if len(dates) < many {
		return 0, false
	}
	step = dates[1] - dates[0]
	for i, d := range dates {
		if d != dates[0]+i*step {
			return 0, false
		}
	}
	return step, step > 1 && dates[len(dates)-1]+step > dayOfMonth.max
}

// describeWeek is about the day of week, "" when it is every one.
func (d *days) describeWeek() string {
	weekdays := d.ofWeek.all()
	if len(weekdays) == dayOfWeek.size() {
		return ""
	}
	var all, counted []string
	if len(weekdays) > 0 {
		if weekdays[0] == 0 && !slices.Contains(weekdays, 1) {
			weekdays = append(weekdays[1:], 7) // a week that is written begins on Monday, and its weekend is together
		}
		all = names(weekdays, &field{min: 1, max: 7}, weekdayName)
		if weekdays[0] == 0 {
			all = names(weekdays, &dayOfWeek, weekdayName)
		}
	}
	for i, nth := range []string{"first", "second", "third", "fourth", "fifth"} {
		for _, weekday := range d.nth[i].all() {
			counted = append(counted, "the "+nth+" "+weekdayName(weekday))
		}
	}
	for _, weekday := range d.lastOf.all() {
		counted = append(counted, "the last "+weekdayName(weekday))
	}
	words := list(append(all, counted...), "and")
	if len(counted) > 0 {
		words += " of the month"
	}
	return words
}

func ordinal(n int) string {
	suffix := "th"
	if n/10%10 != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return strconv.Itoa(n) + suffix
}
