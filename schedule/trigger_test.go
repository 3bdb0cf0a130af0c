package schedule_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/schedule"
	"github.com/symphony-messenger/symphony/transport/memory"
)

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestTriggers(t *testing.T) {
	for _, c := range []struct {
		name        string
		trigger     schedule.Trigger
		after, want string // "": never
	}{
		{"once before", schedule.Once(at("2026-01-01T00:00:00Z")), "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z"},
		{"once at", schedule.Once(at("2026-01-01T00:00:00Z")), "2026-01-01T00:00:00Z", ""},
		{"once is rounded up", schedule.Once(at("2026-01-01T00:00:00.0001Z")), "2025-01-01T00:00:00Z", "2026-01-01T00:00:00.001Z"},
		{"full hours", schedule.Every(time.Hour), "2026-01-01T00:59:59.999999999Z", "2026-01-01T01:00:00Z"},
		{"strictly after", schedule.Every(time.Hour), "2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"},
		{"anchor", schedule.EveryFrom(at("2026-01-01T00:10:00Z"), time.Hour), "2026-01-05T01:11:00Z", "2026-01-05T02:10:00Z"},
		{"before the anchor", schedule.EveryFrom(at("2026-01-01T00:10:00Z"), time.Hour), "1999-01-05T01:11:00Z", "2026-01-01T00:10:00Z"},
		{"further apart than a Duration", schedule.EveryFrom(at("1970-01-01T00:00:00Z"), time.Hour), "9000-01-01T00:30:00Z", "9000-01-01T01:00:00Z"},
		{"cron in a zone", schedule.Cron("0 3 * * *", "Europe/Berlin"), "2026-07-01T00:00:00Z", "2026-07-01T01:00:00Z"},
		{"cron in UTC", schedule.Cron("0 3 * * *", ""), "2026-07-01T00:00:00Z", "2026-07-01T03:00:00Z"},
		{"wrong cron", schedule.Cron("never", ""), "2026-07-01T00:00:00Z", ""},
	} {
		var want time.Time
		if c.want != "" {
			want = at(c.want)
		}
		if got := c.trigger.Next(at(c.after)); !got.Equal(want) {
			t.Errorf("%s: after %s comes %v, want %v", c.name, c.after, got, want)
		}
	}
}

// TestEveryDoesNotDrift: ticks are whole intervals from the anchor, strictly increasing, and none is left out, whenever somebody asks.
func TestEveryDoesNotDrift(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		anchor := time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "anchor")).UTC()
		length := time.Duration(rapid.Int64Range(1000, 1e9).Draw(t, "milliseconds")) * time.Millisecond
		after := time.Unix(0, rapid.Int64Range(0, 4e18).Draw(t, "after")).UTC()
		got := schedule.EveryFrom(anchor, length).Next(after)
		if !got.After(after) || got.Sub(anchor)%length != 0 || got.Before(anchor) {
			t.Fatalf("after %v comes %v", after, got)
		}
		if before := got.Add(-length); before.After(after) && !before.Before(anchor) {
			t.Fatalf("after %v comes %v, %v was left out", after, got, before)
		}
	})
}

// TestBadInput: what is wrong is refused where it is entered, with its name and what it must be.
func TestBadInput(t *testing.T) {
	long := at("2026-01-01T00:00:00Z")
	far := time.Date(300000, 1, 1, 0, 0, 0, 0, time.UTC)
	hour := schedule.Every(time.Hour)
	with := func(f schedule.Option) []schedule.Option { return []schedule.Option{f} }
	for _, c := range []struct {
		name    string
		trigger schedule.Trigger
		opts    []schedule.Option
		want    string
	}{
		{"UPPER", hour, nil, `invalid schedule "UPPER": must be [a-z0-9]`},
		{"no-trigger", nil, nil, `invalid trigger "nil"`},
		{"tz", schedule.Cron("TZ= * * * * *", ""), nil, "TZ="},
		{"dashes", schedule.Cron("0-0--5 * * * *", ""), nil, "minute at position"},
		{"zone", schedule.Cron("* * * * *", "Europe/Nowhere"), nil, "Europe/Nowhere"},
		{"local", schedule.Cron("* * * * *", "Local"), nil, "Local"},
		{"february", schedule.Cron("0 0 30 2 *", ""), nil, "cron expression"},
		{"zero", schedule.Every(0), nil, `invalid interval "0s": must be at least 1s`},
		{"nanosecond", schedule.Every(1), nil, `invalid interval "1ns": must be at least 1s`},
		{"uneven", schedule.Every(time.Second + 1), nil, "whole milliseconds"},
		{"century", schedule.Every(1e6 * time.Hour), nil, "at most 10 years"},
		{"once-far", schedule.Once(far), nil, "1970 and 9999"},
		{"anchor-far", schedule.EveryFrom(far, time.Hour), nil, "1970 and 9999"},
		{"until-far", hour, with(schedule.WithBounds(time.Time{}, far)), "1970 and 9999"},
		{"end-before-start", hour, with(schedule.WithBounds(long, long.Add(-time.Hour))), "must be after its beginning, 2026-01-01T00:00:00Z"},
		{"no-exclusion", hour, with(schedule.WithExclusion(long, long)), "end of an excluded time"},
		{"missed", hour, with(schedule.WithMissed("some", 0)), `invalid policy for missed runs "some": must be skip, last or all`},
		{"window", hour, with(schedule.WithMissed("", -1)), "window"},
		{"overlap", hour, with(schedule.WithOverlap("never")), "must be allow, skip, queue or cancel"},
		{"jitter", hour, with(schedule.WithJitter(48 * time.Hour)), "jitter"},
		{"runs", hour, with(schedule.WithMaxRuns(-1)), "number of runs"},
		{"stamp", hour, with(schedule.WithStamps(symphony.Priority(11))), "priority"},
		{"key", hour, with(schedule.WithStamps(symphony.IdempotencyKey("k", 0))), "idempotency key"},
		{"delay", hour, with(schedule.WithStamps(symphony.Delay(1))), "delay"},
		{"time", hour, with(schedule.WithStamps(symphony.At(long))), "time of a schedule's message"},
	} {
		s := &schedule.Scheduler{Bus: &symphony.Bus{Transport: &memory.Transport{}, Owner: "test"}}
		err := s.Add(c.name, c.trigger, symphony.Raw{Type: "t", Body: []byte("{}")}, c.opts...)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "add schedule "+c.name+": ") {
			t.Errorf("%s: %v, want an error that says %q", c.name, err, c.want)
		}
		if again := s.Run(t.Context()); !errors.Is(again, err) {
			t.Errorf("%s: Run returns %v, want what Add returned", c.name, again)
		}
	}
}

func TestBadMessages(t *testing.T) {
	store := &memory.Transport{}
	for _, c := range []struct {
		name string
		bus  *symphony.Bus
		m    symphony.Message
		want error
	}{
		{"too-large", &symphony.Bus{Transport: store, Owner: "x"}, symphony.Raw{Type: "t", Body: []byte(`"` + strings.Repeat("x", 300<<10) + `"`)}, symphony.ErrTooLarge},
		{"no-transport", &symphony.Bus{Owner: "x"}, symphony.Raw{Type: "t", Body: []byte("{}")}, symphony.ErrUnsupported},
		{"validator", &symphony.Bus{Transport: store, Owner: "x"}, refused{}, errRefused},
	} {
		err := (&schedule.Scheduler{Bus: c.bus}).Add(c.name, schedule.Every(time.Hour), c.m)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want one that matches %v", c.name, err, c.want)
		}
	}
	elsewhere := &symphony.Bus{Transport: store, Owner: "x", Routes: []symphony.Route{{Type: "t", Transport: &memory.Transport{}}, {Type: "i", InPlace: true}}}
	for _, typ := range []string{"t", "i"} {
		err := (&schedule.Scheduler{Bus: elsewhere}).Add("s", schedule.Every(time.Hour), symphony.Raw{Type: typ, Body: []byte("{}")})
		if err == nil || !strings.Contains(err.Error(), "its route leads elsewhere") {
			t.Errorf("a message with another route: %v", err)
		}
	}
	s := &schedule.Scheduler{Bus: &symphony.Bus{Transport: store}}
	if err := s.Add("s", schedule.Every(time.Hour), symphony.Raw{Type: "t", Body: []byte("{}")}); err == nil || !strings.Contains(err.Error(), "owner") {
		t.Errorf("without an owner: %v", err)
	}
}

var errRefused = errors.New("refused")

type refused struct{}

func (refused) MessageType() string { return "refused" }
func (refused) Validate() error     { return errRefused }
