package cli

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony/schedule/cron"
)

// mostRuns is how many times one command shows.
const mostRuns = 10_000

// nextFlags are what the next runs are asked for with.
type nextFlags struct {
	expr     string
	zone     string
	from     instant
	number   count
	seed     string
	bothDays bool
}

func (s *session) schedulesNext() *cobra.Command {
	n := nextFlags{number: 5}
	c := &cobra.Command{
		Use:   "next --cron EXPRESSION",
		Short: "Show when a cron expression fires next",
		Long: `Show when a cron expression fires next. It needs no store.

  minute        0-59
  hour          0-23
  day of month  1-31, L (last), L-3, LW (last weekday), 15W (weekday nearest to it)
  month         1-12 or JAN-DEC
  day of week   0-7 or SUN-SAT (0 and 7 are Sunday), FRI#2 (second), FRIL (last)

Fields take lists (1,15), ranges (9-17, FRI-MON), steps (*/5) and, with --seed,
numbers that it chooses: H, H(0-29), H/15, and # as in Symfony. Seconds may come
first, and then a year last. Also @hourly, @daily, @weekly, @monthly, @yearly,
and @every 90s.

Times that a change of the clock skips run once, right after it; times that come
twice run once, the first time. Entries with a *, a range or a step in the minute
or the hour run whenever the clock shows such a time.`,
		Example: `  symphony schedules next --cron '30 2 * * *' --tz America/New_York --from 2026-03-07T00:00:00Z --count 3 -o json`,
		Args:    s.arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("cron") {
				return s.usage("such as --cron '30 2 * * *'", "which times? There is no --cron")
			}
			opts := []cron.Option{}
			if cmd.Flags().Changed("seed") {
				opts = append(opts, cron.Seed(n.seed))
			}
			return s.showNext(n, opts)
		},
	}
	f := c.Flags()
	f.StringVar(&n.expr, "cron", "", "the expression")
	f.StringVar(&n.zone, "tz", "UTC", "the time zone of the clock that it means")
	f.Var(&n.from, "from", "show times after this one (default now)")
	f.Var(&n.number, "count", "how many times to show")
	f.StringVar(&n.seed, "seed", "", "what H and # choose their numbers from: the name of the schedule")
	f.BoolVar(&n.bothDays, "both-days", false, "a day must match day of month and day of week, not one of them")
	return c
}

func (s *session) showNext(n nextFlags, opts []cron.Option) error {
	if n.number > mostRuns {
		return s.usage("", "--count is %d: at most %d", n.number, mostRuns)
	}
	zone, err := cron.Zone(n.zone)
	if err != nil {
		return s.usage("names are written as in Europe/Berlin", "--tz: %w", err)
	}
	opts = append(opts, cron.In(zone))
	if n.bothDays {
		opts = append(opts, cron.BothDays())
	}
	schedule, err := cron.Parse(n.expr, opts...)
	if err != nil {
		hint := "the fields are minute, hour, day of month, month and day of week; see `" + s.opts.Name + " schedules next --help`"
		if errors.Is(err, cron.ErrNoSeed) {
			hint = "give --seed with the name that the schedule has, or will have"
		}
		return s.usage(hint, "%w", err)
	}
	after := n.from.Time
	if after.IsZero() {
		after = time.Now()
	}
	var times []time.Time
	for next := schedule.Next(after); !next.IsZero() && len(times) < int(n.number); next = schedule.Next(next) {
		times = append(times, next)
	}
	return s.listTimes(schedule, times)
}

func (s *session) listTimes(schedule *cron.Schedule, times []time.Time) error {
	utc := make([]string, len(times)) // times of RFC 3339
	for i, t := range times {
		utc[i] = t.UTC().Format(time.RFC3339)
	}
	if s.output == formatTable {
		s.note("%s: %s in %v", schedule, schedule.Describe(), schedule.Location())
	}
	if len(times) == 0 {
		s.note("it does not fire again")
	}
	return list(s, utc, func() table {
		t := table{{"TIME", "ON THE CLOCK THERE"}}
		for i, at := range times {
			t = append(t, []string{utc[i], at.Format("Mon 2006-01-02 15:04:05 MST")})
		}
		return t
	})
}
