package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/sleep"
	"github.com/symphony-messenger/symphony/monitor"
)

// oldestCompatible is the schema version whose programs still run on the newest schema. It is stored
// with each migration: a program refuses a schema whose oldest compatible version is newer than its own.
const oldestCompatible = 5

// A release is what a program knows of schemas: its steps, and whose programs still run on what they make.
type release struct {
	files  fs.FS // schema/*.sql
	oldest int
}

// steps returns the migrations of this release in order, for the schema of d.
func (d *dialect) steps() ([]monitor.Migration, error) {
	files, err := fs.Glob(d.release.files, "schema/*.sql")
	if err != nil {
		return nil, err
	}
	var all []monitor.Migration
	for i, file := range files { // sorted by name
		text, err := fs.ReadFile(d.release.files, file)
		if err != nil {
			return nil, err
		}
		number, name, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(file, "schema/"), ".sql"), "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s: its number is not %d", file, i+1)
		}
		all = append(all, monitor.Migration{Version: version, Name: name, SQL: d.in(string(text))})
	}
	return all, nil
}

// newest is the version of this release.
func (d *dialect) newest() (int, error) {
	files, err := fs.Glob(d.release.files, "schema/*.sql")
	return len(files), err
}

// ledger makes the list of steps.
const ledger = `create table if not exists symphony.messenger_migrations (
  version integer primary key, name text not null, applied_at timestamptz not null, oldest_compatible integer not null);
comment on table symphony.messenger_migrations is 'The steps that made this schema what it is.';
comment on column symphony.messenger_migrations.oldest_compatible is 'The oldest version of the program that works with the schema after this step.';
`

// Migrate makes the schema if there is none, and applies what is pending. It implements [monitor.Migrator].
func (t *Transport) Migrate(ctx context.Context) ([]monitor.Migration, error) {
	all, err := t.sql.steps()
	if err != nil {
		return nil, t.fail("migrate", err)
	}
	var applied []monitor.Migration
	for i, m := range all {
		done, err := t.step(ctx, &m, i == len(all)-1)
		if err != nil {
			return applied, t.fail(fmt.Sprintf("migrate schema %s to version %d (%s) in", t.sql.schema, m.Version, m.Name), err)
		}
		if done {
			applied = append(applied, m)
		}
	}
	t.schema.Found(time.Now())
	return applied, nil
}

// How long a step waits for a lock. All who work wait behind it, and give up after the 2 s of plannerSettings: a step lets go
// before that, and comes again.
const (
	stepLock     = "500ms"
	stepPatience = 30 * time.Second
)

// step applies m if it is pending, and reports whether it was.
func (t *Transport) step(ctx context.Context, m *monitor.Migration, last bool) (done bool, err error) {
	for begun := time.Now(); ; {
		done = false
		err = pgx.BeginFunc(ctx, t.work, func(tx pgx.Tx) error {
			times, err := t.begin(ctx, tx)
			if err != nil || len(times) >= m.Version {
				return err
			}
			// Without arguments the driver sends a text of several statements as it is.
			if _, err := tx.Exec(ctx, m.SQL, pgx.QueryExecModeSimpleProtocol); err != nil {
				return err
			}
			if last {
				if _, err := tx.Exec(ctx, t.sql.in(rightsText), pgx.QueryExecModeSimpleProtocol); err != nil {
					return fmt.Errorf("give the rights: %w", err)
				}
			}
			done = true
			return tx.QueryRow(ctx, t.sql.in(`insert into symphony.messenger_migrations (version, name, applied_at, oldest_compatible)
values ($1, $2, clock_timestamp(), $3) returning applied_at`), m.Version, m.Name, t.sql.release.oldest).Scan(&m.Applied)
		})
		if err == nil || codeOf(err) != "55P03" && !conflicts(err) || time.Since(begun) > stepPatience {
			return done, err
		}
		if sleep.For(ctx, 250*time.Millisecond+rand.N(250*time.Millisecond)) != nil {
			return false, err
		}
	}
}

// begin waits for other migrators, makes sure that there is a list of what they did, and returns when each step was applied. It refuses
// a schema that is too new.
func (t *Transport) begin(ctx context.Context, tx pgx.Tx) ([]time.Time, error) {
	// By hash of the name. For others we wait as long as they take; for a table, not longer than those who work wait for us.
	for _, text := range []string{
		"set local lock_timeout = 0",
		"set local statement_timeout = 0",
		"select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('symphony migrate ' || pg_catalog.current_database() || '" + t.sql.schema + "', 0))",
		"set local lock_timeout = '" + stepLock + "'",
		"set local enable_seqscan = on",
	} {
		if _, err := tx.Exec(ctx, text); err != nil {
			return nil, err
		}
	}
	var there, listed bool
	err := tx.QueryRow(ctx, `select exists (select from pg_catalog.pg_namespace where nspname = $1),
exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = 'messenger_migrations')`,
		t.sql.schema).Scan(&there, &listed)
	if err != nil {
		return nil, err
	}
	if !there { // its owner may have made it for us, without the right to make others
		if _, err := tx.Exec(ctx, "create schema "+pgx.Identifier{t.sql.schema}.Sanitize()); err != nil {
			return nil, err
		}
	}
	if !listed {
		_, err := tx.Exec(ctx, t.sql.in(ledger), pgx.QueryExecModeSimpleProtocol)
		return nil, err
	}
	rows, err := tx.Query(ctx, t.sql.in("select applied_at, oldest_compatible, version from symphony.messenger_migrations order by version"))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var times []time.Time
	for rows.Next() {
		var at time.Time
		var oldest, version int
		if err := rows.Scan(&at, &oldest, &version); err != nil {
			return nil, err
		}
		times = append(times, at.UTC())
		if err := t.sql.tooNew(version, oldest); err != nil {
			return nil, err
		}
	}
	return times, rows.Err()
}

func (d *dialect) tooNew(version, oldest int) error {
	ours, err := d.newest()
	if err == nil && oldest > ours {
		err = fmt.Errorf("%w: the version of schema %s is %d, which needs a program of version %d or later; this one is of version %d",
			symphony.ErrSchemaTooNew, d.schema, version, oldest, ours)
	}
	return err
}

// Migrations implements [monitor.Migrator]. A database without our schema has none applied.
func (t *Transport) Migrations(ctx context.Context) ([]monitor.Migration, error) {
	all, err := t.sql.steps()
	if err != nil {
		return nil, t.fail("list migrations of", err)
	}
	for i, m := range all {
		all[i].SQL = t.sql.script(m, i == len(all)-1)
	}
	known := len(all)
	err = native{t.work}.query(ctx, t.sql.in("select version, name, applied_at from symphony.messenger_migrations order by version"), nil,
		func(scan scanner) error {
			var m monitor.Migration
			if err := scan(&m.Version, &m.Name, &m.Applied); err != nil {
				return err
			}
			m.Applied = m.Applied.UTC()
			if m.Version > known {
				all = append(all, m)
			} else {
				all[m.Version-1].Applied = m.Applied
			}
			return nil
		})
	if err := explain(err); err != nil && !errors.Is(err, symphony.ErrNotMigrated) {
		return nil, t.fail("list migrations of", err)
	}
	return all, nil
}
