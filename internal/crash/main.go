//go:build unix

// Crash runs workers and producers of a store in processes of their own, kills some with SIGKILL, pauses
// others with SIGSTOP for longer than their leases, and checks the history of all that they did: nothing
// lost, nothing doubled, nothing early, no stale verdict accepted. A store that is a server is one of the run's
// own: it is restarted immediately, its sessions are ended, and connections to it are cut while an answer
// is on its way, and hang.
//
//	go run ./internal/crash -jobs 20000 -kills 40 -stops 20
//	go run ./internal/crash -store postgres -restarts 6 -terminates 24 -cuts 40 -hangs 6
//
// The last line of its output is one JSON object with the figures. It exits with 1 when a promise was
// broken or the queue did not drain, and then says how to repeat the run: what the seed decides is who is
// killed when, and what is sent; the scheduling of the machine it cannot repeat.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/history"
)

func main() {
	os.Exit(program{}.main(os.Args[1:], os.Stdout, os.Stderr))
}

// A program is what main runs: the run itself, or one of its processes.
type program struct {
	// sabotages, by name, put something broken between a process and its store. Tests use them to show
	// that a run can fail.
	sabotages map[string]func(symphony.Transport) symphony.Transport
}

// childCommand is the argument that makes the program one of the processes of a run.
const childCommand = "child"

func (p program) main(args []string, stdout, stderr io.Writer) (exit int) {
	if len(args) == 2 && args[0] == childCommand {
		if err := p.child(args[1], stdout); err != nil {
			fmt.Fprintln(stderr, "crash:", err)
			return 1
		}
		return 0
	}
	c, err := parseFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "crash:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if c.soak > 0 {
		return c.soakAll(ctx, stdout, stderr)
	}
	return c.report(ctx, stdout, stderr)
}

// report runs c and writes its figures.
func (c config) report(ctx context.Context, stdout, stderr io.Writer) (exit int) {
	r, err := c.run(ctx, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "crash: %v\nrepeat with: %s\n", err, c.command())
		exit = 1
	}
	line, bad := json.Marshal(struct {
		Store string `json:"store"`
		history.Figures
		*serverFigures
	}{c.store, r.Figures, r.server})
	if bad != nil {
		fmt.Fprintln(stderr, "crash:", bad)
		return 1
	}
	fmt.Fprintf(stdout, "%s\n", line)
	return exit
}

// soakAll runs c on every store that processes can share, in turns and with new seeds, until its time is over or a run fails.
func (c config) soakAll(ctx context.Context, stdout, stderr io.Writer) (exit int) {
	end := time.Now().Add(c.soak)
	for round := 0; time.Now().Before(end) && ctx.Err() == nil; round++ {
		each := c
		each.store = []string{"sqlite", "postgres"}[round%2]
		if !isServer(each.store) {
			each.serverFaults = serverFaults{}
		}
		each.seed = c.seed + uint64(round)
		fmt.Fprintf(stderr, "round %d, %v to go\n", round+1, time.Until(end).Round(time.Second))
		if exit = each.report(ctx, stdout, stderr); exit != 0 {
			return exit
		}
	}
	if ctx.Err() != nil {
		return 1
	}
	return 0
}

// A config says how large a run is.
type config struct {
	store               string
	jobs, kills, stops  int
	serverFaults             // only of a store that is a server
	onlyTx              bool // nothing but completions in transactions, and nothing but kills
	soak                time.Duration
	faults              float64 // the share of calls of the store that fail or are late; then nothing else goes wrong
	workers             int
	seed                uint64
	lease               time.Duration
	dir                 string
	keep                bool
	sabotage            string // the name of one of the program's
	drainWithin, settle time.Duration
}

// serverFaults says how often what happens to a server and to connections to it.
type serverFaults struct{ restarts, terminates, cuts, hangs int }

func parseFlags(args []string, stderr io.Writer) (config, error) {
	var c config
	f := flag.NewFlagSet("crash", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&c.store, "store", "sqlite", "the store to test: "+strings.Join(stores(), ", "))
	f.IntVar(&c.jobs, "jobs", 20000, "messages to send, about")
	f.IntVar(&c.kills, "kills", 40, "processes to kill, most of them workers")
	f.IntVar(&c.stops, "stops", 20, "workers to pause for longer than a lease")
	f.IntVar(&c.restarts, "restarts", 6, "immediate restarts of a store that is a server; it alone has the faults that follow too")
	f.IntVar(&c.terminates, "terminates", 24, "sessions to terminate")
	f.IntVar(&c.cuts, "cuts", 40, "connections to cut while the answer to a COMMIT, a send, a verdict or a claim is on its way")
	f.IntVar(&c.hangs, "hangs", 6, "times that connections hang for longer than a lease")
	f.Float64Var(&c.faults, "faults", 0, "the share of calls of the store that fail, before or after it did what it was asked, or are late; more than 0: one process, and no other faults")
	f.BoolVar(&c.onlyTx, "tx", false, "nothing but messages that are completed in transactions of their handlers, as fast as they can be, under kills alone")
	f.DurationVar(&c.soak, "soak", 0, "run for so long, on every store in turns, and with a new seed each time")
	f.IntVar(&c.workers, "workers", 4, "worker processes")
	f.Uint64Var(&c.seed, "seed", 0, "decides who is killed when, and what is sent; 0: a new one")
	f.DurationVar(&c.lease, "lease", 2*time.Second, "of the workers")
	f.StringVar(&c.dir, "dir", "", "where to make the run's directory; empty: that for temporary files")
	f.BoolVar(&c.keep, "keep", false, "keep the run's directory; it is kept anyway when the run fails")
	if err := f.Parse(args); err != nil {
		return c, err
	}
	if f.NArg() > 0 {
		return c, fmt.Errorf("unknown argument %q", f.Arg(0))
	}
	if !isServer(c.store) && c.soak == 0 || c.faults > 0 {
		c.serverFaults = serverFaults{}
	}
	if c.faults > 0 {
		c.kills, c.stops = 0, 0
	}
	if c.onlyTx {
		c.stops, c.serverFaults = 0, serverFaults{}
	}
	if c.seed == 0 {
		c.seed = rand.Uint64N(1e9) + 1
	}
	return c.withDefaults(), c.check()
}

func (c config) withDefaults() config {
	c.drainWithin, c.settle = time.Minute, 40*time.Second
	if c.onlyTx { // as many as there are at once
		c.drainWithin = max(c.drainWithin, 3*c.span())
	}
	return c
}

func (c config) check() error {
	switch {
	case c.jobs < 1 || c.workers < 1:
		return errors.New("-jobs and -workers must be at least 1")
	case min(c.kills, c.stops, c.restarts, c.terminates, c.cuts, c.hangs) < 0:
		return errors.New("-kills, -stops, -restarts, -terminates, -cuts and -hangs must not be negative")
	case c.faults < 0 || c.faults > 0.5:
		return fmt.Errorf("-faults %g: must be from 0 to 0.5", c.faults)
	case !isShared(c.store) && c.faults == 0:
		return fmt.Errorf("-store %s: processes cannot share it; with -faults there is one only", c.store)
	case c.store == "memory" && c.jobs > memoryJobs:
		return fmt.Errorf("-jobs %d: %d at most, because the store in memory forgets what has ended", c.jobs, memoryJobs)
	case c.lease < 500*time.Millisecond || c.lease > time.Minute:
		return fmt.Errorf("-lease %v: must be from 500ms to 1m", c.lease)
	}
	return nil
}

// memoryJobs is how many ended messages transport/memory surely remembers.
const memoryJobs = 9000

// mix is what a producer sends.
func (c config) mix(producer int) mix {
	m := mix{Seed: c.seed, Jobs: c.jobs, Producer: producer}
	switch {
	case c.store == "memory":
		m.Kinds = noTx
	case c.onlyTx:
		m.Kinds = onlyTx
	}
	return m
}

// command repeats the run.
func (c config) command() string {
	if c.faults > 0 {
		return fmt.Sprintf("go run ./internal/crash -store %s -faults %g -jobs %d -workers %d -lease %v -seed %d",
			c.store, c.faults, c.jobs, c.workers, c.lease, c.seed)
	}
	if c.onlyTx {
		return fmt.Sprintf("go run ./internal/crash -store %s -tx -jobs %d -kills %d -workers %d -lease %v -seed %d",
			c.store, c.jobs, c.kills, c.workers, c.lease, c.seed)
	}
	server := ""
	if isServer(c.store) {
		server = fmt.Sprintf(" -restarts %d -terminates %d -cuts %d -hangs %d", c.restarts, c.terminates, c.cuts, c.hangs)
	}
	return fmt.Sprintf("go run ./internal/crash -store %s -jobs %d -kills %d -stops %d%s -workers %d -lease %v -seed %d",
		c.store, c.jobs, c.kills, c.stops, server, c.workers, c.lease, c.seed)
}

// producers is how many processes send.
const producers = 2

// span is how long messages are sent and faults injected: long enough for each fault to hit work.
func (c config) span() time.Duration {
	if c.faults > 0 {
		return time.Duration(c.jobs) * 2 * time.Millisecond
	}
	if c.onlyTx {
		return max(time.Duration(c.kills)*2500*time.Millisecond, time.Duration(c.jobs)*time.Millisecond)
	}
	return max(
		time.Duration(c.kills)*2500*time.Millisecond,
		time.Duration(c.stops)*2*c.lease,
		time.Duration(c.jobs)*5*time.Millisecond,
		time.Duration(c.restarts)*restartTime+time.Duration(c.hangs)*5*c.lease/2,
	)
}
