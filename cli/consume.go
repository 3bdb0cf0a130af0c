package cli

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app"
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
}

func (s *session) consume() *cobra.Command {
	var f consumer
	c := &cobra.Command{
		Use:     "consume [QUEUE…]",
		Aliases: []string{"messenger:consume"},
		Short:   "Handle messages until told to stop",
		Long: `Handle the messages of queues ("default" when none is named) until a signal or a
limit.

Several queues are served in strict order: a queue waits while one before it has
messages. With a weight on any of them (mail=3 reports=1) they share the worker
instead, by their weights; one without a weight has 1.

` + execHelp + `

The first INT or TERM stops claiming and lets running handlers finish for --grace;
the second stops them at once. Reaching a limit is no error either: the exit code
is 0.`,
		Example: `  ` + s.opts.Name + ` consume --exec 'send_mail=./send-mail.sh --now' --retries 5 --timeout 30s
  ` + s.opts.Name + ` consume high default low --limit 1000 --time-limit 1h --memory-limit 256M`,
		RunE: func(cmd *cobra.Command, args []string) error { return s.runConsume(cmd, &f, args) },
	}
	fl := c.Flags()
	f.flags(c)
	fl.StringSliceVar(&f.queues, "queues", nil, "further queues, as Symfony's consume has them")
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
	return c
}

func (s *session) runConsume(cmd *cobra.Command, f *consumer, args []string) (err error) {
	if len(f.commands) == 0 && s.opts.Register == nil {
		return s.usage("give --exec 'TYPE=COMMAND', or build a program with cli.Main and handlers in Go", "nothing would handle the messages")
	}
	if f.timeLimit < 0 || f.idle < 0 || f.lease < 0 || f.grace < 0 {
		return s.usage("", "--time-limit, --idle, --lease and --grace must not be negative")
	}
	if err := f.parse(s); err != nil {
		return err
	}
	queues, strict, err := s.parseQueues(append(args, f.queues...))
	if err != nil {
		return err
	}
	opts := s.opts
	if opts.DSN, err = s.sharedDSN(); err != nil {
		return err
	}
	a, err := app.New(cmd.Context(), opts)
	if err != nil {
		return err
	}
	w := a.Worker
	w.Name, w.Queues, w.Strict, w.Concurrency = f.name, queues, strict, int(f.concurrency)
	w.Lease, w.Grace, w.Retry, w.Logger = time.Duration(f.lease), time.Duration(f.grace), f.policy(), s.log
	w.Limits = symphony.Limits{
		Messages: int(f.limit), Failures: int(f.failureLimit), Memory: int64(f.memoryLimit),
		Time: time.Duration(f.timeLimit), Idle: time.Duration(f.idle),
	}
	if cmd.Flags().Changed("sleep") {
		s.note("--sleep has no effect: an idle worker is woken when there is something to do")
	}
	return s.work(cmd.Context(), a, func(context.Context) error { return f.register(s, a.Bus) })
}

// parseQueues reads queues in strict order, or with weights.
func (s *session) parseQueues(args []string) (queues []symphony.WorkerQueue, strict bool, err error) {
	strict = true
	seen := make(map[string]bool)
	for _, arg := range args {
		q := symphony.WorkerQueue{Name: arg}
		if name, weight, ok := strings.Cut(arg, "="); ok {
			strict = false
			q.Name = name
			if q.Weight, err = strconv.Atoi(weight); err != nil || q.Weight < 1 {
				return nil, false, s.usage("write it as mail=3", "queue %.100q: its weight must be a number, 1 or more", arg)
			}
		}
		if err := symphony.CheckName("queue", q.Name); err != nil {
			return nil, false, err
		}
		if seen[q.Name] {
			return nil, false, s.usage("", "queue %s is named twice", q.Name)
		}
		seen[q.Name] = true
		queues = append(queues, q)
	}
	return queues, strict, nil
}
