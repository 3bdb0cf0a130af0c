package cron_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony/schedule/cron"
)

// parse reads an expression that must be right. A zone named first in the options is a string.
func parse(t testing.TB, expr string, opts ...cron.Option) *cron.Schedule {
	t.Helper()
	s, err := cron.Parse(expr, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func in(t testing.TB, zone string) cron.Option {
	t.Helper()
	loc, err := cron.Zone(zone)
	if err != nil {
		t.Fatal(err)
	}
	return cron.In(loc)
}

// runs returns the next n times after a time, as the clock there shows them.
func runs(t testing.TB, s *cron.Schedule, after string, n int) []string {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, after)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for range n {
		at = s.Next(at)
		if at.IsZero() {
			return append(all, "never")
		}
		all = append(all, at.Format("2006-01-02 15:04:05 Mon -0700"))
	}
	return all
}

func TestFields(t *testing.T) {
	for _, tt := range []struct {
		expr, after string
		want        []string // times begin with these
	}{
		{"5 4 * * *", "2026-01-01T04:05:00Z", []string{"2026-01-02 04:05:00", "2026-01-03 04:05:00"}},
		{"5 4 * * *", "2026-01-01T04:04:59.999999999Z", []string{"2026-01-01 04:05:00"}},
		{"10 5 4 * * *", "2026-01-01T00:00:00Z", []string{"2026-01-01 04:05:10"}},
		{"\t 5\t4  * * * ", "2026-01-01T00:00:00Z", []string{"2026-01-01 04:05:00"}},
		{"05 04 01 01 00", "2026-01-01T05:00:00Z", []string{"2026-01-04 04:05:00", "2026-01-11"}},
		{"*/20 * * * *", "2026-01-01T00:00:00Z", []string{"2026-01-01 00:20:00", "2026-01-01 00:40:00", "2026-01-01 01:00:00"}},
		{"*/60 * * * *", "2026-01-01T00:00:00Z", []string{"2026-01-01 01:00:00", "2026-01-01 02:00:00"}},
		{"10-40/15 * * * *", "2026-01-01T00:00:00Z", []string{"2026-01-01 00:10:00", "2026-01-01 00:25:00", "2026-01-01 00:40:00", "2026-01-01 01:10:00"}},
		{"50/5 * * * *", "2026-01-01T00:00:00Z", []string{"2026-01-01 00:50:00", "2026-01-01 00:55:00", "2026-01-01 01:50:00"}},
		{"0 22-2/2 * * *", "2026-01-01T00:00:00Z", []string{"2026-01-01 02:00:00", "2026-01-01 22:00:00", "2026-01-02 00:00:00"}},
		{"0 0 30-2 * *", "2026-04-03T00:00:00Z", []string{"2026-04-30", "2026-05-01", "2026-05-02", "2026-05-30", "2026-05-31"}},
		{"0 0 1 nov-feb *", "2026-10-01T00:00:00Z", []string{"2026-11-01", "2026-12-01", "2027-01-01", "2027-02-01", "2027-11-01"}},
		{"0 0 * * Fri-Mon", "2026-01-01T00:00:00Z", []string{"2026-01-02", "2026-01-03", "2026-01-04", "2026-01-05", "2026-01-09"}},
		{"0 0 * * 5-7", "2026-01-01T00:00:00Z", []string{"2026-01-02", "2026-01-03", "2026-01-04", "2026-01-09"}},
		{"0 0 * * 7-1", "2026-01-01T00:00:00Z", []string{"2026-01-04", "2026-01-05", "2026-01-11"}},
		{"0 0 * * 7", "2026-01-01T00:00:00Z", []string{"2026-01-04", "2026-01-11"}},
		{"0 0 * * 4/2", "2026-01-01T00:00:00Z", []string{"2026-01-03", "2026-01-08"}},
		{"0 0 1,15 FEB,4 ?", "2026-01-01T00:00:00Z", []string{"2026-02-01", "2026-02-15", "2026-04-01"}},
		{"0 0 L * *", "2026-01-01T12:00:00Z", []string{"2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"}},
		{"0 0 l-3 2 *", "2026-01-01T00:00:00Z", []string{"2026-02-25", "2027-02-25", "2028-02-26"}},
		{"0 0 L-30 * *", "2026-01-01T00:00:00Z", []string{"2026-03-01", "2026-05-01"}},
		{"0 0 LW * *", "2026-01-01T00:00:00Z", []string{"2026-01-30", "2026-02-27", "2026-03-31", "2026-04-30", "2026-05-29"}},
		{"0 0 15W * *", "2026-01-31T00:00:00Z", []string{"2026-02-16", "2026-03-16", "2026-04-15"}},
		{"0 0 1W * *", "2026-01-31T00:00:00Z", []string{"2026-02-02", "2026-03-02", "2026-04-01", "2026-05-01", "2026-06-01", "2026-07-01", "2026-08-03"}},
		{"0 0 31W 1,2,5 ?", "2026-01-01T00:00:00Z", []string{"2026-01-30", "2026-05-29", "2027-01-29"}},
		{"0 0 31W 9,10 ?", "2022-09-01T00:00:00Z", []string{"2022-10-31"}},
		{"0 0 1 3 *", "2026-01-20T12:00:00Z", []string{"2026-03-01", "2027-03-01"}},
		{"0 0 * * 7L", "2026-01-01T00:00:00Z", []string{"2026-01-25", "2026-02-22"}},
		{"0 0 * * FRI#2", "2026-01-01T00:00:00Z", []string{"2026-01-09", "2026-02-13"}},
		{"0 0 * * 7#5", "2026-01-01T00:00:00Z", []string{"2026-03-29", "2026-05-31"}},
		{"0 0 * * mon#1,friL", "2026-01-01T00:00:00Z", []string{"2026-01-05", "2026-01-30", "2026-02-02"}},
		{"0 0 29 2 *", "2096-03-01T00:00:00Z", []string{"2104-02-29"}},
		{"0 0 29 2 */7", "2060-03-01T00:00:00Z", []string{"2088-02-29", "2128-02-29"}}, // 2100 is no leap year
		{"0 0 0 1 1 ? 2030,2040-2041", "2026-03-20T12:00:00Z", []string{"2030-01-01", "2040-01-01", "2041-01-01", "never"}},
		{"0 0 0 1 1 ? */50", "1800-01-01T00:00:00Z", []string{"1970-01-01", "2020-01-01", "2070-01-01", "never"}},
		{"0 0 0 1 1 * 2090/9", "2026-01-01T00:00:00Z", []string{"2090-01-01", "2099-01-01", "never"}},
		{"@yearly", "2026-01-01T00:00:00Z", []string{"2027-01-01 00:00:00"}},
		{"@annually", "2026-01-01T00:00:00Z", []string{"2027-01-01 00:00:00"}},
		{"@monthly", "2026-01-01T00:00:00Z", []string{"2026-02-01 00:00:00"}},
		{"@weekly", "2026-01-01T00:00:00Z", []string{"2026-01-04 00:00:00"}},
		{"@daily", "2026-01-01T00:00:00Z", []string{"2026-01-02 00:00:00"}},
		{"@midnight", "2026-01-01T00:00:00Z", []string{"2026-01-02 00:00:00"}},
		{"@hourly", "2026-01-01T00:00:00Z", []string{"2026-01-01 01:00:00"}},
		{"@every 90s", "2026-01-01T00:00:00Z", []string{"2026-01-01 00:01:30", "2026-01-01 00:03:00"}},
		{"@every 7h", "1969-12-31T23:59:59Z", []string{"1970-01-01 00:00:00", "1970-01-01 07:00:00"}},
		{"@every 7h", "1969-12-31T16:59:59Z", []string{"1969-12-31 17:00:00", "1970-01-01 00:00:00"}},
		// One day field that begins with * or ? leaves the choice to the other; else either may match.
		{"0 0 13 * FRI", "2026-02-07T00:00:00Z", []string{"2026-02-13", "2026-02-20", "2026-02-27", "2026-03-06", "2026-03-13"}},
		{"0 0 */2 * FRI", "2026-02-01T00:00:00Z", []string{"2026-02-13", "2026-02-27", "2026-03-13"}},
		{"0 0 13 * */5", "2026-02-01T00:00:00Z", []string{"2026-02-13", "2026-03-13", "2026-09-13"}},
		{"0 0 *,3 * FRI", "2026-02-01T00:00:00Z", []string{"2026-02-06"}},
		{"0 0 1-31 * FRI", "2026-02-01T00:00:00Z", []string{"2026-02-02", "2026-02-03"}},
		{"0 0 ? * ?", "2026-02-01T00:00:00Z", []string{"2026-02-02", "2026-02-03"}},
	} {
		got := runs(t, parse(t, tt.expr), tt.after, len(tt.want))
		for i := range tt.want {
			if i >= len(got) || !strings.HasPrefix(got[i], tt.want[i]) {
				t.Errorf("%s after %s:\n got %q\nwant %q", tt.expr, tt.after, got, tt.want)
				break
			}
		}
	}
}

func TestBothDays(t *testing.T) {
	s := parse(t, "0 0 13 * FRI", cron.BothDays())
	want := []string{"2026-02-13 00:00:00 Fri +0000", "2026-03-13 00:00:00 Fri +0000", "2026-11-13 00:00:00 Fri +0000"}
	if diff := cmp.Diff(want, runs(t, s, "2026-01-01T00:00:00Z", 3)); diff != "" {
		t.Error(diff)
	}
}

// Every letter of an error is what somebody reads who typed something wrong.
func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		expr   string
		offset int
		field  string
		text   string // "found, expected"
	}{
		{"", 0, "", "nothing is there, expected five fields such as 30 2 * * *, or a macro such as @daily"},
		{"  ", 2, "", "nothing is there, expected five fields such as 30 2 * * *, or a macro such as @daily"},
		{"* * * *", 7, "", "found 4 fields, expected 5 (minute, hour, day of month, month, day of week), 6 with seconds first, or 7 with a year last"},
		{"*", 1, "", "found 1 field, expected 5 (minute, hour, day of month, month, day of week), 6 with seconds first, or 7 with a year last"},
		{"* * * * * * * x", 14, "", "found 8 fields, expected 5 (minute, hour, day of month, month, day of week), 6 with seconds first, or 7 with a year last"},
		{"60 * * * *", 0, "minute", `found "60", expected a number from 0 to 59`},
		{"0 24 * * *", 2, "hour", `found "24", expected a number from 0 to 23`},
		{"0 0 0 * *", 4, "day of month", `found "0", expected a number from 1 to 31`},
		{"0 0 32 * *", 4, "day of month", `found "32", expected a number from 1 to 31`},
		{"0 0 1 13 *", 6, "month", `found "13", expected a number from 1 to 12 or JAN to DEC`},
		{"0 0 * * 8", 8, "day of week", `found "8", expected a number from 0 to 7 or SUN to SAT`},
		{"60 0 0 * * *", 0, "second", `found "60", expected a number from 0 to 59`},
		{"0 0 0 1 1 ? 1969", 12, "year", `found "1969", expected a number from 1970 to 2099`},
		{"0 0 0 1 1 ? 300000", 12, "year", `found "300000", expected a number from 1970 to 2099`},
		{"0 0 0 1 1 ? 2030-2029", 17, "year", `found "2029", expected a year from 2030 on`},
		{"0 99999999999999999999999 * * *", 2, "hour", `found "99999999999999999999999", expected a number from 0 to 23`},
		{"0-0--5 * * * *", 3, "minute", `found "--5", expected "," or the end of the field`},
		{"5- * * * *", 2, "minute", "nothing is there, expected a number from 0 to 59"},
		{"-5 * * * *", 0, "minute", `found "-5", expected a number from 0 to 59`},
		{"+5 * * * *", 0, "minute", `found "+5", expected a number from 0 to 59`},
		{"1,,2 * * * *", 2, "minute", `found ",", expected a number from 0 to 59`},
		{"1, * * * *", 2, "minute", "nothing is there, expected a number from 0 to 59"},
		{"1,x,3 * * * *", 2, "minute", `found "x", expected a number from 0 to 59`},
		{"*/0 * * * *", 2, "minute", `found "0", expected a step from 1 to 60`},
		{"*/61 * * * *", 2, "minute", `found "61", expected a step from 1 to 60`},
		{"*/ * * * *", 2, "minute", "nothing is there, expected a step from 1 to 60"},
		{"*/x * * * *", 2, "minute", `found "x", expected a step from 1 to 60`},
		{"* */25 * * *", 4, "hour", `found "25", expected a step from 1 to 24`},
		{"** * * * *", 1, "minute", `found "*", expected "," or the end of the field`},
		{"? * * * *", 0, "minute", `found "?", expected a number from 0 to 59`},
		{"0 0 ?,3 * *", 4, "day of month", `found "?", expected a number from 1 to 31`},
		{"0 0 * * MONDAY", 11, "day of week", `found "DAY", expected "," or the end of the field`},
		{"0 0 * * L", 8, "day of week", `found "L", expected a number from 0 to 7 or SUN to SAT`},
		{"0 0 * * FRI#6", 12, "day of week", `found "6", expected a number from 1 to 5`},
		{"0 0 * * FRI#0", 12, "day of week", `found "0", expected a number from 1 to 5`},
		{"0 0 * * FRI#", 12, "day of week", `nothing is there, expected a number from 1 to 5`},
		{"0 0 * * 1-5#2", 11, "day of week", `found "#2", expected "," or the end of the field`},
		{"0 0 L-0 * *", 6, "day of month", `found "0", expected a number of days from 1 to 30`},
		{"0 0 L-31 * *", 6, "day of month", `found "31", expected a number of days from 1 to 30`},
		{"0 0 L- * *", 6, "day of month", `nothing is there, expected a number of days from 1 to 30`},
		{"0 0 1-5W * *", 7, "day of month", `found "W", expected "," or the end of the field`},
		{"0 0 1 L *", 6, "month", `found "L", expected a number from 1 to 12 or JAN to DEC`},
		{"0 0 1 MON *", 6, "month", `found "MON", expected a number from 1 to 12 or JAN to DEC`},
		{"\x00\xff * * * *", 0, "minute", `found "\x00\xff", expected a number from 0 to 59`},
		{"٣ * * * *", 0, "minute", `found "٣", expected a number from 0 to 59`},
		{"0 0\n* * * *", 3, "hour", `found "\n*", expected "," or the end of the field`},
		{"@reboot", 0, "macro", `found "@reboot", expected @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly or @every`},
		{"@daily x", 7, "", `found "x", expected the end after @daily`},
		{"@every", 6, "interval", "it is missing, expected a duration in whole seconds, at least 1s, such as 90s or 1h30m"},
		{"@every 0s", 7, "interval", `found "0s", expected a duration in whole seconds, at least 1s, such as 90s or 1h30m`},
		{"@every 1ns", 7, "interval", `found "1ns", expected a duration in whole seconds, at least 1s, such as 90s or 1h30m`},
		{"@every 1500ms", 7, "interval", `found "1500ms", expected a duration in whole seconds, at least 1s, such as 90s or 1h30m`},
		{"@every -5m", 7, "interval", `found "-5m", expected a duration in whole seconds, at least 1s, such as 90s or 1h30m`},
		{"@every soon", 7, "interval", `found "soon", expected a duration in whole seconds, at least 1s, such as 90s or 1h30m`},
		{"@every 1h 5m", 10, "", `found "5m", expected the end after 1h`},
		{"TZ= * * * * *", 3, "time zone", "the name is missing, expected an IANA name such as Europe/Berlin or UTC"},
		{"TZ=", 3, "time zone", "the name is missing, expected an IANA name such as Europe/Berlin or UTC"},
		{"TZ=UTC", 6, "", "nothing is there, expected five fields such as 30 2 * * *, or a macro such as @daily"},
		{"CRON_TZ=Mars/Olympus * * * * *", 8, "time zone", `found "Mars/Olympus", expected an IANA name such as Europe/Berlin or UTC`},
		{"TZ=Local * * * * *", 3, "time zone", `found "Local", expected an IANA name such as Europe/Berlin or UTC`},
		{"TZ=../../etc/passwd * * * * *", 3, "time zone", `found "../../etc/passwd", expected an IANA name such as Europe/Berlin or UTC`},
		{"TZ=UTC TZ=UTC * * * * *", 7, "second", `found "TZ=UTC", expected a number from 0 to 59`},
		{"H * * * *", 0, "minute", `"H" has no seed, expected a seed to choose its numbers from, such as the name of the schedule`},
		{"0 1,H/2 * * *", 4, "hour", `"H/2" has no seed, expected a seed to choose its numbers from, such as the name of the schedule`},
		{"0 #(0-2) * * *", 2, "hour", `"#(0-2)" has no seed, expected a seed to choose its numbers from, such as the name of the schedule`},
		{"#daily", 0, "macro", `"#daily" has no seed, expected a seed to choose its numbers from, such as the name of the schedule`},
		{"#fortnightly", 0, "macro", `found "#fortnightly", expected #hourly, #daily, #weekly, #monthly, #yearly, #annually or #midnight, or # or #(0-29) as a field`},
		{"0 0 30 2 *", 4, "day of month", "the expression never fires, expected a date that occurs"},
		{"0 0 31 2,4,6,9,11 ?", 4, "day of month", "the expression never fires, expected a date that occurs"},
		{"0 0 0 29 2 ? 2026", 6, "day of month", "the expression never fires, expected a date that occurs"},
		{"0 0 0 L-29 2 *", 6, "day of month", "the expression never fires, expected a date that occurs"},
		{strings.Repeat("1,", 300) + "1 * * * *", 512, "", "it has 609 bytes, expected at most 512 bytes"},
	} {
		s, err := cron.Parse(tt.expr)
		wrong, ok := errors.AsType[*cron.ParseError](err)
		if !ok {
			t.Errorf("%q: %v, %v, want a ParseError", tt.expr, s, err)
			continue
		}
		if got := wrong.Problem + ", expected " + wrong.Expected; wrong.Offset != tt.offset || wrong.Field != tt.field || got != tt.text {
			t.Errorf("%q: %s at %d: %s\nwant %s at %d: %s", tt.expr, wrong.Field, wrong.Offset, got, tt.field, tt.offset, tt.text)
		}
		if s != nil || wrong.Expr != tt.expr {
			t.Errorf("%q: a schedule %v beside the error, of %q", tt.expr, s, wrong.Expr)
		}
	}
	for _, expr := range []string{"#(5-60) * * * *", "#(5 * * * *", "#(5-4) * * * *", "#(5-9)x * * * *", "#,1 * * * *", "H(3) * * * *", "H-5 * * * *", "H/0 * * * *", "0 0 0 1 1 ? H", "0 0 0 1 1 ? #"} {
		if s, err := cron.Parse(expr, cron.Seed("")); err == nil {
			t.Errorf("%s is %v, want an error", expr, s)
		}
	}
	_, err := cron.Parse("0 25 * * *")
	if want := `cron expression "0 25 * * *": hour at position 3: found "25", expected a number from 0 to 23`; fmt.Sprint(err) != want {
		t.Errorf("the error is %v, want %s", err, want)
	}
	if _, err := cron.Parse("H * * * *"); !errors.Is(err, cron.ErrNoSeed) {
		t.Errorf("without a seed: %v, want ErrNoSeed", err)
	}
	_, err = cron.Parse("TZ=Mars/X * * * * *")
	if zone, ok := errors.AsType[*cron.ZoneError](err); !ok || zone.Name != "Mars/X" {
		t.Errorf("an unknown zone: %v, want a ZoneError", err)
	}
}

func TestZone(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "UTC", "America/Argentina/Buenos_Aires", "EST5EDT"} {
		if zone, err := cron.Zone(name); err != nil || zone.String() != name {
			t.Errorf("%s is %v, %v", name, zone, err)
		}
	}
	for _, name := range []string{"", "Local", "local", "Europe/Atlantis", "../etc/passwd", "/etc/passwd", "right/UTC", "CEST +2", "a\x00b"} {
		if zone, err := cron.Zone(name); err == nil {
			t.Errorf("%q is %v, want an error", name, zone)
		}
	}
}

func TestZoneOfExpression(t *testing.T) {
	for _, expr := range []string{"TZ=Europe/Berlin 0 9 * * *", "CRON_TZ=Europe/Berlin 0 9 * * *"} {
		s := parse(t, expr, in(t, "America/New_York"))
		if got := runs(t, s, "2026-07-01T00:00:00Z", 1)[0]; got != "2026-07-01 09:00:00 Wed +0200" {
			t.Errorf("%s runs at %s", expr, got)
		}
		if s.Location().String() != "Europe/Berlin" || s.String() != expr {
			t.Errorf("%s is %v in %v", expr, s, s.Location())
		}
	}
	if s := parse(t, "0 9 * * *", cron.In(nil)); s.Location() != time.UTC {
		t.Errorf("no zone is %v", s.Location())
	}
}
