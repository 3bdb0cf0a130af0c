package postgres

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/symphony-messenger/symphony/internal/pgtest"
)

func TestMain(m *testing.M) {
	status := pgtest.Main(m)
	if err := goleak.Find(); status == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// openTest returns a transport on a new, migrated schema.
func openTest(t testing.TB, opts *Options) *Transport {
	t.Helper()
	return openDSN(t, pgtest.DSN(t), opts)
}

func openDSN(t testing.TB, dsn string, opts *Options) *Transport {
	t.Helper()
	store, err := Open(t.Context(), dsn, opts)
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

// A testClock moves the clock of a store: the function that all statements read it from.
type testClock struct {
	store *Transport
	ahead atomic.Int64
}

func (c *testClock) advance(tb testing.TB, d time.Duration) {
	tb.Helper()
	ahead := time.Duration(c.ahead.Add(int64(d)))
	text := fmt.Sprintf("create or replace function symphony.clock() returns timestamptz language sql volatile parallel safe as "+
		"'select pg_catalog.clock_timestamp() + %.6f * interval ''1 second'''", ahead.Seconds())
	if _, err := c.store.upkeep.Exec(tb.Context(), c.store.sql.in(text)); err != nil {
		tb.Fatal(err)
	}
	unseen(c.store)
}

// unseen makes a store forget that it has just looked at what there is to do: a clock that jumps makes more of it.
func unseen(store *Transport) { store.stirs.Add(1) }
