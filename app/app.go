// Package app is the process: it opens the stores of a configuration, makes a bus with the handlers of the
// program, and runs a worker for each store that is served. The command line is built on it, and so is a
// program that works without one.
package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app/config"
	"github.com/symphony-messenger/symphony/schedule"
)

// Options say what a process is made of. The command line sets Config and Logger from its flags.
type Options struct {
	Name      string                          // of the program; "": "symphony". Kept beside its subscriptions, for people
	Version   string                          // "": that of the build
	Register  func(*symphony.Bus) error       // adds handlers, routes and middleware; nil: none
	Schedules func(*schedule.Scheduler) error // adds schedules, whose owner is Name; nil: none, and those in the store are left alone
	Config    *config.Config                  // see [config.Load]; nil: the defaults, with DSN as the only store
	DSN       string                          // see [Open]; not looked at when there is a Config
	Logger    *slog.Logger                    // nil: slog.Default()
}

// An App is one process: its stores, a bus and workers. Its methods must not be called concurrently.
type App struct {
	Bus        *symphony.Bus                 // with the handlers of the program
	Transports map[string]symphony.Transport // by the names of the configuration; nil of sync://
	// Worker is that of the default transport. It may be changed before Start, and so may Others, which has
	// none unless [App.Serve] was called.
	Worker *symphony.Worker
	Others []*symphony.Worker
	// Scheduler fires the schedules of the default transport beside the workers. To be changed before Start; nil: none runs.
	Scheduler *schedule.Scheduler

	config *config.Config
	cancel context.CancelFunc // nil until Start
	done   chan struct{}      // closed when the workers have returned
	err    error              // of the workers; read after done
}

// New opens the stores and makes the bus and the worker of the default transport, with the queues that the
// configuration has for it; nothing runs yet. Routes and the limit of bodies that the configuration has go
// before those of Register. Whoever has an App calls Run or Stop, which closes the stores. The error
// matches [ErrDSN] when a DSN is wrong, is a *[config.Error] for options that are, or is that of Register or
// Schedules.
func New(ctx context.Context, opts Options) (_ *App, err error) {
	c := opts.Config
	if c == nil {
		if c, err = config.Load(config.Sources{Lookup: nowhere, Fallback: opts.DSN}); err != nil {
			return nil, err
		}
	}
	if _, ok := c.Find(c.Transport); !ok {
		return nil, fmt.Errorf("%w: there is none", ErrDSN)
	}
	a := &App{Transports: make(map[string]symphony.Transport), config: c}
	for _, t := range c.Transports {
		store := Store{DSN: t.DSN, Name: t.Name, History: t.History, Retention: t.Retention, Logger: opts.Logger}
		if a.Transports[t.Name], err = store.Open(ctx); err != nil {
			if t.From.Line > 0 {
				err = fmt.Errorf("%s: transport %s: %w", t.From, t.Name, err)
			}
			return nil, errors.Join(err, a.close())
		}
	}
	a.Bus = &symphony.Bus{Transport: a.Transports[c.Transport], Owner: cmp.Or(opts.Name, "symphony"), Logger: opts.Logger}
	if opts.Register != nil {
		if err := opts.Register(a.Bus); err != nil {
			return nil, errors.Join(fmt.Errorf("register the handlers: %w", err), a.close())
		}
	}
	a.Bus.Routes = append(a.routes(), a.Bus.Routes...)
	a.Bus.MaxBody = cmp.Or(c.BodyLimit, a.Bus.MaxBody)
	a.Worker = a.newWorker(c.Transport)
	if a.Scheduler, err = newScheduler(a.Bus, opts, c); err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

// nowhere is an environment without variables.
func nowhere(string) (string, bool) { return "", false }

// routes are those of the configuration.
func (a *App) routes() (rs []symphony.Route) {
	for _, r := range a.config.Routes {
		route := symphony.Route{Type: r.Type, Queue: r.Queue, Stamps: r.Stamps}
		if r.Transport != "" {
			route.Transport = a.Transports[r.Transport]
			route.InPlace = route.Transport == nil // sync, by whatever name
		}
		rs = append(rs, route)
	}
	return rs
}

// newWorker makes a worker of the queues that the configuration has for a transport.
func (a *App) newWorker(transport string) *symphony.Worker {
	c := a.config.Worker
	w := &symphony.Worker{
		Bus: a.Bus, Transport: a.Transports[transport], Name: c.Name, Strict: c.Strict, Concurrency: c.Concurrency,
		Lease: c.Lease, Grace: c.Grace, MaxCrashes: c.MaxCrashes, Unknown: c.Unknown, Limits: c.Limits, Retry: a.config.Retry,
	}
	t, ok := a.config.Find(transport)
	if !ok {
		return w
	}
	w.Retry = t.Retry
	for _, q := range t.Queues {
		w.Queues = append(w.Queues, queueOf(q))
	}
	return w
}

// Queue returns a queue of a transport as the configuration has it, or with the defaults.
func (a *App) Queue(transport, name string) symphony.WorkerQueue {
	t, _ := a.config.Find(transport)
	for _, q := range t.Queues {
		if q.Name == name {
			return queueOf(q)
		}
	}
	return symphony.WorkerQueue{Name: name}
}

func queueOf(q config.Queue) symphony.WorkerQueue {
	w := symphony.WorkerQueue{Name: q.Name, Weight: q.Weight, Concurrency: q.Concurrency}
	if q.Retry != nil {
		w.Retry = *q.Retry
	}
	return w
}

// Serve makes workers for the transports of these names, in their order and without one for the default
// transport unless it is named: the first becomes Worker, the rest Others. It is called before Start.
func (a *App) Serve(transports []string) error {
	var ws []*symphony.Worker
	for _, name := range transports {
		if a.Transports[name] == nil {
			return fmt.Errorf("serve transport %s: it keeps no messages, or there is none of that name", name)
		}
		ws = append(ws, a.newWorker(name))
	}
	if len(ws) > 0 {
		a.Worker, a.Others = ws[0], ws[1:]
	}
	return nil
}

// Workers returns Worker and Others.
func (a *App) Workers() []*symphony.Worker { return append([]*symphony.Worker{a.Worker}, a.Others...) }

// Start starts the workers and returns. They end with Stop, with ctx, or when they reach a limit. With several,
// those of messages and failures count for all of them together, a few attempts more may start meanwhile, and
// running handlers have the grace period; one that cannot work at all ends the others.
func (a *App) Start(ctx context.Context) {
	ctx, a.cancel = context.WithCancel(ctx)
	a.done = make(chan struct{})
	go func() {
		defer close(a.done)
		a.err = a.schedulesBeside(ctx, a.work)
	}()
}

// work runs the workers until all have returned.
func (a *App) work(ctx context.Context) error {
	all := a.Workers()
	if len(all) == 1 {
		return a.Worker.Run(ctx)
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	share := &sharedLimits{limits: a.Worker.Limits, reached: end}
	errs := make([]error, len(all))
	var running sync.WaitGroup
	for i, w := range all {
		w.Observer = share.observer(w.Observer)
		running.Go(func() {
			if errs[i] = w.Run(ctx); errs[i] != nil {
				end()
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// Done returns a channel that is closed when the workers that Start has started have ended.
func (a *App) Done() <-chan struct{} { return a.done }

// Stop stops the workers, waits until they have returned, as [symphony.Worker.Run] describes, and closes the
// stores. It returns the errors of both.
func (a *App) Stop() error {
	if a.cancel != nil {
		a.cancel()
		<-a.done
	}
	return errors.Join(a.err, a.close())
}

func (a *App) close() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(a.Transports)) {
		errs = append(errs, Close(a.Transports[name]))
	}
	return errors.Join(errs...)
}

// Run starts the workers and blocks until ctx ends or they reach a limit, then stops as Stop does.
func (a *App) Run(ctx context.Context) error {
	a.Start(ctx)
	<-a.done
	return a.Stop()
}
