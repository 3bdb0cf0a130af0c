package cli

import (
	"context"
	"errors"
	"maps"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/app/config"
)

// A consumer is the flags of consume.
type consumer struct {
	exec
	queues              []string
	limit, failureLimit count
	memoryLimit         size
	timeLimit, idle     duration
	lease, grace        duration
	sleep               duration
	concurrency         count
	name                string
	all                 bool
	noSchedules         bool
}

func (s *session) consume() *cobra.Command {
	var f consumer
	c := &cobra.Command{
		Use:     "consume [TRANSPORT|QUEUE…]",
		Aliases: []string{"messenger:consume"},
		Short:   "Handle messages until told to stop",
		Long: `Handle messages until a signal or a limit: without arguments those of the default
transport, of the queues that the configuration has for it, else of "default".

The name of a transport of the configuration stands for its queues; --all for all
transports. Any other name is a queue of the default transport, and main:mail one
of the transport main. Several queues are served in strict order: a queue waits
while one before it has messages. With a weight on any of them (mail=3 reports=1)
they share the worker instead, by their weights; one without a weight has 1.

Every transport has a worker of its own, with its own --concurrency.

` + execHelp + `

It also fires the schedules of the store (see "schedules"), as every worker on it
does: each tick once. --no-schedules leaves that to others.

The first INT or TERM stops claiming and lets running handlers finish for --grace;
the second stops them at once. Reaching a limit is no error either: the exit code
is 0.`,
		Example: `  ` + s.opts.Name + ` consume --exec 'send_mail=./send-mail.sh --now' --retries 5 --timeout 30s
  ` + s.opts.Name + ` consume high default low --limit 1000 --time-limit 1h --memory-limit 256M`,
		RunE: func(cmd *cobra.Command, args []string) error { return s.runConsume(cmd, &f, args) },
	}
	fl := c.Flags()
	f.flags(c)
	fl.StringSliceVar(&f.queues, "queues", nil, "only these queues of the transport, or further queues")
	fl.BoolVar(&f.all, "all", false, "all transports of the configuration")
	fl.VarP(&f.limit, "limit", "l", "stop after that many attempts were started")
	fl.VarP(&f.failureLimit, "failure-limit", "f", "stop after that many attempts failed")
	fl.VarP(&f.memoryLimit, "memory-limit", "m", "stop when the Go runtime uses more (128M, 1G)")
	fl.VarP(&f.timeLimit, "time-limit", "t", "stop after that long (3600, 1h)")
	fl.Var(&f.idle, "idle", "stop after that long without a message")
	fl.Var(&f.sleep, "sleep", "accepted for Symfony's sake; it has no effect, an idle worker is woken")
	fl.Var(&f.concurrency, "concurrency", "handlers at once (default 10)")
	fl.Var(&f.lease, "lease", "how long a message is out of sight when this worker dies (default 30s)")
	fl.Var(&f.grace, "grace", "for running handlers, after the first signal (default 20s)")
	fl.StringVar(&f.name, "name", "", "of this worker, for people (default: the host's)")
	fl.BoolVar(&f.noSchedules, "no-schedules", false, "do not fire the schedules of the store")
	return c
}

// settings are the flags that stand for keys of the configuration.
func (f *consumer) settings() map[string]string {
	keys := f.exec.settings()
	maps.Copy(keys, map[string]string{
		"name": "worker.name", "concurrency": "worker.concurrency", "lease": "worker.lease", "grace": "worker.grace",
		"limit": "worker.limits.messages", "failure-limit": "worker.limits.failures", "memory-limit": "worker.limits.memory",
		"time-limit": "worker.limits.time", "idle": "worker.limits.idle",
	})
	return keys
}

// given returns the flags of a command that were given, as values of the keys that they stand for.
func given(cmd *cobra.Command, keys map[string]string) (all []config.Flag) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if key, ok := keys[f.Name]; ok {
			text := f.Value.String()
			if _, ok := f.Value.(*duration); ok && text == "" { // what is zero is not shown in the help
				text = "0s"
			}
			all = append(all, config.Flag{Name: "--" + f.Name, Key: key, Text: text})
		}
	})
	return all
}

func (s *session) runConsume(cmd *cobra.Command, f *consumer, args []string) (err error) {
	opts := s.opts
	if opts.Config, err = s.configure("", given(cmd, f.settings())...); err != nil {
		return err
	}
	if err := f.parse(s, opts.Config); err != nil {
		return err
	}
	if len(f.handlers) == 0 && s.opts.Register == nil {
		return s.usage("give --exec 'TYPE=COMMAND', add handlers to the configuration, or build a program with cli.Main and handlers in Go",
			"nothing would handle the messages")
	}
	served, err := s.parseServed(args, f.queues, f.all, s.mustBeShared)
	if err != nil {
		return err
	}
	a, err := app.New(cmd.Context(), opts)
	if err != nil {
		return err
	}
	if f.noSchedules {
		a.Scheduler = nil
	}
	if err := served.apply(a); err != nil {
		return errors.Join(err, a.Stop())
	}
	if cmd.Flags().Changed("sleep") {
		s.note("--sleep has no effect: an idle worker is woken when there is something to do")
	}
	s.noteUnserved(served)
	return s.work(cmd.Context(), a, func(context.Context) error { return f.register(s, a.Bus) })
}
