package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony"
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

// program opens a file as a program of another release does, which has not migrated it.
func program(tb testing.TB, path string, r release) *Transport {
	tb.Helper()
	store, err := Open(tb.Context(), "sqlite://"+path, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := store.Close(); err != nil {
			tb.Error(err)
		}
	})
	store.release = r
	return store
}

func ours() release { return release{schemaFiles, oldestCompatible} }

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

// everyUse calls what needs the schema, of each kind one.
func everyUse(t *testing.T, store *Transport) map[string]error {
	t.Helper()
	ctx, all := t.Context(), make(map[string]error)
	all["Send"] = send(ctx, store, newEnvelope("a"))
	_, all["Receive"] = store.Receive(ctx, claimOf("w", 1))
	_, all["Exchange"] = store.Exchange(ctx, nil, claimOf("w", 1))
	all["Settle"] = store.Settle(ctx, []symphony.Verdict{{Token: "1.1", Outcome: symphony.Completed}})
	_, all["Renew"] = store.Renew(ctx, "w", []symphony.Token{"1.1"})
	_, all["Find"] = store.Find(ctx, symphony.NewID())
	_, all["Counts"] = store.Counts(ctx)
	_, all["Failed"] = store.Failed(ctx, monitor.Filter{})
	_, all["Cancel"] = store.Cancel(ctx, symphony.NewID())
	_, all["Maintain"] = store.Maintain(ctx)
	all["Subscribe"] = store.Subscribe(ctx, []symphony.Subscription{{Type: "a"}})
	_, all["Pauses"] = store.Pauses(ctx)
	all["Tx"] = store.Tx(ctx, &symphony.Bus{Transport: store}, func(_ *sql.Tx, d symphony.Dispatcher) error {
		_, err := d.Dispatch(ctx, symphony.Raw{Type: "a", Body: []byte(`{}`)})
		return err
	})
	return all
}

// TestNextSchema: the suite, as the release before of a schema that a later one has migrated. Of cases that are alike one is enough here.
func TestNextSchema(t *testing.T) {
	transporttest.Run(t, func(tb testing.TB) transporttest.Store {
		path := filepath.Join(tb.TempDir(), "test.db")
		if _, err := program(tb, path, later(tb, true)).Migrate(tb.Context()); err != nil {
			tb.Fatal(err)
		}
		return storeAt(tb, path) // which migrates too, and finds nothing to do
	}, "send/", "content/", "order/", "queues/apart", "delay/after", "verdict/in time/", "verdict/twice/completed", "lease/r", "dead letter/", "key/within", "key/retry",
		"group/frees", "group/crash", "expiry/never", "cancel/running", "subscription/fan-out", "exchange/settles", "transaction/", "find/", "schedule/a tick", "manage/list",
		"search/bodies", "change/priority", "pause/queue", "pause/type", "bulk/go on", "replace/waiting", "workers/", "counts/")
}

func TestMigrateWhileOthersWork(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	store, next := openFile(t, path, nil), program(t, path, later(t, true))
	rolling.KeepWorking(t, store, func() { mustMigrate(t, next, newest(t)+1) })
	rolling.KeepWorking(t, next, func() { mustMigrate(t, store) }) // the release before does not mind
}

func TestMigrateAwayFromOthers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	store, next := openFile(t, path, nil), program(t, path, later(t, false))
	rolling.StopWorking(t, store, next, checkEvery, func() { mustMigrate(t, next, newest(t)+1) })
	want := fmt.Sprintf("is %d, which needs a program of version %[1]d or later; this one is of version %d", newest(t)+1, newest(t))
	for use, err := range everyUse(t, store) {
		if !errors.Is(err, symphony.ErrSchemaTooNew) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", use, err)
		}
	}
	if _, err := store.Migrate(t.Context()); !errors.Is(err, symphony.ErrSchemaTooNew) {
		t.Error("Migrate:", err)
	}
	if checks := store.Examine(t.Context()); !slices.ContainsFunc(checks, func(c monitor.Check) bool {
		return c.Name == "schema" && c.Level == monitor.LevelFail && strings.Contains(c.Text, want)
	}) {
		t.Errorf("the doctor finds nothing: %+v", checks)
	}
}

// TestSomethingTakenAway: who meets what a later release has taken away does not ask for a migration a second time.
func TestSomethingTakenAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	store, r := openFile(t, path, nil), later(t, false)
	r.files = rolling.Steps(t, schemaFiles, newest(t), map[string]string{
		fmt.Sprintf("schema/%04d_made_up.sql", newest(t)+1): "alter table messenger_pauses rename to messenger_paused",
	})
	store.schema.Found(time.Now())
	mustMigrate(t, program(t, path, r), newest(t)+1)
	if _, err := store.Pauses(t.Context()); !errors.Is(err, symphony.ErrNotMigrated) && !errors.Is(err, symphony.ErrSchemaTooNew) {
		t.Fatal(err)
	}
	if _, err := store.Counts(t.Context()); !errors.Is(err, symphony.ErrSchemaTooNew) {
		t.Error(err)
	}
}

var longAgo = time.Now().Add(-time.Hour)

// TestCheckInATransaction: whoever has the only connection of the pool is not made to wait for another one.
func TestCheckInATransaction(t *testing.T) {
	store := openTest(t, nil)
	store.DB().SetMaxOpenConns(1)
	for _, state := range []string{"asks again", "never asked"} {
		if store.schema.Forget(); state == "asks again" {
			store.schema.Found(longAgo)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := store.Tx(ctx, &symphony.Bus{Transport: store}, func(_ *sql.Tx, d symphony.Dispatcher) error {
			_, err := d.Dispatch(ctx, rolling.Order{N: 1})
			return err
		})
		if cancel(); err != nil {
			t.Errorf("%s: %v", state, err)
		}
		if !store.schema.Known() || store.schema.Due(time.Minute) {
			t.Errorf("%s: nobody asked", state)
		}
	}
}

// needs makes sure that a store says for every use which version its schema has, which it needs, and what to do.
func needs(t *testing.T, store *Transport, has, needs int) {
	t.Helper()
	want := fmt.Sprintf("its version is %d, this program needs %d: `symphony migrate up`", has, needs)
	for use, err := range everyUse(t, store) {
		if !errors.Is(err, symphony.ErrNotMigrated) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want ErrNotMigrated, and %q", use, err, want)
		}
	}
}

// TestUpgrade brings files of every version before this one, with what they hold, up to this one and a later one.
func TestUpgrade(t *testing.T) {
	fresh := catalog(t, openTest(t, nil))
	for k := 1; k <= newest(t); k++ {
		t.Run(fmt.Sprint("from ", k), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "test.db")
			before := program(t, path, upTo(t, k))
			if _, err := before.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			for n := range 3 {
				if _, err := (&symphony.Bus{Transport: before}).Dispatch(t.Context(), rolling.Order{N: n}); err != nil {
					t.Fatal(err)
				}
			}
			store, next := program(t, path, ours()), program(t, path, later(t, true))
			if k < newest(t) {
				needs(t, store, k, newest(t))
				eightMigrators(t, k, newest(t), func() *Transport { return program(t, path, ours()) })
			}
			if diff := cmp.Diff(fresh, catalog(t, store)); diff != "" {
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

// catalog lists everything there is in a file, so that two can be compared.
func catalog(t *testing.T, store *Transport) (all []string) {
	t.Helper()
	rows, err := store.db.QueryContext(t.Context(), "select type || ' ' || name || ' ' || tbl_name || ': ' || coalesce(sql, '') from sqlite_schema order by type, name")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		all = append(all, line)
	}
	if err := rows.Err(); err != nil || len(all) < 30 {
		t.Fatal(len(all), err)
	}
	return all
}

// eightMigrators migrates a file of version from by programs, all at once, to version to: each of them succeeds, and each step is applied
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
	n := 0
	if err := stores[0].db.QueryRowContext(t.Context(), "select count(*) from messenger_migrations").Scan(&n); err != nil || n != to {
		t.Errorf("%d steps are listed, want %d: %v", n, to, err)
	}
}

func TestEightMigratorsAtOnce(t *testing.T) {
	t.Run("of one release", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "test.db")
		eightMigrators(t, 0, newest(t), func() *Transport { return program(t, path, ours()) })
		rolling.Handle(t, program(t, path, ours()), 0)
	})
	t.Run("of two releases", func(t *testing.T) {
		path, n := filepath.Join(t.TempDir(), "test.db"), 0
		eightMigrators(t, 0, newest(t)+1, func() *Transport {
			if n++; n%2 == 0 {
				return program(t, path, later(t, true))
			}
			return program(t, path, ours())
		})
		rolling.Handle(t, program(t, path, ours()), 0)
	})
}

// TestMigrateANewFileOfSomebodyElse: whoever writes to a file that is not ours yet is waited for.
func TestMigrateANewFileOfSomebodyElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	writeFile(t, path, nil)
	tx, err := openDB(t, "file:"+path+"?_txlock=immediate").BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	store := program(t, path, ours())
	ended := make(chan error, 1)
	go func() {
		_, err := store.Migrate(t.Context())
		ended <- err
	}()
	select {
	case err := <-ended:
		t.Fatal("the migrator did not wait:", err)
	case <-time.After(100 * time.Millisecond):
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
