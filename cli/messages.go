package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func (s *session) messages() *cobra.Command {
	show := &cobra.Command{
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
			return withPower(cmd.Context(), s, "show messages", func(f monitor.Finder) error {
				r, err := f.Find(cmd.Context(), id)
				if err != nil {
					return err
				}
				m := newMessage(r)
				return s.show(m, m.write)
			})
		},
	}
	cancel := &cobra.Command{
		Use:   "cancel ID",
		Short: "Cancel a message",
		Long: `Cancel a message. One that waits ends at once as cancelled. One that is being
handled is marked: its worker learns it with its next heartbeat and ends the
handler's context; if the handler then succeeds all the same, the message is
completed.`,
		Args: s.arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := symphony.ParseID(args[0])
			if err != nil {
				return err
			}
			return withPower(cmd.Context(), s, "cancel messages", func(c monitor.Canceller) error {
				r, err := c.Cancel(cmd.Context(), id)
				if err != nil {
					return err
				}
				return s.show(newMessage(r), func(w io.Writer) {
					if r.Status == monitor.Cancelled {
						fmt.Fprintf(w, "%s is cancelled\n", id)
						return
					}
					fmt.Fprintf(w, "%s is being handled by %s, which has been told\n", id, r.LockedBy)
				})
			})
		},
	}
	return s.group("messages", "Look at single messages and cancel them", "", show, cancel)
}
