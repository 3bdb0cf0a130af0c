package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony/monitor"
)

// thresholds are the flags of check.
type thresholds struct {
	within             duration
	age                duration
	pending, failed    int64
	queue              string
	givenAge           bool
	givenFull, givenDL bool
}

// A health is what check found.
type health struct {
	Healthy     bool     `json:"healthy"`
	Problems    []string `json:"problems,omitempty"`
	Pending     int64    `json:"pending"`
	Failed      int64    `json:"failed"`
	OldestReady float64  `json:"oldest_ready_seconds"`
}

func (s *session) check() *cobra.Command {
	f := thresholds{within: duration(5 * time.Second)}
	c := &cobra.Command{
		Use:   "check",
		Short: "Say by the exit code whether a store is healthy, for probes and alarms",
		Long: `Say by the exit code whether a store is healthy, for probes and alarms: 0 when it
answers, is migrated and within the limits given, 8 when it is beyond one of them,
7 when it cannot be used. Without limits that is a probe of readiness. It reads
figures that the store maintains and is cheap however many messages there are.`,
		Example: `  ` + s.opts.Name + ` check
  ` + s.opts.Name + ` check --max-age 2m --max-failed 0 --queue mail`,
		Args: s.arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.givenAge, f.givenFull, f.givenDL = cmd.Flags().Changed("max-age"), cmd.Flags().Changed("max-pending"), cmd.Flags().Changed("max-failed")
			if f.within <= 0 || f.age < 0 || f.pending < 0 || f.failed < 0 {
				return s.usage("", "limits must not be negative, and --within more than zero")
			}
			if f.givenAge && f.queue != "" {
				return s.usage("", "--max-age is that of all queues: it cannot be had for one")
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), time.Duration(f.within))
			defer cancel()
			return s.runCheck(ctx, &f)
		},
	}
	fl := c.Flags()
	fl.Var(&f.within, "within", "how long it may take")
	fl.Var(&f.age, "max-age", "how long a message may have been due")
	fl.Int64Var(&f.pending, "max-pending", 0, "how many messages may be waiting to be handled")
	fl.Int64Var(&f.failed, "max-failed", 0, "how many dead letters there may be")
	fl.StringVar(&f.queue, "queue", "", "count only this queue")
	return c
}

func (s *session) runCheck(ctx context.Context, f *thresholds) error {
	err := withPower(ctx, s, "count messages", func(c monitor.Counter) error {
		counts, err := c.Counts(ctx)
		if err != nil {
			return err
		}
		h := f.judge(counts)
		if err := s.show(h, func(w io.Writer) {
			if h.Healthy {
				fmt.Fprintf(w, "ok: %d pending, %d failed\n", h.Pending, h.Failed)
			}
		}); err != nil {
			return err
		}
		if !h.Healthy {
			return &failure{ExitUnhealthy, "", errors.New(strings.Join(h.Problems, "; "))}
		}
		return nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return &failure{ExitUnavailable, "", fmt.Errorf("the store has not answered within %v: %w", time.Duration(f.within), err)}
	}
	return err
}

func (f *thresholds) judge(c monitor.Counts) health {
	h := health{OldestReady: c.OldestReady.Seconds()}
	for _, n := range c.Counts {
		if f.queue != "" && n.Queue != f.queue {
			continue
		}
		switch n.Status {
		case monitor.Pending:
			h.Pending += n.N
		case monitor.Failed:
			h.Failed += n.N
		}
	}
	beyond := func(given, is bool, format string, args ...any) {
		if given && is {
			h.Problems = append(h.Problems, fmt.Sprintf(format, args...))
		}
	}
	beyond(f.givenAge, c.OldestReady > time.Duration(f.age), "the longest waiting message has been due for %v, more than %v",
		c.OldestReady.Round(time.Millisecond), time.Duration(f.age))
	beyond(f.givenFull, h.Pending > f.pending, "%d messages are pending, more than %d", h.Pending, f.pending)
	beyond(f.givenDL, h.Failed > f.failed, "%d messages are dead letters, more than %d", h.Failed, f.failed)
	h.Healthy = len(h.Problems) == 0
	return h
}
