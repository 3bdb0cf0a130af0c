package proof

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
)

type ping struct{}

func (ping) MessageType() string { return "ping" }

// TestStartAndStop: a transport and a worker that are started and stopped in one process leave nothing behind: no goroutine, no
// file, no connection.
func TestStartAndStop(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		startAndStop(t, "sqlite://"+filepath.Join(t.TempDir(), "proof.db"), func() int { return 0 })
	})
	t.Run("postgres", func(t *testing.T) {
		u, err := url.Parse(pgtest.DSN(t))
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Set("application_name", "start and stop")
		u.RawQuery = q.Encode()
		startAndStop(t, u.String(), func() int { return connections(t, *u, "start and stop") })
	})
}

// connections counts the server's sessions of that name.
func connections(t *testing.T, u url.URL, name string) (n int) {
	t.Helper()
	q := u.Query()
	q.Del("schema")
	q.Set("application_name", "the one who counts")
	u.RawQuery = q.Encode()
	conn, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), "select count(*) from pg_stat_activity where application_name = $1", name).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func startAndStop(t *testing.T, dsn string, conns func() int) {
	t.Helper()
	const warm = 5
	var goroutines, files int
	for n := range warm + *starts {
		if n == warm {
			goroutines, files = runtime.NumGoroutine(), openFiles(t)
		}
		once(t, dsn)
	}
	// A goroutine that has told everybody that it ends may still be there for a moment, and so may a session of the server.
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > goroutines || openFiles(t) > files || conns() > 0 {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("after %d starts: %d goroutines (%d before), %d open files (%d before), %d connections\n%s",
				*starts, runtime.NumGoroutine(), goroutines, openFiles(t), files, conns(), stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("after %d starts: %d goroutines, %d open files as before, no connection", *starts, runtime.NumGoroutine(), openFiles(t))
}

// once opens the store, lets a worker handle a message, and closes everything.
func once(t *testing.T, dsn string) {
	t.Helper()
	s, err := open(t, dsn)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	handled := false
	bus := &symphony.Bus{Transport: s, Logger: slog.New(slog.DiscardHandler)}
	symphony.Handle(bus, func(context.Context, ping) error {
		handled = true
		stop()
		return nil
	})
	if _, err := bus.Dispatch(ctx, ping{}); err != nil {
		t.Fatal(err)
	}
	if err := (&symphony.Worker{Bus: bus}).Run(ctx); err != nil || !handled {
		t.Fatalf("the worker ended with %v; a message was handled: %t", err, handled)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// openFiles counts files and connections of this process.
func openFiles(t *testing.T) (n int) {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range names {
		if to, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name())); err == nil && !strings.HasPrefix(to, "/proc/") {
			n++
		}
	}
	return n
}
