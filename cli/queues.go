package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// A summary is one line about a queue or a type.
type summary struct {
	Name        string           `json:"name"`
	Paused      string           `json:"paused,omitempty"` // paused or resuming
	Counts      map[string]int64 `json:"counts"`
	NoHandler   int64            `json:"no_handler,omitempty"`
	Subscribers []subscriber     `json:"subscribers,omitempty"`
}

type subscriber struct {
	Name     string    `json:"name"` // "": the handler of the type
	Owner    string    `json:"owner,omitempty"`
	LastSeen time.Time `json:"last_seen"`
	Stale    bool      `json:"stale,omitempty"`
}

// summaries adds up counts by what name says of each.
func summaries(c monitor.Counts, pauses []monitor.Pause, kind monitor.PauseKind) []*summary {
	name := func(n monitor.Count) string { return n.Queue }
	if kind == monitor.PausedType {
		name = func(n monitor.Count) string { return n.Type }
	}
	byName := make(map[string]*summary)
	var all []*summary
	of := func(name string) *summary {
		if byName[name] == nil {
			byName[name] = &summary{Name: name, Counts: make(map[string]int64)}
			all = append(all, byName[name])
		}
		return byName[name]
	}
	for _, n := range c.Counts {
		of(name(n)).Counts[string(n.Status)] += n.N
	}
	for _, n := range c.NoHandler {
		of(name(n)).NoHandler += n.N
	}
	for _, p := range pauses {
		if p.Kind == kind {
			of(p.Name).Paused = "paused"
			if p.Resuming {
				byName[p.Name].Paused = "resuming"
			}
		}
	}
	slices.SortFunc(all, func(a, b *summary) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

func summaryTable(title string, all []*summary) table {
	head := []string{title, "PAUSED"}
	for _, status := range monitor.Statuses() {
		head = append(head, string(status))
	}
	withSubscribers := title == "TYPE"
	if withSubscribers {
		head = append(head, "no handler", "SUBSCRIBERS")
	}
	t := table{head}
	for _, m := range all {
		row := []string{m.Name, m.Paused}
		for _, status := range monitor.Statuses() {
			row = append(row, strconv.FormatInt(m.Counts[string(status)], 10))
		}
		if withSubscribers {
			var names []string
			for _, sub := range m.Subscribers {
				names = append(names, cmp.Or(sub.Name, "(handler)"))
			}
			row = append(row, strconv.FormatInt(m.NoHandler, 10), strings.Join(names, ", "))
		}
		t = append(t, row)
	}
	return t
}

func (s *session) summarize(ctx context.Context, t symphony.Transport, kind monitor.PauseKind) ([]*summary, error) {
	counter, err := powerOf[monitor.Counter](s, t, "count messages")
	if err != nil {
		return nil, err
	}
	counts, err := counter.Counts(ctx)
	if err != nil {
		return nil, err
	}
	var pauses []monitor.Pause
	if p, ok := symphony.As[monitor.Pauser](t); ok {
		if pauses, err = p.Pauses(ctx); err != nil {
			return nil, err
		}
	}
	return summaries(counts, pauses, kind), nil
}

func (s *session) queues() *cobra.Command {
	show := &cobra.Command{
		Use:   "list",
		Short: "List queues with what is in them",
		Args:  s.arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.withStore(cmd.Context(), func(t symphony.Transport) error {
				all, err := s.summarize(cmd.Context(), t, monitor.PausedQueue)
				if err != nil {
					return err
				}
				return list(s, all, func() table { return summaryTable("QUEUE", all) })
			})
		},
	}
	return s.group("queues", "Look at queues, pause and resume them", "", show,
		s.pause("pause QUEUE…", "Let no worker take messages of queues", monitor.PausedQueue),
		s.resume("resume QUEUE…", "Let workers take messages of queues again", monitor.PausedQueue))
}

func (s *session) types() *cobra.Command {
	show := &cobra.Command{
		Use:   "list",
		Short: "List message types with how many there are and who handles them",
		Args:  s.arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.withStore(cmd.Context(), func(t symphony.Transport) error { return s.listTypes(cmd.Context(), t) })
		},
	}
	var yes bool
	end := &cobra.Command{
		Use:   "unsubscribe TYPE SUBSCRIBER",
		Short: "End a subscription",
		Long: `End a subscription: what is dispatched from now on has no copy for it. Copies that
wait stay; cancel them with "messages cancel --subscriber". A program that still
subscribes will do so again when its worker starts.`,
		Args: s.arguments(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				if err := s.confirm(fmt.Sprintf("end the subscription of %s to %s", line(args[1]), line(args[0]))); err != nil {
					return err
				}
			}
			return withPower(cmd.Context(), s, "end subscriptions", func(u monitor.Subscriptions) error {
				return u.Unsubscribe(cmd.Context(), args[0], args[1])
			})
		},
	}
	end.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return s.group("types", "Look at message types and their subscribers, pause and resume them", "", show,
		s.pause("pause TYPE…", "Let no worker take messages of types", monitor.PausedType),
		s.resume("resume TYPE…", "Let workers take messages of types again", monitor.PausedType), end)
}

func (s *session) listTypes(ctx context.Context, t symphony.Transport) error {
	all, err := s.summarize(ctx, t, monitor.PausedType)
	if err != nil {
		return err
	}
	if u, ok := symphony.As[monitor.Subscriptions](t); ok {
		subs, err := u.Subscribers(ctx)
		if err != nil {
			return err
		}
		for _, sub := range subs {
			i := slices.IndexFunc(all, func(m *summary) bool { return m.Name == sub.Type })
			if i < 0 {
				i = len(all)
				all = append(all, &summary{Name: sub.Type, Counts: map[string]int64{}})
			}
			stale := time.Since(sub.LastSeen) > monitor.StaleAfter
			all[i].Subscribers = append(all[i].Subscribers, subscriber{sub.Subscriber, sub.Owner, sub.LastSeen, stale})
			if stale && sub.Subscriber != "" {
				defer s.note("no worker of subscriber %s of type %s has been seen since %s: it collects messages", sub.Subscriber, sub.Type, moment(sub.LastSeen))
			}
		}
		slices.SortFunc(all, func(a, b *summary) int { return cmp.Compare(a.Name, b.Name) })
	}
	return list(s, all, func() table { return summaryTable("TYPE", all) })
}

func (s *session) pause(use, short string, kind monitor.PauseKind) *cobra.Command {
	c := s.eachPause(use, kind, "paused", func(ctx context.Context, p monitor.Pauser, name string) error {
		return p.Pause(ctx, monitor.Pause{Kind: kind, Name: name, By: s.opts.Name})
	})
	c.Short, c.Long = short, short+`, until they are resumed. Messages are accepted all the
same, and what is being handled is not disturbed.`
	return c
}

func (s *session) resume(use, short string, kind monitor.PauseKind) *cobra.Command {
	c := s.eachPause(use, kind, "resumed", func(ctx context.Context, p monitor.Pauser, name string) error {
		return p.Resume(ctx, monitor.Pause{Kind: kind, Name: name})
	})
	c.Short = short
	return c
}

// eachPause is a command that does something for each queue or type that is named, and stops at the first that fails.
func (s *session) eachPause(use string, kind monitor.PauseKind, done string, do func(context.Context, monitor.Pauser, string) error) *cobra.Command {
	type result struct {
		Kind   monitor.PauseKind `json:"kind"`
		Name   string            `json:"name"`
		Result string            `json:"result"`
	}
	return &cobra.Command{
		Use: use, Args: s.arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withPower(cmd.Context(), s, "pause", func(p monitor.Pauser) error {
				var all []result
				var err error
				for _, name := range args {
					if err = do(cmd.Context(), p, name); err != nil {
						break
					}
					s.note("%s %s is %s", kind, name, done)
					all = append(all, result{kind, name, done})
				}
				if s.output == formatTable { // people have been told
					return err
				}
				return errors.Join(err, list(s, all, nil))
			})
		},
	}
}

func (s *session) workers() *cobra.Command {
	show := &cobra.Command{
		Use:   "list",
		Short: "List workers alive, the queues that each serves, and what it has now",
		Args:  s.arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withPower(cmd.Context(), s, "list workers", func(c monitor.Crew) error {
				all, err := c.Workers(cmd.Context())
				if err != nil {
					return err
				}
				return list(s, all, func() table { return workerTable(all) })
			})
		},
	}
	return s.group("workers", "Look at workers", "", show)
}

func workerTable(all []monitor.Worker) table {
	t := table{{"WORKER", "QUEUES", "STARTED", "ALIVE UNTIL", "MESSAGES", "RUNNING"}}
	for _, w := range all {
		var running []string
		for _, r := range w.Running[:min(len(w.Running), 3)] {
			running = append(running, fmt.Sprintf("%s %s (attempt %d, since %s)", r.Type, r.ID, r.Attempt, moment(r.Since)))
		}
		if rest := w.Count - len(running); rest > 0 {
			running = append(running, fmt.Sprintf("and %d more", rest))
		}
		t = append(t, []string{w.Identity, strings.Join(w.Queues, ", "), moment(w.StartedAt), moment(w.AliveUntil), strconv.Itoa(w.Count), strings.Join(running, ", ")})
	}
	return t
}
