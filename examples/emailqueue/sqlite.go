package main

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"log/slog"
	"net/url"

	_ "modernc.org/sqlite" // the driver that the application uses

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/transport/sqlite"
)

//go:embed schema_sqlite.sql
var schemaSQLite string

// onSQLite: Symphony's tables are in the application's file, and there is one writer.
var onSQLite = newDialect(schemaSQLite, "", "")

// A sqliteBackend sends in transactions on the application's file.
type sqliteBackend struct{ store *sqlite.Transport }

// openSQLite opens Symphony's tables in the application's file. The processes share two cores and one
// write lock with everything else here, so that they may have to wait longer than usual.
func openSQLite(ctx context.Context, o options, log *slog.Logger) (backend, error) {
	dsn := fmt.Sprintf("sqlite://%s?synchronous=%s&busy_timeout=%v", o.file, o.sync, busyTimeout)
	store, err := sqlite.Open(ctx, dsn, &sqlite.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	return sqliteBackend{store}, nil
}

func (b sqliteBackend) transport() symphony.Transport { return b.store }
func (b sqliteBackend) database() database {
	return sqlDatabase{sqlQuerier{b.store.DB()}, b.store.DB()}
}
func (b sqliteBackend) close() error { return b.store.Close() }

func (b sqliteBackend) send(ctx context.Context, bus *symphony.Bus, fn func(transaction, symphony.Dispatcher) error) error {
	return b.store.Tx(ctx, bus, func(tx *sql.Tx, d symphony.Dispatcher) error {
		return fn(sqliteTransaction{sqlQuerier{tx}, b.store, tx}, d)
	})
}

type sqliteTransaction struct {
	sqlQuerier
	store *sqlite.Transport
	tx    *sql.Tx
}

func (t sqliteTransaction) complete(ctx context.Context) error { return t.store.Complete(ctx, t.tx) }

// An sqlDatabase is the application's file.
type sqlDatabase struct {
	sqlQuerier
	db *sql.DB
}

func openFile(o options) (database, error) {
	busy := fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds())
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {busy, "synchronous(" + o.sync + ")", "foreign_keys(ON)"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: o.file, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", o.file, err)
	}
	return sqlDatabase{sqlQuerier{db}, db}, nil
}

func (d sqlDatabase) dialect() *dialect { return onSQLite }
func (d sqlDatabase) close() error      { return d.db.Close() }

func (d sqlDatabase) tx(ctx context.Context, fn func(querier) error) error {
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	if err := fn(sqlQuerier{tx}); err != nil {
		return err
	}
	return tx.Commit()
}

// An sqlQuerier is a *sql.DB or a *sql.Tx.
type sqlQuerier struct {
	on interface {
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	}
}

func (q sqlQuerier) query(ctx context.Context, query string, args ...any) (rows, error) {
	rs, err := q.on.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return sqlRows{rs}, nil
}

func (q sqlQuerier) exec(ctx context.Context, query string, args ...any) (int, error) {
	res, err := q.on.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}

type sqlRows struct{ *sql.Rows }

// Close implements rows: what it could say, Err has said.
func (r sqlRows) Close() { _ = r.Rows.Close() }
