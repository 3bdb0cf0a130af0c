package schedule

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/symphony-messenger/symphony/internal/errtext"
	"github.com/symphony-messenger/symphony/schedule/cron"
)

// A Trigger says when a schedule ticks. [Once], [Cron] and [Every] are kept in the store as text, and any scheduler fires
// them. A trigger of your own is known only to the programs that declare it; it must be a function of its argument
// alone, so that all of them agree. If it is a fmt.Stringer, people see what it says.
type Trigger interface {
	// Next returns the first tick after a time, later than that, or the zero time when there is none any more. It must not block,
	// and may be called concurrently. When it panics, its schedule is passed over for a minute and shows the error.
	Next(after time.Time) time.Time
}

// Once ticks at one time.
func Once(at time.Time) Trigger { return once(at) }

// Cron ticks when a cron expression matches the clock of a time zone, an IANA name; "" is UTC. Package cron says what expressions
// mean, also where clocks are changed. H and # choose by the name of the schedule. What is wrong with
// either is an error of [Scheduler.Add]; Next returns the zero time then.
func Cron(expression, timezone string) Trigger {
	c := &cronTrigger{expression: expression, timezone: timezone}
	c.read = sync.OnceValues(func() (*cron.Schedule, error) { return parseCron(expression, timezone, "") })
	return c
}

// Every ticks at the multiples of interval since 1970-01-01T00:00:00Z: [EveryFrom] with no anchor.
func Every(interval time.Duration) Trigger { return every{interval: interval} }

// EveryFrom ticks at anchor, and from then on after each interval, at least a second, to the millisecond. The ticks
// do not drift, and neither restarts nor deploys move them.
func EveryFrom(anchor time.Time, interval time.Duration) Trigger { return every{anchor, interval} }

type once time.Time

func (o once) Next(after time.Time) time.Time {
	if at := stored(time.Time(o)); at.After(after) {
		return at
	}
	return time.Time{}
}

type cronTrigger struct {
	expression, timezone string
	read                 func() (*cron.Schedule, error)
}

func (c *cronTrigger) Next(after time.Time) time.Time {
	s, err := c.read()
	if err != nil {
		return time.Time{}
	}
	return s.Next(after)
}

func parseCron(expression, timezone, seed string) (*cron.Schedule, error) {
	zone := time.UTC
	if timezone != "" && timezone != "UTC" {
		var err error
		if zone, err = cron.Zone(timezone); err != nil {
			return nil, err
		}
	}
	opts := []cron.Option{cron.In(zone)}
	if seed != "" {
		opts = append(opts, cron.Seed(seed))
	}
	return cron.Parse(expression, opts...)
}

type every struct {
	anchor   time.Time
	interval time.Duration
}

// Next counts in milliseconds: a time.Duration is too short for the distance of some times.
func (e every) Next(after time.Time) time.Time {
	length := e.interval.Milliseconds()
	if length <= 0 {
		return time.Time{}
	}
	first := int64(0)
	if !e.anchor.IsZero() {
		first = stored(e.anchor).UnixMilli()
	}
	passed := after.UnixMilli() - first
	if passed < 0 {
		return time.UnixMilli(first).UTC()
	}
	return time.UnixMilli(first + (passed/length+1)*length).UTC()
}

// setTrigger makes t the trigger of s.
func (s *Schedule) setTrigger(t Trigger) error {
	switch t := t.(type) {
	case nil:
		return invalid("trigger", "nil", "one such as Cron, Every or Once")
	case once:
		s.Kind, s.Expression = KindOnce, show(time.Time(t))
		if time.Time(t).IsZero() {
			return invalid("time of a schedule", "none", "a time")
		}
		return checkTime("time of a schedule", time.Time(t))
	case *cronTrigger:
		s.Kind, s.Expression, s.Timezone = KindCron, t.expression, t.timezone
	case every:
		s.Kind, s.Expression, s.Anchor = KindInterval, length(t.interval), t.anchor
	default:
		s.Kind, s.Expression, s.trigger = KindCustom, fmt.Sprintf("%T", t), t
		if named, ok := t.(fmt.Stringer); ok && named.String() != "" {
			s.Expression = named.String()
		}
		s.Expression = errtext.Clean(s.Expression, maxText)
	}
	return nil
}

// newTrigger reads the expression of s.
func (s *Schedule) newTrigger() (Trigger, error) {
	if len(s.Expression) > maxText {
		return nil, invalid("expression of a schedule", s.Expression, "at most 255 bytes")
	}
	switch s.Kind {
	case KindOnce:
		at, err := time.Parse(time.RFC3339Nano, s.Expression)
		if err != nil {
			return nil, invalid("time of a schedule", s.Expression, "a time such as 2026-01-31T08:00:00Z or 2026-01-31T09:00:00+01:00")
		}
		return once(at), checkTime("time of a schedule", at)
	case KindCron:
		return parseCron(s.Expression, s.Timezone, s.Name)
	case KindInterval:
		d, err := time.ParseDuration(s.Expression)
		if err != nil {
			return nil, invalid("interval", s.Expression, "a duration such as 30s, 15m or 1h30m")
		}
		return every{s.Anchor, d}, checkInterval(d)
	case KindCustom:
		if s.trigger == nil {
			return nil, fmt.Errorf("schedule %s: %w", s.Name, errNoTrigger)
		}
		return s.trigger, nil
	}
	return nil, invalid("kind of schedule", string(s.Kind), "once, cron or interval")
}

var errNoTrigger = errors.New("its trigger is in Go, and only the program that declares it knows it")

func checkInterval(d time.Duration) error {
	switch {
	case d < MinInterval:
		return invalid("interval", d.String(), "at least 1s")
	case d > maxLength:
		return invalid("interval", d.String(), "at most 10 years")
	case d%time.Millisecond != 0:
		return invalid("interval", d.String(), "whole milliseconds")
	}
	return nil
}

// length is a duration as people write it: 15m, not 15m0s.
func length(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// A calendar is a trigger with what its schedule says about the ticks.
type calendar struct {
	trigger     Trigger
	from, until time.Time
	exclude     []Period
}

func (s *Schedule) calendar() (*calendar, error) {
	t, err := s.newTrigger()
	if err != nil {
		return nil, err
	}
	return &calendar{t, s.From, s.Until, s.Exclude}, nil
}

// next returns the first tick after a time; zero: there is none any more.
func (c *calendar) next(after time.Time) (time.Time, error) {
	if !c.from.IsZero() && after.Before(c.from) {
		after = c.from.Add(-time.Nanosecond)
	}
	for {
		t, err := c.ask(after)
		if err != nil || t.IsZero() {
			return time.Time{}, err
		}
		if !t.After(after) {
			return time.Time{}, fmt.Errorf("its trigger says that the first tick after %s is %s", show(after), show(t))
		}
		t = stored(t)
		if t.UTC().Year() > 9999 || !c.until.IsZero() && !t.Before(c.until) {
			return time.Time{}, nil
		}
		end := c.excluded(t)
		if end.IsZero() {
			return t, nil
		}
		after = end.Add(-time.Nanosecond)
	}
}

// ask returns what the trigger says. One in Go that panics is the trouble of its schedule, not of all others.
func (c *calendar) ask(after time.Time) (t time.Time, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("its trigger panicked when asked for the first tick after %s: %v", show(after), v)
		}
	}()
	return c.trigger.Next(after), nil
}

// excluded returns the end of a period that t is in; zero: it is in none.
func (c *calendar) excluded(t time.Time) (end time.Time) {
	for _, p := range c.exclude {
		if !t.Before(p.From) && t.Before(p.Until) && p.Until.After(end) {
			end = p.Until
		}
	}
	return end
}

// upcoming returns the next n ticks.
func (c *calendar) upcoming(after time.Time, n int) (ticks []time.Time, err error) {
	for len(ticks) < n {
		if after, err = c.next(after); err != nil || after.IsZero() {
			return ticks, err
		}
		ticks = append(ticks, after)
	}
	return ticks, nil
}

// Next returns the next n ticks of s after a time, fewer when there are no more. Runs that were made, and pauses, do not
// count. It fails for a schedule whose trigger is in Go and not known here.
func (s *Schedule) Next(after time.Time, n int) ([]time.Time, error) {
	if n < 0 || n > maxUpcoming {
		return nil, invalid("number of ticks", fmt.Sprint(n), fmt.Sprint("between 0 and ", maxUpcoming))
	}
	c, err := s.calendar()
	if err != nil {
		return nil, err
	}
	return c.upcoming(after, n)
}

const maxUpcoming = 10_000
