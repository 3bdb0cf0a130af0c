package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/symphony-messenger/symphony/internal/sleep"
)

const module = "github.com/symphony-messenger/symphony"

// resident measures the memory of a worker of the program, that has handled a message and is idle.
func resident(ctx context.Context, s system, n sizes) (_ []value, err error) {
	y, ok := s.(*symphonySystem)
	if !ok {
		return nil, fmt.Errorf("rss_idle is measured for %s only", ours)
	}
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, fmt.Errorf("make a place for the program: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	program := filepath.Join(dir, "symphony")
	if err := build(ctx, program); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, n.Resident+patience)
	defer cancel()
	var said strings.Builder
	cmd := exec.CommandContext(ctx, program, "consume", "--exec", "bench.job=true", "--dsn", y.at.database)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	used, err := watch(ctx, y, n, cmd.Process.Pid)
	cancel()
	// Told to stop, it ends without an error, which Wait does not say of a command whose context has ended.
	if ended := cmd.Wait(); cmd.ProcessState.ExitCode() != 0 {
		err = errors.Join(err, fmt.Errorf("symphony consume: %w\n%s", ended, said.String()))
	}
	return []value{{"rss_idle", "MB", used}}, err
}

// watch sees a worker handle a message, waits, and returns the memory that it then has, in megabytes.
func watch(ctx context.Context, y *symphonySystem, n sizes, pid int) (float64, error) {
	if err := y.insert(ctx, newJob(0)); err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	if err := emptied(ctx, y); err != nil {
		return 0, err
	}
	if err := sleep.For(ctx, n.Resident); err != nil {
		return 0, err
	}
	file := fmt.Sprintf("/proc/%d/status", pid)
	size := field(file, "VmRSS")
	kilobytes, err := strconv.Atoi(strings.TrimSuffix(size, " kB"))
	if err != nil {
		return 0, fmt.Errorf("read the memory of symphony consume: VmRSS of %s is %q: %w", file, size, err)
	}
	return float64(kilobytes) / 1000, nil
}

// build builds the program of the module that is measured.
func build(ctx context.Context, program string) error {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return fmt.Errorf("find the module of the program: %w", err)
	}
	// With the flags of make test, which has then built most of it.
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", program, "./cmd/symphony")
	cmd.Dir = strings.TrimSpace(string(root))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return nil
}
