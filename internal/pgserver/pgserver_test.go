//go:build unix

package pgserver_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/symphony-messenger/symphony/internal/pgserver"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		child(dir)
	}
	goleak.VerifyTestMain(m)
}

// shelf is a directory that the user postgres can reach, which a test's own is not.
func shelf(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgserver-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		left, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(left) > 0 {
			t.Errorf("left over: %v, error %v", left, err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func start(t *testing.T, c pgserver.Config) *pgserver.Server {
	t.Helper()
	if c.Dir == "" {
		c.Dir = shelf(t)
	}
	s, err := pgserver.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func connect(t *testing.T, s *pgserver.Server) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) }) // the server may be gone
	return conn
}

// value is what a query returns, as text.
func value(t *testing.T, conn *pgx.Conn, sql string) (text string) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql).Scan(&text); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return text
}

func execute(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// eventually waits until a state is reached.
func eventually(t *testing.T, what string, reached func() bool) {
	t.Helper()
	late := time.After(time.Minute)
	for tick := time.Tick(5 * time.Millisecond); !reached(); {
		select {
		case <-tick:
		case <-late:
			t.Fatalf("after a minute, not yet: %s", what)
		}
	}
}

func TestStartStop(t *testing.T) {
	s := start(t, pgserver.Config{Settings: map[string]string{"max_connections": "33", "application_name": "it's"}})
	pid := s.PID()
	if want := "postgres://postgres@127.0.0.1:" + strconv.Itoa(s.Port()) + "/other?sslmode=disable"; s.DSN("other") != want {
		t.Errorf("DSN %s, want %s", s.DSN("other"), want)
	}
	conn := connect(t, s)
	want := map[string]string{
		"max_connections": "33", "application_name": "it's", "server_encoding": "UTF8", "lc_messages": "C", "shared_buffers": "128MB", "fsync": "off",
		"synchronous_commit": "on", "listen_addresses": "127.0.0.1", "deadlock_timeout": "1s", "log_lock_waits": "on", "is_superuser": "on",
	}
	got := make(map[string]string)
	for name := range want {
		got[name] = value(t, conn, "select current_setting('"+name+"')")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(s.Log()); err != nil || info.Size() == 0 {
		t.Errorf("the log: %v, error %v", info, err)
	}
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "is running") {
		t.Errorf("start of a running server: error %v", err)
	}
	if err := s.Stop(); err != nil { // although there is a session
		t.Error(err)
	}
	if alive(pid) || s.PID() != 0 {
		t.Errorf("after Stop process %d runs: %t, PID is %d", pid, alive(pid), s.PID())
	}
	if _, err := os.Stat(s.Log()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Stop the log: error %v", err)
	}
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "for good") {
		t.Errorf("start after Stop: error %v", err)
	}
	s.Kill()
	s.StopImmediate()
}

// TestStartAgain: whatever ends the server, what was committed is there after the next start, at the same
// port, and sessions are not.
func TestStartAgain(t *testing.T) {
	s := start(t, pgserver.Config{Settings: map[string]string{"fsync": "on"}})
	port := s.Port()
	execute(t, connect(t, s), "create table t (n int)")
	for i, tt := range []struct {
		name     string
		recovers bool
		again    func() error
	}{
		{"Restart fast", false, func() error { return s.Restart(t.Context(), false) }},
		{"Restart immediate", true, func() error { return s.Restart(t.Context(), true) }},
		{"StopImmediate", true, func() error { s.StopImmediate(); return s.Start(t.Context()) }},
		{"Kill", true, func() error { s.Kill(); return s.Start(t.Context()) }},
		{"killed by another", true, func() error {
			if err := syscall.Kill(s.PID(), syscall.SIGKILL); err != nil {
				return err
			}
			eventually(t, "the server has ended", func() bool { return s.PID() == 0 })
			return s.Restart(t.Context(), true)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pid, conn := s.PID(), connect(t, s)
			execute(t, conn, "insert into t values (1)")
			open := connect(t, s)
			execute(t, open, "begin")
			execute(t, open, "insert into t values (1000)")
			before, err := os.ReadFile(s.Log())
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.again(); err != nil {
				t.Fatal(err)
			}
			if s.Port() != port || s.PID() == pid || s.PID() == 0 {
				t.Errorf("port %d, want %d; process %d, before %d", s.Port(), port, s.PID(), pid)
			}
			if err := conn.Ping(t.Context()); err == nil {
				t.Error("a session has survived")
			}
			if got, want := value(t, connect(t, s), "select sum(n)::text from t"), strconv.Itoa(i+1); got != want {
				t.Errorf("%s rows, want the %s that were committed", got, want)
			}
			log, err := os.ReadFile(s.Log())
			if err != nil {
				t.Fatal(err)
			}
			if recovered := strings.Contains(string(log[len(before):]), "not properly shut down"); recovered != tt.recovers {
				t.Errorf("it recovered from a crash: %t, want %t", recovered, tt.recovers)
			}
		})
	}
}

// TestPortTaken: a start goes on trying while the port is taken, and gives up with its context.
func TestPortTaken(t *testing.T) {
	s := start(t, pgserver.Config{})
	s.StopImmediate()
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port())))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	refusals := func() int {
		log, err := os.ReadFile(s.Log())
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(log), "Address already in use")
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	result := make(chan error, 1)
	go func() { result <- s.Start(ctx) }()
	eventually(t, "two refusals", func() bool { return refusals() >= 2 })
	stop := errors.New("enough")
	cancel(stop)
	if err := <-result; !errors.Is(err, stop) || !strings.Contains(err.Error(), "Address already in use") {
		t.Errorf("error %v, want %v and what the server said", err, stop)
	}
	if s.PID() != 0 {
		t.Errorf("process %d runs", s.PID())
	}

	seen := refusals()
	go func() { result <- s.Start(t.Context()) }()
	eventually(t, "a third refusal", func() bool { return refusals() > seen })
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	connect(t, s)
}

func TestStartErrors(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name, want string
		ctx        context.Context
		config     pgserver.Config
	}{
		{"wrong setting", `unrecognized configuration parameter "no_such_thing"`, t.Context(), pgserver.Config{Settings: map[string]string{"no_such_thing": "1"}}},
		{"no programs", "no such file or directory", t.Context(), pgserver.Config{Bin: "/nonexistent"}},
		{"no directory", "folder for a PostgreSQL server: stat /nonexistent: no such file", t.Context(), pgserver.Config{Dir: "/nonexistent"}},
		{"ended context", "context canceled", ended, pgserver.Config{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.config.Dir == "" {
				tt.config.Dir = shelf(t)
			}
			s, err := pgserver.Start(tt.ctx, tt.config)
			if err == nil {
				t.Fatal("it started", s.Stop())
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// TestUnreachable: root's private directory is refused with the reason; to anybody else it is as good as any.
func TestUnreachable(t *testing.T) {
	dir := shelf(t)
	private := filepath.Join(dir, "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(private)
	s, err := pgserver.Start(t.Context(), pgserver.Config{Dir: private})
	if err == nil {
		err = s.Stop()
	}
	if os.Geteuid() != 0 {
		if err != nil {
			t.Error(err)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), private+" has mode -rwx------: the user ") {
		t.Errorf("error %v, want the directory and who cannot reach it", err)
	}
	// Without a choice of the caller, the next place is taken.
	t.Setenv("TMPDIR", private)
	s, err = pgserver.Start(t.Context(), pgserver.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

// TestBeside: test processes start servers at the same time.
func TestBeside(t *testing.T) {
	dir := shelf(t)
	var mu sync.Mutex
	ports := make(map[int]bool)
	t.Run("all", func(t *testing.T) {
		for range 3 {
			t.Run("one", func(t *testing.T) {
				t.Parallel()
				s := start(t, pgserver.Config{Dir: dir})
				connect(t, s)
				mu.Lock()
				defer mu.Unlock()
				ports[s.Port()] = true
			})
		}
	})
	if len(ports) != 3 {
		t.Errorf("ports %v, want three", ports)
	}
}
