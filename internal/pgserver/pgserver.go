// Package pgserver runs a real PostgreSQL server of one's own, for tests, crash runs and benchmarks: a new
// data directory, a free port of the loopback interface, no password. It works on Unix only.
//
// The server ends with the process that started it, on Linux even when that one is killed: it then shuts
// down immediately, and what it leaves on disk is removed by the next process that starts a server.
package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Config says how to run a server. The zero value is good for tests.
type Config struct {
	Bin string // the directory with postgres and initdb; "": what Find(0) finds

	// Dir is where the folder of the server is made; "": a directory for temporary files. The user postgres
	// (or nobody) must be able to reach it when this process is root's: PostgreSQL refuses to run as root.
	Dir string

	// Settings are those of postgresql.conf, in addition to the ones for tests (see settings) or instead of
	// them. Port, address and sockets are not to be set.
	Settings map[string]string
}

// A Server is a PostgreSQL server. Its methods may be called concurrently; those that start or stop it wait
// for each other.
type Server struct {
	bin    string
	port   int
	folder *folder

	mu      sync.Mutex // held by whoever starts or stops it
	stopped bool       // for good
	current atomic.Pointer[process]
}

const (
	fastStop      = 10 * time.Second // how long a shutdown may take that ends sessions in an orderly way
	immediateStop = 10 * time.Second // the server itself kills what has not ended after 5
	removal       = 10 * time.Second // of the folder, while processes of a killed server may still end
	tidying       = 40 * time.Second // a start after a kill: the autovacuum launcher of PostgreSQL 14 may wait 20 s for statistics before it ends
)

// Start makes a new data directory and starts a server on it. It returns when the server accepts
// connections, or an error with what the server said. The context is for starting only: the caller stops
// the server.
func Start(ctx context.Context, c Config) (_ *Server, err error) {
	bin := c.Bin
	if bin == "" {
		if bin, err = Find(0); err != nil {
			return nil, err
		}
	}
	owner, err := unprivileged()
	if err != nil {
		return nil, fmt.Errorf("choose who runs a PostgreSQL server: %w", err)
	}
	if err := owner.reaches(bin); err != nil {
		return nil, fmt.Errorf("use the PostgreSQL of %s: %w", bin, err)
	}
	f, err := newFolder(c.Dir, owner)
	if err != nil {
		return nil, fmt.Errorf("make a folder for a PostgreSQL server: %w", err)
	}
	s := &Server{bin: bin, folder: f}
	if err := s.first(ctx, c.Settings); err != nil {
		return nil, errors.Join(err, f.remove(removal))
	}
	return s, nil
}

func (s *Server) first(ctx context.Context, with map[string]string) error {
	if err := s.initialize(ctx); err != nil {
		return err
	}
	if err := s.folder.configure(settings(with)); err != nil {
		return fmt.Errorf("configure the PostgreSQL server in %s: %w", s.folder.path, err)
	}
	return s.up(ctx, true)
}

// DSN is the URL of a database of the server, as the superuser. The database "postgres" is there.
func (s *Server) DSN(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.User("postgres"), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Port is the port at 127.0.0.1. It stays the same when the server is started again.
func (s *Server) Port() int { return s.port }

// Log is the path of the server's log, gone after Stop.
func (s *Server) Log() string { return s.folder.log() }

// PID is the process ID of the server's main process, 0 when it does not run.
func (s *Server) PID() int {
	if p := s.running(); p != nil {
		return p.cmd.Process.Pid
	}
	return 0
}

func (s *Server) running() *process {
	if p := s.current.Load(); p != nil && !p.ended() {
		return p
	}
	return nil
}

// Restart stops the server, immediately (every session is cut off, and the next start recovers from the
// log, as after a crash) or with an orderly end, and starts it again at the same port. It returns when the
// server accepts connections, and tries until ctx ends while the port or the memory of the former one is
// still taken.
func (s *Server) Restart(ctx context.Context, immediate bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sig, within := syscall.SIGINT, fastStop
	if immediate {
		sig, within = syscall.SIGQUIT, immediateStop
	}
	s.end(sig, within)
	return s.again(ctx)
}

// Start starts a server that was killed, was stopped by StopImmediate, or has ended by itself, as Restart
// does.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.again(ctx)
}

func (s *Server) again(ctx context.Context) error {
	if s.stopped {
		return fmt.Errorf("start the PostgreSQL server at port %d: it was stopped for good", s.port)
	}
	if p := s.running(); p != nil {
		return fmt.Errorf("start the PostgreSQL server at port %d: it is running as process %d", s.port, p.cmd.Process.Pid)
	}
	return s.up(ctx, false)
}

// StopImmediate stops the server as pg_ctl -m immediate does: every session is cut off, nothing is written.
// Start starts it again. It does nothing when the server does not run.
func (s *Server) StopImmediate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(syscall.SIGQUIT, immediateStop)
}

// Kill kills the main process of the server. Its other processes notice that and end by themselves, soon
// but later; Start waits for them. It does nothing when the server does not run.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(syscall.SIGKILL, 0)
}

// Stop stops the server for good and removes its folder. Sessions are ended; a server that takes too long
// to stop is stopped immediately. One that was killed is started once more, to clean up. A second call does
// nothing.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil
	}
	s.stopped = true
	s.end(syscall.SIGINT, fastStop)
	s.tidy()
	if err := s.folder.remove(removal); err != nil {
		return fmt.Errorf("remove the folder of the PostgreSQL server at port %d: %w", s.port, err)
	}
	return nil
}

// tidy removes the shared memory of a server that was killed. Only a start in the same data directory finds
// it; without one it stays in the system until the next boot.
func (s *Server) tidy() {
	p := s.current.Load()
	if p == nil || !p.ended() || p.cmd.ProcessState.Exited() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), tidying)
	defer cancel()
	if err := s.up(ctx, false); err != nil {
		return // the data may be damaged on purpose; what stays is a megabyte
	}
	s.end(syscall.SIGINT, fastStop)
}

// end makes the server end by sig, and by harsher means when it has not ended within the time.
func (s *Server) end(sig syscall.Signal, within time.Duration) {
	p := s.running()
	if p == nil {
		return
	}
	if p.signal(sig, within) || sig == syscall.SIGINT && p.signal(syscall.SIGQUIT, immediateStop) {
		return
	}
	p.kill()
}
