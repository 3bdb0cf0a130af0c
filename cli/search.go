package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// A choice chooses messages in any state.
type choice struct {
	statuses                                 []string
	queue, typ, subscriber, tag, text, body  string
	conversation, reason, class, fingerprint string
	since, until                             past
	all                                      bool
}

func (c *choice) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&c.statuses, "status", nil, "only in this state, such as pending; several with commas")
	f.StringVar(&c.queue, "queue", "", "only of this queue")
	f.StringVar(&c.typ, "type", "", "only of this message type")
	f.StringVar(&c.subscriber, "subscriber", "", "only copies of this subscriber")
	f.StringVar(&c.tag, "tag", "", "only with this tag")
	f.StringVar(&c.text, "error", "", "only with this in the last error")
	f.StringVar(&c.body, "body", "", "only with a value in a JSON body: user.id=42 or items[0].sku=a")
	f.StringVar(&c.conversation, "conversation", "", "only the message with this id and those that followed from it")
	f.StringVar(&c.reason, "reason", "", "only dead letters with this reason, such as exhausted or unknown_type")
	f.StringVar(&c.class, "class", "", "only with this class of error")
	f.StringVar(&c.fingerprint, "fingerprint", "", "only dead letters that failed alike")
	f.Var(&c.since, "since", "only accepted since (RFC 3339, or how long ago: 90m)")
	f.Var(&c.until, "until", "only accepted before (RFC 3339, or how long ago: 90m)")
	f.SetNormalizeFunc(symfonyFlags)
}

func (c *choice) search(s *session) (m monitor.Search, err error) {
	m = monitor.Search{
		Queue: c.queue, Type: c.typ, Subscriber: c.subscriber, Tag: c.tag, Error: c.text, Reason: symphony.Reason(c.reason),
		Class: c.class, Fingerprint: c.fingerprint, Since: c.since.Time, Until: c.until.Time,
	}
	for _, status := range c.statuses {
		m.Statuses = append(m.Statuses, monitor.Status(status))
	}
	if c.body != "" {
		var ok bool
		if m.Body.Path, m.Body.Value, ok = strings.Cut(c.body, "="); !ok {
			return m, s.usage("write it as --body user.id=42", "the condition %.80q has no value", c.body)
		}
	}
	if c.conversation != "" {
		if m.Conversation, err = symphony.ParseID(c.conversation); err != nil {
			return m, err
		}
	}
	return m, m.Check()
}

// chooses reports whether anything was asked for.
func (c *choice) chooses() bool {
	return c.all || len(c.statuses) > 0 || !c.since.IsZero() || !c.until.IsZero() ||
		c.queue+c.typ+c.subscriber+c.tag+c.text+c.body+c.conversation+c.reason+c.class+c.fingerprint != ""
}

func (s *session) messagesList() *cobra.Command {
	var c choice
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
