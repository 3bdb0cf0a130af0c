package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// A choice is the flags that choose messages, as far as they are the same for dead letters and for messages in any state.
type choice struct {
	typ, queue, reason, class, fingerprint string
	since, until                           past
	all                                    bool
}

// flags adds them to a command; since and until are about when that happened.
func (c *choice) flags(cmd *cobra.Command, happened string) {
	f := cmd.Flags()
	f.StringVar(&c.typ, "type", "", "only of this message type")
	f.StringVar(&c.queue, "queue", "", "only of this queue")
	f.StringVar(&c.reason, "reason", "", "only dead letters with this reason, such as exhausted, permanent or unknown_type")
	f.StringVar(&c.class, "class", "", "only with this class of error")
	f.StringVar(&c.fingerprint, "fingerprint", "", "only dead letters that failed alike, see failed groups")
	f.Var(&c.since, "since", "only "+happened+" since (RFC 3339, or how long ago: 90m)")
	f.Var(&c.until, "until", "only "+happened+" before (RFC 3339, or how long ago: 90m)")
	f.SetNormalizeFunc(symfonyFlags)
}

// chooses reports whether anything was asked for.
func (c *choice) chooses() bool {
	return c.all || !c.since.IsZero() || !c.until.IsZero() || c.typ+c.queue+c.reason+c.class+c.fingerprint != ""
}

// symfonyFlags makes the flags of Symfony's commands ours.
func symfonyFlags(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	switch name {
	case "class-filter":
		name = "class"
	case "max":
		name = "limit"
	case "force":
		name = "yes"
	case "failed-after":
		name = "since"
	case "failed-before":
		name = "until"
	}
	return pflag.NormalizedName(name)
}

// A letterChoice chooses dead letters.
type letterChoice struct {
	choice
	limit  count
	cursor string
}

func (c *letterChoice) flags(cmd *cobra.Command) {
	c.choice.flags(cmd, "failed")
	cmd.Flags().Var(&c.limit, "limit", "at most so many")
}

func (c *letterChoice) filter() monitor.Filter {
	return monitor.Filter{
		Type: c.typ, Queue: c.queue, Reason: symphony.Reason(c.reason), Class: c.class, Fingerprint: c.fingerprint,
		Since: c.since.Time, Until: c.until.Time, Limit: int(c.limit), Cursor: c.cursor,
	}
}

// A messageChoice chooses messages in any state.
type messageChoice struct {
	choice
	statuses                                  []string
	subscriber, tag, text, body, conversation string
}

func (c *messageChoice) flags(cmd *cobra.Command) {
	c.choice.flags(cmd, "accepted")
	f := cmd.Flags()
	f.StringSliceVar(&c.statuses, "status", nil, "only in this state, such as pending; several with commas")
	f.StringVar(&c.subscriber, "subscriber", "", "only copies of this subscriber")
	f.StringVar(&c.tag, "tag", "", "only with this tag")
	f.StringVar(&c.text, "error", "", "only with this in the last error")
	f.StringVar(&c.body, "body", "", "only with a value in a JSON body: user.id=42 or items[0].sku=a")
	f.StringVar(&c.conversation, "conversation", "", "only the message with this id and those that followed from it")
}

func (c *messageChoice) chooses() bool {
	return c.choice.chooses() || len(c.statuses) > 0 || c.subscriber+c.tag+c.text+c.body+c.conversation != ""
}

func (c *messageChoice) search(s *session) (m monitor.Search, err error) {
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
