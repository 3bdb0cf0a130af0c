package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// A change is a command that changes live messages: those that are named, or all that flags choose.
type change struct {
	action           monitor.Action
	verb, done       string
	use, short, long string
	first            int // arguments before the ids
	one              func(cmd *cobra.Command, t symphony.Transport, id symphony.ID) error
	flags            func(c *cobra.Command)
	prepare          func(b *monitor.Bulk, args []string) error
	do               func(ctx context.Context, c monitor.Changer, b *monitor.Bulk, ids []symphony.ID) ([]error, error)
	choice           messageChoice
	yes, dryRun      bool
}

func (s *session) change(c *change) *cobra.Command {
	cmd := &cobra.Command{
		Use: c.use, Short: c.short, Long: c.long, Args: s.arguments(c.first, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b := monitor.Bulk{Action: c.action, By: s.opts.Name}
			if c.prepare != nil {
				if err := c.prepare(&b, args[:c.first]); err != nil {
					return err
				}
			}
			ids, err := s.parseIDs(args[c.first:])
			if err != nil {
				return err
			}
			if (len(ids) > 0) == c.choice.chooses() {
				return s.usage("give ids, or flags such as --type, or --all", "which messages? There must be ids or a choice, not both")
			}
			if b.Search, err = c.choice.search(s); err != nil {
				return err
			}
			if err := b.Check(); err != nil {
				return err
			}
			return s.withStore(cmd.Context(), func(t symphony.Transport) error {
				switch {
				case len(ids) == 0:
					return s.runBulk(cmd.Context(), c, t, b)
				case len(ids) == 1 && c.one != nil && !c.dryRun:
					return c.one(cmd, t, ids[0])
				}
				return s.changeNamed(cmd.Context(), c, t, &b, ids)
			})
		},
	}
	c.choice.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&c.choice.all, "all", false, "all that can be")
	f.BoolVarP(&c.yes, "yes", "y", false, "do not ask")
	f.BoolVar(&c.dryRun, "dry-run", false, "say which ones, and change nothing")
	if c.flags != nil {
		c.flags(cmd)
	}
	return cmd
}

// powerOf finds an optional interface of a transport.
func powerOf[T any](s *session, t symphony.Transport, what string) (T, error) {
	power, ok := symphony.As[T](t)
	if !ok {
		return power, s.usage("", "this store cannot %s: %w", what, symphony.ErrUnsupported)
	}
	return power, nil
}

func (s *session) changeNamed(ctx context.Context, c *change, t symphony.Transport, b *monitor.Bulk, ids []symphony.ID) error {
	changer, err := powerOf[monitor.Changer](s, t, c.verb+" messages")
	if err != nil {
		return err
	}
	word := c.done
	var errs []error
	if c.dryRun {
		word = "would be " + c.done
		if errs, err = s.tryNamed(ctx, c, t, ids); err != nil {
			return err
		}
	} else if errs, err = c.do(ctx, changer, b, ids); err != nil {
		return err
	}
	results := make([]result, len(ids))
	for i, id := range ids {
		results[i] = s.result(id, word, errs[i])
	}
	if err := list(s, results, func() table { return resultTable(results) }); err != nil {
		return err
	}
	return s.outcome(c.done, errs)
}

// tryNamed returns for each message nil when it is in a state in which it could be changed now.
func (s *session) tryNamed(ctx context.Context, c *change, t symphony.Transport, ids []symphony.ID) ([]error, error) {
	finder, err := powerOf[monitor.Finder](s, t, "show messages")
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(ids))
	for i, id := range ids {
		r, err := finder.Find(ctx, id)
		switch {
		case errors.Is(err, monitor.ErrNotFound), err == nil && !c.action.Changes(r.Status):
			errs[i] = fmt.Errorf("message %s: %w", id, monitor.ErrNotFound)
		case err != nil:
			return nil, err
		}
	}
	return errs, nil
}

func (s *session) runBulk(ctx context.Context, c *change, t symphony.Transport, b monitor.Bulk) error {
	if c.dryRun {
		return s.tryBulk(ctx, c, t, b.Search)
	}
	counter, err := powerOf[monitor.Counter](s, t, "count messages")
	if err != nil {
		return err
	}
	counts, err := counter.Counts(ctx)
	if err != nil {
		return err
	}
	most := counts.AtMost(&b.Search)
	if most == 0 { // nothing to store a bulk for
		s.note("no message matches")
		if s.output == formatTable {
			return nil
		}
		b.State = monitor.BulkDone
		return s.encode(b)
	}
	if !c.yes {
		if err := s.confirm(fmt.Sprintf("%s up to %d message%s", c.verb, most, plural(int(most)))); err != nil {
			return err
		}
	}
	return s.runStored(ctx, t, b)
}

// runStored runs a bulk, a new one or one of the store, and shows how far it is.
func (s *session) runStored(ctx context.Context, t symphony.Transport, b monitor.Bulk) error {
	p := s.progress("messages")
	var last monitor.Bulk
	var broken error
	b, err := monitor.RunBulk(ctx, t, b, func(b monitor.Bulk) {
		last = b
		p.set(b.Done+b.Refused, b.AtMost)
		if s.output == formatLines {
			broken = s.encode(b)
		}
	})
	p.end()
	if err != nil {
		if last.Done > 0 {
			return &failure{ExitPartial, fmt.Sprintf("go on with `%s bulks resume %s`, in a minute at the earliest", s.opts.Name, last.ID), err}
		}
		return err
	}
	if broken != nil {
		return broken
	}
	if s.output != formatLines {
		if err := s.show(b, func(w io.Writer) { fmt.Fprintln(w, bulkText(b)) }); err != nil {
			return err
		}
	}
	switch {
	case b.State == monitor.BulkAborted:
		return &failure{ExitPartial, "", fmt.Errorf("somebody has aborted it, %d done", b.Done)}
	case b.Refused > 0 && b.Done > 0:
		return &failure{ExitPartial, "", fmt.Errorf("%d of %d could not be changed: %s", b.Refused, b.Refused+b.Done, b.Error)}
	case b.Refused > 0:
		return fmt.Errorf("none of %d could be changed: %s", b.Refused, b.Error)
	}
	return nil
}

func bulkText(b monitor.Bulk) string {
	text := fmt.Sprintf("%s: %s, %d done", b.Action, b.State, b.Done)
	if b.Refused > 0 {
		text += fmt.Sprintf(", %d refused", b.Refused)
	}
	return text
}

// tryBulk lists what a bulk would change.
func (s *session) tryBulk(ctx context.Context, c *change, t symphony.Transport, search monitor.Search) error {
	lister, err := powerOf[monitor.Lister](s, t, "search messages")
	if err != nil {
		return err
	}
	p := s.progress("searching")
	out, n := parts[result]{s: s, rows: resultTable}, 0
	search.Limit = 1000
	err = monitor.All(ctx, lister, search, func(page monitor.Page) error {
		results := make([]result, len(page.Records))
		for i, r := range page.Records {
			results[i] = result{ID: r.ID, Result: "would be " + c.done}
		}
		n += len(results)
		p.end()
		err := out.add(results)
		p.add(int64(page.Read), 0)
		return err
	})
	p.end()
	if err := cmp.Or(err, out.end()); err != nil {
		return err
	}
	s.note("%d message%s would be %s", n, plural(n), c.done)
	return nil
}

func (s *session) bulks() *cobra.Command {
	list := &cobra.Command{
		Use:   "list",
		Short: "List changes of many messages: what they do and how far they are",
		Args:  s.arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withPower(cmd.Context(), s, "keep changes of many messages", func(store monitor.BulkStore) error {
				bs, err := store.Bulks(cmd.Context())
				if err != nil {
					return err
				}
				return list(s, bs, func() table { return bulkTable(bs) })
			})
		},
	}
	abort := &cobra.Command{
		Use:   "abort ID",
		Short: "Stop one; what it has done stays done",
		Args:  s.arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := symphony.ParseID(args[0])
			if err != nil {
				return err
			}
			return withPower(cmd.Context(), s, "keep changes of many messages", func(store monitor.BulkStore) error {
				return store.AbortBulk(cmd.Context(), id)
			})
		},
	}
	resume := &cobra.Command{
		Use:   "resume ID",
		Short: "Go on with one whose program has ended in between",
		Args:  s.arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := symphony.ParseID(args[0])
			if err != nil {
				return err
			}
			return s.withStore(cmd.Context(), func(t symphony.Transport) error { return s.resumeBulk(cmd.Context(), t, id) })
		},
	}
	return s.group("bulks", "Look at changes of many messages, and stop them", "", list, abort, resume)
}

func (s *session) resumeBulk(ctx context.Context, t symphony.Transport, id symphony.ID) error {
	store, err := powerOf[monitor.BulkStore](s, t, "keep changes of many messages")
	if err != nil {
		return err
	}
	bs, err := store.Bulks(ctx)
	if err != nil {
		return err
	}
	for _, b := range bs {
		if b.ID == id && b.State == monitor.BulkRunning {
			return s.runStored(ctx, t, b)
		}
	}
	return fmt.Errorf("bulk %s: %w", id, monitor.ErrNotFound)
}

func bulkTable(bs []monitor.Bulk) table {
	t := table{{"ID", "ACTION", "STATE", "DONE", "REFUSED", "AT MOST", "BY", "CREATED", "UPDATED"}}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	for _, b := range bs {
		t = append(t, []string{
			b.ID.String(), string(b.Action), string(b.State), number(b.Done), number(b.Refused), number(b.AtMost), b.By, moment(b.CreatedAt), moment(b.UpdatedAt),
		})
	}
	return t
}

func (s *session) messagesReschedule() *cobra.Command {
	var at instant
	var in duration
	return s.change(&change{
		action: monitor.ActionReschedule, verb: "reschedule", done: "rescheduled",
		use: "reschedule [ID…]", short: "Make waiting messages due at another time",
		long: `Make waiting messages due at a time, after a while, or, without --at and --in, now.
Give their ids, or choose them with flags; what has been chosen that way is
counted and confirmed first.`,
		flags: func(c *cobra.Command) {
			c.Flags().Var(&at, "at", "the time, in RFC 3339")
			c.Flags().Var(&in, "in", "how long from now by the clock of the store, such as 90m")
			c.MarkFlagsMutuallyExclusive("at", "in")
		},
		prepare: func(b *monitor.Bulk, _ []string) error {
			b.Due = monitor.Due{At: at.Time, Delay: time.Duration(in)}
			return nil
		},
		do: func(ctx context.Context, c monitor.Changer, b *monitor.Bulk, ids []symphony.ID) ([]error, error) {
			return c.Reschedule(ctx, ids, b.Due)
		},
	})
}

func (s *session) messagesPriority() *cobra.Command {
	return s.change(&change{
		action: monitor.ActionPriority, verb: "change the priority of", done: "changed", first: 1,
		use: "priority N [ID…]", short: "Give waiting messages a priority, 1 to 10",
		long: `Give waiting messages a priority, 1 to 10, higher first. Give their ids, or
choose them with flags; what has been chosen that way is counted and confirmed first.`,
		prepare: func(b *monitor.Bulk, args []string) (err error) {
			if b.Priority, err = strconv.Atoi(args[0]); err != nil {
				return &symphony.InvalidError{What: "priority", Value: args[0], Rule: "between 1 and 10"}
			}
			return nil
		},
		do: func(ctx context.Context, c monitor.Changer, b *monitor.Bulk, ids []symphony.ID) ([]error, error) {
			return c.Prioritize(ctx, ids, b.Priority)
		},
	})
}

func (s *session) messagesCancel() *cobra.Command {
	return s.change(&change{
		action: monitor.ActionCancel, verb: "cancel", done: "cancelled",
		use: "cancel [ID…]", short: "Cancel messages",
		long: `Cancel messages. One that waits ends at once as cancelled. One that is being
handled is marked: its worker learns it with its next heartbeat and ends the
handler's context; if the handler then succeeds all the same, the message is
completed. Give ids, or choose messages with flags; what has been chosen that
way is counted and confirmed first.`,
		one: func(cmd *cobra.Command, t symphony.Transport, id symphony.ID) error {
			c, err := powerOf[monitor.Canceller](s, t, "cancel messages")
			if err != nil {
				return err
			}
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
		},
		do: func(ctx context.Context, c monitor.Changer, _ *monitor.Bulk, ids []symphony.ID) ([]error, error) {
			return c.CancelAll(ctx, ids)
		},
	})
}
