package sqlite

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openTest returns a transport on a new, migrated file.
func openTest(t testing.TB, opts *Options) *Transport {
	t.Helper()
	return openFile(t, filepath.Join(t.TempDir(), "test.db"), opts)
}

func openFile(t testing.TB, path string, opts *Options) *Transport {
	t.Helper()
	store, err := Open(t.Context(), "sqlite://"+path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

func openDB(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// waitUntil waits for a state that other goroutines reach.
func waitUntil(t *testing.T, reached func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !reached(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Error("the state was not reached within 10 s")
			return
		}
	}
}

// queued reports whether n sends wait for the next flush.
func queued(store *Transport, n int) bool {
	sends, _ := store.sends.Waiting()
	return sends == n
}

// taken reports whether a flush is on its way and has taken all that waited.
func taken(store *Transport) bool {
	sends, flushes := store.sends.Waiting()
	return flushes > 0 && sends == 0
}
