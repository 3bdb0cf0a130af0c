package cli

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func (s *session) failed() *cobra.Command {
	return s.group("failed", "Look at dead letters, retry, edit and discard them", `
A dead letter is a message that no attempt could handle. It is kept whole until
somebody retries or discards it.`,
		s.failedList("list"), s.failedGroups("groups"), s.failedShow("show ID"), s.failedEdit("edit ID BODY"), s.failedRetry("retry [ID…]"), s.failedDiscard("discard [ID…]"))
}

// symfonyNames are the commands under the names that users of Symfony look for.
func (s *session) symfonyNames() []*cobra.Command {
	show := s.failedList("messenger:failed:show [ID]")
	byFilter, one := show.RunE, s.failedShow("show").RunE
	show.Args = s.arguments(0, 1)
	show.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return one(cmd, args)
		}
		return byFilter(cmd, args)
	}
	all := []*cobra.Command{show, s.failedRetry("messenger:failed:retry [ID…]"), s.failedDiscard("messenger:failed:remove [ID…]"), s.migrateUpCommand("messenger:setup-transports")}
	for _, c := range all {
		c.Hidden = true
	}
	return all
}

func (s *session) failedList(use string) *cobra.Command {
	var chosen letterChoice
	c := &cobra.Command{
		Use:   use,
		Short: "List dead letters, the latest first",
		Long: `List dead letters, the one that failed last first. The store is read page by page
until there are as many as --limit says, or nothing is left; the page after that
begins at --cursor.`,
		Args: s.arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withPower(cmd.Context(), s, "list dead letters", func(d monitor.DeadLetters) error {
				return s.listPages(int(chosen.limit), chosen.cursor, failedTable, func(limit int, cursor string) (monitor.Page, error) {
					f := chosen.filter()
					f.Limit, f.Cursor = limit, cursor
					return d.Failed(cmd.Context(), f)
				})
			})
		},
	}
	chosen.limit = 50
	chosen.flags(c)
	c.Flags().StringVar(&chosen.cursor, "cursor", "", "go on where a list before has ended")
	return c
}

func failedTable(rs []monitor.Record) table {
	t := table{{"ID", "TYPE", "QUEUE", "FAILED", "REASON", "ATTEMPTS", "ERROR"}}
	for _, r := range rs {
		t = append(t, []string{
			r.ID.String(), r.Type, r.Queue, moment(r.FinishedAt), string(r.Reason), strconv.Itoa(attempts(r)), cut(r.LastError, 80),
		})
	}
	return t
}

// attempts counts the failures of a dead letter; some of them may no longer be kept.
func attempts(r monitor.Record) int {
	if n := len(r.Attempts); n > 0 {
		return r.Attempts[n-1].Number
	}
	return r.RetryCount
}

func (s *session) failedShow(use string) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: "Show one dead letter with its failed attempts",
		Args:  s.arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := symphony.ParseID(args[0])
			if err != nil {
				return err
			}
			return withPower(cmd.Context(), s, "list dead letters", func(d monitor.DeadLetters) error {
				page, err := d.Failed(cmd.Context(), monitor.Filter{IDs: []symphony.ID{id}})
				if err != nil {
					return err
				}
				if len(page.Records) == 0 {
					return &failure{
						ExitNotFound, fmt.Sprintf("`%s messages show %s` finds it in any state", s.opts.Name, id),
						fmt.Errorf("no dead letter %s: %w", id, monitor.ErrNotFound),
					}
				}
				m := newMessage(page.Records[0])
				return s.show(m, m.write)
			})
		},
	}
}

func (s *session) failedRetry(use string) *cobra.Command {
	return s.repair(use, repair{
		verb: "retry", done: "retried",
		short: "Put dead letters back into their queues",
		long: `Put dead letters back into their queues, with no failures counted. Give their
ids, or choose them with filters or --all; what has been chosen that way is
counted and confirmed first.`,
		do: func(d monitor.DeadLetters) work { return d.RetryFailed },
	})
}

func (s *session) failedDiscard(use string) *cobra.Command {
	return s.repair(use, repair{
		verb: "discard", done: "discarded", destroys: true,
		short: "Delete dead letters for good",
		long: `Delete dead letters for good, and free their idempotency keys. Give their ids, or
choose them with filters or --all. They are counted and confirmed first.`,
		do: func(d monitor.DeadLetters) work { return d.DiscardFailed },
	})
}

// A result is what became of one message of a bulk.
type result struct {
	ID     symphony.ID `json:"id"`
	Result string      `json:"result"`
	Error  string      `json:"error,omitempty"`
}

func resultTable(rs []result) table {
	t := table{{"ID", "RESULT", "ERROR"}}
	for _, r := range rs {
		t = append(t, []string{r.ID.String(), r.Result, r.Error})
	}
	return t
}

// outcome is the error of a bulk: nil when all went well, that of all when they agree, else partial.
func (s *session) outcome(verb string, errs []error) error {
	var first error
	bad, codes := 0, make(map[int]bool)
	for _, err := range errs {
		if err == nil {
			continue
		}
		if bad++; first == nil {
			first = err
		}
		code, _ := s.judge(err)
		codes[code] = true
	}
	switch {
	case bad == 0:
		return nil
	case bad == 1 && len(errs) == 1:
		return first
	case bad < len(errs):
		return &failure{ExitPartial, "", fmt.Errorf("%d of %d could not be %s: %w", bad, len(errs), verb, first)}
	case len(codes) == 1:
		return fmt.Errorf("none of %d could be %s: %w", bad, verb, first)
	}
	return &failure{ExitFailure, "", fmt.Errorf("none of %d could be %s: %w", bad, verb, errors.Join(errs...))}
}
