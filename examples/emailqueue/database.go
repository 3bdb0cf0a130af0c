package main

import (
	"context"
	"log/slog"
	"strings"

	"github.com/symphony-messenger/symphony"
)

// A querier runs the SQL of this example, on a connection or in a transaction. Arguments are $1, $2 and so
// on, which SQLite understands as well.
type querier interface {
	query(ctx context.Context, query string, args ...any) (rows, error)
	exec(ctx context.Context, query string, args ...any) (changed int, err error)
}

// rows are those of database/sql and of pgx alike.
type rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close()
}

// A database is the application's own way to its tables. It knows nothing of Symphony.
type database interface {
	querier
	tx(ctx context.Context, fn func(tx querier) error) error
	dialect() *dialect
	close() error
}

// A backend is Symphony's transport and the application's tables in one database, so that both can be
// changed in one transaction.
type backend interface {
	transport() symphony.Transport
	database() database // on the transport's connections: it is closed with the backend
	send(ctx context.Context, bus *symphony.Bus, fn func(tx transaction, d symphony.Dispatcher) error) error
	close() error
}

// A transaction is one in which messages can be sent and completed too.
type transaction interface {
	querier
	complete(ctx context.Context) error // the message that is handled in ctx
}

// openBackend opens what a worker needs.
func openBackend(ctx context.Context, o options, log *slog.Logger) (backend, error) {
	if o.dsn != "" {
		return openPostgres(ctx, o, log)
	}
	return openSQLite(ctx, o, log)
}

// openDatabase opens the database as the application does, which has its own connections.
func openDatabase(ctx context.Context, o options) (database, error) {
	if o.dsn != "" {
		return openPool(ctx, o.dsn)
	}
	return openFile(o)
}

// selectOne scans the only row of a query, and reports whether there was one.
func selectOne(ctx context.Context, db querier, query string, args []any, dest ...any) (found bool, err error) {
	rs, err := db.query(ctx, query, args...)
	if err != nil {
		return false, err
	}
	defer rs.Close()
	if rs.Next() {
		if err := rs.Scan(dest...); err != nil {
			return false, err
		}
		found = true
	}
	return found, rs.Err()
}

// textOf is the text of an error as a column can keep it: PostgreSQL refuses NUL and what is not UTF-8, and a
// mail server may say anything.
func textOf(err error) string {
	return strings.ToValidUTF8(strings.ReplaceAll(err.Error(), "\x00", ""), "\uFFFD")
}
