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
	"slices"
	"strings"
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

// options are the command line.
type options struct {
	quick                         bool
	store, figures, syncs, system string
	rounds                        int
	out, dir, cpuprofile          string
	river                         riverSettings
	symphony                      symphonySettings
	sizes                         sizes
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.BoolVar(&o.quick, "quick", false, "one round of small counts: shows that everything runs, measures nothing")
	f.StringVar(&o.store, "store", "sqlite", "stores to measure, separated by commas: sqlite")
	f.StringVar(&o.figures, "figure", "drain,single,batch,latency", "figures to measure, separated by commas")
	f.StringVar(&o.syncs, "sync", "normal,full", "values of SQLite's synchronous, separated by commas")
	f.StringVar(&o.system, "system", "river,symphony", "systems to measure, separated by commas")
	f.IntVar(&o.rounds, "rounds", 5, "how often everything is measured; medians count")
	f.StringVar(&o.out, "out", "", "write the records to this file (default results/latest.jsonl, when no flag is given)")
	f.StringVar(&o.dir, "dir", ".", "make the stores below this directory; FULL means nothing on a tmpfs")
	f.StringVar(&o.cpuprofile, "cpuprofile", "", "write a CPU profile of the whole run to this file")

	f.IntVar(&o.river.Workers, "river-workers", 500, "River's MaxWorkers")
	f.DurationVar(&o.river.Cooldown, "river-cooldown", 5*time.Millisecond, "River's FetchCooldown")
	f.DurationVar(&o.river.Poll, "river-poll", 5*time.Millisecond, "River's FetchPollInterval")
	f.BoolVar(&o.river.PollOnly, "river-poll-only", false, "River's PollOnly")
	f.IntVar(&o.river.Conns, "river-conns", 1, "open connections of River; its documentation says 1")
	f.IntVar(&o.symphony.Concurrency, "concurrency", 500, "Symphony's Worker.Concurrency")

	o.sizes = sizes{Batch: 1000, Rate: 500}
	f.IntVar(&o.sizes.Drain, "drain", 50_000, "messages to drain")
	f.IntVar(&o.sizes.Goroutines, "goroutines", 8, "goroutines that dispatch")
	f.DurationVar(&o.sizes.For, "for", 3*time.Second, "how long single and batch dispatch")
	f.DurationVar(&o.sizes.Latency, "latency-for", 10*time.Second, "how long latency dispatches")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NFlag() == 0 {
		o.out = "results/latest.jsonl" // nothing but a full run may replace it unasked
	}
	if o.quick {
		o.rounds = 1
		o.sizes = sizes{Drain: 300, Batch: 100, Goroutines: 4, For: 100 * time.Millisecond, Rate: 100, Latency: 300 * time.Millisecond}
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	return o, nil
}

// plan picks what the options name.
func (o *options) plan(log io.Writer) (*plan, error) {
	p := &plan{rounds: o.rounds, sizes: o.sizes, log: log}
	all := []peer{riverPeer(o.river), symphonyPeer("on", o.symphony), symphonyPeer("off", o.symphony)}
	stores, err := pick("store", o.store, "sqlite")
	if err != nil {
		return nil, err
	}
	systems, err := pick("system", o.system, "river", ours)
	if err != nil {
		return nil, err
	}
	for _, with := range all {
		if slices.Contains(stores, with.store) && slices.Contains(systems, with.name) {
			p.peers = append(p.peers, with)
		}
	}
	wanted, err := pick("figure", o.figures, "drain", "single", "batch", "latency")
	if err != nil {
		return nil, err
	}
	for _, f := range figures() {
		if slices.Contains(wanted, f.name) {
			p.figures = append(p.figures, f)
		}
	}
	p.syncs, err = pick("sync", o.syncs, "normal", "full")
	return p, err
}

// pick splits a list and refuses what is not known: a misspelt figure must not measure nothing.
func pick(what, list string, known ...string) ([]string, error) {
	names := strings.Split(list, ",")
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("%s %q: known are %s", what, name, strings.Join(known, ", "))
		}
	}
	return names, nil
}

func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	o, err := parse(args, os.Stderr)
	if err != nil {
		return err
	}
	p, err := o.plan(stdout)
	if err != nil {
		return err
	}
	root, err := filepath.Abs(o.dir)
	if err != nil {
		return fmt.Errorf("find the directory of the stores: %w", err)
	}
	if p.dir, err = os.MkdirTemp(root, ".run-"); err != nil {
		return fmt.Errorf("make a directory for the stores: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(p.dir)) }()
	from := origin{Date: time.Now().UTC().Truncate(time.Second), Rounds: o.rounds, Sizes: o.sizes, River: o.river, Symphony: o.symphony}
	if from.Machine, err = thisMachine(p.dir); err != nil {
		return err
	}
	if from.Versions, err = versions(ctx); err != nil {
		return err
	}
	stop, err := profile(o.cpuprofile)
	if err != nil {
		return err
	}
	measured, err := p.run(ctx)
	if err := errors.Join(err, stop()); err != nil {
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
