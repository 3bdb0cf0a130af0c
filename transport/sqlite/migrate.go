package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

//go:embed schema/*.sql
var schemaFiles embed.FS

// oldestCompatible is the schema version whose programs still run on the newest schema. It is stored
// with each migration: a program refuses a schema whose oldest compatible version is newer than its own.
const oldestCompatible = 4

// A release is what a program knows of schemas: its steps, and whose programs still run on what they make.
type release struct {
	files  fs.FS // schema/*.sql
	oldest int
}

// steps returns the migrations of a release in order.
func (r release) steps() ([]monitor.Migration, error) {
	files, err := fs.Glob(r.files, "schema/*.sql")
	if err != nil {
		return nil, err
	}
	var all []monitor.Migration
	for i, file := range files { // sorted by name
		text, err := fs.ReadFile(r.files, file)
		if err != nil {
			return nil, err
		}
		number, name, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(file, "schema/"), ".sql"), "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s: its number is not %d", file, i+1)
		}
		all = append(all, monitor.Migration{Version: version, Name: name, SQL: string(text)})
	}
	return all, nil
}

// newest is the version of the release.
func (r release) newest() (int, error) {
	files, err := fs.Glob(r.files, "schema/*.sql")
	return len(files), err
}

// stepPatience is how long a step waits for others that write, at least: they may be migrators, each with steps that take their time.
const stepPatience = 30 * time.Second

// Migrate creates the file if there is none, readable by its owner only, and applies what is pending.
// It implements [monitor.Migrator].
func (t *Transport) Migrate(ctx context.Context) ([]monitor.Migration, error) {
	all, err := t.release.steps()
	if err != nil {
		return nil, t.fail("migrate", err)
	}
	f, err := os.OpenFile(t.config.path, os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = f.Close()
	}
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w: %w", symphony.ErrStoreReadOnly, err)
	}
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	var applied []monitor.Migration
	for _, m := range all {
		pending := false
		err := t.writes.doBefore(ctx, time.Now().Add(max(t.config.busyTimeout, stepPatience)), func(q *queries) error {
			done, err := t.applied(q)
			if err != nil || len(done) >= m.Version {
				return err
			}
			if err := q.script(m.SQL); err != nil {
				return err
			}
			m.Applied = time.UnixMilli(t.clock()).UTC()
			pending = true
			return q.exec("insert into messenger_migrations (version, name, applied_at, oldest_compatible) values (?, ?, ?, ?)",
				m.Version, m.Name, m.Applied.UnixMilli(), t.release.oldest)
		})
		if err != nil {
			return applied, t.fail(fmt.Sprintf("migrate to version %d (%s)", m.Version, m.Name), err)
		}
		if pending {
			applied = append(applied, m)
		}
	}
	t.schema.Found(time.Now())
	return applied, nil
}

// ledgerTable makes the list of steps.
const ledgerTable = `create table if not exists messenger_migrations (
  version integer primary key, name text not null, applied_at integer not null, oldest_compatible integer not null);
`

// script is a step for those who apply it with a tool of their own: with all that Migrate does around it.
func (r release) script(m monitor.Migration) string {
	return fmt.Sprintf("begin;\n%s\n%s\ninsert into messenger_migrations (version, name, applied_at, oldest_compatible)\n"+
		"values (%d, '%s', cast(unixepoch('subsec') * 1000 as integer), %d);\ncommit;\n", ledgerTable, m.SQL, m.Version, m.Name, r.oldest)
}

// applied returns when each step was applied, in order, and refuses a schema that is too new.
func (t *Transport) applied(q *queries) ([]time.Time, error) {
	if err := q.exec(ledgerTable); err != nil {
		return nil, err
	}
	var times []time.Time
	return times, q.each("select applied_at, oldest_compatible, version from messenger_migrations order by version", nil,
		func(rows *sql.Rows) error {
			var at int64
			var oldest, version int
			if err := rows.Scan(&at, &oldest, &version); err != nil {
				return err
			}
			times = append(times, time.UnixMilli(at).UTC())
			return t.release.tooNew(version, oldest)
		})
}

func (r release) tooNew(version, oldest int) error {
	ours, err := r.newest()
	if err == nil && oldest > ours {
		err = fmt.Errorf("%w: its version is %d, which needs a program of version %d or later; this one is of version %d",
			symphony.ErrSchemaTooNew, version, oldest, ours)
	}
	return err
}

// Migrations implements [monitor.Migrator]. A file that does not exist has none applied.
func (t *Transport) Migrations(ctx context.Context) ([]monitor.Migration, error) {
	all, err := t.release.steps()
	if err != nil {
		return nil, t.fail("list migrations", err)
	}
	for i, m := range all {
		all[i].SQL = t.release.script(m)
	}
	rows, err := t.db.QueryContext(ctx, "select version, name, applied_at from messenger_migrations order by version")
	if err := t.explainOpen(err); errors.Is(err, symphony.ErrNotMigrated) {
		return all, nil
	} else if err != nil {
		return nil, t.fail("list migrations", err)
	}
	defer rows.Close()
	known := len(all)
	for rows.Next() {
		var m monitor.Migration
		var at int64
		if err := rows.Scan(&m.Version, &m.Name, &at); err != nil {
			return nil, t.fail("list migrations", err)
		}
		m.Applied = time.UnixMilli(at).UTC()
		if m.Version > known {
			all = append(all, m)
		} else {
			all[m.Version-1].Applied = m.Applied
		}
	}
	return all, rows.Err()
}

// script runs the statements of a migration. The driver takes several in one text when they have no
// arguments.
func (q *queries) script(text string) error { return q.exec(text) }
