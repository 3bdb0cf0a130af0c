//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/sleep"
	"github.com/symphony-messenger/symphony/schedule"
)

// childCommand is the argument that makes the program a scheduler.
const childCommand = "child"

// child is a scheduler, until it is told to stop or its parent is gone.
func child(ctx context.Context, dsn string) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	parent := os.Getppid()
	var watch sync.WaitGroup
	watch.Go(func() {
		defer cancel()
		for tick := time.Tick(time.Second); os.Getppid() == parent; {
			select {
			case <-tick:
			case <-ctx.Done():
				return
			}
		}
	})
	defer watch.Wait()
	defer cancel()
	t, err := open(ctx, dsn)
	if err != nil {
		return err
	}
	s := store{Transport: t}
	defer func() { err = errors.Join(err, s.close()) }()
	bus := &symphony.Bus{Transport: t, Logger: slog.New(slog.DiscardHandler)}
	// Few schedules in a transaction: more of them are under way when somebody is killed.
	return (&schedule.Scheduler{Bus: bus, Poll: 50 * time.Millisecond, Batch: 8, Keep: 1 << 30}).Run(ctx)
}

// A crew is the processes of a run.
type crew struct {
	dsn     string
	all     []*exec.Cmd
	seed    *rand.Rand
	strikes int
	result
}

func (c *config) run(ctx context.Context) (r result, err error) {
	r = result{Store: c.store, Seed: c.seed}
	s, err := c.prepare(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	team := &crew{dsn: s.dsn, seed: rand.New(rand.NewPCG(c.seed, 1)), result: r}
	defer team.end(syscall.SIGKILL)
	for range c.schedulers {
		if err := team.start(len(team.all)); err != nil {
			return r, err
		}
	}
	for end := time.Now().Add(c.time); time.Now().Before(end) && ctx.Err() == nil; {
		if err := team.strike(ctx, s, c.pause); err != nil {
			return team.result, err
		}
	}
	if err := caughtUp(ctx, s); err != nil {
		return team.result, err
	}
	team.end(syscall.SIGTERM)
	fmt.Fprintf(c.log, "%d schedulers: %d were killed, %d paused; the server was restarted %d times\n", c.schedulers, team.Kills, team.Stops, team.Restarts)
	return c.judge(ctx, s, team.result)
}

// start starts the scheduler of a number.
func (t *crew) start(i int) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(program, childCommand, t.dsn)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	if i == len(t.all) {
		t.all = append(t.all, nil)
	}
	t.all[i] = cmd
	return nil
}

// strike does something to one of the processes, or to the server.
func (t *crew) strike(ctx context.Context, s *store, pause time.Duration) error {
	_ = sleep.For(ctx, pause/2+time.Duration(t.seed.Int64N(int64(pause))))
	i := t.seed.IntN(len(t.all))
	victim := t.all[i]
	t.strikes++
	switch n := t.strikes % 12; {
	case n == 9 && s.server != nil:
		t.Restarts++
		return s.server.Restart(ctx, true)
	case n == 5: // nobody fires anything for a while
		return t.pause(ctx, 2500*time.Millisecond, t.all...)
	case t.seed.IntN(2) == 0:
		t.Kills++
		if err := victim.Process.Signal(syscall.SIGKILL); err != nil {
			return err
		}
		_ = victim.Wait()
		return t.start(i)
	}
	return t.pause(ctx, time.Duration(t.seed.Int64N(int64(2*time.Second))), victim)
}

func (t *crew) pause(ctx context.Context, d time.Duration, victims ...*exec.Cmd) error {
	t.Stops += len(victims)
	for _, v := range victims {
		if err := v.Process.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
	}
	_ = sleep.For(ctx, d)
	var errs []error
	for _, v := range victims {
		errs = append(errs, v.Process.Signal(syscall.SIGCONT))
	}
	return errors.Join(errs...)
}

func (t *crew) end(how syscall.Signal) {
	for _, cmd := range t.all {
		_ = cmd.Process.Signal(how)
		_ = cmd.Wait()
	}
	t.all = nil
}

// caughtUp waits until no schedule has been due for long.
func caughtUp(ctx context.Context, s *store) error {
	m := &schedule.Manager{Bus: &symphony.Bus{Transport: s.Transport}}
	for end := time.Now().Add(30 * time.Second); ; _ = sleep.For(ctx, 100*time.Millisecond) {
		now, err := clock(ctx, s)
		if err != nil {
			return err
		}
		all, err := m.List(ctx, schedule.Query{Limit: 10_000})
		late := 0
		for _, e := range all {
			if now.Sub(e.NextRunAt) > 0 {
				late++
			}
		}
		if err == nil && late == 0 {
			return nil
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return fmt.Errorf("%d schedules are still due half a minute after the last fault: %w", late, errors.Join(err, ctx.Err()))
		}
	}
}

// clock is that of the store.
func clock(ctx context.Context, s *store) (time.Time, error) {
	st, _ := symphony.As[schedule.Store](s.Transport)
	u, err := st.Update(ctx, schedule.Selection{}, func(time.Time, []schedule.Entry) ([]schedule.Change, error) { return nil, nil })
	return u.Now, err
}
