// Bench measures this project and its peers side by side, in one run on one disk: docs/benchmarks.md
// says what and how, results/latest.jsonl has the figures of the last full run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	o, err := parse(args, os.Stderr)
	if err != nil {
		return err
	}
	root, err := filepath.Abs(o.dir)
	if err != nil {
		return fmt.Errorf("find the directory of the stores: %w", err)
	}
	dir, err := os.MkdirTemp(root, ".run-")
	if err != nil {
		return fmt.Errorf("make a directory for the stores: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	from := origin{Date: time.Now().UTC().Truncate(time.Second), Stores: make(map[string]settings)}
	if from.Machine, err = thisMachine(dir); err != nil {
		return err
	}
	if from.Versions, err = versions(ctx); err != nil {
		return err
	}
	stores, stop, err := o.open(ctx, dir, &from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	written, err := profile(o.cpuprofile)
	if err != nil {
		return err
	}
	p := plan{stores: stores, log: stdout}
	measured, err := p.run(ctx)
	if err := errors.Join(err, written()); err != nil {
		return err
	}
	rs := measured.records()
	table(stdout, rs)
	return save(o.out, from, rs)
}

// save writes the results to a file; "" is none.
func save(path string, from origin, rs []record) error {
	if path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return errors.Join(write(f, from, rs), f.Close())
}

// profile starts a CPU profile, unless path is empty, and returns what ends it.
func profile(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("profile: %w", err), f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
