package cli

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony/app"
)

func (s *session) bench() *cobra.Command {
	messages, concurrency, body := count(10_000), count(10), count(200)
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure your own store from this machine",
		Long: `Measure your own store from this machine: how many messages a second it takes and
a worker handles, and how long one is on its way. It works beside your messages,
in a schema of its own (PostgreSQL: the user needs CREATE on the database) or in a
file beside yours (SQLite), and removes that at the end, also after Ctrl-C.

The handler does nothing, and one process of this machine does everything: the
figures say what this store and the way to it allow, and load it meanwhile. They
vary; run it twice.`,
		Args: s.arguments(0, 0),
	}
	f := c.Flags()
	f.Var(&messages, "messages", "in each measurement")
	f.Var(&concurrency, "concurrency", "callers and handlers at once")
	f.Var(&body, "body", "bytes of each message")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		_, t, err := s.target()
		if err != nil {
			return err
		}
		if body > largestBody {
			return s.usage("", "--body must be 16 MiB at most")
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		quiet := slog.New(slog.NewTextHandler(s.std.Err, &slog.HandlerOptions{Level: slog.LevelWarn})) // workers come and go
		s.note("measuring: %d messages of %d bytes, %d at once", messages, body, concurrency)
		var all []benchFigure
		b := app.Bench{
			Store:    app.Store{DSN: t.DSN, Name: t.Name, History: t.History, Retention: t.Retention, Logger: quiet},
			Messages: int(messages), Concurrency: int(concurrency), Body: int(body),
		}
		err = b.Run(ctx, func(f app.Figure) {
			s.note("%s: done", f.Name)
			all = append(all, benchFigure{f, f.Took.Seconds(), milliseconds(f.Median), milliseconds(f.P99)})
		})
		if err != nil {
			return err
		}
		return list(s, all, func() table { return benchTable(all) })
	}
	return c
}

// A benchFigure is a figure as it is shown.
type benchFigure struct {
	app.Figure
	Seconds float64 `json:"seconds,omitempty"`
	Median  float64 `json:"median_ms,omitempty"`
	P99     float64 `json:"p99_ms,omitempty"`
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

func benchTable(all []benchFigure) table {
	t := table{{"MEASURED", "MESSAGES", "PER SECOND", "MEDIAN MS", "P99 MS"}}
	number := func(format string, v float64) string {
		if v == 0 {
			return ""
		}
		return fmt.Sprintf(format, v)
	}
	for _, f := range all {
		t = append(t, []string{f.Name, fmt.Sprint(f.N), number("%.0f", f.Rate), number("%.2f", f.Median), number("%.2f", f.P99)})
	}
	return t
}
