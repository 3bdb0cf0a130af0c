package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/transport/postgres"
)

//go:embed schema_postgres.sql
var schemaPostgres string

// onPostgres: Symphony's tables are in a schema of their own. Movers and cron jobs work at the same time,
// and pass over the rows that another is claiming instead of waiting for them.
var onPostgres = newDialect(schemaPostgres, "symphony.", "for update skip locked")

// A pgBackend sends in transactions on the application's database.
type pgBackend struct{ store *postgres.Transport }

func openPostgres(ctx context.Context, o options, log *slog.Logger) (backend, error) {
	store, err := postgres.Open(ctx, o.dsn, &postgres.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	return pgBackend{store}, nil
}

func (b pgBackend) transport() symphony.Transport { return b.store }
func (b pgBackend) database() database            { return pgDatabase{pgQuerier{b.store.Pool()}, b.store.Pool()} }
func (b pgBackend) close() error                  { return b.store.Close() }

func (b pgBackend) send(ctx context.Context, bus *symphony.Bus, fn func(transaction, symphony.Dispatcher) error) error {
	return b.store.Tx(ctx, bus, func(tx pgx.Tx, d symphony.Dispatcher) error {
		return fn(pgTransaction{pgQuerier{tx}, b.store, tx}, d)
	})
}

type pgTransaction struct {
	pgQuerier
	store *postgres.Transport
	tx    pgx.Tx
}

func (t pgTransaction) complete(ctx context.Context) error { return t.store.Complete(ctx, t.tx) }

// A pgDatabase is the application's database.
type pgDatabase struct {
	pgQuerier
	pool *pgxpool.Pool
}

func openPool(ctx context.Context, dsn string) (database, error) {
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return nil, fmt.Errorf("open the application's database: %w", err)
	}
	return pgDatabase{pgQuerier{pool}, pool}, nil
}

func (d pgDatabase) dialect() *dialect { return onPostgres }

func (d pgDatabase) close() error {
	d.pool.Close()
	return nil
}

func (d pgDatabase) tx(ctx context.Context, fn func(querier) error) error {
	return pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error { return fn(pgQuerier{tx}) })
}

// A pgQuerier is a *pgxpool.Pool or a pgx.Tx.
type pgQuerier struct {
	on interface {
		Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
		Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)
	}
}

func (q pgQuerier) query(ctx context.Context, query string, args ...any) (rows, error) {
	return q.on.Query(ctx, query, args...)
}

func (q pgQuerier) exec(ctx context.Context, query string, args ...any) (int, error) {
	tag, err := q.on.Exec(ctx, query, args...)
	return int(tag.RowsAffected()), err
}

// checkEmpty refuses a database in which there is something that the demonstration would make.
func checkEmpty(ctx context.Context, db database) error {
	var there bool
	_, err := selectOne(ctx, db, `select to_regclass('email_queue') is not null
		or exists (select 1 from pg_namespace where nspname = 'symphony')`, nil, &there)
	if err != nil {
		return fmt.Errorf("look into the database: %w", err)
	}
	if there {
		return errors.New("the database has a table email_queue or a schema symphony already: -dsn must name an empty one")
	}
	return nil
}
