package schedule

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/symphony-messenger/symphony"
)

// A Kind says how the Expression of a schedule is read.
type Kind string

// The kinds.
const (
	KindOnce     Kind = "once"     // a time of RFC 3339
	KindCron     Kind = "cron"     // an expression of package cron
	KindInterval Kind = "interval" // a duration such as 15m or 1h30m
	KindCustom   Kind = "custom"   // for people; a Trigger in Go decides, and only programs that declare the schedule fire it
)

// Missed says which runs are made up that passed while nobody could fire them. In all cases a run that is
// later than the schedule's Window is not.
type Missed string

// The policies for missed runs.
const (
	MissedSkip Missed = "skip" // none: the latest one runs if it is not later than Window, a minute by default
	MissedLast Missed = "last" // the latest one only; the default
	MissedAll  Missed = "all"  // each of them, the oldest first
)

// Overlap says what happens at a tick while the message of a tick before lives: while it waits, is
// handled, or is to be retried. A message of a schedule with subscribers lives while any of its copies does.
type Overlap string

// The policies for overlapping runs.
const (
	OverlapAllow  Overlap = "allow"  // both run; the default
	OverlapSkip   Overlap = "skip"   // the new one does not run
	OverlapQueue  Overlap = "queue"  // the new one waits for the other, in a group; none runs if one waits already
	OverlapCancel Overlap = "cancel" // the other one is cancelled: a handler that runs learns it from its context
)

// What a schedule may say.
const (
	MinInterval = time.Second
	maxLength   = 10 * 366 * 24 * time.Hour // of intervals and windows
	maxJitter   = 24 * time.Hour
	maxExcluded = 100
	maxText     = 255 // bytes of an expression or an owner
	skipWindow  = time.Minute
)

// A Schedule says which message is dispatched when. The zero fields are the defaults.
type Schedule struct {
	Name       string // unique in the store: [a-z0-9][a-z0-9_.-]{0,62}
	Owner      string // who declares it
	Kind       Kind
	Expression string    // see Kind
	Timezone   string    // an IANA name, for cron; "": UTC
	Anchor     time.Time // an interval's first tick, from which all are counted; zero: 1970-01-01T00:00:00Z
	Message    Message

	Missed  Missed        // "": last
	Window  time.Duration // how late a run may be; 0: any time, and a minute when Missed is skip
	Overlap Overlap       // "": allow
	Jitter  time.Duration // each message is due up to that much after its tick, by a number that depends on name and tick only
	From    time.Time     // no tick before; zero: no bound
	Until   time.Time     // no tick at or after; zero: no bound
	Exclude []Period      // no tick in these
	MaxRuns int64         // ticks that fire, all in all; 0: no bound
	Paused  bool          // when it is declared: do not fire until somebody resumes it

	trigger  Trigger          // of Add; nil for those that were read
	stamps   []symphony.Stamp // of Add
	prepared bool             // the message has all its stamps
}

// A Period is a time in which a schedule does not tick: From itself is in it, Until is not.
type Period struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
}

// A Message is what a schedule dispatches, with all stamps applied: the body is the same at each tick.
type Message struct {
	Type        string
	Version     int
	ContentType string // "": application/json
	Body        []byte
	Queue       string // "": that of the route, else "default"
	Priority    int    // 0: 5
	Group       string
	Expires     time.Duration
	MaxRetries  *int
	Headers     map[string]string
	Tags        []string
}

// check refuses what no schedule may say, with an *[symphony.InvalidError] or an error of package cron. It does not look at the message.
func (s *Schedule) check() error {
	_, err := s.checked()
	return err
}

// checked is check that returns the ticks of s.
func (s *Schedule) checked() (*calendar, error) {
	if err := s.checkFields(); err != nil {
		return nil, err
	}
	return s.calendar()
}

func (s *Schedule) checkFields() error {
	if err := symphony.CheckName("schedule", s.Name); err != nil {
		return err
	}
	if err := checkOwner(s.Owner); err != nil {
		return err
	}
	switch s.Missed {
	case "", MissedSkip, MissedLast, MissedAll:
	default:
		return invalid("policy for missed runs", string(s.Missed), "skip, last or all")
	}
	switch s.Overlap {
	case "", OverlapAllow, OverlapSkip, OverlapQueue, OverlapCancel:
	default:
		return invalid("policy for overlapping runs", string(s.Overlap), "allow, skip, queue or cancel")
	}
	if s.Window < 0 || s.Window > maxLength {
		return invalid("window for missed runs", s.Window.String(), "between 0 and 10 years")
	}
	if s.Jitter < 0 || s.Jitter > maxJitter {
		return invalid("jitter", s.Jitter.String(), "between 0 and 24 hours")
	}
	if s.MaxRuns < 0 {
		return invalid("number of runs", fmt.Sprint(s.MaxRuns), "zero (no bound) or more")
	}
	return s.checkBounds()
}

func (s *Schedule) checkBounds() error {
	for _, t := range []struct {
		what string
		time time.Time
	}{{"beginning of a schedule", s.From}, {"end of a schedule", s.Until}, {"anchor of an interval", s.Anchor}} {
		if err := checkTime(t.what, t.time); err != nil {
			return err
		}
	}
	if !s.Until.IsZero() && !s.Until.After(s.From) {
		return invalid("end of a schedule", show(s.Until), "after its beginning, "+show(s.From))
	}
	if len(s.Exclude) > maxExcluded {
		return invalid("number of excluded times", fmt.Sprint(len(s.Exclude)), fmt.Sprint("at most ", maxExcluded))
	}
	for _, p := range s.Exclude {
		if err := cmp.Or(checkTime("excluded time", p.From), checkTime("excluded time", p.Until)); err != nil {
			return err
		}
		if p.From.IsZero() || !p.Until.After(p.From) {
			return invalid("end of an excluded time", show(p.Until), "after its beginning, "+show(p.From))
		}
	}
	return nil
}

// checkTime allows the zero time.
func checkTime(what string, t time.Time) error {
	if year := t.UTC().Year(); !t.IsZero() && (year < 1970 || year > 9999) {
		return invalid(what, show(t), "between the years 1970 and 9999")
	}
	return nil
}

func checkOwner(name string) error {
	ok := name != "" && len(name) <= maxText && utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f })
	if !ok {
		return invalid("owner of schedules", name, "1 to 255 bytes of text, such as the name of the program")
	}
	return nil
}

// normal fills in defaults, and cuts times to what stores keep, so that schedules that mean the same look the same.
func (s *Schedule) normal() {
	s.Missed, s.Overlap = cmp.Or(s.Missed, MissedLast), cmp.Or(s.Overlap, OverlapAllow)
	if s.Kind == KindCron {
		s.Timezone = cmp.Or(s.Timezone, "UTC")
	} else {
		s.Timezone = ""
	}
	if s.Kind != KindInterval {
		s.Anchor = time.Time{}
	}
	for _, t := range []*time.Time{&s.Anchor, &s.From, &s.Until} {
		*t = stored(*t)
	}
	for i := range s.Exclude {
		s.Exclude[i] = Period{stored(s.Exclude[i].From), stored(s.Exclude[i].Until)}
	}
	s.Window, s.Jitter = roundUp(s.Window), roundUp(s.Jitter)
}

// lateBy is how late a run may be; 0: any time.
func (s *Schedule) lateBy() time.Duration {
	if s.Missed == MissedSkip {
		return cmp.Or(s.Window, skipWindow)
	}
	return s.Window
}

// stored is a time as stores keep it: in UTC, to the millisecond, rounded up.
func stored(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	ms := time.UnixMilli(t.UnixMilli()).UTC()
	if ms.Before(t) {
		ms = ms.Add(time.Millisecond)
	}
	return ms
}

func roundUp(d time.Duration) time.Duration {
	if rest := d % time.Millisecond; rest > 0 {
		d += time.Millisecond - rest
	}
	return d
}

// show is a time in an error; also of one that RFC 3339 has no text for.
func show(t time.Time) string {
	if t.IsZero() {
		return "none"
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func invalid(what, value, rule string) error {
	return &symphony.InvalidError{What: what, Value: value, Rule: rule}
}
