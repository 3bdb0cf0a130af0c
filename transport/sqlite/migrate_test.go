package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
)

// newEnvelope returns what a bus would send.
func newEnvelope(typ string, change ...func(*symphony.Envelope)) *symphony.Envelope {
	env := &symphony.Envelope{
		ID: symphony.NewID(), Type: typ, Queue: "default", Priority: 5,
		ContentType: "application/json", Body: []byte(`{}`),
	}
	for _, f := range change {
		f(env)
	}
	return env
}

func send(ctx context.Context, s symphony.Sender, env *symphony.Envelope) error {
	_, err := s.Send(ctx, []*symphony.Envelope{env})
	return err
}

func claimOf(worker string, most int) symphony.Claim {
	return symphony.Claim{Worker: worker, Queues: []symphony.QueueClaim{{Name: "default"}}, Max: most, Lease: 30 * time.Second}
}

func TestNotMigrated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.db")
	store, err := Open(t.Context(), "sqlite://"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	wantErr := func(err error) {
		t.Helper()
		if !errors.Is(err, symphony.ErrNotMigrated) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v: want ErrNotMigrated with the path", err)
		}
	}
	use := func() {
		t.Helper()
		wantErr(send(t.Context(), store, newEnvelope("a")))
		_, err := store.Receive(t.Context(), claimOf("w", 1))
		wantErr(err)
		_, err = store.Counts(t.Context())
		wantErr(err)
		_, err = store.Find(t.Context(), symphony.NewID())
		wantErr(err)
	}
	use()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("a wrong path left a file behind:", err)
	}
	pending, err := store.Migrations(t.Context())
	if err != nil || len(pending) == 0 || !pending[0].Applied.IsZero() || pending[0].SQL == "" {
		t.Fatal(pending, err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil { // an empty database
		t.Fatal(err)
	}
	use()
	applied, err := store.Migrate(t.Context())
	if err != nil || len(applied) != len(pending) {
		t.Fatal(applied, err)
	}
	if err := send(t.Context(), store, newEnvelope("a")); err != nil {
		t.Fatal(err)
	}
	if applied, err := store.Migrate(t.Context()); err != nil || len(applied) != 0 {
		t.Fatal("a second Migrate did something:", applied, err)
	}
	done, err := store.Migrations(t.Context())
	if err != nil || done[len(done)-1].Applied.IsZero() {
		t.Fatal(done, err)
	}
}

func TestMigrateCreatesAPrivateFile(t *testing.T) {
	store := openTest(t, nil)
	info, err := os.Stat(store.config.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
}

func TestSchemaVersions(t *testing.T) {
	for _, c := range []struct {
		name    string
		oldest  int
		refused bool
	}{{"a newer schema that this program can use", oldestCompatible, false}, {"a newer schema that it cannot use", 99, true}} {
		t.Run(c.name, func(t *testing.T) {
			store := openTest(t, nil)
			if _, err := store.db.ExecContext(t.Context(), "insert into messenger_migrations values (99, 'later', 0, ?)", c.oldest); err != nil {
				t.Fatal(err)
			}
			again, err := Open(t.Context(), "sqlite://"+store.config.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			err = send(t.Context(), again, newEnvelope("a"))
			_, migrateErr := again.Migrate(t.Context())
			for _, err := range []error{err, migrateErr} {
				if errors.Is(err, symphony.ErrSchemaTooNew) != c.refused || (err != nil) != c.refused {
					t.Errorf("refused %v, want %v: %v", err != nil, c.refused, err)
				}
			}
		})
	}
}

// What Migrations shows can be applied by hand, step by step, and Migrate then finds nothing to do.
func TestScriptsOfMigrations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "by-hand.db")
	list, err := openTest(t, nil).Migrations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	db := openDB(t, "file:"+path)
	for _, m := range list {
		if _, err := db.ExecContext(t.Context(), m.SQL); err != nil {
			t.Fatalf("step %d: %v", m.Version, err)
		}
	}
	store, err := Open(t.Context(), "sqlite://"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if applied, err := store.Migrate(t.Context()); err != nil || len(applied) > 0 {
		t.Errorf("Migrate after all steps were applied by hand: %d more, %v", len(applied), err)
	}
	after, err := store.Migrations(t.Context())
	for _, m := range after {
		if err != nil || time.Since(m.Applied) > time.Minute {
			t.Errorf("step %d was applied at %v, %v", m.Version, m.Applied, err)
		}
	}
}
