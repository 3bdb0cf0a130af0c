//go:build unix

// Tickcrash runs schedulers of one store in processes of their own, with nothing between them but the store, kills some
// with SIGKILL, pauses others with SIGSTOP, and then looks at what they did: each tick must have fired once, with one message, or
// be recorded as missed where the policy of its schedule says so. On PostgreSQL the store's clock is an hour ahead of the processes', and the
// server is restarted.
//
//	go run ./internal/tickcrash -store postgres -time 2m
//
// The last line of its output is one JSON object with the figures. It exits with 1 when a promise was broken.
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
	"syscall"
	"time"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) == 2 && args[0] == childCommand {
		if err := child(ctx, args[1]); err != nil {
			fmt.Fprintln(stderr, "tickcrash:", err)
			return 1
		}
		return 0
	}
	var c config
	f := flag.NewFlagSet("tickcrash", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&c.store, "store", "sqlite", "sqlite or postgres")
	f.IntVar(&c.schedulers, "schedulers", 5, "processes")
	f.IntVar(&c.schedules, "schedules", 60, "each ticks once a second")
	f.DurationVar(&c.time, "time", time.Minute, "how long")
	f.DurationVar(&c.pause, "between", 400*time.Millisecond, "about so long between two faults")
	f.Uint64Var(&c.seed, "seed", rand.Uint64N(1e9), "decides who is killed when")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	dir, err := os.MkdirTemp("", "tickcrash")
	if err != nil {
		fmt.Fprintln(stderr, "tickcrash:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	c.dir, c.log = dir, stderr
	r, err := c.run(ctx)
	if err != nil {
		fmt.Fprintf(stderr, "tickcrash: %v\n", err)
	}
	line, bad := json.Marshal(r)
	fmt.Fprintf(stdout, "%s\n", line)
	if err != nil || bad != nil {
		return 1
	}
	return 0
}

// A config says how large a run is.
type config struct {
	store                 string
	schedulers, schedules int
	time, pause           time.Duration
	seed                  uint64
	dir                   string
	log                   io.Writer
}

// A result is what a run has seen.
type result struct {
	Store    string  `json:"store"`
	Seed     uint64  `json:"seed"`
	Kills    int     `json:"kills"`
	Stops    int     `json:"stops"`
	Restarts int     `json:"restarts"` // of the server
	Ticks    int     `json:"ticks"`
	Fired    int     `json:"fired"`
	Missed   int     `json:"missed"` // as the policies say
	Lost     int     `json:"lost"`
	Doubled  int     `json:"doubled"`
	LagP50   float64 `json:"lag_p50_ms"`
	LagP99   float64 `json:"lag_p99_ms"`
}
