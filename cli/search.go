package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func (s *session) messagesList() *cobra.Command {
	var c messageChoice
	var oldest bool
	var cursor string
	limit := count(50)
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"search"},
		Short:   "List messages in any state, or search them",
		Long: `List messages in any state, the latest first. With flags it searches: all of them
must match. The store is read page by page until there are as many as --limit
says, or nothing is left; the page after that begins at --cursor.`,
		Args: s.arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			search, err := c.search(s)
			if err != nil {
				return err
			}
			search.Oldest, search.Cursor = oldest, cursor
			return withPower(cmd.Context(), s, "search messages", func(l monitor.Lister) error {
				return s.runList(cmd, l, search, int(limit))
			})
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&oldest, "oldest", false, "the oldest first")
	f.Var(&limit, "limit", "at most so many")
	f.StringVar(&cursor, "cursor", "", "go on where a list before has ended")
	return cmd
}

func (s *session) runList(cmd *cobra.Command, l monitor.Lister, search monitor.Search, limit int) error {
	return s.listPages(limit, search.Cursor, messageTable, func(limit int, cursor string) (monitor.Page, error) {
		search.Limit, search.Cursor = limit, cursor
		return l.Messages(cmd.Context(), search)
	})
}

// listPages shows what pages have, until there are as many as wanted.
func (s *session) listPages(limit int, cursor string, show func([]monitor.Record) table, read func(limit int, cursor string) (monitor.Page, error)) error {
	var found []monitor.Record
	p := s.progress("searching")
	for {
		page, err := read(limit-len(found), cursor)
		if err != nil {
			p.end()
			return err
		}
		p.add(int64(page.Read), 0)
		found = append(found, page.Records...)
		if cursor = page.Cursor; cursor == "" || len(found) >= limit {
			break
		}
	}
	p.end()
	if err := list(s, newMessages(found), func() table { return show(found) }); err != nil {
		return err
	}
	if cursor != "" {
		s.note("there may be more: --cursor %s", cursor)
	}
	return nil
}

func messageTable(rs []monitor.Record) table {
	t := table{{"ID", "TYPE", "QUEUE", "STATUS", "PRIORITY", "CREATED", "AVAILABLE", "ATTEMPTS", "ERROR"}}
	for _, r := range rs {
		status := string(r.Status)
		if r.WaitingFor != "" {
			status += " (" + r.WaitingFor + ")"
		}
		t = append(t, []string{
			r.ID.String(), r.Type, r.Queue, status, fmt.Sprint(r.Priority), moment(r.CreatedAt), moment(r.AvailableAt), fmt.Sprint(attempts(r)), cut(r.LastError, 60),
		})
	}
	return t
}

// related lists the conversation that a message belongs to.
func (s *session) related(cmd *cobra.Command, l monitor.Lister, r monitor.Record) error {
	first := r.ID
	if text := r.Headers[symphony.HeaderCorrelation]; text != "" {
		id, err := symphony.ParseID(text)
		if err != nil {
			return err
		}
		first = id
	}
	return s.runList(cmd, l, monitor.Search{Conversation: first, Oldest: true}, 1000)
}
