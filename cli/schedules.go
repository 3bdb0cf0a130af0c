package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // for machines without time zones, such as containers with nothing but the program

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/schedule"
	"github.com/symphony-messenger/symphony/schedule/cron"
)

// symfonyScheduler is the name of the group in Symfony, where it is the list.
const symfonyScheduler = "debug:scheduler"

func (s *session) schedules() *cobra.Command {
	c := s.group("schedules", "Look at schedules and change them", `
A schedule dispatches a message at times: once, at an interval, or by a cron
expression. Every worker on the store fires what is due, each tick once.`,
		s.schedulesList(), s.schedulesShow(), s.schedulesNext(), s.schedulesRun(), s.schedulesPause(), s.schedulesResume(), s.schedulesApply(),
		s.schedulesImport(), s.schedulesEdit(), s.schedulesDelete(), s.schedulesBackfill(), s.schedulesFire())
	c.Aliases = []string{symfonyScheduler}
	help, all := c.RunE, s.schedulesList()
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if cmd.CalledAs() == symfonyScheduler {
			return all.RunE(cmd, args)
		}
		return help(cmd, args)
	}
	return c
}

// withSchedules opens the store and runs fn with its schedules.
func (s *session) withSchedules(ctx context.Context, fn func(m *schedule.Manager) error) error {
	return s.withStore(ctx, func(t symphony.Transport) error {
		return fn(&schedule.Manager{Bus: &symphony.Bus{Transport: t, MaxBody: s.config.BodyLimit, Logger: s.log}})
	})
}

// withDeclaring is withSchedules for what is declared: its messages are prepared by the routes of the configuration and of the program, as those are
// that workers declare.
func (s *session) withDeclaring(ctx context.Context, fn func(m *schedule.Manager) error) (err error) {
	c, chosen, err := s.target()
	if err != nil {
		return err
	}
	if chosen.Name != c.Transport { // routes are about the default one
		return s.withSchedules(ctx, fn)
	}
	opts, alone := s.opts, *c
	alone.Schedules = ""
	opts.Config, opts.Schedules, opts.Logger = &alone, nil, s.log
	a, err := app.New(ctx, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Stop()) }()
	return fn(&schedule.Manager{Bus: a.Bus})
}

// judgeSchedule is judge for errors about schedules.
func (s *session) judgeSchedule(err error) (code int, hint string, ok bool) {
	if _, ok := errors.AsType[*cron.ParseError](err); ok {
		return ExitUsage, "the fields are minute, hour, day of month, month and day of week; see `" + s.opts.Name + " schedules next --help`", true
	}
	if _, ok := errors.AsType[*cron.ZoneError](err); ok {
		return ExitUsage, "names are written as in Europe/Berlin", true
	}
	if owned, ok := errors.AsType[*schedule.OwnedError](err); ok {
		return ExitConflict, fmt.Sprintf("look at it with `%s schedules show %s`", s.opts.Name, owned.Name), true
	}
	if errors.Is(err, schedule.ErrNotFound) {
		return ExitNotFound, fmt.Sprintf("`%s schedules list --dropped` shows those there are", s.opts.Name), true
	}
	return 0, "", false
}

// until is how far t is from now, in words.
func until(t, now time.Time) string {
	switch d := t.Sub(now); {
	case t.IsZero():
		return "–"
	case d < 0:
		return about(-d) + " ago"
	default:
		return "in " + about(d)
	}
}

// about is a duration of which two units matter.
func about(d time.Duration) string {
	units := []struct {
		name string
		of   time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"min", time.Minute}, {"s", time.Second}}
	d = d.Round(time.Second)
	for i, u := range units {
		if d < u.of {
			continue
		}
		text := fmt.Sprintf("%d %s", d/u.of, u.name)
		if rest := d % u.of; i+1 < len(units) && rest >= units[i+1].of {
			text += fmt.Sprintf(" %d %s", rest/units[i+1].of, units[i+1].name)
		}
		return text
	}
	return "0 s"
}

// clockOf is a time as the clock of the schedule's time zone shows it.
func clockOf(e *schedule.Entry, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	zone, err := cron.Zone(e.Timezone)
	if err != nil {
		zone = time.UTC
	}
	return t.In(zone).Format("Mon 2006-01-02 15:04:05 MST")
}

// whenText says when a schedule ticks.
func whenText(e *schedule.Entry) string {
	switch e.Kind {
	case schedule.KindCron:
		return strings.TrimSpace(e.Expression + " " + e.Timezone)
	case schedule.KindInterval:
		return "every " + e.Expression
	case schedule.KindOnce:
		return "once " + e.Expression
	}
	return e.Expression
}
