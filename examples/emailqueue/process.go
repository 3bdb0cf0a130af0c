package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A process is this program, started once more with other arguments. It works until its standard input
// ends, so that none outlives the program that started it, however that ends.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
	done  chan struct{} // closed when it has ended
	err   error         // after done
}

// signaled reports whether SIGKILL ended the process, which is done.
func (p *process) signaled() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// A crew starts processes and keeps workers alive, as systemd or Kubernetes does.
type crew struct {
	executable string
	env        []string // of the processes, beside that of this one
	output     *os.File // what the processes log
	fatal      context.CancelCauseFunc

	running sync.WaitGroup
	mu      sync.Mutex
	ending  bool
	workers []*process           // alive, as far as anybody has noticed, and not killed
	others  []*process           // alive, never killed
	killed  map[string]time.Time // when a worker that was killed was dead
}

// start starts a process that must not end before [crew.stop].
func (c *crew) start(name string, args ...string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := c.launch(name, args)
	if err != nil {
		return err
	}
	c.others = append(c.others, p)
	c.running.Go(func() {
		<-p.done
		c.mu.Lock()
		defer c.mu.Unlock()
		c.check(p)
	})
	return nil
}

// keep starts a worker process, and a new one whenever it was killed. Each has a name of its own, name.1
// at first, that its arguments end with.
func (c *crew) keep(name string, args ...string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 1
	next := func() (*process, error) {
		own := fmt.Sprintf("%s.%d", name, n)
		n++
		p, err := c.launch(own, append(slices.Clip(args), own))
		if err == nil {
			c.workers = append(c.workers, p)
		}
		return p, err
	}
	p, err := next()
	if err != nil {
		return err
	}
	c.running.Go(func() {
		for {
			<-p.done
			c.mu.Lock()
			c.workers = slices.DeleteFunc(c.workers, func(w *process) bool { return w == p })
			_, killed := c.killed[p.name]
			killed = killed && p.signaled() // the signal may have come too late
			if !killed {
				c.check(p)
			}
			if !killed || c.ending {
				c.mu.Unlock()
				return
			}
			p, err = next()
			c.mu.Unlock()
			if err != nil {
				c.fatal(err)
				return
			}
		}
	})
	return nil
}

// launch starts a process. The caller holds c.mu.
func (c *crew) launch(name string, args []string) (*process, error) {
	cmd := exec.Command(c.executable, args...)
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Stdout, cmd.Stderr = c.output, c.output
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, cmd: cmd, stdin: stdin, done: make(chan struct{})}
	c.running.Go(func() {
		p.err = cmd.Wait()
		close(p.done)
	})
	return p, nil
}

// check stops everything when a process has ended that should not have. The caller holds c.mu.
func (c *crew) check(p *process) {
	if p.err != nil || !c.ending {
		c.fatal(fmt.Errorf("%s ended by itself: %w", p.name, errors.Join(p.err, errors.New("it should have run on"))))
	}
}

// kill sends SIGKILL to a random worker and returns its name when it is dead; "": there is none alive.
func (c *crew) kill() (string, error) {
	c.mu.Lock()
	if len(c.workers) == 0 {
		c.mu.Unlock()
		return "", nil
	}
	i := rand.IntN(len(c.workers))
	p := c.workers[i]
	// From here on it is nobody's choice: until its successor is started, it would be killed twice.
	c.workers = slices.Delete(c.workers, i, i+1)
	err := p.cmd.Process.Kill()
	if err == nil {
		c.killed[p.name] = time.Now() // before anybody sees that it is dead, so that its end is expected; made exact below
	}
	c.mu.Unlock()
	switch {
	case errors.Is(err, os.ErrProcessDone): // it ended by itself, and whoever keeps it says so
		return "", nil
	case err != nil:
		return "", fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.done
	c.mu.Lock()
	defer c.mu.Unlock()
	if !p.signaled() {
		delete(c.killed, p.name)
		return "", nil
	}
	c.killed[p.name] = time.Now()
	return p.name, nil
}

// stop ends all processes in an orderly way and waits for them. To stop twice is no mistake.
func (c *crew) stop() {
	c.mu.Lock()
	c.ending = true
	for _, p := range slices.Concat(c.workers, c.others) {
		_ = p.stdin.Close() // it may have ended already
	}
	c.mu.Unlock()
	c.running.Wait()
}

// deaths returns when each worker that was killed was dead.
func (c *crew) deaths() map[string]time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	deaths := make(map[string]time.Time, len(c.killed))
	for name, at := range c.killed {
		deaths[name] = at
	}
	return deaths
}
