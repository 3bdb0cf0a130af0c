package cli

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func (s *session) failedGroups(use string) *cobra.Command {
	var chosen letterChoice
	c := &cobra.Command{
		Use:   use,
		Short: "List dead letters by what they failed of, the most frequent first",
		Args:  s.arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withPower(cmd.Context(), s, "group dead letters", func(g monitor.Grouper) error {
				p := s.progress("dead letters")
				var groups []monitor.FailedGroup
				for f := chosen.filter(); ; {
					page, err := g.FailedGroups(cmd.Context(), f)
					if err != nil {
						p.end()
						return err
					}
					groups = monitor.MergeGroups(groups, page.Groups)
					p.add(int64(page.Read), 0)
					if f.Cursor = page.Cursor; f.Cursor == "" {
						break
					}
				}
				p.end()
				if chosen.fingerprint != "" {
					groups = slices.DeleteFunc(groups, func(g monitor.FailedGroup) bool { return g.Fingerprint != chosen.fingerprint })
				}
				if chosen.limit > 0 {
					groups = groups[:min(len(groups), int(chosen.limit))]
				}
				return list(s, groups, func() table { return groupTable(groups) })
			})
		},
	}
	chosen.flags(c)
	return c
}

func groupTable(groups []monitor.FailedGroup) table {
	t := table{{"COUNT", "TYPE", "CLASS", "FIRST", "LAST", "SAMPLE", "FINGERPRINT", "ERROR"}}
	for _, g := range groups {
		t = append(t, []string{
			strconv.FormatInt(g.Count, 10), g.Type, g.Class, moment(g.First), moment(g.Last), g.Sample.String(), g.Fingerprint, cut(g.Error, 60),
		})
	}
	return t
}

func (s *session) failedEdit(use string) *cobra.Command {
	var contentType string
	c := &cobra.Command{
		Use:   use,
		Short: "Retry a dead letter with another body",
		Long: `Retry a dead letter with another body: text, @FILE, or - for standard input.
Nothing else of it changes but, with --content-type, that. A body that is not
what its content type says is refused.`,
		Args: s.arguments(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := symphony.ParseID(args[0])
			if err != nil {
				return err
			}
			body, err := s.body(args[1:], true)
			if err != nil {
				return err
			}
			return withPower(cmd.Context(), s, "edit dead letters", func(e monitor.Editor) error {
				if err := e.RetryEdited(cmd.Context(), id, monitor.Edit{Body: body, ContentType: contentType}); err != nil {
					return err
				}
				return s.show(result{ID: id, Result: "retried"}, func(w io.Writer) { fmt.Fprintf(w, "%s is retried\n", id) })
			})
		},
	}
	c.Flags().StringVar(&contentType, "content-type", "", "of the new body (default: as it was)")
	return c
}
