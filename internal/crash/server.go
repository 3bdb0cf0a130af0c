//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony/internal/faultproxy"
	"github.com/symphony-messenger/symphony/internal/history"
	"github.com/symphony-messenger/symphony/internal/pgserver"
)

// A server is the PostgreSQL server of a run, and the proxy through which the processes of the run reach it.
type server struct {
	pg    *pgserver.Server
	proxy *faultproxy.Proxy
	dir   string // the run's

	// turn is held while the server is down or connections hang. What one of both does to the workers must be
	// over before the other: the time to the first job is counted from the moment at which all could reach it.
	turn sync.Mutex
}

// ourName is what the run itself is called in the server: its own sessions are not terminated.
const ourName = "crash"

// startServer starts a server in dir that keeps what it has acknowledged: what pgserver sets for tests is
// for those that lose no power.
func startServer(ctx context.Context, dir string) (*server, error) {
	// A server of root's runs as another user, who must get there.
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}
	pg, err := pgserver.Start(ctx, pgserver.Config{Dir: dir, Settings: map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "max_connections": "300",
	}})
	if err != nil {
		return nil, err
	}
	proxy, err := faultproxy.Listen(net.JoinHostPort("127.0.0.1", strconv.Itoa(pg.Port())))
	if err != nil {
		return nil, errors.Join(err, pg.Stop())
	}
	return &server{pg: pg, proxy: proxy, dir: dir}, nil
}

const database = "postgres" // which every server has

// direct is the DSN around the proxy.
func (s *server) direct() string { return s.pg.DSN(database) + "&application_name=" + ourName }

// proxied is the DSN through it.
func (s *server) proxied() string {
	u := url.URL{
		Scheme: "postgres", User: url.User("postgres"), Host: s.proxy.Addr(), Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// close ends proxy and server. Its log is kept in the run's directory if keep.
func (s *server) close(keep bool) error {
	err := s.proxy.Close()
	if keep {
		text, failed := os.ReadFile(s.pg.Log())
		if failed == nil {
			failed = os.WriteFile(filepath.Join(s.dir, "server.log"), text, 0o600)
		}
		err = errors.Join(err, failed)
	}
	return errors.Join(err, s.pg.Stop())
}

// terminate ends a session that roll picks, one that is at work if roll is even and there is one. It returns what
// that was doing, and "" when there is no session at all.
func (s *server) terminate(ctx context.Context, roll uint64) (did string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.direct())
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // the server may just end
	err = conn.QueryRow(ctx, `with sessions as materialized (
  select pid, state, query, backend_start, state <> 'idle' as busy from pg_stat_activity
  where backend_type = 'client backend' and application_name <> $1 and state is not null),
picked as materialized (
  select pid, state, query, row_number() over (order by backend_start, pid) - 1 as n, count(*) over () as all_of_them from sessions
  where busy or $2::bigint % 2 = 1 or not exists (select from sessions where busy))
select state || ': ' || regexp_replace(left(query, 50), '\s+', ' ', 'g') from picked
where n = ($2::bigint / 2) % all_of_them and pg_terminate_backend(pid)`, ourName, int64(roll>>1)).Scan(&did)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return did, err
}

// A request is one in the protocol of PostgreSQL, as pgx sends it: the first byte of its message, and something
// that is in it.
type request struct {
	what  string
	begin byte
	has   []string // one of them; nil: anything
}

const (
	simpleQuery = 'Q'
	bind        = 'B' // the arguments of a prepared statement, and what executes it
)

// requests are those whose answers get lost. What a statement is for is known by its arguments.
func requests() []request {
	return []request{
		{"commit", simpleQuery, []string{"commit\x00"}},
		{"send", bind, []string{`"does":`}},
		{"verdict", bind, []string{"completed", "retried", "snoozed", "released", "failed"}},
		{"claim or heartbeat", bind, []string{"worker-"}},
		{"statement", bind, nil},
	}
}

func (r request) fits(sent []byte) bool {
	return len(sent) > 0 && sent[0] == r.begin && (r.has == nil || slices.ContainsFunc(r.has, func(s string) bool {
		return bytes.Contains(sent, []byte(s))
	}))
}

// answered reports whether an answer ends with ReadyForQuery: the server has done what it was asked.
func answered(answer []byte) bool {
	i := len(answer) - 6
	return i >= 0 && bytes.Equal(answer[i:i+5], []byte("Z\x00\x00\x00\x05"))
}

// cutOf says which answer to such a request is to be lost: roll decides after how many others, and whether the server
// has given it by then.
func cutOf(r request, roll uint64) (cut faultproxy.Cut) {
	left := int(roll / 4 % 16)
	cut.Request = func(sent []byte) bool {
		if !r.fits(sent) {
			return false
		}
		left--
		return left < 0
	}
	if roll%4 > 0 { // mostly: what it is about is that something was done and nobody knows
		cut.Answered = answered
	}
	return cut
}

// serverFigures are what the line of figures says besides of a store that is a server.
type serverFigures struct {
	ServerRestarts int `json:"server_restarts"`
	Terminated     int `json:"terminated"`
	Cuts           int `json:"cuts"`
	Hangs          int `json:"hangs"`
	Deadlocks      int `json:"deadlocks"`
	// FirstJobS is the longest time from a moment at which the server was back to the start of a message that was claimed
	// after it; nil: it was never gone.
	FirstJobS *float64 `json:"first_job_s"`

	recoveries int
}

// maxFirstJob is how long workers may take to work again once the server is back.
const maxFirstJob = 5 * time.Second

// judge counts what happened to the server, and says what of it must not be.
func (s *server) judge(events []history.Event) (*serverFigures, error) {
	f := new(serverFigures)
	for _, e := range events {
		switch e.Fault {
		case history.ServerDown:
			f.ServerRestarts++
		case history.Terminate:
			f.Terminated++
		case history.Cut:
			f.Cuts++
		case history.Hang:
			f.Hangs++
		}
	}
	text, err := os.ReadFile(s.pg.Log())
	errs := []error{err}
	// The server's own statistics are empty after a crash.
	f.Deadlocks = bytes.Count(text, []byte("ERROR:  deadlock detected"))
	f.recoveries = bytes.Count(text, []byte("automatic recovery in progress"))
	if f.recoveries < f.ServerRestarts {
		errs = append(errs, fmt.Errorf("the server was to crash %d times, and recovered only %d times", f.ServerRestarts, f.recoveries))
	}
	if i := bytes.Index(text, []byte("PANIC:")); i >= 0 {
		errs = append(errs, fmt.Errorf("the server:\n%s", text[i:min(len(text), i+4096)]))
	}
	for _, wait := range firstJobs(events) {
		if seconds := wait.Seconds(); f.FirstJobS == nil || seconds > *f.FirstJobS {
			f.FirstJobS = &seconds
		}
		if wait > maxFirstJob {
			errs = append(errs, fmt.Errorf("the server was back, and no message was claimed and started for %v", wait.Round(time.Millisecond)))
		}
	}
	return f, errors.Join(errs...)
}

// firstJobs returns for each time that the server was back how long it took until a message was started that was
// claimed after it, or until the end of the history.
func firstJobs(events []history.Event) (waits []time.Duration) {
	claimed := make(map[string]int64) // by token: by the store's clock, which is this machine's
	var back []int64                  // times after which no such message has been started yet
	for _, e := range events {
		switch {
		case e.Fault == history.ServerUp:
			back = append(back, e.Wall)
		case e.Kind == history.Claim:
			claimed[e.Token] = e.Store
		case e.Kind == history.Start:
			for len(back) > 0 && claimed[e.Token] > back[0] {
				waits = append(waits, time.Duration(e.Wall-back[0]))
				back = back[1:]
			}
		}
	}
	for _, at := range back {
		waits = append(waits, time.Duration(events[len(events)-1].Wall-at))
	}
	return waits
}
