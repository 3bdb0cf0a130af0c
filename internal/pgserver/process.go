package pgserver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process is one that ends when this one does.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // of Wait, after done
}

// launch starts cmd. The goroutine that waits for it ends with it.
func launch(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends the signal of a parent's death when the thread ends that has forked. Go ends threads
		// at will, but not the one of a goroutine that is locked to it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// signal sends sig and reports whether the process has ended within the time.
func (p *process) signal(sig syscall.Signal, within time.Duration) bool {
	_ = p.cmd.Process.Signal(sig) // it may have ended
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case <-p.done:
		return true
	case <-late.C:
		return false
	}
}

// kill returns when the process is dead.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// command is a program of the server's, to be run by a user who may.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	return s.folder.command(filepath.Join(s.bin, name), args...)
}

func (f *folder) command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = f.path // the current one may be closed to that user
	cmd.SysProcAttr = f.owner.attributes()
	// The variables of a client and of a language change what a server does and says.
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "PG") || strings.HasPrefix(v, "LC_") || strings.HasPrefix(v, "LANG")
	}), "LC_ALL=C")
	return cmd
}

// initialize makes the data directory. The locale C.UTF-8 is not everywhere; the order of text and the
// encoding are those of C too.
func (s *Server) initialize(ctx context.Context) error {
	var errs []error
	for _, locale := range []string{"C.UTF-8", "C"} {
		err := s.initdb(ctx, locale)
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("initdb with locale %s in %s: %w", locale, s.folder.path, err))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func (s *Server) initdb(ctx context.Context, locale string) error {
	var out strings.Builder
	cmd := s.command("initdb", "--pgdata="+s.folder.data(), "--username=postgres", "--auth=trust", "--encoding=UTF8",
		"--locale="+locale, "--no-sync", "--no-instructions")
	cmd.Stdout, cmd.Stderr = &out, &out
	p, err := launch(cmd)
	if err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.kill()
		return context.Cause(ctx)
	}
	if p.err != nil {
		return fmt.Errorf("%w\n%s", p.err, out.String())
	}
	return nil
}

// errTaken is why a start fails that may succeed later.
var errTaken = errors.New("what it needs is still taken")

// up starts the server. While it cannot have its port or its memory it tries again, with another port if
// anyPort, until ctx ends.
func (s *Server) up(ctx context.Context, anyPort bool) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if anyPort {
			s.port = freePort()
		}
		err := s.attempt(ctx)
		if err == nil {
			return nil
		}
		err = fmt.Errorf("start PostgreSQL (%s) at port %d: %w", s.bin, s.port, err)
		if !errors.Is(err, errTaken) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// attempt starts the server once and waits until it accepts connections.
func (s *Server) attempt(ctx context.Context) error {
	log, err := s.folder.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	before, err := log.Stat()
	if err != nil {
		return err
	}
	cmd := s.command("postgres", "-D", s.folder.data(), "-p", strconv.Itoa(s.port))
	cmd.Stdout, cmd.Stderr = log, log
	p, err := launch(cmd)
	if err != nil {
		return err
	}
	s.current.Store(p)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if s.folder.accepts(cmd.Process.Pid) {
			return nil
		}
		select {
		case <-p.done:
			said := s.folder.said(before.Size())
			return fmt.Errorf("%w\n%s", errors.Join(p.err, whyEnded(said)), said)
		case <-ctx.Done():
			s.end(syscall.SIGQUIT, immediateStop)
			return fmt.Errorf("%w\n%s", context.Cause(ctx), s.folder.said(before.Size()))
		case <-tick.C:
		}
	}
}

// whyEnded is errTaken when a server that has said this may start when it is tried again.
func whyEnded(said string) error {
	for _, taken := range []string{"Address already in use", "pre-existing shared memory block", `lock file "postmaster.pid" already exists`} {
		if strings.Contains(said, taken) {
			return errTaken
		}
	}
	return errors.New("it ended at once")
}

// freePort returns a port that nobody listens at now. It is below those that systems give to outgoing
// connections: a client that dials such a port of its own machine while the server is down can be connected
// to itself, and then holds the port that the server needs.
func freePort() int {
	const lowest, highest = 10000, 32000
	for {
		port := lowest + rand.IntN(highest-lowest)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			_ = l.Close() // nobody was accepted
			return port
		}
	}
}
