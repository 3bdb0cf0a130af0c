//go:build unix

package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/symphony-messenger/symphony/internal/history"
	"github.com/symphony-messenger/symphony/internal/sleep"
)

// A fault is one thing that is done to a process, or to the server of the store.
type fault struct {
	kind   history.Fault // Kill, Stop, or one of those of servers
	at     time.Duration // after the start
	slot   int           // of the crew, if it is a process; of a cut: which of the requests
	length time.Duration // until it is started again, or goes on
	roll   uint64        // decides what of a server it hits
}

// plan draws all faults of a run from its seed.
func plan(c config) []fault {
	faults := slices.Concat(planCrew(c), planServer(c))
	slices.SortStableFunc(faults, func(a, b fault) int { return cmp.Compare(a.at, b.at) })
	return faults
}

// when draws the time of fault i of so many: evenly over the time in which messages are sent.
func (c config) when(rng *rand.Rand, i, of int) time.Duration {
	return time.Duration((0.03 + 0.9*(float64(i)+rng.Float64())/float64(of)) * float64(c.span()))
}

// planCrew draws the faults of processes. No slot has two at once.
func planCrew(c config) []fault {
	rng := rand.New(rand.NewPCG(c.seed, 0))
	const boot = 500 * time.Millisecond // a process that was started must get to work before the next fault
	var faults []fault
	for i := range c.kills {
		f := fault{kind: history.Kill, at: c.when(rng, i, c.kills), length: time.Duration(50+rng.IntN(450)) * time.Millisecond, slot: -1}
		if rng.IntN(8) == 0 {
			f.slot = c.workers + rng.IntN(producers)
		}
		faults = append(faults, f)
	}
	for i := range c.stops {
		f := fault{kind: history.Stop, at: c.when(rng, i, c.stops), length: c.longerThanLease(rng), slot: -1}
		faults = append(faults, f)
	}
	slices.SortFunc(faults, func(a, b fault) int { return cmp.Compare(a.at, b.at) })
	free := make([]time.Duration, c.workers+producers)
	for i := range faults {
		f := &faults[i]
		if f.slot < 0 {
			idle := make([]int, 0, c.workers)
			for slot := range c.workers {
				if free[slot] <= f.at {
					idle = append(idle, slot)
				}
			}
			if len(idle) > 0 {
				f.slot = idle[rng.IntN(len(idle))]
			} else {
				f.slot = slices.Index(free, slices.Min(free[:c.workers]))
			}
		}
		f.at = max(f.at, free[f.slot])
		free[f.slot] = f.at + f.length + boot
	}
	return faults
}

func (c config) longerThanLease(rng *rand.Rand) time.Duration {
	return time.Duration((1.2 + 0.8*rng.Float64()) * float64(c.lease))
}

// A nemesis does to a crew what was planned.
type nemesis struct {
	crew    *crew
	server  *server // nil: the store is none
	journal *history.Recorder
	log     *log.Logger
	fatal   context.CancelCauseFunc
}

// run returns when all faults are over: every process has been started again or goes on.
func (n nemesis) run(ctx context.Context, start time.Time, faults []fault) {
	var all sync.WaitGroup
	for _, f := range faults {
		all.Go(func() {
			if sleep.For(ctx, time.Until(start.Add(f.at))) != nil {
				return
			}
			if err := n.inflict(ctx, f); err != nil {
				n.fatal(err)
			}
		})
	}
	all.Wait()
}

func (n nemesis) inflict(ctx context.Context, f fault) error {
	if f.kind != history.Kill && f.kind != history.Stop {
		return n.strike(ctx, f)
	}
	s, p := n.crew.victim(f.slot)
	for ; p == nil; s, p = n.crew.victim(f.slot) { // all are down
		if sleep.For(ctx, 20*time.Millisecond) != nil {
			return nil
		}
	}
	defer n.crew.giveBack(s)
	n.log.Printf("%8.3fs %s %s for %v", f.at.Seconds(), f.kind, p.spec.Name, f.length.Round(time.Millisecond))
	if err := n.note(f.kind, p.spec.Name); err != nil {
		return err
	}
	if f.kind == history.Stop {
		return n.hold(ctx, f, p)
	}
	if err := n.crew.kill(s, p); err != nil {
		return err
	}
	if sleep.For(ctx, f.length) != nil {
		return nil
	}
	if err := n.note(history.Restart, p.spec.Name); err != nil {
		return err
	}
	return n.crew.restart(s)
}

// hold pauses p. It goes on in any case.
func (n nemesis) hold(ctx context.Context, f fault, p *process) error {
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stop %s: %w", p.spec.Name, err)
	}
	_ = sleep.For(ctx, f.length)
	if err := n.note(history.Cont, p.spec.Name); err != nil {
		return err
	}
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		return fmt.Errorf("continue %s: %w", p.spec.Name, err)
	}
	return nil
}

// note records a fault just before it happens.
func (n nemesis) note(f history.Fault, target string) error {
	_, err := n.journal.Write(history.Event{Kind: history.Injected, Fault: f, Target: target})
	return err
}
