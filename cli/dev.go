package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/app/config"
	"github.com/symphony-messenger/symphony/monitor"
)

const (
	echoType  = "echo"
	demoEvery = time.Second
)

func (s *session) dev() *cobra.Command {
	var e exec
	var noDemo bool
	c := &cobra.Command{
		Use:   "dev [QUEUE…]",
		Short: "Try it out: a store, a worker and a demo message a second",
		Long: `Try it out, with nothing set up before: open the store (sqlite://symphony.db
unless a DSN is given), create and migrate it, run a worker, dispatch an "echo"
message each second, which a built-in handler takes, and print one line for each
step of each message. Dispatch from another terminal to see yours:

  ` + s.opts.Name + ` dispatch echo '{"hello": "world"}' --dsn sqlite://symphony.db

With --no-demo nothing is dispatched; the echo handler then is there only when
there is no other.

` + execHelp + `

Not for production: it migrates by itself and shows the bodies of echo messages.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := s.openDev(cmd, &e, args)
			if err != nil {
				return err
			}
			return s.runDev(cmd.Context(), a, &e, !noDemo)
		},
	}
	e.flags(c)
	c.Flags().BoolVar(&noDemo, "no-demo", false, "dispatch nothing")
	return c
}

// openDev opens the stores and migrates those that need it.
func (s *session) openDev(cmd *cobra.Command, e *exec, args []string) (*app.App, error) {
	ctx, opts := cmd.Context(), s.opts
	var err error
	if opts.Config, err = s.configure("sqlite://symphony.db", given(cmd, e.settings())...); err != nil {
		return nil, err
	}
	if err := e.parse(s, opts.Config); err != nil {
		return nil, err
	}
	served, err := s.parseServed(args, nil, len(args) == 0, func(t config.Transport) error {
		if strings.HasPrefix(t.DSN, "sync://") {
			return s.usage("use memory://, sqlite:// with a file, or postgres://", "sync:// handles messages in place: there is nothing for a worker")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	a, err := app.New(ctx, opts)
	if err != nil {
		return nil, err
	}
	err = served.apply(a)
	for _, t := range a.Transports {
		if m, ok := symphony.As[monitor.Migrator](t); ok && err == nil {
			_, err = m.Migrate(ctx)
		}
	}
	if err != nil {
		return nil, errors.Join(err, a.Stop())
	}
	s.note("the store is %s; Ctrl-C stops", config.MaskDSN(s.store))
	return a, nil
}

func (s *session) runDev(ctx context.Context, a *app.App, e *exec, demo bool) error {
	printer := newSteps(s)
	for _, w := range a.Workers() {
		w.Observer = printer
	}
	var printing, dispatching sync.WaitGroup
	printing.Go(printer.print)
	defer printing.Wait()
	defer printer.close()
	defer dispatching.Wait()
	return s.work(ctx, a, func(ctx context.Context) error {
		if err := e.register(s, a.Bus); err != nil {
			return err
		}
		if demo || len(e.handlers) == 0 && s.opts.Register == nil {
			if err := handle(a.Bus, echoType, printer.echo); err != nil {
				s.note("the echo messages go to your own handler of that type")
			}
		}
		if demo {
			dispatching.Go(func() { s.dispatchDemo(ctx, a, printer) })
		}
		return nil
	})
}

// echo handles a message by showing its body.
func (p *steps) echo(_ context.Context, env *symphony.Envelope) error {
	p.tell(step{Step: "echo", ID: env.ID, Type: env.Type, Detail: string(env.Body)})
	return nil
}

// dispatchDemo dispatches a message now and then until ctx or the worker ends.
func (s *session) dispatchDemo(ctx context.Context, a *app.App, p *steps) {
	tick := time.NewTicker(demoEvery)
	defer tick.Stop()
	for n := 1; ; n++ {
		m := symphony.Raw{Type: echoType, Body: fmt.Appendf(nil, `{"n":%d}`, n)}
		receipt, err := a.Bus.Dispatch(ctx, m)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.note("demo: %s", explain(err))
		default:
			p.tell(step{Step: "dispatched", ID: receipt.ID, Type: echoType})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
