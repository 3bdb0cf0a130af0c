package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"github.com/symphony-messenger/symphony/internal/sleep"
)

// riverSettings are what made River fastest of all that was tried: docs/benchmarks.md has the sweep.
type riverSettings struct {
	Workers  int           `json:"max_workers"`
	Cooldown time.Duration `json:"fetch_cooldown_ns"`
	Poll     time.Duration `json:"fetch_poll_interval_ns"`
	PollOnly bool          `json:"poll_only"`
	Conns    int           `json:"max_open_conns"`

	fast   bool // InsertManyFast instead of InsertMany
	vacuum bool // its tables while it works, as we do with ours
}

// riverLeft counts everything that River has not completed; the states are listed so that the query is
// answered from an index.
const riverLeft = `select count(*) from river_job
	where state in ('available', 'running', 'retryable', 'scheduled', 'pending', 'cancelled', 'discarded')`

// riverVacuum is what a worker of ours does to its tables, and as often.
const (
	riverVacuum      = "vacuum (truncate off, skip_locked on) river_job, river_queue, river_leader"
	riverVacuumEvery = 2 * time.Second
)

// A riverClient is a river.Client of any driver.
type riverClient interface {
	Insert(context.Context, river.JobArgs, *river.InsertOpts) (*rivertype.JobInsertResult, error)
	InsertMany(context.Context, []river.InsertManyParams) ([]*rivertype.JobInsertResult, error)
	InsertManyFast(context.Context, []river.InsertManyParams) (int, error)
	Start(context.Context) error
	Stop(context.Context) error
}

type riverSystem struct {
	probe
	closer
	at       place
	settings riverSettings
	client   riverClient
	handle   func(job)
}

func openRiverSQLite(ctx context.Context, at place, s riverSettings) (system, error) {
	db, err := sql.Open("sqlite", sqliteDSN(sqliteFile(at),
		"journal_mode(wal)", "synchronous("+at.sync+")", "busy_timeout(5000)", "cache_size(-65536)", "temp_store(memory)"))
	if err != nil {
		return nil, fmt.Errorf("open river's file: %w", err)
	}
	db.SetMaxOpenConns(s.Conns)
	r := &riverSystem{at: at, settings: s, closer: closer{db.Close}}
	if err := checkSettings(ctx, db, at.sync); err != nil {
		return nil, errors.Join(err, r.close())
	}
	if err := prepareRiver(ctx, r, riversqlite.New(db)); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r.watchedBy(openSQLiteProbe(ctx, sqliteFile(at), riverLeft))
}

func openRiverPostgres(ctx context.Context, at place, s riverSettings) (system, error) {
	config, err := pgxpool.ParseConfig(at.database)
	if err != nil {
		return nil, fmt.Errorf("open river's database: %w", err)
	}
	config.MaxConns = int32(s.Conns)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open river's database: %w", err)
	}
	r := &riverSystem{at: at, settings: s}
	r.closer.add(func() error { pool.Close(); return nil })
	if err := prepareRiver(ctx, r, riverpgxv5.New(pool)); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r.watchedBy(openPostgresProbe(ctx, at, riverLeft))
}

// prepareRiver makes River's tables and its client.
func prepareRiver[Tx any](ctx context.Context, r *riverSystem, driver riverdriver.Driver[Tx]) error {
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: quiet()})
	if err != nil {
		return fmt.Errorf("migrate river: %w", err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrate river: %w", err)
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &riverWorker{of: r})
	r.client, err = river.NewClient(driver, &river.Config{
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: r.settings.Workers}},
		Workers:           workers,
		FetchCooldown:     r.settings.Cooldown,
		FetchPollInterval: r.settings.Poll,
		PollOnly:          r.settings.PollOnly,
		JobTimeout:        -1, // none, as ours
		Logger:            quiet(),
	})
	if err != nil {
		return fmt.Errorf("open river: %w", err)
	}
	return nil
}

func (r *riverSystem) insert(ctx context.Context, j job) error {
	_, err := r.client.Insert(ctx, j, nil)
	return err
}

func (r *riverSystem) insertMany(ctx context.Context, js []job) (err error) {
	params := make([]river.InsertManyParams, len(js))
	for i, j := range js {
		params[i].Args = j
	}
	if r.settings.fast {
		_, err = r.client.InsertManyFast(ctx, params)
	} else {
		_, err = r.client.InsertMany(ctx, params)
	}
	return err
}

func (r *riverSystem) work(ctx context.Context, handle func(job)) error {
	r.handle = handle
	alive := context.WithoutCancel(ctx) // Start's context would end jobs hard
	if err := r.client.Start(alive); err != nil {
		return fmt.Errorf("start river: %w", err)
	}
	var err error
	if r.settings.vacuum {
		err = r.vacuumUntil(ctx)
	}
	<-ctx.Done()
	alive, cancel := context.WithTimeout(alive, time.Minute)
	defer cancel()
	return errors.Join(err, r.client.Stop(alive))
}

// vacuumUntil vacuums River's tables until ctx ends.
func (r *riverSystem) vacuumUntil(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, r.at.database)
	if err != nil {
		return fmt.Errorf("vacuum river's tables: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for sleep.For(ctx, riverVacuumEvery) == nil {
		if _, err := conn.Exec(ctx, riverVacuum); err != nil && ctx.Err() == nil {
			return fmt.Errorf("vacuum river's tables: %w", err)
		}
	}
	return nil
}

// watchedBy completes a system with its probe, unless that could not be opened.
func (r *riverSystem) watchedBy(p probe, err error) (system, error) {
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	r.probe = p
	r.closer.add(p.close)
	return r, nil
}

// server is the process of the server.
func (r *riverSystem) server() int { return r.at.server.PID() }

func (r *riverSystem) close() error { return r.closer.close() }

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
