// Package app is the process: it opens the store that a DSN names, makes a bus with the handlers of the
// program, and runs a worker. The command line is built on it, and so is a program that works without
// one.
package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/symphony-messenger/symphony"
)

// Options say what a process is made of. The command line sets DSN and Logger from its flags.
type Options struct {
	Name     string                    // of the program; "": "symphony". Kept beside its subscriptions, for people
	Version  string                    // "": that of the build
	Register func(*symphony.Bus) error // adds handlers, routes and middleware; nil: none
	DSN      string                    // see [Open]
	Logger   *slog.Logger              // nil: slog.Default()
}

// An App is one process: a store, a bus and a worker. Its methods must not be called concurrently.
type App struct {
	Bus    *symphony.Bus    // with the handlers of the program
	Worker *symphony.Worker // of the default queue; to be changed before Start

	cancel context.CancelFunc // nil until Start
	done   chan struct{}      // closed when the worker has returned
	err    error              // of the worker; read after done
}

// New opens the store and makes the bus and the worker; nothing runs yet. Whoever has an App calls Run
// or Stop, which closes the store. The error matches [ErrDSN] when the DSN is wrong; else it is that of
// Register.
func New(ctx context.Context, opts Options) (*App, error) {
	t, err := Open(ctx, opts.DSN, opts.Logger)
	if err != nil {
		return nil, err
	}
	bus := &symphony.Bus{Transport: t, Owner: cmp.Or(opts.Name, "symphony"), Logger: opts.Logger}
	if opts.Register != nil {
		if err := opts.Register(bus); err != nil {
			return nil, errors.Join(fmt.Errorf("register the handlers: %w", err), Close(t))
		}
	}
	return &App{Bus: bus, Worker: &symphony.Worker{Bus: bus, Transport: t}}, nil
}

// Start starts the worker and returns. The worker ends with Stop, with ctx, or when it reaches one of
// its limits.
func (a *App) Start(ctx context.Context) {
	ctx, a.cancel = context.WithCancel(ctx)
	a.done = make(chan struct{})
	go func() {
		defer close(a.done)
		a.err = a.Worker.Run(ctx)
	}()
}

// Done returns a channel that is closed when the worker that Start has started has ended.
func (a *App) Done() <-chan struct{} { return a.done }

// Stop stops the worker, waits until it has returned, as [symphony.Worker.Run] describes, and closes the
// store. It returns the errors of both.
func (a *App) Stop() error {
	if a.cancel != nil {
		a.cancel()
		<-a.done
	}
	return errors.Join(a.err, Close(a.Worker.Transport))
}

// Run starts the worker and blocks until ctx ends or it reaches one of its limits, then stops as Stop
// does.
func (a *App) Run(ctx context.Context) error {
	a.Start(ctx)
	<-a.done
	return a.Stop()
}
