package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/transport/sqlite"
)

// symphonySettings are the worker's; everything else is as a user gets it.
type symphonySettings struct {
	Concurrency int `json:"concurrency"`
}

// symphonyLeft counts dead letters too: nothing may fail here.
const symphonyLeft = `select (select count(*) from messenger_messages) + (select count(*) from messenger_failed_messages)`

func symphonyPeer(history string, s symphonySettings) peer {
	open := func(ctx context.Context, at place) (system, error) { return openSymphony(ctx, at, history, s) }
	return peer{name: "symphony", store: "sqlite", history: history, open: open}
}

type symphonySystem struct {
	*sqliteProbe
	transport *sqlite.Transport
	bus       *symphony.Bus
	settings  symphonySettings
	handle    func(job)
}

func openSymphony(ctx context.Context, at place, history string, s symphonySettings) (_ system, err error) {
	mode := map[string]sqlite.HistoryMode{"on": sqlite.HistoryFull, "off": sqlite.HistoryOff}[history]
	t, err := sqlite.Open(ctx, "sqlite://"+sqliteFile(at)+"?synchronous="+at.sync, &sqlite.Options{History: mode, Logger: quiet()})
	if err != nil {
		return nil, err
	}
	y := &symphonySystem{transport: t, settings: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, y.close())
		}
	}()
	if _, err := t.Migrate(ctx); err != nil {
		return nil, err
	}
	if err := checkSettings(ctx, t.DB(), at.sync); err != nil {
		return nil, fmt.Errorf("symphony's connections: %w", err)
	}
	y.bus = &symphony.Bus{Transport: t, Logger: quiet()}
	symphony.Handle(y.bus, func(_ context.Context, j job) error {
		y.handle(j)
		return nil
	})
	y.sqliteProbe, err = openProbe(ctx, sqliteFile(at), symphonyLeft)
	return y, err
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
	w := symphony.Worker{Bus: y.bus, Concurrency: y.settings.Concurrency}
	return w.Run(ctx)
}

func (y *symphonySystem) close() error {
	if y.sqliteProbe == nil {
		return y.transport.Close()
	}
	return errors.Join(y.sqliteProbe.db.Close(), y.transport.Close())
}
