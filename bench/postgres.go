package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony/internal/pgserver"
)

// serverSettings are what differs from a server's defaults, and what pgserver would set for tests.
// Everything is as durable as PostgreSQL can be.
func serverSettings(of scale) map[string]string {
	s := map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
		"shared_buffers": "1GB", "max_wal_size": "4GB",
		"max_connections": "100", "log_lock_waits": "off",
	}
	if of == quick {
		s["shared_buffers"] = "128MB" // tests run on small machines too
	}
	return s
}

// told are settings that the figures depend on, changed or not.
var told = []string{
	"autovacuum", "autovacuum_naptime", "checkpoint_timeout", "effective_io_concurrency", "jit", "max_parallel_workers_per_gather",
	"max_worker_processes", "wal_buffers", "wal_compression", "wal_level", "wal_sync_method", "work_mem",
}

// startServer starts a server below dir. A tmpfs makes a commit as fast as a write to memory.
func startServer(ctx context.Context, dir string, of scale) (*pgserver.Server, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the directory of the server: %w", err)
	}
	if kind := fileSystem(dir); kind == "tmpfs" && of != quick {
		return nil, fmt.Errorf("start PostgreSQL in %s: it is on a %s: name a directory on a disk with -dir", dir, kind)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return pgserver.Start(ctx, pgserver.Config{Dir: dir, Settings: serverSettings(of)})
}

// describeServer returns the settings of a server as it says them itself, and its version. A setting that is not as it should be is
// an error: the figures would be of something else.
func describeServer(ctx context.Context, s *pgserver.Server, of scale) (version string, all map[string]string, err error) {
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err != nil {
		return "", nil, fmt.Errorf("ask the server for its settings: %w", err)
	}
	defer conn.Close(ctx)
	all = make(map[string]string)
	want := serverSettings(of)
	for _, name := range slices.Concat(told, slices.Collect(maps.Keys(want))) {
		var value string
		if err := conn.QueryRow(ctx, "select current_setting($1)", name).Scan(&value); err != nil {
			return "", nil, fmt.Errorf("ask the server for its setting %s: %w", name, err)
		}
		if w, ok := want[name]; ok && value != w {
			return "", nil, fmt.Errorf("the server has %s = %s, want %s", name, value, w)
		}
		all[name] = value
	}
	err = conn.QueryRow(ctx, "select current_setting('server_version')").Scan(&version)
	return version, all, err
}

// databases are made on one server, one for each measurement.
type databases struct {
	server *pgserver.Server
	made   atomic.Int64
}

func (d *databases) fresh(ctx context.Context, sync string) (place, func() error, error) {
	name := "bench_" + strconv.FormatInt(d.made.Add(1), 10)
	admin := d.server.DSN("postgres")
	// What earlier measurements have left to write must not be written while the next one is under way.
	if err := execute(ctx, admin, "create database "+name+" template template0", "checkpoint"); err != nil {
		return place{}, nil, fmt.Errorf("make a database for the measurement: %w", err)
	}
	remove := func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return execute(ctx, admin, "drop database "+name+" with (force)")
	}
	return place{sync: sync, database: d.server.DSN(name), server: d.server}, remove, nil
}

// execute executes statements, each for itself, on a connection of their own.
func execute(ctx context.Context, dsn string, statements ...string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", sql, err), conn.Close(ctx))
		}
	}
	return conn.Close(ctx)
}

// A postgresProbe is the probe of a database. Only one goroutine may use it.
type postgresProbe struct {
	conn  *pgx.Conn
	count string // the query that counts what is left
}

func openPostgresProbe(ctx context.Context, at place, count string) (*postgresProbe, error) {
	config, err := pgx.ParseConfig(at.database)
	if err != nil {
		return nil, fmt.Errorf("open probe: %w", err)
	}
	config.RuntimeParams["max_parallel_workers_per_gather"] = "0" // the systems need the processors
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open probe: %w", err)
	}
	return &postgresProbe{conn, count}, nil
}

func (p *postgresProbe) left(ctx context.Context) (n int, err error) {
	if err := p.conn.QueryRow(ctx, p.count).Scan(&n); err != nil {
		return 0, fmt.Errorf("count what is left: %w", err)
	}
	return n, nil
}

// tidy makes a database that was loaded at once like one that has grown: with statistics, and written to
// the disk.
func (p *postgresProbe) tidy(ctx context.Context) error {
	for _, sql := range []string{"vacuum analyze", "checkpoint"} {
		if _, err := p.conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

func (p *postgresProbe) close() error { return p.conn.Close(context.Background()) }
