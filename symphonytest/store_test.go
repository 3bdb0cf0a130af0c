package symphonytest_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/retry"
	"github.com/symphony-messenger/symphony/symphonytest"
	"github.com/symphony-messenger/symphony/transport/sqlite"
)

// A worker on a real store is drained in real time.
func TestDrainAStore(t *testing.T) {
	store, err := sqlite.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "test.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	bus := &symphony.Bus{Transport: store}
	symphony.Handle(bus, func(context.Context, welcome) error { return errors.New("no") })
	symphony.Handle(bus, func(context.Context, *audit) error { return nil })
	w := worker(bus)
	w.Retry = retry.Exponential{Delay: time.Hour}

	dispatch(t, bus, &audit{}, symphony.Delay(aMoment))
	waitUntilDue(t, aMoment)
	if diff := cmp.Diff([]string{"audit #1 completed"}, lines(symphonytest.Drain(t, w))); diff != "" {
		t.Errorf("what was due: %s", diff)
	}
	dispatch(t, bus, welcome{})
	if diff := cmp.Diff([]string{"welcome #1 retried: no"}, lines(symphonytest.Drain(t, w))); diff != "" {
		t.Errorf("what was ready: %s", diff)
	}

	w.Queues = []symphony.WorkerQueue{{Name: "later"}}
	dispatch(t, bus, &audit{}, symphony.Queue("later"), symphony.Delay(10*aMoment))
	if diff := cmp.Diff([]string{"audit #1 completed"}, lines(symphonytest.DrainAll(t, w))); diff != "" {
		t.Errorf("what was delayed: %s", diff)
	}
}

const aMoment = 5 * time.Millisecond

// waitUntilDue lets d pass by the clock that the store reads, which is this machine's.
func waitUntilDue(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d + time.Millisecond):
	case <-t.Context().Done():
	}
}
