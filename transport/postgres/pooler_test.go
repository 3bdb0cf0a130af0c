package postgres

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
	"github.com/symphony-messenger/symphony/transport/transporttest"
)

// asUser returns a DSN for another user.
func asUser(t testing.TB, dsn, user string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(user)
	return u.String()
}

// TestConformancePooled is the suite by way of a PgBouncer in transaction mode, which runs each transaction in another session.
func TestConformancePooled(t *testing.T) {
	transporttest.Run(t, func(tb testing.TB) transporttest.Store {
		return storeAt(tb, pgtest.Pooled(tb, pgtest.DSN(tb))+"&pgbouncer=true", nil)
	})
}

// TestConformancePooledListening: the same with a direct way for LISTEN, as a user whose statements end after 500 ms.
func TestConformancePooledListening(t *testing.T) {
	user := hurried(t)
	direct := asUser(t, pgtest.Server(t).DSN("postgres"), user)
	transporttest.Run(t, func(tb testing.TB) transporttest.Store {
		return storeAt(tb, asUser(tb, pgtest.Pooled(tb, pgtest.DSN(tb)), user)+"&pgbouncer=true&listen_dsn="+url.QueryEscape(direct), nil)
	})
}

// hurried makes a user who may make schemas in the shared database, and whose statements may take half a second. All stores have the same:
// the pooler keeps connections for each.
func hurried(t *testing.T) string {
	t.Helper()
	admin := adminOf(t)
	user := "r" + strings.ReplaceAll(symphony.NewID().String(), "-", "")
	ctx := context.WithoutCancel(t.Context())
	mustExec(t, admin, fmt.Sprintf("create role %[1]s login; alter role %[1]s set statement_timeout = '500ms'; grant create on database postgres to %[1]s", user))
	t.Cleanup(func() {
		if _, err := admin.Exec(ctx, fmt.Sprintf("drop owned by %[1]s; drop role %[1]s", user)); err != nil {
			t.Error(err)
		}
		_ = admin.Close(ctx)
	})
	return user
}

// TestConformancePooledRoles is the suite by way of the pooler, as a user who owns nothing: a worker from PostgreSQL 17 on, see
// TestConformanceRoles. Policies are about the role that the session of the pooler's has. Each store has a user of its own: sessions of one who
// gets another role for each store, while others get theirs, take a list of roles for valid at times that lacks the latest.
func TestConformancePooledRoles(t *testing.T) {
	role := ordinary(t)
	transporttest.Run(t, func(tb testing.TB) transporttest.Store {
		c := withRoles(tb, pgtest.DSN(tb))
		return storeAt(tb, asUser(tb, pgtest.Pooled(tb, c.dsn), c.login(tb, role))+"&pgbouncer=true", c.owner)
	})
}

// TestPooledWorker takes every path as a worker by way of the pooler, on all versions of PostgreSQL.
func TestPooledWorker(t *testing.T) {
	c := withRoles(t, pgtest.Database(t)) // in the schema that wholePath names
	wholePath(t, unmigrated(t, asUser(t, pgtest.Pooled(t, c.dsn), c.login(t, "worker"))+"&pgbouncer=true"))
}

// TestPooledEnqueue: who may only send sends everything by way of the pooler, as in Go. A worker behind the same pooler gets it, and all that
// the sender may not do is refused in whichever session it is.
func TestPooledEnqueue(t *testing.T) {
	t.Parallel()
	c := withRoles(t, pgtest.DSN(t))
	pooled := pgtest.Pooled(t, c.dsn)
	sender := c.login(t, "enqueue")
	config, err := parseDSN(asUser(t, pooled, sender))
	if err != nil {
		t.Fatal(err)
	}
	config.conn.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	conn, err := pgx.ConnectConfig(t.Context(), config.conn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	goAndSQLAgree(t, openTest(t, nil), c.owner, conn)
	worker := unmigrated(t, asUser(t, pooled, c.login(t, "worker"))+"&pgbouncer=true")
	listening(t, c.owner)
	heard := hearWake(c.owner)
	mustExec(t, conn, c.owner.sql.in("select symphony.dispatch('last', '{}', queue => 'last', wake => true)"))
	heard(t)
	ds, err := worker.Receive(t.Context(), symphony.Claim{Worker: "w", Queues: []symphony.QueueClaim{{Name: "last"}}, Max: 5, Lease: time.Minute})
	if err != nil || len(ds) != 1 || ds[0].Envelope.Type != "last" {
		t.Fatalf("the worker got %v, %v", ds, err)
	}
	if err := worker.Settle(t.Context(), []symphony.Verdict{{Token: ds[0].Token, Outcome: symphony.Completed}}); err != nil {
		t.Error(err)
	}
	for use, err := range everyUse(t, unmigrated(t, asUser(t, pooled, sender)+"&pgbouncer=true")) {
		if !denied(err) {
			t.Errorf("one who may only send may %s: %v", use, err)
		}
	}
}

// TestPooledPaths: with all ways in which connections of the caller's may send their statements through a pooler.
func TestPooledPaths(t *testing.T) {
	dsn := pgtest.Database(t) // in the schema that wholePath names
	openDSN(t, dsn, nil)
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		t.Run(mode.String(), func(t *testing.T) {
			c, err := pgxpool.ParseConfig(pgtest.Pooled(t, dsn))
			if err != nil {
				t.Fatal(err)
			}
			c.ConnConfig.DefaultQueryExecMode = mode
			pool, err := pgxpool.NewWithConfig(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			store, err := New(t.Context(), pool, &Options{Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			wholePath(t, store)
		})
	}
}

// TestPoolerIsSaid: what was recognised is said once, when somebody begins to work, and what follows from it.
func TestPoolerIsSaid(t *testing.T) {
	dsn := pgtest.DSN(t)
	openDSN(t, dsn, nil)
	for name, c := range map[string]struct{ dsn, want, sign string }{
		"nothing":           {dsn, "", ""},
		"option":            {pgtest.Pooled(t, dsn) + "&pgbouncer=true", "poll and are not told", "option pgbouncer"},
		"option, listening": {pgtest.Pooled(t, dsn) + "&pgbouncer=true&listen_dsn=" + url.QueryEscape(pgtest.Server(t).DSN("postgres")), "are told of new messages by way of listen_dsn", "option pgbouncer"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			store, err := Open(t.Context(), c.dsn, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := store.Counts(t.Context()); err != nil || log.Len() > 0 {
				t.Errorf("before anybody works: %s, %v", &log, err)
			}
			for range 2 {
				sendOne(t, store, nil)
				if ds, err := store.Receive(t.Context(), symphony.Claim{Worker: "w", Queues: []symphony.QueueClaim{{Name: "default"}}, Max: 1, Lease: time.Minute}); err != nil || len(ds) != 1 {
					t.Fatal(ds, err)
				}
			}
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(log.String(), "pooler"); c.want == "" && n > 0 || c.want != "" && (n != 1 || !strings.Contains(log.String(), c.want) || !strings.Contains(log.String(), c.sign)) {
				t.Errorf("the log says %s; want once %q and %q", &log, c.want, c.sign)
			}
		})
	}
	// In session mode a pool of the pooler's must hold all that there are.
	var log bytes.Buffer
	store, err := Open(t.Context(), "postgres://u@aws-0-eu.pooler.supabase.com:5432/postgres?pool=4", &Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if !strings.Contains(log.String(), "session mode") || !strings.Contains(log.String(), "connections=18") {
		t.Errorf("the log says %s", &log)
	}
}

// TestPooledSettingsAreLocal: what our statements set is gone with their transactions, also those that fail: the session is the next
// client's.
func TestPooledSettingsAreLocal(t *testing.T) {
	dsn := pgtest.DSN(t)
	store := openDSN(t, pgtest.Pooled(t, dsn)+"&pgbouncer=true", nil)
	const text = "select current_setting('search_path') || current_setting('enable_seqscan') || current_setting('jit') || current_setting('lock_timeout')"
	want := one(t, store, adminConn(t, dsn), text)
	for range 3 {
		if got := one(t, store, store.work, text); got != "pg_catalog, pg_tempoffoff2s" {
			t.Errorf("our statements run with %s", got)
		}
		if _, err := store.work.Exec(t.Context(), "select 1 / $1::int", 0); codeOf(err) != "22012" {
			t.Error(err)
		}
		if err := store.work.QueryRow(t.Context(), "select 1 where false").Scan(new(int)); err == nil {
			t.Error("no row, and no error")
		}
		if tx, err := store.work.Begin(t.Context()); err != nil {
			t.Error(err)
		} else if got := one(t, store, tx, text); got != "pg_catalog, pg_tempoffoff2s" || tx.Commit(t.Context()) != nil {
			t.Errorf("in a transaction of ours they run with %s", got)
		}
	}
	for range 15 { // all sessions of the pooler's
		if got := one(t, store, store.Pool(), text); got != want {
			t.Errorf("the next client has %s, want %s", got, want)
		}
	}
}
