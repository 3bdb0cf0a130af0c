package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/symphony-messenger/symphony/internal/pgserver"
)

// A store is what systems keep their messages in, with the peers and the figures that are measured on it.
type store struct {
	name     string
	syncs    []string // how durable commits are: everything is measured with each
	peers    []peer
	figures  []figure
	settings settings
	// fresh makes a place for one measurement, and returns what removes it.
	fresh func(ctx context.Context, sync string) (place, func() error, error)
}

// sqliteStore keeps each measurement's file in a directory of its own below dir.
func sqliteStore(dir string, s settings) *store {
	figures := []string{"drain", "single", "batch", "latency"}
	return &store{
		name: "sqlite", syncs: []string{"normal", "full"}, figures: sqliteFigures(), settings: s,
		peers: []peer{
			{"river", "on", figures, opener(openRiverSQLite, s.River)},
			{ours, "on", figures, opener(openSymphonySQLite, symphonyOptions{s.Symphony, "on"})},
			// History is written when work is done: it changes the drain only.
			{ours, "off", []string{"drain"}, opener(openSymphonySQLite, symphonyOptions{s.Symphony, "off"})},
		},
		fresh: func(_ context.Context, sync string) (place, func() error, error) {
			d, err := os.MkdirTemp(dir, "store-")
			if err != nil {
				return place{}, nil, fmt.Errorf("make a place for the store: %w", err)
			}
			return place{sync: sync, dir: d}, func() error { return os.RemoveAll(d) }, nil
		},
	}
}

// postgresStore gives each measurement a database of its own on server.
func postgresStore(server *pgserver.Server, s settings) *store {
	figures := []string{"drain", "single_8", "single_64", "batch", "latency", "idle_cpu", "sustained"}
	alone := []string{"claim", "rss_idle", "schedules"}                // River's would tell nothing about ours
	drains := []string{"drain", "drain_5m_behind", "drain_1m_delayed"} // like the bare limit, without history
	fast, vacuumed := s.River, s.River
	fast.fast, vacuumed.vacuum = true, true
	on, off := symphonyOptions{s.Symphony, "on"}, symphonyOptions{s.Symphony, "off"}
	made := &databases{server: server}
	return &store{
		name: "postgres", syncs: []string{"on"}, figures: postgresFigures(), settings: s,
		peers: []peer{
			{"river", "on", figures, opener(openRiverPostgres, s.River)},
			{"river_fast", "on", []string{"batch"}, opener(openRiverPostgres, fast)},
			{"river_vacuum", "on", []string{"sustained"}, opener(openRiverPostgres, vacuumed)},
			{ours, "on", append(figures, alone...), opener(openSymphonyPostgres, on)},
			{ours, "off", drains, opener(openSymphonyPostgres, off)},
			{"bare", "off", []string{"drain"}, opener(openBare, off)},
		},
		fresh: made.fresh,
	}
}

// opener binds the settings of a system.
func opener[S any](open func(context.Context, place, S) (system, error), with S) func(context.Context, place) (system, error) {
	return func(ctx context.Context, at place) (system, error) { return open(ctx, at, with) }
}

// A closer ends what was opened, the last first.
type closer []func() error

func (c *closer) add(end func() error) { *c = append(*c, end) }

func (c *closer) close() error {
	var errs []error
	for i := len(*c) - 1; i >= 0; i-- {
		errs = append(errs, (*c)[i]())
	}
	*c = nil
	return errors.Join(errs...)
}
