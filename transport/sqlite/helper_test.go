package sqlite

import (
	"path/filepath"
	"testing"

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
