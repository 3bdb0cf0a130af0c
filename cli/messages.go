package cli

import (
	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func (s *session) messages() *cobra.Command {
	return s.group("messages", "Look at messages and change them", "",
		s.messagesList(), s.messagesShow(), s.messagesCancel(), s.messagesReschedule(), s.messagesPriority(), s.failedRetry("retry [ID…]"))
}

func (s *session) messagesShow() *cobra.Command {
	var related bool
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show one message, in whatever state",
		Long: `Show one message, in whatever state: live, a dead letter, or ended, as long as
the store keeps its history.

In JSON the body is in "body" when it is JSON, and else in "body_base64".`,
		Args: s.arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := symphony.ParseID(args[0])
			if err != nil {
				return err
			}
			return s.withStore(cmd.Context(), func(t symphony.Transport) error {
				f, err := powerOf[monitor.Finder](s, t, "show messages")
				if err != nil {
					return err
				}
				r, err := f.Find(cmd.Context(), id)
				if err != nil {
					return err
				}
				if related {
					l, err := powerOf[monitor.Lister](s, t, "search messages")
					if err != nil {
						return err
					}
					return s.related(cmd, l, r)
				}
				m := newMessage(r)
				return s.show(m, m.write)
			})
		},
	}
	c.Flags().BoolVar(&related, "related", false, "list its conversation instead: the first message and all that followed from it")
	return c
}
