package cli

import (
	"cmp"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony/monitor"
)

func (s *session) stats() *cobra.Command {
	return &cobra.Command{
		Use:     "stats",
		Aliases: []string{"messenger:stats"},
		Short:   "Count messages by queue, type and state",
		Long: `Count messages by queue, type and state.

Pending, scheduled, processing and failed ones (dead letters) are those that
there are now; completed, cancelled and expired ones are all that there ever were.`,
		Args: s.arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withPower(cmd.Context(), s, "count messages", func(c monitor.Counter) error {
				counts, err := c.Counts(cmd.Context())
				if err != nil {
					return err
				}
				return s.showCounts(counts)
			})
		},
	}
}

func (s *session) showCounts(c monitor.Counts) error {
	if s.output == formatLines {
		return list(s, c.Counts, nil)
	}
	shown := struct {
		Counts      []monitor.Count `json:"counts"`
		NoHandler   []monitor.Count `json:"no_handler,omitempty"`
		OldestReady float64         `json:"oldest_ready_seconds"`
	}{c.Counts, c.NoHandler, c.OldestReady.Seconds()}
	if shown.Counts == nil {
		shown.Counts = []monitor.Count{}
	}
	return s.show(shown, func(io.Writer) {
		s.write(countTable(c.Counts))
		for _, n := range c.NoHandler {
			s.note("no handler: %d messages of type %s in queue %s wait for a worker that has one", n.N, n.Type, n.Queue)
		}
		if c.OldestReady > 0 {
			s.note("the longest waiting message has been due for %v", c.OldestReady.Round(time.Millisecond))
		}
	})
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
