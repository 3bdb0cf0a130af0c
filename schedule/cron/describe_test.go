package cron_test

import (
	"testing"

	"github.com/symphony-messenger/symphony/schedule/cron"
)

func TestDescribe(t *testing.T) {
	for _, tt := range []struct {
		expr, words string
		opts        []cron.Option
	}{
		{expr: "30 2 * * *", words: "at 02:30 every day"},
		{expr: "30 30 2 * * *", words: "at 02:30:30 every day"},
		{expr: "0 9,12,18 * * *", words: "at 09:00, 12:00 and 18:00 every day"},
		{expr: "* * * * *", words: "every minute"},
		{expr: "* * * * * *", words: "every second"},
		{expr: "*/10 * * * * *", words: "every 10 seconds"},
		{expr: "*/5 * * * *", words: "every 5 minutes"},
		{expr: "2/5 * * * *", words: "every 5 minutes from minute 2"},
		{expr: "*/7 * * * *", words: "at minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56 of every hour"},
		{expr: "0-29 * * * *", words: "at minutes 0 to 29 of every hour"},
		{expr: "0,30 * * * *", words: "every 30 minutes"},
		{expr: "0 * * * *", words: "every hour"},
		{expr: "15 * * * *", words: "every hour from 00:15"},
		{expr: "30 15 * * * *", words: "every hour from 00:15:30"},
		{expr: "0 */2 * * *", words: "every 2 hours"},
		{expr: "30 1/6 * * *", words: "every 6 hours from 01:30"},
		{expr: "0 */5 * * *", words: "at 00:00, 05:00, 10:00, 15:00 and 20:00 every day"},
		{expr: "0 9-17 * * *", words: "every hour from 09:00 to 17:00"},
		{expr: "0 22-2 * * *", words: "every hour from 22:00 to 02:00"},
		{expr: "*/5 9-17 * * 1-5", words: "every 5 minutes from 09:00 to 17:55 on Monday to Friday"},
		{expr: "* 2 * * *", words: "every minute from 02:00 to 02:59"},
		{expr: "*/15 22-5 * * *", words: "every 15 minutes from 22:00 to 05:45"},
		{expr: "*/20 0-22/2 * * *", words: "every 20 minutes of hours 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20 and 22"},
		{expr: "0,10,25 * * * *", words: "at minutes 0, 10 and 25 of every hour"},
		{expr: "*/10 * 9-17 * * *", words: "every 10 seconds from 09:00 to 17:59:50"},
		{expr: "5 * 9-17 * * *", words: "at second 5 of every minute of hours 9 to 17"},
		{expr: "30 */30 * * * *", words: "at second 30 of minutes 0 and 30 of every hour"},
		{expr: "0 9 * * 1-5", words: "at 09:00 on Monday to Friday"},
		{expr: "0 9 * * MON", words: "at 09:00 on Monday"},
		{expr: "0 9 * * SAT,SUN", words: "at 09:00 on Saturday and Sunday"},
		{expr: "0 9 * * FRI-MON", words: "at 09:00 on Friday to Monday"},
		{expr: "0 9 * * 0-2", words: "at 09:00 on Sunday to Tuesday"},
		{expr: "0 9 * * 0,2", words: "at 09:00 on Tuesday and Sunday"},
		{expr: "0 9 * * FRI#2", words: "at 09:00 on the second Friday of the month"},
		{expr: "0 9 * * MON,FRIL", words: "at 09:00 on Monday and the last Friday of the month"},
		{expr: "0 9 * 3 FRIL", words: "at 09:00 on the last Friday of the month in March"},
		{expr: "0 0 1 * *", words: "at 00:00 on day 1 of the month"},
		{expr: "0 0 1,15 * *", words: "at 00:00 on days 1 and 15 of the month"},
		{expr: "0 0 1-7 * *", words: "at 00:00 on days 1 to 7 of the month"},
		{expr: "0 0 */2 * *", words: "at 00:00 on every 2nd day from day 1 of the month"},
		{expr: "0 0 L * *", words: "at 00:00 on the last day of the month"},
		{expr: "0 0 L-1,L-3,LW,15W * *", words: "at 00:00 on the weekday nearest to day 15, the day 3 days before the last, the last day but one and the last weekday of the month"},
		{expr: "0 0 24 12 *", words: "at 00:00 on day 24 of December"},
		{expr: "0 0 * 12 *", words: "at 00:00 every day in December"},
		{expr: "0 0 1 */3 *", words: "at 00:00 on day 1 of January, April, July and October"},
		{expr: "*/5 * * NOV-FEB *", words: "every 5 minutes in November to February"},
		{expr: "0 0 13 * 5", words: "at 00:00 on day 13 of the month or on Friday"},
		{expr: "0 0 13 2 5", words: "at 00:00 on day 13 of February or on Friday in February"},
		{expr: "0 0 13 * 5", words: "at 00:00 on day 13 of the month if it is Friday", opts: []cron.Option{cron.BothDays()}},
		{expr: "0 0 1-7 * 5#1", words: "at 00:00 on days 1 to 7 of the month or on the first Friday of the month"},
		{expr: "0 0 1-31 * 5", words: "at 00:00 every day"},
		{expr: "0 0 0 1 1 ? 2030-2032", words: "at 00:00 on day 1 of January in 2030 to 2032"},
		{expr: "0 0 12 * * * 2030,2040", words: "at 12:00 every day in 2030 and 2040"},
		{expr: "@weekly", words: "at 00:00 on Sunday"},
		{expr: "@every 90s", words: "every 90 seconds"},
		{expr: "@every 1h30m", words: "every 90 minutes"},
		{expr: "@every 24h", words: "every 24 hours"},
		{expr: "@every 1m", words: "every minute"},
		{expr: "#daily", words: "at 12:58 every day", opts: []cron.Option{cron.Seed("a")}},
	} {
		s, err := cron.Parse(tt.expr, tt.opts...)
		if err != nil {
			t.Error(err)
		} else if got := s.Describe(); got != tt.words {
			t.Errorf("%s: %q, want %q", tt.expr, got, tt.words)
		}
	}
}
