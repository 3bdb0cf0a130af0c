package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// An origin says where, when and with what the figures were taken: the first line of the results.
type origin struct {
	Machine  machine             `json:"machine"`
	Date     time.Time           `json:"date"`
	Versions map[string]string   `json:"versions"`
	Stores   map[string]settings `json:"stores"`
}

type machine struct {
	CPU        string  `json:"cpu"`
	Cores      int     `json:"cores"`
	System     string  `json:"system"`
	FileSystem string  `json:"file_system"`
	Sync       float64 `json:"fsync_us"` // median time to append 4 KiB to a file and sync it
}

// versions of modules that the figures depend on.
func versions(ctx context.Context) (map[string]string, error) {
	engine, err := sqliteVersion(ctx)
	if err != nil {
		return nil, err
	}
	found := map[string]string{"go": runtime.Version(), "sqlite": engine}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil, errors.New("this program has no build information")
	}
	wanted := []string{
		"github.com/riverqueue/river", "github.com/riverqueue/river/riverdriver/riversqlite", "github.com/riverqueue/river/riverdriver/riverpgxv5",
		"modernc.org/sqlite", "github.com/jackc/pgx/v5",
	}
	for _, m := range info.Deps {
		if slices.Contains(wanted, m.Path) {
			found[m.Path] = m.Version
		}
	}
	return found, nil
}

// thisMachine describes the machine, as far as its system tells, and the disk under dir.
func thisMachine(dir string) (machine, error) {
	sync, err := syncTime(dir)
	if err != nil {
		return machine{}, err
	}
	return machine{
		CPU:        field("/proc/cpuinfo", "model name"),
		Cores:      runtime.NumCPU(),
		System:     runtime.GOOS + "/" + runtime.GOARCH,
		FileSystem: fileSystem(dir),
		Sync:       sync,
	}, nil
}

// field returns the value of the first line "name : value" of a file, "" when there is none.
func field(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if n, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(n) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// fileSystem returns the type of the file system that dir is on, "" where there is no /proc/mounts.
func fileSystem(dir string) string {
	text, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return ""
	}
	var best, kind string
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line) // device, mount point, type, …
		if len(f) < 3 || len(f[1]) < len(best) {
			continue
		}
		if rel, err := filepath.Rel(f[1], dir); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
			best, kind = f[1], f[2]
		}
	}
	return kind
}

// syncTime measures what a durable commit costs at least: every figure at synchronous=full hangs on it.
func syncTime(dir string) (float64, error) {
	f, err := os.CreateTemp(dir, "sync-")
	if err != nil {
		return 0, fmt.Errorf("measure the disk: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, 4096)
	times := make([]float64, 200)
	for i := range times {
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0, fmt.Errorf("measure the disk: %w", err)
		}
		if err := f.Sync(); err != nil {
			return 0, fmt.Errorf("measure the disk: %w", err)
		}
		times[i] = float64(time.Since(began).Microseconds())
	}
	return rounded(median(times)), nil
}
