package app_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/internal/pgtest"
	"github.com/symphony-messenger/symphony/monitor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.M{M: m}) }

type greeting struct{ Name string }

func (greeting) MessageType() string { return "greeting" }

func migrated(t *testing.T, opts app.Options) *app.App {
	t.Helper()
	opts.DSN = "sqlite://" + filepath.Join(t.TempDir(), "q.db")
	opts.Logger = slog.New(slog.DiscardHandler)
	a, err := app.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	m, ok := symphony.As[monitor.Migrator](a.Bus.Transport)
	if !ok {
		t.Fatal("the store cannot be migrated")
	}
	if _, err := m.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a
}

// TestStartStop: what is dispatched while the process runs is handled, and Stop waits for the handler.
func TestStartStop(t *testing.T) {
	started, finish, handled := make(chan string), make(chan struct{}), false
	a := migrated(t, app.Options{Register: func(bus *symphony.Bus) error {
		symphony.Handle(bus, func(_ context.Context, m greeting) error {
			started <- m.Name
			<-finish
			handled = true
			return nil
		})
		return nil
	}})
	a.Start(t.Context())
	if _, err := a.Bus.Dispatch(t.Context(), greeting{"Ada"}); err != nil {
		t.Fatal(err)
	}
	if name := <-started; name != "Ada" {
		t.Errorf("handled %q", name)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- a.Stop() }()
	select {
	case err := <-stopped:
		t.Fatalf("Stop returned before the handler: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(finish)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if !handled {
		t.Error("Stop returned before the handler had finished")
	}
	if _, err := a.Bus.Dispatch(t.Context(), greeting{"Bob"}); err == nil {
		t.Error("the store is still open after Stop")
	}
}

// TestRunEndsAtLimit: Run returns by itself when the worker has reached a limit.
func TestRunEndsAtLimit(t *testing.T) {
	a := migrated(t, app.Options{Register: func(bus *symphony.Bus) error {
		symphony.Handle(bus, func(context.Context, greeting) error { return nil })
		return nil
	}})
	a.Worker.Limits.Messages = 2
	if _, err := a.Bus.DispatchAll(t.Context(), []symphony.Message{greeting{"a"}, greeting{"b"}, greeting{"c"}}); err != nil {
		t.Fatal(err)
	}
	if err := a.Run(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestNotMigrated: a process whose store has no schema ends with an error, at once.
func TestNotMigrated(t *testing.T) {
	a, err := app.New(t.Context(), app.Options{
		DSN: "sqlite://" + filepath.Join(t.TempDir(), "none.db"), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Run(t.Context()); !errors.Is(err, symphony.ErrNotMigrated) {
		t.Errorf("got %v, want one that matches ErrNotMigrated", err)
	}
}

func TestRegisterFails(t *testing.T) {
	want := errors.New("no licence")
	_, err := app.New(t.Context(), app.Options{DSN: "memory://", Register: func(*symphony.Bus) error { return want }})
	if !errors.Is(err, want) {
		t.Errorf("got %v, want one that matches %v", err, want)
	}
}
