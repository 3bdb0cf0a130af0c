package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
)

// riverSettings are what made River fastest of all that was tried: docs/benchmarks.md has the sweep.
type riverSettings struct {
	Workers  int           `json:"max_workers"`
	Cooldown time.Duration `json:"fetch_cooldown_ns"`
	Poll     time.Duration `json:"fetch_poll_interval_ns"`
	PollOnly bool          `json:"poll_only"`
	Conns    int           `json:"max_open_conns"`
}

// riverDone is everything that River has not completed; the states are listed so that the query is
// answered from an index.
const riverLeft = `select count(*) from river_job
	where state in ('available', 'running', 'retryable', 'scheduled', 'pending', 'cancelled', 'discarded')`

func riverPeer(s riverSettings) peer {
	open := func(ctx context.Context, at place) (system, error) { return openRiver(ctx, at, s) }
	return peer{name: "river", store: "sqlite", history: "on", open: open}
}

type riverSystem struct {
	*sqliteProbe
	db       *sql.DB
	settings riverSettings
	client   *river.Client[*sql.Tx]
	handle   func(job)
}

func openRiver(ctx context.Context, at place, s riverSettings) (_ system, err error) {
	db, err := sql.Open("sqlite", sqliteDSN(sqliteFile(at),
		"journal_mode(wal)", "synchronous("+at.sync+")", "busy_timeout(5000)", "cache_size(-65536)", "temp_store(memory)"))
	if err != nil {
		return nil, fmt.Errorf("open river's file: %w", err)
	}
	db.SetMaxOpenConns(s.Conns)
	r := &riverSystem{db: db, settings: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if err := checkSettings(ctx, db, at.sync); err != nil {
		return nil, err
	}
	driver := riversqlite.New(db)
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: quiet()})
	if err != nil {
		return nil, fmt.Errorf("migrate river: %w", err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, fmt.Errorf("migrate river: %w", err)
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &riverWorker{of: r})
	r.client, err = river.NewClient(driver, &river.Config{
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: s.Workers}},
		Workers:           workers,
		FetchCooldown:     s.Cooldown,
		FetchPollInterval: s.Poll,
		PollOnly:          s.PollOnly,
		JobTimeout:        -1, // none, as ours
		Logger:            quiet(),
	})
	if err != nil {
		return nil, fmt.Errorf("open river: %w", err)
	}
	r.sqliteProbe, err = openProbe(ctx, sqliteFile(at), riverLeft)
	return r, err
}

func (r *riverSystem) insert(ctx context.Context, j job) error {
	_, err := r.client.Insert(ctx, j, nil)
	return err
}

func (r *riverSystem) insertMany(ctx context.Context, js []job) error {
	params := make([]river.InsertManyParams, len(js))
	for i, j := range js {
		params[i].Args = j
	}
	_, err := r.client.InsertMany(ctx, params)
	return err
}

func (r *riverSystem) work(ctx context.Context, handle func(job)) error {
	r.handle = handle
	alive := context.WithoutCancel(ctx) // Start's context would end jobs hard
	if err := r.client.Start(alive); err != nil {
		return fmt.Errorf("start river: %w", err)
	}
	<-ctx.Done()
	alive, cancel := context.WithTimeout(alive, time.Minute)
	defer cancel()
	return r.client.Stop(alive)
}

func (r *riverSystem) close() error {
	if r.sqliteProbe == nil {
		return r.db.Close()
	}
	return errors.Join(r.sqliteProbe.db.Close(), r.db.Close())
}

type riverWorker struct {
	river.WorkerDefaults[job]
	of *riverSystem
}

func (w *riverWorker) Work(_ context.Context, j *river.Job[job]) error {
	w.of.handle(j.Args)
	return nil
}

// quiet logs what goes wrong and nothing else.
func quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
