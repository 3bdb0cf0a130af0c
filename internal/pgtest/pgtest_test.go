//go:build unix

package pgtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"github.com/symphony-messenger/symphony/internal/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.M{M: m}) }

// split takes the option schema off a DSN, as the transport does: the server does not know it.
func split(t *testing.T, dsn string) (plain, schema string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	schema = q.Get("schema")
	q.Del("schema")
	u.RawQuery = q.Encode()
	return u.String(), schema
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) }) // the server may have ended it
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func schemas(t *testing.T, conn *pgx.Conn, name string) (n int) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), "select count(*) from pg_namespace where nspname = $1", name).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDSN(t *testing.T) {
	conn := connect(t, pgtest.Server(t).DSN("postgres"))
	var used []string
	t.Run("tests", func(t *testing.T) {
		plain, schema := split(t, pgtest.DSN(t))
		if plain != pgtest.Server(t).DSN("postgres") {
			t.Errorf("without its schema the DSN is %s, not one of the server at port %d", plain, pgtest.Server(t).Port())
		}
		_, second := split(t, pgtest.DSN(t))
		used = []string{schema, second}
		if schema == second || !strings.HasPrefix(schema, "t_") || schemas(t, conn, schema) > 0 {
			t.Errorf("schemas %s and %s: want two new ones", schema, second)
		}
		execute(t, connect(t, plain), "create schema "+schema) // unquoted: the name is as it is written
		execute(t, conn, "create table "+schema+".a (id int primary key)")
		execute(t, conn, "create view "+schema+".b as select * from "+schema+".a")
	})
	for _, schema := range used {
		if schemas(t, conn, schema) > 0 {
			t.Errorf("schema %s has survived its test", schema)
		}
	}
}

func TestDatabase(t *testing.T) {
	var open *pgx.Conn
	var dsn string
	t.Run("test", func(inner *testing.T) {
		dsn = pgtest.Database(inner)
		open = connect(t, dsn) // longer than the inner test
		execute(t, open, "create table a (id int)")
		if other := pgtest.Database(inner); other == dsn {
			t.Errorf("two databases have the DSN %s", dsn)
		}
	})
	if err := open.Ping(t.Context()); err == nil {
		t.Error("a session has survived the database")
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != "3D000" {
		t.Errorf("connection %v, error %v; want that there is no such database", conn, err)
	}
}

// TestGivenServer: with SYMPHONY_TEST_DSN tests use that server, and none of them may stop it.
func TestGivenServer(t *testing.T) {
	given := pgtest.Database(t)
	t.Setenv("SYMPHONY_TEST_DSN", given+"&application_name=given")
	plain, schema := split(t, pgtest.DSN(t))
	execute(t, connect(t, plain), "create schema "+schema)
	conn := connect(t, given)
	if schemas(t, conn, schema) != 1 {
		t.Errorf("schema %s of %s is not in the given database", schema, plain)
	}
	if u, err := url.Parse(pgtest.Database(t)); err != nil || u.Query().Get("application_name") != "given" {
		t.Errorf("database %v has lost an option, error %v", u, err)
	}
	if said := refused(t, func(tb testing.TB) { pgtest.Server(tb) }); !strings.Contains(said, "without SYMPHONY_TEST_DSN") {
		t.Errorf("a server to stop was refused with %q", said)
	}
	t.Setenv("SYMPHONY_TEST_DSN", "host=localhost password=hush")
	if said := refused(t, func(tb testing.TB) { pgtest.DSN(tb) }); !strings.Contains(said, "SYMPHONY_TEST_DSN must be a URL") || strings.Contains(said, "hush") {
		t.Errorf("a DSN that is no URL was refused with %q", said)
	}
}

// TestLeftOpen: a test that leaves a transaction open fails, and says which lock it was.
func TestLeftOpen(t *testing.T) {
	plain, schema := split(t, pgtest.DSN(t))
	conn := connect(t, plain)
	execute(t, conn, "create schema "+schema)
	execute(t, conn, "create table "+schema+".a (id int)")
	execute(t, conn, "begin")
	execute(t, conn, "insert into "+schema+".a values (1)")
	tb := &failing{TB: t}
	pgtest.Drop(tb, plain, "drop schema "+schema+" cascade")
	if !strings.Contains(tb.said, "lock timeout") {
		t.Errorf("the end of the test said %q", tb.said)
	}
}

// TestPooled: the pooler leads into the database of the DSN, which can be dropped while it has connections.
func TestPooled(t *testing.T) {
	dsn := pgtest.Database(t)
	pooled := pgtest.Pooled(t, dsn)
	execute(t, connect(t, pooled), "create table here (id int)")
	execute(t, connect(t, dsn), "select from here")
	if again := pgtest.Pooled(t, dsn); again != pooled || pooled == dsn {
		t.Errorf("DSNs %s, %s and %s: want one pooler in front of the server", dsn, pooled, again)
	}
}

// TestNoMain: nobody would stop a server that was started without Main.
func TestNoMain(t *testing.T) {
	if err := pgtest.WithoutMain(); err == nil || !strings.Contains(err.Error(), "pgtest.Main") {
		t.Errorf("error %v, want what the package needs", err)
	}
}

// failing is a test that may fail.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Errorf(format string, args ...any) { f.said = fmt.Sprintf(format, args...) }

func (f *failing) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}

// refused returns with what text a test fails.
func refused(t *testing.T, test func(testing.TB)) string {
	t.Helper()
	tb := &failing{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		test(tb)
	}()
	<-done
	return tb.said
}
