package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
	"github.com/symphony-messenger/symphony/internal/rolling"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/transport/transporttest"
)

// newest is the version of this program.
func newest(tb testing.TB) int {
	tb.Helper()
	files, err := fs.Glob(schemaFiles, "schema/*.sql")
	if err != nil {
		tb.Fatal(err)
	}
	return len(files)
}

// program opens a store as a program of another release does, which has not migrated it.
func program(tb testing.TB, dsn string, r release) *Transport {
	tb.Helper()
	store := unmigrated(tb, dsn)
	store.sql.release = r
	return store
}

// upTo is a release that has only the first n steps.
func upTo(tb testing.TB, n int) release {
	return release{rolling.Steps(tb, schemaFiles, n, nil), n}
}

// later is a made-up release with one step more, which is compatible with this one, or is not.
func later(tb testing.TB, compatible bool) release {
	tb.Helper()
	text, err := os.ReadFile("testdata/next_step.sql")
	if err != nil {
		tb.Fatal(err)
	}
	n := newest(tb)
	r := release{rolling.Steps(tb, schemaFiles, n, map[string]string{fmt.Sprintf("schema/%04d_made_up.sql", n+1): string(text)}), n + 1}
	if compatible {
		r.oldest = n
	}
	return r
}

func mustMigrate(tb testing.TB, store *Transport, versions ...int) {
	tb.Helper()
	applied, err := store.Migrate(tb.Context())
	var got []int
	for _, m := range applied {
		got = append(got, m.Version)
	}
	if err != nil || !slices.Equal(got, versions) {
		tb.Fatalf("migrated to versions %v, want %v: %v", got, versions, err)
	}
}

// TestNextSchema: the suite, as the release before of a schema that a later one has migrated. Of cases that are alike one is enough here.
func TestNextSchema(t *testing.T) {
	transporttest.Run(t, func(tb testing.TB) transporttest.Store {
		dsn := pgtest.DSN(tb)
		if _, err := program(tb, dsn, later(tb, true)).Migrate(tb.Context()); err != nil {
			tb.Fatal(err)
		}
		return storeAt(tb, dsn, nil) // which migrates too, and finds nothing to do
	}, "send/", "content/", "order/", "queues/apart", "delay/after", "verdict/in time/", "verdict/twice/completed", "lease/r", "dead letter/", "key/within", "key/retry",
		"group/frees", "group/crash", "expiry/never", "cancel/running", "subscription/fan-out", "exchange/settles", "transaction/", "find/", "schedule/a tick", "manage/list",
		"search/bodies", "change/priority", "pause/queue", "pause/type", "bulk/go on", "replace/waiting", "workers/", "counts/")
}

func TestMigrateWhileOthersWork(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	store, next := openDSN(t, dsn, nil), program(t, dsn, later(t, true))
	rolling.KeepWorking(t, store, func() { mustMigrate(t, next, newest(t)+1) })
	rolling.KeepWorking(t, next, func() { mustMigrate(t, store) }) // the release before does not mind
}

func TestMigrateAwayFromOthers(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	store, next := openDSN(t, dsn, nil), program(t, dsn, later(t, false))
	rolling.StopWorking(t, store, next, checkEvery, func() { mustMigrate(t, next, newest(t)+1) })
	for use, err := range everyUse(t, store) {
		if !errors.Is(err, symphony.ErrSchemaTooNew) || !strings.Contains(err.Error(), fmt.Sprintf("is %d, which needs a program of version %[1]d or later; this one is of version %d", newest(t)+1, newest(t))) {
			t.Errorf("%s: %v", use, err)
		}
	}
	if _, err := store.Migrate(t.Context()); !errors.Is(err, symphony.ErrSchemaTooNew) {
		t.Error("Migrate:", err)
	}
	if checks := store.Examine(t.Context()); !slices.ContainsFunc(checks, func(c monitor.Check) bool {
		return c.Name == "schema" && c.Level == monitor.LevelFail && errors.Is(c.Err, symphony.ErrSchemaTooNew)
	}) {
		t.Errorf("the doctor finds nothing: %+v", checks)
	}
}

// TestSomethingTakenAway: who meets what a later release has taken away does not ask for a migration a second time.
func TestSomethingTakenAway(t *testing.T) {
	dsn := pgtest.DSN(t)
	store := openDSN(t, dsn, nil)
	r := later(t, false)
	r.files = rolling.Steps(t, schemaFiles, newest(t), map[string]string{
		fmt.Sprintf("schema/%04d_made_up.sql", newest(t)+1): "alter function symphony.messenger_promote(integer) rename to messenger_advance_time",
	})
	mustMigrate(t, program(t, dsn, r), newest(t)+1)
	if _, err := store.promote(t.Context()); err == nil {
		t.Fatal("the function is still there")
	} else if err := store.fail("promote", err); !errors.Is(err, symphony.ErrNotMigrated) {
		t.Fatal(err)
	}
	if _, err := store.Counts(t.Context()); !errors.Is(err, symphony.ErrSchemaTooNew) {
		t.Error(err)
	}
}

// needs makes sure that a store says for every use which version its schema has, which it needs, and what to do.
func needs(t *testing.T, store *Transport, has, needs int) {
	t.Helper()
	want := fmt.Sprintf("the version of schema %s is %d, this program needs %d: `symphony migrate up`", store.config.schema, has, needs)
	for use, err := range everyUse(t, store) {
		if !errors.Is(err, symphony.ErrNotMigrated) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want ErrNotMigrated, and %q", use, err, want)
		}
	}
}

// TestUpgrade brings stores of every version before this one, with what they hold, up to this one and a later one.
func TestUpgrade(t *testing.T) {
	fresh := withRoles(t, pgtest.DSN(t))
	want := catalog(t, fresh.admin, fresh.schema)
	for k := 1; k <= newest(t); k++ {
		t.Run(fmt.Sprint("from ", k), func(t *testing.T) {
			t.Parallel()
			c := &cast{dsn: pgtest.DSN(t)}
			c.dropRoles(t)
			admin, before := adminConn(t, c.dsn), program(t, c.dsn, upTo(t, k))
			store, next := unmigrated(t, c.dsn), program(t, c.dsn, later(t, true))
			c.schema = store.config.schema
			mustExec(t, admin, store.sql.roles())
			if _, err := before.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			insert := `insert into symphony.messenger_messages (id, created_at, available_at, status, queue_name, message_type, body)
select gen_random_uuid(), now(), now(), 'pending', 'default', 'order', convert_to('{"n":' || n || '}', 'UTF8') from generate_series(1, 3) n;
insert into symphony.messenger_stats_deltas (queue_name, message_type, due) values ('default', 'order', 3)`
			if k >= 3 { // there is the function for that
				insert = `select symphony.dispatch('order', json_build_object('n', n)) from generate_series(1, 3) n`
			}
			mustExec(t, admin, "set search_path = pg_catalog; "+store.sql.in(insert))
			if k < newest(t) {
				needs(t, store, k, newest(t))
				eightMigrators(t, k, newest(t), func() *Transport { return unmigrated(t, c.dsn) })
			}
			if diff := cmp.Diff(want, catalog(t, admin, c.schema)); diff != "" {
				t.Error("the schema differs from a new one (- new, + upgraded):", diff)
			}
			rolling.Handle(t, store, 3)
			if k < newest(t) {
				return
			}
			needs(t, next, k, k+1)
			mustMigrate(t, next, k+1)
			rolling.Handle(t, next, 0)
		})
	}
}

// eightMigrators migrates a store of version from by programs, all at once, to version to: each of them succeeds, and each step is applied
// once.
func eightMigrators(t *testing.T, from, to int, open func() *Transport) {
	t.Helper()
	stores := make([]*Transport, 8)
	for i := range stores {
		stores[i] = open()
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	got, want := make(map[int]int), make(map[int]int)
	for _, store := range stores {
		all.Go(func() {
			applied, err := store.Migrate(t.Context())
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, m := range applied {
				got[m.Version]++
			}
		})
	}
	all.Wait()
	for version := from + 1; version <= to; version++ {
		want[version] = 1
	}
	if !maps.Equal(got, want) {
		t.Errorf("steps were applied so often: %v, want %v", got, want)
	}
	if n := scalar[int](t, stores[0], "select count(*) from symphony.messenger_migrations"); n != to {
		t.Errorf("%d steps are listed, want %d", n, to)
	}
}

func TestEightMigratorsAtOnce(t *testing.T) {
	t.Parallel()
	t.Run("of one release", func(t *testing.T) {
		dsn := pgtest.DSN(t)
		eightMigrators(t, 0, newest(t), func() *Transport { return unmigrated(t, dsn) })
		rolling.Handle(t, unmigrated(t, dsn), 0)
	})
	t.Run("of two releases", func(t *testing.T) {
		dsn, n := pgtest.DSN(t), 0
		eightMigrators(t, 0, newest(t)+1, func() *Transport {
			if n++; n%2 == 0 {
				return program(t, dsn, later(t, true))
			}
			return unmigrated(t, dsn)
		})
		rolling.Handle(t, unmigrated(t, dsn), 0)
	})
}

// TestMigratorsWaitForALongStep: a step may take longer than our statements wait for locks elsewhere.
func TestMigratorsWaitForALongStep(t *testing.T) {
	t.Parallel()
	dsn := namedDSN(pgtest.DSN(t), "waiting migrator")
	store, first := unmigrated(t, dsn), unmigrated(t, dsn)
	tx, err := first.work.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	if _, err := first.begin(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := store.Migrate(t.Context())
		ended <- err
	}()
	eventually(t, "the migrator waits longer than for any other lock", func() bool {
		select {
		case err := <-ended:
			t.Fatal("the migrator did not wait:", err)
		default:
		}
		return scalar[bool](t, first, `select exists (select from pg_catalog.pg_stat_activity where application_name = 'waiting migrator'
and wait_event = 'advisory' and now() - query_start > interval '2.2 s')`)
	})
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// TestMigrateBehindALongTransaction: who works does not fail because a step waits for somebody's long transaction.
func TestMigrateBehindALongTransaction(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	store, next := openDSN(t, dsn, nil), program(t, namedDSN(dsn, "patient migrator"), later(t, true))
	tx, err := store.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	bus := &symphony.Bus{Transport: store}
	if _, err := bus.Dispatch(t.Context(), rolling.Order{N: 1}, store.InTx(tx)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := next.Migrate(t.Context())
		ended <- err
	}()
	n := 1
	for begun := time.Now(); time.Since(begun) < 3*time.Second; n++ { // longer than a send waits for a lock
		if _, err := bus.Dispatch(t.Context(), rolling.Order{N: 1 + n}); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			t.Fatal("the step did not wait:", err)
		default:
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	rolling.Handle(t, store, n)
}
