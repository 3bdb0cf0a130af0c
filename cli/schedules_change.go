package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/schedule"
)

// A scheduleResult is what became of one schedule of several.
type scheduleResult struct {
	Name     string        `json:"name"`
	Result   string        `json:"result"`
	Messages []symphony.ID `json:"messages,omitempty"`
	Error    string        `json:"error,omitempty"`
}

// A scheduleChange is a command that does one thing to each of some schedules.
type scheduleChange struct {
	use, short, long string
	done             string // what each of them then is
	destroys         bool
	do               func(ctx context.Context, m *schedule.Manager, name string) ([]symphony.ID, error)
}

func (s *session) scheduleChange(c scheduleChange) *cobra.Command {
	var yes, dryRun bool
	cmd := &cobra.Command{
		Use: c.use + " NAME…", Short: c.short, Long: c.short + ".\n\n" + c.long, Args: s.arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.destroys && !dryRun && !yes {
				if err := s.confirm(fmt.Sprintf("%s %d schedule%s", c.use, len(args), plural(len(args)))); err != nil {
					return err
				}
			}
			return s.withSchedules(cmd.Context(), func(m *schedule.Manager) error { return s.changeSchedules(cmd.Context(), m, c, args, dryRun) })
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "look whether they are there, and change nothing")
	if c.destroys {
		cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	}
	return cmd
}

func (s *session) changeSchedules(ctx context.Context, m *schedule.Manager, c scheduleChange, names []string, dry bool) error {
	results, errs := make([]scheduleResult, len(names)), make([]error, len(names))
	for i, name := range names {
		r := scheduleResult{Name: name, Result: c.done}
		if dry {
			r.Result = "would be " + c.done
			_, errs[i] = m.Find(ctx, name)
		} else {
			r.Messages, errs[i] = c.do(ctx, m, name)
		}
		if errs[i] != nil {
			r.Result, r.Error = "error", explain(errs[i])
			if code, _ := s.judge(errs[i]); code == ExitNotFound {
				r.Result = "not found"
			}
		}
		results[i] = r
	}
	if len(names) > 1 || errs[0] == nil {
		err := list(s, results, func() table {
			t := table{{"NAME", "RESULT", "MESSAGES", "ERROR"}}
			for _, r := range results {
				t = append(t, []string{r.Name, r.Result, fmt.Sprint(len(r.Messages)), r.Error})
				if len(r.Messages) == 1 {
					t[len(t)-1][2] = r.Messages[0].String()
				}
			}
			return t
		})
		if err != nil {
			return err
		}
	}
	return s.outcome(c.done, errs)
}

func (s *session) schedulesRun() *cobra.Command {
	return s.scheduleChange(scheduleChange{
		use: "run", done: "dispatched", short: "Dispatch the messages of schedules now",
		long: `Also of paused ones, and whatever messages of theirs are still alive. The ticks stay
as they are.`,
		do: func(ctx context.Context, m *schedule.Manager, name string) ([]symphony.ID, error) {
			t, err := m.Run(ctx, name)
			return t.Messages, err
		},
	})
}

func (s *session) schedulesPause() *cobra.Command {
	return s.scheduleChange(scheduleChange{
		use: "pause", done: "paused", short: "Stop schedules until they are resumed",
		long: "A deploy does not resume them. What they have dispatched goes on.",
		do: func(ctx context.Context, m *schedule.Manager, name string) ([]symphony.ID, error) {
			_, err := m.Pause(ctx, name)
			return nil, err
		},
	})
}

func (s *session) schedulesResume() *cobra.Command {
	return s.scheduleChange(scheduleChange{
		use: "resume", done: "resumed", short: "Let paused schedules fire again",
		long: "They go on with their next ticks; those that passed meanwhile are not made up.",
		do: func(ctx context.Context, m *schedule.Manager, name string) ([]symphony.ID, error) {
			_, err := m.Resume(ctx, name)
			return nil, err
		},
	})
}

func (s *session) schedulesDelete() *cobra.Command {
	return s.scheduleChange(scheduleChange{
		use: "delete", done: "deleted", destroys: true, short: "Delete schedules with what is known of their ticks",
		long: `What they have dispatched stays. One that a program or a file declares comes back
with the next deploy.`,
		do: func(ctx context.Context, m *schedule.Manager, name string) ([]symphony.ID, error) {
			return nil, m.Delete(ctx, name)
		},
	})
}

func (s *session) schedulesBackfill() *cobra.Command {
	var from, to instant
	var yes, dryRun bool
	c := &cobra.Command{
		Use: "backfill NAME --from TIME --until TIME", Short: "Fire ticks of the past that have not fired", Args: s.arguments(1, 1),
		Long: `Fire the ticks of a schedule from a time on and before another (now, unless it is
given) that have not fired, as far as its ticks are kept. They are counted and
confirmed first. All messages are due at once.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if from.IsZero() {
				return s.usage("such as --from 2026-01-31T00:00:00Z", "from when on? There is no --from")
			}
			return s.withSchedules(cmd.Context(), func(m *schedule.Manager) error {
				p := schedule.Period{From: from.Time, Until: to.Time}
				if p.Until.IsZero() {
					now, err := m.Now(cmd.Context())
					if err != nil {
						return err
					}
					p.Until = now
				}
				b, err := m.Backfill(cmd.Context(), args[0], p, true)
				if err == nil && !dryRun && b.Fired > 0 {
					if !yes {
						err = s.confirm(fmt.Sprintf("fire %d tick%s of %s", b.Fired, plural(b.Fired), args[0]))
					}
					if err == nil {
						b, err = m.Backfill(cmd.Context(), args[0], p, false)
					}
				}
				if err != nil {
					return err
				}
				return s.show(b, func(w io.Writer) {
					word := "fired"
					if dryRun {
						word = "would fire"
					}
					fmt.Fprintf(w, "%d tick%s, %d %s, %d had fired before\n", b.Ticks, plural(b.Ticks), b.Fired, word, b.Before)
				})
			})
		},
	}
	f := c.Flags()
	f.Var(&from, "from", "the beginning (RFC 3339)")
	f.Var(&to, "until", "the end, which is not part of it (RFC 3339; default now)")
	f.BoolVarP(&yes, "yes", "y", false, "do not ask")
	f.BoolVar(&dryRun, "dry-run", false, "count, and change nothing")
	return c
}

func (s *session) schedulesFire() *cobra.Command {
	return &cobra.Command{
		Use: "fire", Short: "Fire schedules until told to stop, without handling messages", Args: s.arguments(0, 0),
		Long: `Fire the schedules of the store until INT or TERM, without handling messages. Workers
do that too ("consume"): this is for a process that does nothing else.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			opts := s.opts
			c, chosen, err := s.target()
			if err != nil {
				return err
			}
			opts.Config = c
			if chosen.Name != c.Transport { // what the program declares is on the default one
				return s.withSchedules(ctx, func(m *schedule.Manager) error { return (&schedule.Scheduler{Bus: m.Bus}).Run(ctx) })
			}
			a, err := app.New(ctx, opts)
			if err != nil {
				return err
			}
			return errors.Join(a.Scheduler.Run(ctx), a.Stop())
		},
	}
}
