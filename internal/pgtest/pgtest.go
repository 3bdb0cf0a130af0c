// Package pgtest gives tests a PostgreSQL server: one for each test process, started by the first test that
// asks, with a schema or a database of its own for each test.
//
// The package of the tests needs
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
// or goleak.VerifyTestMain(pgtest.M{M: m}). With the environment variable SYMPHONY_TEST_DSN, the URL of a
// database whose user may create databases, tests use that server and none is started.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony/internal/pgserver"
)

// dsnVariable names a server to be used instead of one of our own.
const dsnVariable = "SYMPHONY_TEST_DSN"

const (
	startTime = 2 * time.Minute // on a busy machine; initdb alone takes a second on an idle one
	dropTime  = 30 * time.Second
	lockTime  = "5s" // of which: it waits for transactions that the test has left open
)

// ours is the server of this process: tests of one process share it.
var ours shared

// A shared server is started when it is needed.
type shared struct {
	mu      sync.Mutex
	owned   bool // by Main, which stops it
	server  *pgserver.Server
	err     error // of starting it: all who ask get the same
	pooler  *pgserver.Pooler
	poolErr error
}

// Main runs the tests, then stops the server if they have used one. It returns the exit code.
func Main(m *testing.M) int {
	ours.own()
	code := m.Run()
	if err := ours.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return max(code, 1)
	}
	return code
}

// M runs tests as Main does, for packages that wrap a testing.M.
type M struct{ M *testing.M }

// Run is Main.
func (m M) Run() int { return Main(m.M) }

func (s *shared) own() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owned = true
}

func (s *shared) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owned = false
	if s.server == nil {
		return nil
	}
	var err error
	if s.pooler != nil {
		err = s.pooler.Stop()
	}
	return errors.Join(err, s.server.Stop())
}

// get returns the server. Its start does not end with the test that happens to ask first.
func (s *shared) get() (*pgserver.Server, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.owned {
		return nil, errors.New("nobody would stop the PostgreSQL server: the package needs a TestMain that calls pgtest.Main")
	}
	if s.server == nil && s.err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), startTime)
		defer cancel()
		s.server, s.err = pgserver.Start(ctx, pgserver.Config{})
	}
	return s.server, s.err
}

// pool returns the pooler in front of the server.
func (s *shared) pool() (*pgserver.Pooler, error) {
	server, err := s.get()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pooler == nil && s.poolErr == nil {
		ctx, cancel := context.WithTimeout(context.Background(), startTime)
		defer cancel()
		s.pooler, s.poolErr = pgserver.StartPooler(ctx, server)
	}
	return s.pooler, s.poolErr
}

// Server returns the server that the tests of this process share. A test that stops it or starts it again
// disturbs those that run beside it; one with settings of its own calls pgserver.Start. With a server from
// SYMPHONY_TEST_DSN there is none to return, and the test fails.
func Server(tb testing.TB) *pgserver.Server {
	tb.Helper()
	if os.Getenv(dsnVariable) != "" {
		tb.Fatalf("the test needs a PostgreSQL server that it may stop: run it without %s", dsnVariable)
	}
	s, err := ours.get()
	if err != nil {
		tb.Fatalf("%s needs a PostgreSQL server: %v", tb.Name(), err)
	}
	return s
}

// DSN returns the URL of a schema for this test (the option schema), which does not exist yet, and is
// dropped, with what is in it, when the test ends.
func DSN(tb testing.TB) string {
	tb.Helper()
	base, schema := base(tb), unused()
	dsn := with(tb, base, func(u *url.URL) {
		q := u.Query()
		q.Set("schema", schema)
		u.RawQuery = q.Encode()
	})
	tb.Cleanup(func() { drop(tb, base, "drop schema if exists "+schema+" cascade") })
	return dsn
}

// Pooled returns a DSN that leads where dsn, one of the shared server, does, by way of a PgBouncer in transaction mode, which the tests of
// this process share.
func Pooled(tb testing.TB, dsn string) string {
	tb.Helper()
	Server(tb)
	p, err := ours.pool()
	if err != nil {
		tb.Fatalf("%s needs a PgBouncer: %v", tb.Name(), err)
	}
	return with(tb, dsn, func(u *url.URL) { u.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Port())) })
}

// Database returns the URL of a new, empty database for this test, which is dropped when the test ends,
// whoever is still connected to it.
func Database(tb testing.TB) string {
	tb.Helper()
	base, name := base(tb), unused()
	dsn := with(tb, base, func(u *url.URL) { u.Path = "/" + name })
	// With template1, two tests at a time could disturb each other: it is locked while it is copied.
	if err := execute(tb.Context(), base, "create database "+name+" template template0"); err != nil {
		tb.Fatalf("create a database for the test: %v", err)
	}
	tb.Cleanup(func() { drop(tb, base, "drop database if exists "+name+" with (force)") })
	return dsn
}

// base is the URL of the database in which tests have their schemas.
func base(tb testing.TB) string {
	tb.Helper()
	if dsn := os.Getenv(dsnVariable); dsn != "" {
		return dsn
	}
	return Server(tb).DSN("postgres")
}

// unused returns a new name, of a kind that needs no quotes.
func unused() string { return "t_" + strings.ToLower(rand.Text()) }

func with(tb testing.TB, dsn string, change func(*url.URL)) string {
	tb.Helper()
	u, err := url.Parse(dsn)
	if err == nil && u.Host == "" {
		err = errors.New("it has no host")
	}
	if err != nil {
		tb.Fatalf("%s must be a URL, postgres://user@host/database", dsnVariable) // err has the text, with a password
	}
	change(u)
	return u.String()
}

// drop executes SQL that removes what a test has used.
func drop(tb testing.TB, dsn, sql string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), dropTime)
	defer cancel()
	// A test that leaves a transaction open must fail here, not hang.
	if err := execute(ctx, dsn, "set lock_timeout = '"+lockTime+"'", sql); err != nil {
		tb.Errorf("%s at the end of the test: %v", sql, err)
	}
}

// execute executes statements on a connection of their own.
func execute(ctx context.Context, dsn string, statements ...string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return errors.Join(fmt.Errorf("execute %q: %w", sql, err), conn.Close(ctx))
		}
	}
	return conn.Close(ctx)
}
