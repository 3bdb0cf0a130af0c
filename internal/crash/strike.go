//go:build unix

package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony/internal/history"
	"github.com/symphony-messenger/symphony/internal/sleep"
)

// restartTime is what a restart of the server is given, with the time in which the workers find it again.
const restartTime = 4 * time.Second

// planServer draws the faults of a server and of the connections to it. It is not down while connections hang.
func planServer(c config) []fault {
	rng := rand.New(rand.NewPCG(c.seed, 1))
	var faults, long []fault
	for i := range c.restarts {
		long = append(long, fault{kind: history.ServerDown, at: c.when(rng, i, c.restarts), length: restartTime})
	}
	for i := range c.hangs {
		long = append(long, fault{kind: history.Hang, at: c.when(rng, i, c.hangs), length: c.longerThanLease(rng), roll: rng.Uint64()})
	}
	slices.SortStableFunc(long, func(a, b fault) int { return cmp.Compare(a.at, b.at) })
	free := time.Duration(0)
	for i := range long {
		long[i].at = max(long[i].at, free)
		free = long[i].at + long[i].length
	}
	for i := range c.terminates {
		faults = append(faults, fault{kind: history.Terminate, at: c.when(rng, i, c.terminates), roll: rng.Uint64()})
	}
	for i := range c.cuts {
		faults = append(faults, fault{kind: history.Cut, at: c.when(rng, i, c.cuts), slot: i % len(requests()), roll: rng.Uint64()})
	}
	return append(faults, long...)
}

// strike does something to the server.
func (n nemesis) strike(ctx context.Context, f fault) error {
	var err error
	switch f.kind {
	case history.ServerDown:
		err = n.restartServer(ctx, f)
	case history.Terminate:
		err = n.terminate(ctx, f)
	case history.Cut:
		err = n.cut(ctx, f)
	case history.Hang:
		err = n.hang(ctx, f)
	default:
		err = fmt.Errorf("unknown fault %q", f.kind)
	}
	if ctx.Err() != nil { // the run is over
		return nil
	}
	return err
}

func (n nemesis) restartServer(ctx context.Context, f fault) error {
	n.server.turn.Lock()
	defer n.server.turn.Unlock()
	n.log.Printf("%8.3fs restart the server", f.at.Seconds())
	if err := n.note(history.ServerDown, "store"); err != nil {
		return err
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := n.server.pg.Restart(ctx, true); err != nil {
		return err
	}
	n.log.Printf("%8.3fs the server is back after %v", f.at.Seconds(), time.Since(begun).Round(time.Millisecond))
	return n.note(history.ServerUp, "store")
}

// terminate tries again while the server is down or has no session.
func (n nemesis) terminate(ctx context.Context, f fault) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		did, err := n.server.terminate(ctx, f.roll)
		if did != "" {
			n.log.Printf("%8.3fs terminated a session, %s", f.at.Seconds(), did)
			return n.note(history.Terminate, "store")
		}
		if sleep.For(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("there is no session to terminate: %w", cmp.Or(err, context.Cause(ctx)))
		}
	}
}

// cut waits for the request that it is about: which process sends it nobody knows before, so that it is noted
// when it has happened.
func (n nemesis) cut(ctx context.Context, f fault) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	r := requests()[f.slot]
	cut := cutOf(r, f.roll)
	if err := n.server.proxy.Cut(ctx, cut); err != nil {
		return fmt.Errorf("cut a %s: %w", r.what, err)
	}
	how := "forwarded"
	if cut.Answered != nil {
		how = "carried out"
	}
	n.log.Printf("%8.3fs cut a connection whose %s was %s", f.at.Seconds(), r.what, how)
	return n.note(history.Cut, r.what)
}

func (n nemesis) hang(ctx context.Context, f fault) error {
	n.server.turn.Lock()
	defer n.server.turn.Unlock()
	if err := n.note(history.Hang, "store"); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(f.roll, 0))
	most := 4
	some := 1 + rng.IntN(most) // of four; all: nobody reaches the server by a connection that there is
	hung, end := n.server.proxy.Hang(func() bool { return rng.IntN(most) < some })
	n.log.Printf("%8.3fs %d connections hang, %d do not, for %v", f.at.Seconds(), hung, n.server.proxy.Conns(), f.length.Round(time.Millisecond))
	_ = sleep.For(ctx, f.length)
	end()
	return n.note(history.HangOver, "store")
}
