package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// poolerVariable names the program to use, whatever else is installed.
const poolerVariable = "SYMPHONY_PGBOUNCER"

// A Pooler is a PgBouncer in front of a Server, in transaction mode. Each transaction gets the next of its connections to the
// server, whoever had that before: what needs a session finds that out soon.
type Pooler struct {
	server *Server
	port   int
	folder *folder
	run    *process
}

// StartPooler starts a PgBouncer that lets everybody in whom s knows, at a free port. It returns when that accepts connections. The
// context is for starting only: the caller stops the pooler, before the server.
func StartPooler(ctx context.Context, s *Server) (_ *Pooler, err error) {
	bin, err := findPooler()
	if err != nil {
		return nil, err
	}
	f, err := newFolder("", s.folder.owner)
	if err != nil {
		return nil, fmt.Errorf("make a folder for a PgBouncer: %w", err)
	}
	p := &Pooler{server: s, folder: f}
	for {
		err := p.up(ctx, bin)
		if err == nil {
			return p, nil
		}
		if err = fmt.Errorf("start PgBouncer (%s) at port %d: %w", bin, p.port, err); !errors.Is(err, errTaken) || ctx.Err() != nil {
			return nil, errors.Join(err, f.remove(removal))
		}
	}
}

// findPooler looks where scripts/ensure.sh does: Debian has the program where only root's path leads.
func findPooler() (string, error) {
	if bin := os.Getenv(poolerVariable); bin != "" {
		if !isFile(bin) {
			return "", fmt.Errorf("find PgBouncer: there is no program %s (from %s)", bin, poolerVariable)
		}
		return bin, nil
	}
	bin, err := exec.LookPath("pgbouncer")
	if err != nil {
		bin = "/usr/sbin/pgbouncer"
	}
	if !isFile(bin) {
		return "", fmt.Errorf("find PgBouncer: it is not installed: run scripts/ensure.sh pgbouncer, or set %s to the program", poolerVariable)
	}
	return bin, nil
}

func (p *Pooler) up(ctx context.Context, bin string) error {
	p.port = freePort()
	conf, users := filepath.Join(p.folder.path, "pgbouncer.ini"), filepath.Join(p.folder.path, "users")
	// The user of the tests is known; others are looked up in the server, since tests make roles of their own.
	if err := os.WriteFile(users, []byte("\"postgres\" \"\"\n"), 0o644); err != nil {
		return err
	}
	text := fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = trust
auth_file = %s
auth_user = postgres
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 12
server_round_robin = 1
server_idle_timeout = 3
`, p.server.port, p.port, users)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return err
	}
	log, err := p.folder.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	before, err := log.Stat()
	if err != nil {
		return err
	}
	cmd := p.folder.command(bin, conf)
	cmd.Stdout, cmd.Stderr = log, log
	if p.run, err = launch(cmd); err != nil {
		return err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		said := p.folder.said(before.Size())
		if strings.Contains(said, "process up") {
			return nil
		}
		select {
		case <-p.run.done:
			return fmt.Errorf("%w\n%s", errors.Join(p.run.err, whyEnded(said)), said)
		case <-ctx.Done():
			p.run.kill()
			return fmt.Errorf("%w\n%s", context.Cause(ctx), said)
		case <-tick.C:
		}
	}
}

// DSN is that of a database of the server as user, by way of the pooler.
func (p *Pooler) DSN(user, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.User(user), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)), Path: "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Port is the port at 127.0.0.1.
func (p *Pooler) Port() int { return p.port }

// Stop ends the pooler, with all connections, and removes its folder. It is to be called once.
func (p *Pooler) Stop() error {
	if !p.run.ended() && !p.run.signal(syscall.SIGTERM, fastStop) {
		p.run.kill()
	}
	return p.folder.remove(removal)
}
