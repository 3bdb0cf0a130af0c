package cli

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/symphony-messenger/symphony/schedule"
)

// scheduleFields are the flags of edit that set one field each.
type scheduleFields struct {
	cron, every, once, zone string
	missed, overlap, queue  string
	window, jitter          duration
	from, until             string
	priority                int
	maxRuns                 int64
}

func (s *session) schedulesEdit() *cobra.Command {
	var f scheduleFields
	var dryRun bool
	c := &cobra.Command{
		Use: "edit NAME", Short: "Change when a schedule fires, and its policies", Args: s.arguments(1, 1),
		Long: `Change when a schedule fires, and its policies. What is not said stays. The edit lasts
until the owner declares the schedule differently from before; then that counts. A
schedule whose times change goes on with the first one from now.`,
		Example: fmt.Sprintf("  %s schedules edit nightly-report --cron '30 4 * * *' --jitter 5m", s.opts.Name),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !fieldGiven(cmd.LocalNonPersistentFlags()) {
				return s.usage("such as --cron '30 4 * * *'", "what is to be changed?")
			}
			if f.cron != "" && f.every+f.once != "" || f.every != "" && f.once != "" {
				return s.usage("give one of them", "--cron, --every and --once each say when it fires")
			}
			return s.withSchedules(cmd.Context(), func(m *schedule.Manager) error {
				before, err := m.Find(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				after, err := m.Edit(cmd.Context(), args[0], func(sch *schedule.Schedule) error { return s.setFields(sch, f, cmd.Flags()) }, dryRun)
				if err != nil {
					return err
				}
				word := "changed"
				if dryRun {
					s.note("nothing was changed")
					word = "would be changed"
				}
				return s.show(after, func(w io.Writer) {
					if after.UpdatedAt.Equal(before.UpdatedAt) {
						word = "unchanged"
					}
					fmt.Fprintf(w, "%s %s: %s, next run %s\n", after.Name, word, whenText(&after), cmp.Or(clockOf(&after, after.NextRunAt), "none"))
				})
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.cron, "cron", "", "fire by this cron expression")
	flags.StringVar(&f.every, "every", "", "fire at this interval, such as 15m")
	flags.StringVar(&f.once, "once", "", "fire once, at this time (RFC 3339)")
	flags.StringVar(&f.zone, "tz", "", "the time zone of a cron expression")
	flags.StringVar(&f.missed, "missed", "", "which missed runs are made up: skip, last or all")
	flags.Var(&f.window, "window", "how late a run may be; 0: any time, and a minute with --missed skip")
	flags.StringVar(&f.overlap, "overlap", "", "while a message of a tick before lives: allow, skip, queue or cancel")
	flags.Var(&f.jitter, "jitter", "each message is due up to that much after its tick")
	flags.StringVar(&f.from, "from", "", "no tick before (RFC 3339; none: no bound)")
	flags.StringVar(&f.until, "until", "", "no tick at or after (RFC 3339; none: no bound)")
	flags.Int64Var(&f.maxRuns, "max-runs", 0, "it ends after so many ticks; 0: no bound")
	flags.StringVar(&f.queue, "queue", "", "of its messages")
	flags.IntVar(&f.priority, "priority", 0, "of its messages, 1 to 10")
	flags.BoolVar(&dryRun, "dry-run", false, "say what it would be, and change nothing")
	return c
}

// fieldGiven reports whether there is a flag that sets a field.
func fieldGiven(flags *pflag.FlagSet) (given bool) {
	flags.VisitAll(func(f *pflag.Flag) { given = given || f.Changed && f.Name != "dry-run" })
	return given
}

// setFields sets what flags say.
func (s *session) setFields(sch *schedule.Schedule, f scheduleFields, flags *pflag.FlagSet) error {
	for _, way := range []struct {
		flag, text string
		kind       schedule.Kind
	}{{"cron", f.cron, schedule.KindCron}, {"every", f.every, schedule.KindInterval}, {"once", f.once, schedule.KindOnce}} {
		if flags.Changed(way.flag) {
			sch.Kind, sch.Expression = way.kind, way.text
		}
	}
	if flags.Changed("tz") && sch.Kind != schedule.KindCron {
		return s.usage("", "--tz is for cron expressions, and %s has none", sch.Name)
	}
	set(flags, "tz", &sch.Timezone, f.zone)
	set(flags, "missed", &sch.Missed, schedule.Missed(f.missed))
	set(flags, "window", &sch.Window, time.Duration(f.window))
	set(flags, "overlap", &sch.Overlap, schedule.Overlap(f.overlap))
	set(flags, "jitter", &sch.Jitter, time.Duration(f.jitter))
	set(flags, "max-runs", &sch.MaxRuns, f.maxRuns)
	set(flags, "queue", &sch.Message.Queue, f.queue)
	set(flags, "priority", &sch.Message.Priority, f.priority)
	for _, bound := range []struct {
		flag, text string
		at         *time.Time
	}{{"from", f.from, &sch.From}, {"until", f.until, &sch.Until}} {
		var at instant
		if flags.Changed(bound.flag) && bound.text != "none" {
			if err := at.Set(bound.text); err != nil {
				return s.usage("", "--%s: %w, or none", bound.flag, err)
			}
		}
		set(flags, bound.flag, bound.at, at.Time)
	}
	return nil
}

// set sets a field when its flag is given.
func set[T any](flags *pflag.FlagSet, name string, field *T, value T) {
	if flags.Changed(name) {
		*field = value
	}
}
