//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A process is this program, started once more.
type process struct {
	spec     spec
	cmd      *exec.Cmd
	log      string        // the path of what it wrote to its standard error
	ready    chan struct{} // closed when it said so, or has ended
	done     chan struct{} // closed when it has ended
	err      error         // after done
	sent     atomic.Int64  // by a producer
	expected atomic.Bool   // its end
}

// A slot is a process that is started again when it was killed.
type slot struct {
	base    spec // its Name is the slot's; a process adds a number
	current *process
	starts  int
	sent    int64 // by those before
	busy    bool  // being killed, started, or paused
}

// A crew is the processes of a run: the workers first, then the producers.
type crew struct {
	executable string
	logs       string // a directory
	fatal      context.CancelCauseFunc
	running    sync.WaitGroup

	mu    sync.Mutex
	slots []*slot
	ended bool // nothing is started any more
}

// add starts the first process of a new slot.
func (c *crew) add(base spec) (*process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &slot{base: base}
	if err := c.start(s); err != nil {
		return nil, err
	}
	c.slots = append(c.slots, s)
	return s.current, nil
}

// start starts the next process of a slot. The caller holds c.mu.
func (c *crew) start(s *slot) error {
	if c.ended {
		return nil
	}
	s.starts++
	p := &process{spec: s.base, ready: make(chan struct{}), done: make(chan struct{})}
	p.spec.Name = fmt.Sprintf("%s.%d", s.base.Name, s.starts)
	if s.base.Sends != nil {
		sends := *s.base.Sends
		sends.From = int(s.sent)
		p.spec.Sends = &sends
		p.sent.Store(s.sent)
	}
	p.log = filepath.Join(c.logs, p.spec.Name+".log")
	arg, err := json.Marshal(p.spec)
	if err != nil {
		return err
	}
	log, err := os.Create(p.log)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd = exec.Command(c.executable, childCommand, string(arg))
	p.cmd.Stderr = log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", p.spec.Name, err)
	}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.spec.Name, err)
	}
	s.current = p
	c.running.Go(func() {
		p.listen(bufio.NewScanner(out))
		p.err = p.cmd.Wait()
		close(p.done)
		if !p.expected.Load() && (p.err != nil || p.spec.Sends == nil) {
			c.fatal(fmt.Errorf("%s ended by itself: %w\n%s", p.spec.Name, errors.Join(p.err, errors.New("nobody told it to")), p.lastWords()))
		}
	})
	return nil
}

// listen reads what the process says until its end.
func (p *process) listen(lines *bufio.Scanner) {
	isReady := p.spec.Sends != nil
	if isReady {
		close(p.ready)
	}
	for lines.Scan() {
		if n, err := strconv.ParseInt(lines.Text(), 10, 64); err == nil {
			p.sent.Store(n)
		} else if lines.Text() == ready && !isReady {
			isReady = true
			close(p.ready)
		}
	}
	if !isReady {
		close(p.ready)
	}
}

// lastWords are the last lines that the process has written.
func (p *process) lastWords() []byte {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return []byte(err.Error())
	}
	return data[max(0, len(data)-4096):]
}

// victim takes the process of a slot to do something to it, or that of the next slot in which one works
// on undisturbed; nil: there is none now. The caller gives it back.
func (c *crew) victim(n int) (*slot, *process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.slots {
		s := c.slots[(n+i)%len(c.slots)]
		select {
		case <-s.current.done: // a producer that has sent all
			continue
		default:
		}
		if !s.busy {
			s.busy = true
			return s, s.current
		}
	}
	return nil, nil
}

func (c *crew) giveBack(s *slot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.busy = false
}

// kill ends a process that victim has returned. It returns when it is dead.
func (c *crew) kill(s *slot, p *process) error {
	p.expected.Store(true)
	err := p.cmd.Process.Kill()
	if err != nil && (s.base.Sends == nil || !errors.Is(err, os.ErrProcessDone)) { // a producer may just have sent all
		return fmt.Errorf("kill %s: %w", p.spec.Name, err)
	}
	<-p.done
	c.mu.Lock()
	defer c.mu.Unlock()
	s.sent = p.sent.Load()
	return nil
}

// restart starts another process in place of one that was killed.
func (c *crew) restart(s *slot) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.start(s)
}

// sent waits until all producers have sent all. Nobody may kill one any more.
func (c *crew) sent(ctx context.Context) error {
	for {
		p := c.sender()
		if p == nil {
			return nil
		}
		select {
		case <-p.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// sender returns a producer that has not sent all.
func (c *crew) sender() *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.slots {
		if s.base.Sends == nil {
			continue
		}
		select {
		case <-s.current.done:
		default:
			return s.current
		}
	}
	return nil
}

// stop asks all processes to end, waits for them, and returns the errors with which they ended.
func (c *crew) stop(within time.Duration) error {
	c.mu.Lock()
	c.ended = true
	var errs []error
	var all []*process
	for _, s := range c.slots {
		p := s.current
		p.expected.Store(true)
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		all = append(all, p)
	}
	c.mu.Unlock()
	late := time.NewTimer(within)
	defer late.Stop()
	for _, p := range all {
		select {
		case <-p.done:
		case <-late.C:
			errs = append(errs, fmt.Errorf("%s did not end within %v", p.spec.Name, within))
			c.abort()
			<-p.done
		}
		if p.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w\n%s", p.spec.Name, p.err, p.lastWords()))
		}
	}
	c.running.Wait()
	return errors.Join(errs...)
}

// abort kills all processes, paused ones too, and waits for them.
func (c *crew) abort() {
	c.mu.Lock()
	c.ended = true
	for _, s := range c.slots {
		s.current.expected.Store(true)
		_ = s.current.cmd.Process.Kill() // it may have ended
	}
	c.mu.Unlock()
	c.running.Wait()
}

// crimes returns the logs in which a process has written what must never be: those that were killed
// afterwards cannot say so by their exit.
func (c *crew) crimes() error {
	paths, err := filepath.Glob(filepath.Join(c.logs, "*.log"))
	errs := []error{err}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		errs = append(errs, err)
		for _, word := range []string{"WARNING: DATA RACE", "\npanic: ", "\nfatal error: "} {
			if i := bytes.Index(data, []byte(word)); i >= 0 {
				errs = append(errs, fmt.Errorf("%s:\n%s", path, data[i:min(len(data), i+4096)]))
			}
		}
	}
	return errors.Join(errs...)
}
