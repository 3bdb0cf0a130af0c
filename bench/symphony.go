package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/transport/postgres"
	"github.com/symphony-messenger/symphony/transport/sqlite"
)

// symphonySettings are the worker's; everything else is as a user gets it. The zero value is that, too.
type symphonySettings struct {
	Concurrency int `json:"concurrency"`
}

// symphonyOptions are all that is set of ours.
type symphonyOptions struct {
	symphonySettings
	history string
}

// Both count dead letters too: nothing may fail here.
const (
	symphonyLeft = `select (select count(*) from messenger_messages) + (select count(*) from messenger_failed_messages)`

	symphonyLeftPostgres = `select (select count(*) from symphony.messenger_messages) + (select count(*) from symphony.messenger_failed_messages)`
)

type symphonySystem struct {
	probe
	closer
	at        place
	transport symphony.Transport
	bus       *symphony.Bus
	settings  symphonySettings
	workers   int // that share the work; 0: one
	handle    func(job)
}

func openSymphonySQLite(ctx context.Context, at place, o symphonyOptions) (system, error) {
	mode := map[string]sqlite.HistoryMode{"on": sqlite.HistoryFull, "off": sqlite.HistoryOff}[o.history]
	t, err := sqlite.Open(ctx, "sqlite://"+sqliteFile(at)+"?synchronous="+at.sync, &sqlite.Options{History: mode, Logger: quiet()})
	if err != nil {
		return nil, err
	}
	y := newSymphony(at, t, o.symphonySettings)
	y.closer.add(t.Close)
	if _, err := t.Migrate(ctx); err != nil {
		return nil, errors.Join(err, y.close())
	}
	if err := checkSettings(ctx, t.DB(), at.sync); err != nil {
		return nil, errors.Join(fmt.Errorf("symphony's connections: %w", err), y.close())
	}
	return y.watchedBy(openSQLiteProbe(ctx, sqliteFile(at), symphonyLeft))
}

func openSymphonyPostgres(ctx context.Context, at place, o symphonyOptions) (system, error) {
	y, err := symphonyOnPostgres(ctx, at, o)
	if err != nil {
		return nil, err
	}
	return y, nil
}

func symphonyOnPostgres(ctx context.Context, at place, o symphonyOptions) (*symphonySystem, error) {
	mode := map[string]postgres.HistoryMode{"on": postgres.HistoryFull, "off": postgres.HistoryOff}[o.history]
	t, err := postgres.Open(ctx, at.database, &postgres.Options{History: mode, Logger: quiet()})
	if err != nil {
		return nil, err
	}
	y := newSymphony(at, t, o.symphonySettings)
	y.closer.add(t.Close)
	if _, err := t.Migrate(ctx); err != nil {
		return nil, errors.Join(err, y.close())
	}
	_, err = y.watchedBy(openPostgresProbe(ctx, at, symphonyLeftPostgres))
	return y, err
}

func newSymphony(at place, t symphony.Transport, s symphonySettings) *symphonySystem {
	y := &symphonySystem{at: at, transport: t, settings: s}
	y.bus = &symphony.Bus{Transport: t, Logger: quiet()}
	symphony.Handle(y.bus, func(_ context.Context, j job) error {
		y.handle(j)
		return nil
	})
	return y
}

func (y *symphonySystem) insert(ctx context.Context, j job) error {
	_, err := y.bus.Dispatch(ctx, j)
	return err
}

func (y *symphonySystem) insertMany(ctx context.Context, js []job) error {
	ms := make([]symphony.Message, len(js))
	for i, j := range js {
		ms[i] = j
	}
	_, err := y.bus.DispatchAll(ctx, ms)
	return err
}

func (y *symphonySystem) work(ctx context.Context, handle func(job)) error {
	y.handle = handle
	errs := make([]error, max(y.workers, 1))
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			w := symphony.Worker{Bus: y.bus, Transport: y.transport, Concurrency: y.settings.Concurrency}
			errs[i] = w.Run(ctx)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// watchedBy completes a system with its probe, unless that could not be opened.
func (y *symphonySystem) watchedBy(p probe, err error) (system, error) {
	if err != nil {
		return nil, errors.Join(err, y.close())
	}
	y.probe = p
	y.closer.add(p.close)
	return y, nil
}

// server is the process of the server.
func (y *symphonySystem) server() int { return y.at.server.PID() }

func (y *symphonySystem) close() error { return y.closer.close() }
