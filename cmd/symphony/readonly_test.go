//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReadOnlyStore: a file that may not be written is said to be so. Root may write everything, so that
// the program runs as nobody then.
func TestReadOnlyStore(t *testing.T) {
	dir, err := os.MkdirTemp("", "symphony-readonly")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = os.Chmod(dir, 0o700)
		_ = os.RemoveAll(dir)
	})
	program, dsn := filepath.Join(dir, "symphony"), "sqlite://"+filepath.Join(dir, "queue.db")
	copyProgram(t, program)
	if out, err := exec.Command(program, "migrate", "up", "--dsn", dsn).CombinedOutput(); err != nil {
		t.Fatalf("migrate: %v\n%s", err, out)
	}
	for path, mode := range map[string]os.FileMode{"queue.db": 0o444, ".": 0o555} {
		if err := os.Chmod(filepath.Join(dir, path), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		args []string
		code int // 0: the worker tries again until its time is over, as with any store out of reach
	}{
		{[]string{"dispatch", "a"}, 7},
		{[]string{"failed", "discard", "--all", "--yes"}, 7},
		{[]string{"consume", "--exec", "a=true", "--time-limit", "5"}, 0},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, program, append(tt.args, "--dsn", dsn)...)
		if os.Getuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != tt.code {
			t.Errorf("%v: exit code %d, want %d", tt.args, code, tt.code)
		}
		if text := string(out); !strings.Contains(text, "store is read-only") || tt.code != 0 && !strings.Contains(text, "hint: ") {
			t.Errorf("%v says\n%s", tt.args, text)
		}
	}
}

// copyProgram makes a copy of the program under test that every user may run.
func copyProgram(t *testing.T, to string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, from); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), os.Chmod(filepath.Dir(to), 0o755), os.Chmod(to, 0o755)); err != nil {
		t.Fatal(err)
	}
}
