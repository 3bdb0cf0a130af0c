package cron_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/symphony-messenger/symphony/schedule/cron"
)

// expressions draws valid ones, of five, six or seven fields.
func expressions() *rapid.Generator[string] {
	number := func(lo, hi int) *rapid.Generator[string] {
		return rapid.Map(rapid.IntRange(lo, hi), func(n int) string { return fmt.Sprint(n) })
	}
	item := func(lo, hi int, wrap bool) *rapid.Generator[string] {
		return rapid.Custom(func(t *rapid.T) string {
			switch rapid.IntRange(0, 4).Draw(t, "kind") {
			case 0:
				return fmt.Sprintf("*/%d", rapid.IntRange(1, max(1, min(hi-lo, 60))).Draw(t, "step"))
			case 1, 2:
				a, b := rapid.IntRange(lo, hi).Draw(t, "from"), rapid.IntRange(lo, hi).Draw(t, "to")
				if !wrap {
					a, b = min(a, b), max(a, b)
				}
				if rapid.Bool().Draw(t, "stepped") {
					return fmt.Sprintf("%d-%d/%d", a, b, rapid.IntRange(1, max(1, min(hi-lo, 60))).Draw(t, "step"))
				}
				return fmt.Sprintf("%d-%d", a, b)
			}
			return number(lo, hi).Draw(t, "number")
		})
	}
	field := func(lo, hi int, more ...string) *rapid.Generator[string] {
		one := item(lo, hi, hi < 100)
		if len(more) > 0 {
			one = rapid.OneOf(one, rapid.SampledFrom(more))
		}
		lists := rapid.Map(rapid.SliceOfN(one, 1, 3), func(items []string) string { return strings.Join(items, ",") })
		return rapid.OneOf(rapid.Just("*"), number(lo, hi), lists)
	}
	return rapid.Custom(func(t *rapid.T) string {
		fields := []string{
			field(0, 59).Draw(t, "minute"),
			field(0, 23).Draw(t, "hour"),
			field(1, 31, "L", "LW", "L-3", "15W", "1W").Draw(t, "day of month"),
			field(1, 12, "FEB", "MAR-OCT").Draw(t, "month"),
			field(0, 7, "SUN#2", "FRIL", "MON-WED").Draw(t, "day of week"),
		}
		n := rapid.IntRange(5, 7).Draw(t, "fields")
		if n > 5 {
			fields = append([]string{field(0, 59).Draw(t, "second")}, fields...)
		}
		if n > 6 {
			fields = append(fields, rapid.OneOf(rapid.Just("*"), item(2020, 2040, false)).Draw(t, "year"))
		}
		return strings.Join(fields, " ")
	})
}

var propertyZones = []string{"UTC", "America/New_York", "Europe/Berlin", "America/Santiago", "Africa/Casablanca", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Gaza"}

// draw returns a schedule.
func draw(t *rapid.T) *cron.Schedule {
	zone, err := cron.Zone(rapid.SampledFrom(propertyZones).Draw(t, "zone"))
	if err != nil {
		t.Fatal(err)
	}
	possible := expressions().Filter(func(expr string) bool {
		_, err := cron.Parse(expr, cron.In(zone))
		wrong, ok := errors.AsType[*cron.ParseError](err)
		return !ok || !strings.Contains(wrong.Problem, "never fires")
	})
	s, err := cron.Parse(possible.Draw(t, "expression"), cron.In(zone))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// nearChange draws a time, mostly one within hours of a change of the clock.
func nearChange(t *rapid.T, zone *time.Location) time.Time {
	at := time.Unix(rapid.Int64Range(1_262_304_000, 2_208_988_800).Draw(t, "at"), 0).In(zone) // 2010 to 2040
	if _, end := at.ZoneBounds(); !end.IsZero() && rapid.IntRange(0, 3).Draw(t, "near") > 0 {
		at = end.Add(time.Duration(rapid.IntRange(-5*3600, 5*3600).Draw(t, "from the change")) * time.Second)
	}
	return at
}

func TestNextIsStrictAndStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := draw(t)
		after := nearChange(t, s.Location())
		next := s.Next(after)
		if next.IsZero() {
			return
		}
		if !next.After(after) || next.Nanosecond() != 0 || next.Location() != s.Location() {
			t.Fatalf("%v after %v: %v", s, after, next)
		}
		// Whenever it is asked in between, the answer is the same.
		gap := next.Sub(after)
		between := after.Add(time.Duration(rapid.Int64Range(0, int64(gap)-1).Draw(t, "between")))
		if got := s.Next(between); !got.Equal(next) {
			t.Fatalf("%v after %v: %v, but after %v, between the two: %v", s, after, next, between, got)
		}
		if got := s.Next(after.UTC()); !got.Equal(next) {
			t.Fatalf("%v depends on the zone of its argument: %v, %v", s, next, got)
		}
	})
}

// What String returns means the same.
func TestStringIsTheSchedule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := draw(t)
		again, err := cron.Parse(s.String(), cron.In(s.Location()))
		if err != nil || again.String() != s.String() || again.Describe() != s.Describe() {
			t.Fatalf("%v became %v, %v", s, again, err)
		}
		after := nearChange(t, s.Location())
		if a, b := s.Next(after), again.Next(after); !a.Equal(b) {
			t.Fatalf("%v after %v: %v, and parsed again %v", s, after, a, b)
		}
	})
}

// Without seconds it is second 0.
func TestSecondZero(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		five := draw(t)
		if len(strings.Fields(five.String())) != 5 {
			return
		}
		six, err := cron.Parse("0 "+five.String(), cron.In(five.Location()))
		if err != nil {
			t.Fatal(err)
		}
		after := nearChange(t, five.Location())
		if a, b := five.Next(after), six.Next(after); !a.Equal(b) {
			t.Fatalf("%v after %v: %v, and %v: %v", five, after, a, six, b)
		}
	})
}

func TestHashedStringNeedsNoSeed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.String().Draw(t, "seed")
		expr := rapid.SampledFrom([]string{
			"H H * * *", "H/7 H(3-9) H * *", "H(10-20)/3,H 0 H/5 H H", "H # 0 * * *", "# #(0-2) # # #", "#weekly@midnight", "#yearly",
		}).Draw(t, "expression")
		s, err := cron.Parse(expr, cron.Seed(seed))
		if err != nil {
			t.Fatal(err)
		}
		again, err := cron.Parse(s.String())
		if err != nil || strings.ContainsAny(s.String(), "H#") {
			t.Fatalf("%s with %q is %v, %v", expr, seed, s, err)
		}
		if a, b := s.Next(time.Time{}), again.Next(time.Time{}); !a.Equal(b) {
			t.Fatalf("%s with %q runs at %v, %v at %v", expr, seed, a, again, b)
		}
	})
}

// FuzzParse: what is refused has a position inside of the text, and what is taken has runs.
func FuzzParse(f *testing.F) {
	for _, expr := range []string{
		"30 2 * * *", "*/5 9-17 * * MON-FRI", "0 0 L-3,LW,15W 2 FRI#2,7L", "H H(0-5) H/3 # #(1-3)", "#weekly@midnight", "@every 90s", "TZ=Europe/Berlin @daily",
		"TZ=", "0-0--5 * * * *", "0 0 30 2 *", "1 2 3 4 5 6 2050-2099/7", "22-2/3 * ? * *", "\xff * * * *", "TZ=0", "@every 9223372036s",
	} {
		f.Add(expr, "seed", int64(1_790_000_000))
	}
	f.Fuzz(func(t *testing.T, expr, seed string, unix int64) {
		s, err := cron.Parse(expr, cron.Seed(seed))
		if err != nil {
			wrong, ok := errors.AsType[*cron.ParseError](err)
			if !ok || wrong.Offset < 0 || wrong.Offset > len(expr) || wrong.Expected == "" || wrong.Problem == "" || s != nil {
				t.Fatalf("%q: %v, %#v", expr, s, err)
			}
			return
		}
		if again, err := cron.Parse(s.String()); err != nil || again.String() != s.String() || s.Describe() == "" {
			t.Fatalf("%q is %q, which is %v, %v", expr, s, again, err)
		}
		if s.Next(time.Time{}).IsZero() && !strings.Contains(expr, "@every") {
			t.Fatalf("%q never fires", expr)
		}
		at := time.Unix(unix, 0)
		for range 20 {
			var next time.Time
			fastest := time.Hour
			for try := 0; try < 5 && fastest > 100*time.Millisecond; try++ { // the machine may stop for a while
				start := time.Now()
				next = s.Next(at)
				fastest = min(fastest, time.Since(start))
			}
			if fastest > 100*time.Millisecond {
				t.Fatalf("%q after %v took %v", expr, at, fastest)
			}
			if next.IsZero() {
				return
			}
			if !next.After(at) {
				t.Fatalf("%q after %v: %v", expr, at, next)
			}
			at = next
		}
	})
}
