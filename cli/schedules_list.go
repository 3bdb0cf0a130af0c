package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/schedule"
	"github.com/symphony-messenger/symphony/schedule/cron"
)

func (s *session) schedulesList() *cobra.Command {
	var q schedule.Query
	limit := count(100)
	c := &cobra.Command{
		Use: "list", Short: "List schedules by name, with their next runs", Args: s.arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			q.Limit = int(limit)
			return s.withSchedules(cmd.Context(), func(m *schedule.Manager) error {
				all, err := m.List(cmd.Context(), q)
				if err != nil {
					return err
				}
				if len(all) == q.Limit {
					s.note("there may be more: go on with --after %s", all[len(all)-1].Name)
				}
				return list(s, all, func() table { return schedulesTable(all, time.Now()) })
			})
		},
	}
	f := c.Flags()
	f.StringVar(&q.Owner, "owner", "", "only of this owner")
	f.StringVar(&q.Type, "type", "", "only of this message type")
	f.StringVar(&q.Tag, "tag", "", "only with this tag on their messages")
	f.StringVar(&q.After, "after", "", "continue after this name")
	f.BoolVar(&q.Dropped, "dropped", false, "also those that their owners declare no more")
	f.Var(&limit, "limit", "at most so many")
	return c
}

func schedulesTable(all []schedule.Entry, now time.Time) table {
	t := table{{"NAME", "STATE", "NEXT RUN", "AT", "LAST RUN", "RUNS", "MISSED", "WHEN", "TYPE", "OWNER"}}
	for i := range all {
		e := &all[i]
		t = append(t, []string{
			e.Name, string(e.State()), nextText(e, now), clockOf(e, e.NextRunAt), until(e.LastRunAt, now), strconv.FormatInt(e.RunCount, 10),
			strconv.FormatInt(e.MissedCount, 10), cut(whenText(e), 40), e.Message.Type, e.Owner,
		})
	}
	return t
}

// nextText is when e runs next, in words.
func nextText(e *schedule.Entry, now time.Time) string {
	switch {
	case e.State() != schedule.Active:
		return "–"
	case e.NextRunAt.Before(now):
		return "due since " + about(now.Sub(e.NextRunAt))
	}
	return until(e.NextRunAt, now)
}

// A scheduleView is a schedule as show prints it.
type scheduleView struct {
	Schedule schedule.Entry  `json:"schedule"`
	Next     []time.Time     `json:"next"`
	Ticks    []schedule.Tick `json:"ticks"`
}

func (s *session) schedulesShow() *cobra.Command {
	next, ticks := count(5), count(10)
	c := &cobra.Command{
		Use: "show NAME", Short: "Show one schedule, its next runs, and what became of the last ones", Args: s.arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.withSchedules(cmd.Context(), func(m *schedule.Manager) error {
				e, err := m.Find(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				v := scheduleView{Schedule: e, Next: []time.Time{}, Ticks: []schedule.Tick{}}
				if e.State() == schedule.Active {
					v.Next = upcoming(&e, int(next))
				}
				if v.Ticks, err = m.Ticks(cmd.Context(), schedule.TickQuery{Schedule: e.Name, Limit: int(ticks)}); err != nil {
					return err
				}
				return s.show(v, func(w io.Writer) { v.write(s, w) })
			})
		},
	}
	c.Flags().Var(&next, "next", "how many of the next runs to show")
	c.Flags().Var(&ticks, "ticks", "how many of the last ticks to show")
	return c
}

// upcoming are the next runs of e. The trigger of one in Go is not known here.
func upcoming(e *schedule.Entry, n int) []time.Time {
	if e.NextRunAt.IsZero() {
		return nil
	}
	first := []time.Time{e.NextRunAt}
	more, err := e.Next(e.NextRunAt, min(n, mostRuns)-1)
	if err != nil {
		return first
	}
	return append(first, more...)
}

func (v *scheduleView) write(s *session, w io.Writer) {
	e, now := &v.Schedule, time.Now()
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%-13s %s\n", name+":", line(value))
		}
	}
	duration := func(d time.Duration) string {
		if d == 0 {
			return ""
		}
		return d.String()
	}
	field("name", e.Name)
	field("state", string(e.State()))
	field("owner", e.Owner)
	field("when", whenText(e))
	if c, err := cron.Parse(e.Expression, cron.Seed(e.Name)); e.Kind == schedule.KindCron && err == nil {
		field("in words", c.Describe())
	}
	field("message", e.Message.Type)
	field("queue", e.Message.Queue)
	field("priority", strconv.Itoa(e.Message.Priority))
	field("tags", strings.Join(e.Message.Tags, ", "))
	field("missed", string(e.Missed))
	field("window", duration(e.Window))
	field("overlap", string(e.Overlap))
	field("jitter", duration(e.Jitter))
	field("from", clockOf(e, e.From))
	field("until", clockOf(e, e.Until))
	for _, p := range e.Exclude {
		field("excluded", clockOf(e, p.From)+" to "+clockOf(e, p.Until))
	}
	runs := strconv.FormatInt(e.RunCount, 10)
	if e.MaxRuns > 0 {
		runs += " of " + strconv.FormatInt(e.MaxRuns, 10)
	}
	field("runs", fmt.Sprintf("%s, %d missed, %d skipped", runs, e.MissedCount, e.SkippedCount))
	field("last tick", clockOf(e, e.LastTickAt))
	field("edited", moment(e.EditedAt))
	field("dropped", moment(e.DroppedAt))
	field("error", e.LastError)
	if len(v.Next) > 0 {
		fmt.Fprintln(w)
		t := table{{"NEXT RUN", "ON THE CLOCK THERE"}}
		for _, at := range v.Next {
			t = append(t, []string{until(at, now), clockOf(e, at)})
		}
		s.write(t)
	}
	if len(v.Ticks) > 0 {
		fmt.Fprintln(w)
		s.write(ticksTable(v.Ticks))
	}
	if len(e.Message.Body) > 0 {
		fmt.Fprintf(w, "\n%s\n", cut(string(e.Message.Body), 2000))
	}
}

func ticksTable(ticks []schedule.Tick) table {
	t := table{{"TICK", "OUTCOME", "LAG", "MESSAGES"}}
	for _, tick := range ticks {
		outcome, lag := string(tick.Outcome), ""
		if tick.Backfill {
			outcome += ", backfill"
		} else if tick.Outcome == schedule.TickFired {
			lag = tick.Lag().Round(time.Millisecond).String()
		}
		if tick.Runs > 1 {
			outcome += fmt.Sprintf(" ×%d, to %s", tick.Runs, moment(tick.Until))
		}
		t = append(t, []string{moment(tick.At), outcome, lag, strings.Join(texts(tick.Messages), " ")})
	}
	return t
}

func texts(ids []symphony.ID) []string {
	all := make([]string, len(ids))
	for i, id := range ids {
		all[i] = id.String()
	}
	return all
}
