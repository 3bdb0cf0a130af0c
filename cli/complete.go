package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/app/config"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/schedule"
)

// completeWithin is how long the shell may wait for words from a store.
const completeWithin = time.Second

// words are what can be completed from the configuration and the store.
type words struct{ transports, queues, types []string }

// completion prints what makes a shell complete.
func (s *session) completion() *cobra.Command {
	shell := func(name, how string, write func(root *cobra.Command, w io.Writer) error) *cobra.Command {
		return &cobra.Command{
			Use: name, Short: "Print the completion of " + name,
			Long: "Print the completion of " + name + ". To have it in this session:\n\n  " + fmt.Sprintf(how, s.opts.Name),
			Args: s.arguments(0, 0),
			RunE: func(cmd *cobra.Command, _ []string) error { return write(cmd.Root(), s.std.Out) },
		}
	}
	return s.group("completion", "Print what makes your shell complete commands, transports, queues and types", "",
		shell("bash", "source <(%s completion bash)", func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) }),
		shell("zsh", "source <(%s completion zsh)", (*cobra.Command).GenZshCompletion),
		shell("fish", "%s completion fish | source", func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) }),
		shell("powershell", "%s completion powershell | Out-String | Invoke-Expression", (*cobra.Command).GenPowerShellCompletionWithDesc))
}

// completions adds what the shell can complete to every command: names of transports, queues and types where
// an argument or a flag takes them.
func (s *session) completions(root *cobra.Command) {
	take := func(choose func(words) []string) cobra.CompletionFunc {
		return func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
			all := choose(s.known(cmd.Context()))
			all = slices.DeleteFunc(slices.Clone(all), func(w string) bool { return !strings.HasPrefix(w, begun) })
			slices.Sort(all)
			return slices.Compact(all), cobra.ShellCompDirectiveNoFileComp
		}
	}
	fixed := func(values ...string) cobra.CompletionFunc {
		return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	}
	queues := take(func(w words) []string { return w.queues })
	types := take(func(w words) []string { return w.types })
	flags := map[string]cobra.CompletionFunc{
		"queue": queues, "queues": queues, "type": types,
		"transport": take(func(w words) []string { return w.transports }),
		"output":    fixed("table", "json", "jsonl"),
		"missed":    fixed(string(schedule.MissedSkip), string(schedule.MissedLast), string(schedule.MissedAll)),
		"overlap":   fixed(string(schedule.OverlapAllow), string(schedule.OverlapSkip), string(schedule.OverlapQueue), string(schedule.OverlapCancel)),
		"reason": fixed(string(symphony.ReasonExhausted), string(symphony.ReasonPermanent), string(symphony.ReasonDeadline), string(symphony.ReasonCrashLoop),
			string(symphony.ReasonUnknownType), string(symphony.ReasonUndecodable), string(symphony.ReasonInvalid)),
	}
	files := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveDefault
	}
	arguments := map[string]cobra.CompletionFunc{
		"apply": files, "import": files,
		"consume": take(func(w words) []string { return slices.Concat(w.transports, w.queues) }), "dev": queues,
		"dispatch": func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveDefault // a file, as @FILE
			}
			return types(cmd, args, begun)
		},
		"validate": func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if c.ValidArgsFunction == nil && !c.HasSubCommands() {
			c.ValidArgsFunction = arguments[c.Name()]
			if c.ValidArgsFunction == nil {
				c.ValidArgsFunction = cobra.NoFileCompletions
			}
		}
		for name, complete := range flags {
			if c.Flags().Lookup(name) != nil || c.PersistentFlags().Lookup(name) != nil {
				_ = c.RegisterFlagCompletionFunc(name, complete) // it fails only for a flag that is not there, or that has one
			}
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root)
}

// known asks the configuration, and the store for a moment. What cannot be had is left out: a shell that waits
// for a word must not show an error.
func (s *session) known(ctx context.Context) (w words) {
	if ctx == nil {
		ctx = context.Background()
	}
	s.std.Err, s.quiet = io.Discard, true
	c, err := s.configure("sqlite://symphony.db")
	if err != nil {
		return w
	}
	for _, t := range c.Transports {
		if t.Declared() {
			w.transports = append(w.transports, t.Name)
		}
		for _, q := range t.Queues {
			w.queues = append(w.queues, q.Name)
		}
	}
	for _, r := range c.Routes {
		if !strings.HasSuffix(r.Type, "*") {
			w.types = append(w.types, r.Type)
		}
	}
	for _, h := range c.Handlers {
		w.types = append(w.types, h.Type)
	}
	if chosen, err := s.shared(c); err == nil {
		ctx, cancel := context.WithTimeout(ctx, completeWithin)
		defer cancel()
		s.ask(ctx, chosen, &w)
	}
	return w
}

func (s *session) ask(ctx context.Context, chosen config.Transport, w *words) {
	t, err := s.open(ctx, chosen)
	if err != nil {
		return
	}
	defer func() { _ = app.Close(t) }()
	counter, ok := symphony.As[monitor.Counter](t)
	if !ok {
		return
	}
	counts, err := counter.Counts(ctx)
	if err != nil {
		return
	}
	for _, n := range counts.Counts {
		w.queues = append(w.queues, n.Queue)
		w.types = append(w.types, n.Type)
	}
}
