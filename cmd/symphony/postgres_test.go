package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/symphony-messenger/symphony/internal/pgtest"
)

// setupPostgres gives a session a schema of its own, which is dropped at its end.
func setupPostgres(env *testscript.Env) {
	dsn := pgtest.DSN(env.T().(testing.TB)) // it is one, as Env.T says
	env.Setenv("STORE", dsn)
	u, err := url.Parse(dsn)
	if err != nil {
		env.T().Fatal(err)
	}
	options := u.Query()
	env.Setenv("SCHEMA", options.Get("schema"))
	options.Del("schema")
	options.Set("application_name", "symphony session") // so that there is an option, and sessions may add others
	u.RawQuery = options.Encode()
	env.Setenv("SERVER", u.String())
}

// firstColumn returns that of the answer, a line a row. Rows that came before an error are there as well.
func firstColumn(ts *testscript.TestScript, query string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, ts.Getenv("SERVER"))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "set search_path = "+pgx.Identifier{ts.Getenv("SCHEMA")}.Sanitize()+", public"); err != nil {
		return "", err
	}
	// Answers come as text, as psql shows them.
	rows, err := conn.Query(ctx, query, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var all strings.Builder
	for rows.Next() {
		fmt.Fprintf(&all, "%s\n", rows.RawValues()[0])
	}
	return all.String(), rows.Err()
}
