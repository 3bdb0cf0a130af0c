//go:build unix

package pgserver_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony/internal/pgserver"
)

// TestPooler: it is in transaction mode, and gives each transaction another session.
func TestPooler(t *testing.T) {
	s := start(t, pgserver.Config{})
	p, err := pgserver.StartPooler(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	mustDo := func(conn *pgx.Conn, sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	mustDo(connect(t, s), "create role somebody login")
	var conns []*pgx.Conn
	for range 3 {
		conn, err := pgx.Connect(t.Context(), p.DSN("somebody", "postgres"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		conns = append(conns, conn)
	}
	for _, conn := range conns { // three sessions
		mustDo(conn, "begin")
	}
	for _, conn := range conns {
		mustDo(conn, "commit")
	}
	sessions := make(map[int]bool)
	for range 3 {
		var pid int
		if err := conns[0].QueryRow(t.Context(), "select pg_backend_pid()", pgx.QueryExecModeSimpleProtocol).Scan(&pid); err != nil {
			t.Fatal(err)
		}
		sessions[pid] = true
	}
	if len(sessions) != 3 {
		t.Errorf("three transactions of one client ran in %d sessions", len(sessions))
	}
	stop()
	if err := conns[0].Ping(t.Context()); err == nil {
		t.Error("the pooler has survived Stop")
	}
}

// TestNoPooler: a program that is not there is named. Tests fail with that, none is passed over.
func TestNoPooler(t *testing.T) {
	t.Setenv("SYMPHONY_PGBOUNCER", t.TempDir()+"/bouncer")
	p, err := pgserver.StartPooler(t.Context(), new(pgserver.Server))
	if err == nil || !strings.Contains(err.Error(), "/bouncer (from SYMPHONY_PGBOUNCER)") {
		t.Fatalf("a pooler %v, error %v; want the name of what is missing", p, err)
	}
}
