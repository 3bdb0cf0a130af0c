package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// A figure is what workers did with a type lately.
type figure struct {
	Queue     string  `json:"queue"`
	Type      string  `json:"type"`
	Completed float64 `json:"completed_per_minute"`
	Retried   float64 `json:"retried_per_minute"`
	Failed    float64 `json:"failed_per_minute"`
	Wait50    float64 `json:"wait_p50_seconds"`
	Wait95    float64 `json:"wait_p95_seconds"`
	Wait99    float64 `json:"wait_p99_seconds"`
	Run50     float64 `json:"run_p50_seconds"`
	Run95     float64 `json:"run_p95_seconds"`
	Run99     float64 `json:"run_p99_seconds"`
}

// figures reads what workers did within a time that ends now.
func (s *session) figures(ctx context.Context, t symphony.Transport, within time.Duration) ([]figure, error) {
	f, err := powerOf[monitor.Figures](s, t, "say how fast it is")
	if err != nil {
		return nil, err
	}
	now := time.Now()
	// The clock of the store may be a little ahead.
	ms, err := f.Minutes(ctx, now.Add(-within).Truncate(time.Minute), now.Add(time.Hour))
	if err != nil {
		return nil, err
	}
	per := now.Sub(now.Add(-within).Truncate(time.Minute)).Minutes()
	all := []figure{} // in JSON, too: stats --watch shows it as a field
	for _, m := range monitor.Sum(ms) {
		q := func(h monitor.Histogram, q float64) float64 { return h.Quantile(q).Seconds() }
		all = append(all, figure{
			m.Queue, m.Type, float64(m.Completed) / per, float64(m.Retried) / per, float64(m.Failed) / per,
			q(m.Wait, 0.5), q(m.Wait, 0.95), q(m.Wait, 0.99), q(m.Run, 0.5), q(m.Run, 0.95), q(m.Run, 0.99),
		})
	}
	return all, nil
}

func figureTable(all []figure) table {
	t := table{{"QUEUE", "TYPE", "DONE/MIN", "RETRIED/MIN", "FAILED/MIN", "WAIT P50", "P95", "P99", "RUN P50", "P95", "P99"}}
	d := func(s float64) string {
		v := time.Duration(s * float64(time.Second))
		return v.Round(max(v/100, 10*time.Microsecond)).String()
	}
	for _, f := range all {
		t = append(t, []string{
			f.Queue, f.Type, fmt.Sprintf("%.1f", f.Completed), fmt.Sprintf("%.1f", f.Retried), fmt.Sprintf("%.1f", f.Failed),
			d(f.Wait50), d(f.Wait95), d(f.Wait99), d(f.Run50), d(f.Run95), d(f.Run99),
		})
	}
	return t
}

// A watching is stats, once or again and again.
type watching struct {
	rates, watch bool
	within       duration
	every        duration
	rounds       count // 0: until it is interrupted
}

// watched is what one round of a watching shows.
type watched struct {
	Time   time.Time `json:"time"`
	Counts any       `json:"stats"`
	Rates  []figure  `json:"rates"`
}

func (s *session) runStats(ctx context.Context, t symphony.Transport, w *watching) error {
	for round := 1; ; round++ {
		c, err := powerOf[monitor.Counter](s, t, "count messages")
		if err != nil {
			return err
		}
		counts, err := c.Counts(ctx)
		if err != nil {
			return err
		}
		var rates []figure
		if w.rates || w.watch {
			if rates, err = s.figures(ctx, t, time.Duration(w.within)); err != nil {
				return err
			}
		}
		switch {
		case w.watch:
			err = s.showRound(counts, rates)
		case w.rates:
			err = list(s, rates, func() table { return figureTable(rates) })
		default:
			err = s.showCounts(counts)
		}
		if err != nil || !w.watch || round == int(w.rounds) {
			return err
		}
		timer := time.NewTimer(time.Duration(w.every))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

func (s *session) showRound(counts monitor.Counts, rates []figure) error {
	return s.show(watched{time.Now().UTC(), counted(counts), rates}, func(w io.Writer) {
		if isTerminal(w) {
			fmt.Fprint(w, "\x1b[H\x1b[2J")
		}
		fmt.Fprintf(w, "%s, the longest waiting message has been due for %v\n\n", moment(time.Now()), counts.OldestReady.Round(time.Millisecond))
		s.write(countTable(counts.Counts))
		fmt.Fprintln(w)
		s.write(figureTable(rates))
		fmt.Fprintln(w)
	})
}
