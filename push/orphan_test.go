//go:build unix

package push_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/push"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "leave-group" {
		leaveGroup(os.Args[2])
	}
	goleak.VerifyTestMain(m)
}

// leaveGroup is a program that leaves its process group, says so in a file, and keeps its outputs open.
func leaveGroup(file string) {
	if _, err := syscall.Setsid(); err != nil {
		panic(err)
	}
	if err := os.WriteFile(file+"~", []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		panic(err)
	}
	if err := os.Rename(file+"~", file); err != nil {
		panic(err)
	}
	time.Sleep(time.Minute)
	os.Exit(1)
}

// A lifeline is a named pipe: it ends when the last process that has it open for writing is gone.
type lifeline struct {
	path string
	r    *os.File
}

func newLifeline(t *testing.T) lifeline {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lifeline")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return lifeline{path, r}
}

// waitAlive waits until a program has written its line.
func (l lifeline) waitAlive(t *testing.T) {
	t.Helper()
	var line [1]byte
	waitFor(t, func() bool { n, _ := l.r.Read(line[:]); return n == 1 })
}

// waitGone fails when somebody still has the pipe open.
func (l lifeline) waitGone(t *testing.T) {
	t.Helper()
	if err := l.r.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, l.r); err != nil {
		t.Errorf("a process of the group is still alive: %v", err)
	}
}

// TestStopped: whatever the reason, when Handle returns the program and all it has started are gone,
// even those that ignore SIGTERM.
func TestStopped(t *testing.T) {
	for _, tt := range []struct {
		name, script, state string
	}{
		{"obeys", `sleep 600 & sleep 600 & echo up; wait`, "signal: terminated"},
		{"ignores SIGTERM", `trap "" TERM; (trap "" TERM; while :; do sleep 0.1; done) & echo up; while :; do sleep 0.1; done`, "signal: killed"},
		{"child ignores SIGTERM", `(trap "" TERM; while :; do sleep 0.1; done) & sleep 0.1; echo up; wait`, "signal: terminated"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			line := newLifeline(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			done := make(chan error, 1)
			c := shell(t, `exec > "$0"; `+tt.script, line.path)
			go func() { done <- c.Handle(ctx, envelope("{}")) }()
			line.waitAlive(t)
			start := time.Now()
			cancel(symphony.ErrTimeout)
			err := <-done
			if took := time.Since(start); took > 30*time.Second {
				t.Errorf("Handle returned after %v", took)
			}
			if e, ok := errors.AsType[*push.CommandError](err); !ok || e.State != tt.state { // who obeys is not killed
				t.Errorf("got %v, want that the program ended with %s", err, tt.state)
			}
			if !errors.Is(err, symphony.ErrTimeout) {
				t.Errorf("got %v, want one that matches ErrTimeout", err)
			}
			if class := symphony.NewFailure(err).Class; class != "signal" {
				t.Errorf("class %q, want signal", class)
			}
			line.waitGone(t)
		})
	}
}

// TestLeftBehind: what a program leaves running in its group when it is done, is killed; Handle does not
// wait for it.
func TestLeftBehind(t *testing.T) {
	line := newLifeline(t)
	start := time.Now()
	c := shell(t, `(trap "" TERM HUP; : > "$0.up"; exec sleep 600) 3> "$0" & until [ -e "$0.up" ]; do sleep 0.02; done`, line.path)
	if err := c.Handle(t.Context(), envelope("{}")); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("Handle waited %v for a program in the background", took)
	}
	line.waitGone(t)
}

// TestOutputHeldOpen: a descendant outside of the group cannot keep Handle from returning.
func TestOutputHeldOpen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	c := shell(t, fmt.Sprintf(`"%s" leave-group "$0" & until [ -e "$0" ]; do sleep 0.02; done; echo said >&2; exit 1`, os.Args[0]), file)
	start := time.Now()
	err := c.Handle(t.Context(), envelope("{}"))
	pid, convErr := strconv.Atoi(read(t, file))
	if convErr != nil {
		t.Fatal(convErr)
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	if err == nil || err.Error() != "sh: exit status 1: said" {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("Handle returned after %v", took)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("the program outside of the group should be alive, or this test shows nothing: %v", err)
	}
}
