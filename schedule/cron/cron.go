// Package cron reads cron expressions and says when they fire next, exactly, in every time zone.
//
//	nightly, err := cron.Parse("30 2 * * *", cron.In(berlin))
//	next := nightly.Next(time.Now())
//
// An expression has five fields (minute, hour, day of month, month, day of week), six with seconds
// first, or seven with a year last:
//
//	field         values            also
//	second        0-59              H
//	minute        0-59              H
//	hour          0-23              H
//	day of month  1-31              H  ?  L (last)  L-3 (three days before it)  LW (last weekday)  15W (weekday nearest to the 15th)
//	month         1-12 or JAN-DEC   H
//	day of week   0-7 or SUN-SAT    H  ?  FRI#2 (second Friday)  FRIL (last Friday); 0 and 7 are Sunday
//	year          1970-2099
//
// Every field takes lists (1,15), ranges (9-17), ranges that wrap around (22-2, FRI-MON; not years), and steps (*/5,
// 10-40/10, 7/15 = from 7 on). Names and letters may be of either case. A day field that begins with * or ? does not restrict the days by
// itself: then a day must match both fields. When both restrict, either may match, as in cron(5), or
// both must, with [BothDays].
//
// The macros are @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly and @every.
// "@every 90s" fires at the multiples of 90 s since 1970-01-01T00:00:00Z, whatever the zone: all
// processes agree without asking each other, and a restart moves nothing. It takes whole seconds.
//
// H stands for a number that [Seed] chooses, so that many schedules spread: H, H(0-29), H/15,
// H(0-29)/10. A field that is # or #(0-29), and the macros #hourly, #daily, #weekly, #monthly,
// #yearly, #annually, #midnight, #weekly@midnight and so on choose as Symfony's scheduler does.
//
// "TZ=Europe/Berlin" or "CRON_TZ=Europe/Berlin" before an expression goes before [In].
//
// # Clocks that are changed
//
// An entry whose second, minute and hour are plain numbers, or lists of them, means a time on the wall. It fires
// at the first instant at which the clock shows that time or a later one: once at the end of the
// gap when its time is skipped (also when it is a midnight), and once, at the first of the two,
// when its time comes twice. All times in one gap make one run.
//
// An entry with a *, a range or a step in one of these fields means an interval. It fires whenever the
// clock shows a time that matches: at both copies of a time that comes twice, never at one that is
// skipped.
//
// Which of the two an entry is, is decided after H and # became numbers.
package cron

import (
	"strings"
	"time"
)

// A Schedule is an expression in a time zone. It does not change and is safe for concurrent use.
type Schedule struct {
	text  string // H and # resolved
	zone  *time.Location
	every int64 // seconds between runs; when not 0, nothing below counts

	second, minute, hour, month set
	year                        set // from the first year of its field on
	anyYear                     bool
	days                        days
	wall                        bool // not an interval: see the package comment
}

// An Option says how to read an expression.
type Option func(*options)

type options struct {
	zone     *time.Location
	seed     string
	seeded   bool
	bothDays bool
}

// In sets the time zone of expressions that do not name one themselves. The default, and nil, is UTC.
// [Zone] finds a zone by its name.
func In(zone *time.Location) Option {
	return func(o *options) {
		if zone != nil {
			o.zone = zone
		}
	}
}

// Seed sets what H and # choose their numbers from: the name of the schedule, or, for the same
// numbers as Symfony, the message's string. The same seed gives the same numbers in all releases. An
// expression with H or # is an error without it.
func Seed(seed string) Option {
	return func(o *options) { o.seed, o.seeded = seed, true }
}

// BothDays demands that a day matches both day fields when both restrict: "0 0 13 * FRI" is then Friday
// the 13th, and not each 13th and each Friday.
func BothDays() Option {
	return func(o *options) { o.bothDays = true }
}

// Parse reads an expression. What is wrong with it is a *[ParseError]; that includes an expression
// that can never fire, such as one of 30 February.
func Parse(expr string, opts ...Option) (*Schedule, error) {
	o := options{zone: time.UTC}
	for _, opt := range opts {
		opt(&o)
	}
	p := parser{expr: expr, options: o}
	s, err := p.parse()
	if err != nil {
		return nil, err
	}
	return s, nil
}

// String is the expression with H and # replaced by their numbers, without the zone of [In].
// Parsed again with the same In and BothDays, it is the same schedule.
func (s *Schedule) String() string { return s.text }

// Location is the time zone in which the expression is read.
func (s *Schedule) Location() *time.Location { return s.zone }

// Zone finds a time zone by its IANA name, such as "Europe/Berlin" or "UTC". It reads the time zone
// data of the machine, or of the program when it embeds time/tzdata. Unlike [time.LoadLocation] it refuses ""
// and "Local", which mean something else on another machine, and the zones below right/, whose
// clocks count leap seconds.
func Zone(name string) (*time.Location, error) {
	if problem := badZone(name); problem != "" {
		return nil, &ZoneError{Name: name, Problem: problem}
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, &ZoneError{Name: name, Problem: "there is no such zone in the time zone data"}
	}
	return zone, nil
}

func badZone(name string) string {
	switch {
	case name == "":
		return "the name is empty"
	case strings.EqualFold(name, "local"):
		return "it is another zone on another machine"
	case strings.HasPrefix(strings.ToLower(name), "right/"):
		return "its clock counts leap seconds"
	}
	return ""
}
