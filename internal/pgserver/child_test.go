//go:build unix

package pgserver_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony/internal/pgserver"
)

// childVariable makes the test program one that starts a server in this directory and then waits.
const childVariable = "PGSERVER_TEST_CHILD"

// child prints the process IDs of the server and of a session that computes. It does not return.
func child(dir string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := serve(ctx, dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0) // nobody has killed it
}

func serve(ctx context.Context, dir string) error {
	s, err := pgserver.Start(ctx, pgserver.Config{Dir: dir})
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err != nil {
		return err
	}
	// A loop that never waits does not notice the death of the server's main process.
	go func() { _, _ = conn.Exec(ctx, "do $$ begin loop null; end loop; end $$") }()
	fmt.Println(s.PID(), conn.PgConn().PID())
	<-ctx.Done()
	return ctx.Err()
}
