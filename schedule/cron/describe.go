package cron

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Describe says in English when the schedule fires, such as "at 02:30 every day" or "every 5 minutes
// from 09:00 to 17:55 on Monday to Friday". The words are those of the clock in [Schedule.Location].
func (s *Schedule) Describe() string {
	if s.every > 0 {
		return describeEvery(s.every)
	}
	words, daily := s.describeTime()
	date := s.describeDate()
	if daily && date.days == "" {
		words = append(words, "every day")
	}
	for _, more := range []string{date.days, date.months, date.years} {
		if more != "" {
			words = append(words, more)
		}
	}
	return strings.Join(words, " ")
}

func describeEvery(seconds int64) string {
	switch {
	case seconds%3600 == 0:
		return every(int(seconds/3600), "hour")
	case seconds%60 == 0:
		return every(int(seconds/60), "minute")
	}
	return every(int(seconds), "second")
}

func every(n int, unit string) string {
	if n == 1 {
		return "every " + unit
	}
	return fmt.Sprintf("every %d %ss", n, unit)
}

// describeTime says at which times of a day, and whether these are single ones.
func (s *Schedule) describeTime() (words []string, daily bool) {
	const few = 3
	seconds, minutes, hours := s.second.all(), s.minute.all(), s.hour.all()
	onTheMinute := len(seconds) == 1 && seconds[0] == 0
	single := len(seconds) == 1 && len(minutes) == 1
	switch {
	case len(seconds)*len(minutes)*len(hours) <= few:
		return []string{"at " + list(s.times(), "and")}, true
	case single:
		return s.describeHourly(hours, clockTime(0, minutes[0], seconds[0])[2:])
	case onTheMinute:
		return s.describeFine(minutes, &minute), false
	case len(minutes) == minute.size():
		return s.describeFine(seconds, &second), false
	}
	words = []string{described(seconds, &second), "of " + numbered("minute", minutes)}
	return append(words, ofHours(hours)), false
}

// times returns all times of a day.
func (s *Schedule) times() (times []string) {
	for at := s.timeOfDay(0); at >= 0; at = s.timeOfDay(at + 1) {
		times = append(times, clockTime(at/3600, at/60%60, at%60))
	}
	return times
}

// clockTime has seconds only where there are some.
func clockTime(h, m, s int) string {
	if s == 0 {
		return fmt.Sprintf("%02d:%02d", h, m)
	}
	return fmt.Sprintf("%02d:%02d:%02d", h, m, s)
}

// describeHourly is about one time of more than a few hours. past is its ":30".
func (s *Schedule) describeHourly(hours []int, past string) (words []string, daily bool) {
	at := func(h int) string { return fmt.Sprintf("%02d", h) + past }
	if step, ok := evenly(hours, &hour); ok {
		if past == ":00" && hours[0] == 0 {
			return []string{every(step, "hour")}, false
		}
		return []string{every(step, "hour"), "from " + at(hours[0])}, false
	}
	if from, to, ok := stretch(hours, &hour); ok {
		return []string{"every hour from " + at(from) + " to " + at(to)}, false
	}
	return []string{"at " + list(s.times(), "and")}, true
}

// describeFine is about many values of the smallest unit that counts.
func (s *Schedule) describeFine(values []int, f *field) []string {
	hours := s.hour.all()
	words := []string{described(values, f)}
	_, even := evenly(values, f)
	switch from, to, together := stretch(hours, &hour); {
	case even && len(hours) == hour.size():
		return words
	case even && together:
		first, last := s.timeOfDay(from*3600), to*3600
		for at := last; at >= last && at < last+3600; at = s.timeOfDay(at + 1) {
			last = at
		}
		between := "from " + clockTime(first/3600, first/60%60, first%60) + " to " + clockTime(last/3600, last/60%60, last%60)
		return append(words, between)
	case f == &second:
		words = append(words, "of every minute")
	}
	return append(words, ofHours(hours))
}

func ofHours(hours []int) string {
	if len(hours) == hour.size() {
		return "of every hour"
	}
	return "of " + numbered("hour", hours)
}

// described says which values of a unit: "every 5 minutes", or "at minutes 1, 2 and 30".
func described(values []int, f *field) string {
	if step, ok := evenly(values, f); ok {
		if values[0] == f.min {
			return every(step, f.name)
		}
		return fmt.Sprintf("%s from %s %d", every(step, f.name), f.name, values[0])
	}
	return "at " + numbered(f.name, values)
}

// evenly reports whether the values are always the same step apart, also from the last to the first
// one of the next round.
func evenly(values []int, f *field) (step int, ok bool) {
	step = f.size() / len(values)
	for i, v := range values {
		if v != values[0]+i*step {
			return 0, false
		}
	}
	return step, len(values) > 1 && step*len(values) == f.size()
}

// stretch returns the ends of values that follow each other, if necessary across the end of the round.
func stretch(values []int, f *field) (from, to int, ok bool) {
	from, to = values[0], values[len(values)-1]
	breaks := 0
	for i, v := range values[1:] {
		if v != values[i]+1 {
			breaks++
			from, to = v, values[i]
		}
	}
	around := values[0] == f.min && values[len(values)-1] == f.max
	return from, to, len(values) < f.size() && (breaks == 0 || breaks == 1 && around)
}

// numbered is "minute 5" or "minutes 0, 5 and 9 to 12".
func numbered(unit string, values []int) string {
	if len(values) > 1 {
		unit += "s"
	}
	return unit + " " + list(runs(values, strconv.Itoa), "and")
}

// runs joins three or more values that follow each other.
func runs(values []int, name func(int) string) (words []string) {
	for len(values) > 0 {
		n := 1
		for n < len(values) && values[n] == values[0]+n {
			n++
		}
		if n > 2 {
			words = append(words, name(values[0])+" to "+name(values[n-1]))
		} else {
			n = 1
			words = append(words, name(values[0]))
		}
		values = values[n:]
	}
	return words
}

// list is "a, b and c".
func list(words []string, last string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	n := len(words) - 1
	return strings.Join(words[:n], ", ") + " " + last + " " + words[n]
}

// names is about values with names: "November to February", or "Monday and Friday".
func names(values []int, f *field, name func(int) string) []string {
	if from, to, ok := stretch(values, f); ok && len(values) > 2 {
		return []string{name(from) + " to " + name(to)}
	}
	return runs(values, name)
}

func monthName(m int) string   { return time.Month(m).String() }
func weekdayName(d int) string { return time.Weekday(d % 7).String() }
