package cli

import (
	"cmp"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func (s *session) stats() *cobra.Command {
	w := watching{within: duration(5 * time.Minute), every: duration(2 * time.Second)}
	c := &cobra.Command{
		Use:     "stats",
		Aliases: []string{"messenger:stats"},
		Short:   "Count messages by queue, type and state, and say how fast they are handled",
		Long: `Count messages by queue, type and state, exactly.

Pending, scheduled, processing and failed ones (dead letters) are those that
there are now; completed, cancelled and expired ones are all that there ever were.

With --rates: how many messages of each queue and type were done in a minute,
and how long they waited and ran, as workers have reported within the last
minutes. With --watch both, again and again.`,
		Args: s.arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if w.within < duration(time.Minute) || w.within > duration(monitor.KeepMinutes) || w.every <= 0 {
				return s.usage("", "--within must be between 1m and %v, and --every more than zero", monitor.KeepMinutes)
			}
			return s.withStore(cmd.Context(), func(t symphony.Transport) error { return s.runStats(cmd.Context(), t, &w) })
		},
	}
	f := c.Flags()
	f.BoolVar(&w.rates, "rates", false, "say how fast messages are handled")
	f.BoolVar(&w.watch, "watch", false, "show both until interrupted")
	f.Var(&w.within, "within", "what counts as lately")
	f.Var(&w.every, "every", "how often --watch looks")
	f.Var(&w.rounds, "rounds", "how many times --watch looks (default: until interrupted)")
	return c
}

func (s *session) showCounts(c monitor.Counts) error {
	if s.output == formatLines {
		return list(s, c.Counts, nil)
	}
	return s.show(counted(c), func(io.Writer) {
		s.write(countTable(c.Counts))
		for _, n := range c.NoHandler {
			s.note("no handler: %d messages of type %s in queue %s wait for a worker that has one", n.N, n.Type, n.Queue)
		}
		if c.OldestReady > 0 {
			s.note("the longest waiting message has been due for %v", c.OldestReady.Round(time.Millisecond))
		}
	})
}

// counted is what JSON shows of counts.
func counted(c monitor.Counts) any {
	if c.Counts == nil {
		c.Counts = []monitor.Count{}
	}
	return struct {
		Counts      []monitor.Count `json:"counts"`
		NoHandler   []monitor.Count `json:"no_handler,omitempty"`
		OldestReady float64         `json:"oldest_ready_seconds"`
	}{c.Counts, c.NoHandler, c.OldestReady.Seconds()}
}

// countTable has a row for each queue and type, and a column for each state.
func countTable(counts []monitor.Count) table {
	type row struct{ queue, typ string }
	cells := make(map[row]map[monitor.Status]int64)
	var order []row
	for _, c := range counts {
		r := row{c.Queue, c.Type}
		if cells[r] == nil {
			cells[r] = make(map[monitor.Status]int64)
			order = append(order, r)
		}
		cells[r][c.Status] += c.N
	}
	slices.SortFunc(order, func(a, b row) int { return cmp.Or(cmp.Compare(a.queue, b.queue), cmp.Compare(a.typ, b.typ)) })
	head := []string{"QUEUE", "TYPE"}
	for _, status := range monitor.Statuses() {
		head = append(head, string(status))
	}
	t := table{head}
	for _, r := range order {
		line := []string{r.queue, r.typ}
		for _, status := range monitor.Statuses() {
			line = append(line, strconv.FormatInt(cells[r][status], 10))
		}
		t = append(t, line)
	}
	return t
}
