package postgres

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/symphony-messenger/symphony/internal/sleep"
)

// A service is what a transport does in the background. The transport owns its goroutines: they begin when they are needed first, and
// have ended when Close returns.
type service struct {
	t         *Transport
	ctx       context.Context
	end       context.CancelFunc
	all       sync.WaitGroup
	receiving sync.Once // the first Receive starts what only workers need
	announcer
	changes  atomic.Int64 // rows that became old by what this process did, ever
	borrowed bool         // users is the caller's pool

	mu      sync.Mutex
	closed  bool
	trouble map[string]time.Time // of the last line in the log, by cause
}

func (s *service) init(t *Transport) {
	s.t = t
	s.ctx, s.end = context.WithCancel(context.Background())
	s.trouble = make(map[string]time.Time)
	s.announcer.due = make(map[string]bool)
}

// run lets f run until the transport is closed.
func (s *service) run(f func(ctx context.Context)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.all.Go(func() { f(s.ctx) })
	}
}

func (s *service) stop() {
	if s.t == nil { // the transport was never opened
		return
	}
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end()
	s.all.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.t.writeMinutes(ctx)
}

func (s *service) start() {
	s.receiving.Do(func() {
		s.t.sayPooler(s.ctx, slog.LevelInfo)
		s.run(s.t.listen)
		s.run(s.t.tend)
		s.run(s.t.search)
		s.run(s.t.mind)
	})
}

// changed counts rows that are old now.
func (s *service) changed(n int) { s.changes.Add(int64(n)) }

// complain logs a failure, one line a second at most for each cause.
func (s *service) complain(cause string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.ctx.Err() == nil && now.Sub(s.trouble[cause]) >= time.Second {
		s.trouble[cause] = now
		s.t.options.Logger.Warn("the store failed in the background", "to", cause, "store", s.t.config.where(), "error", err)
	}
}

// moved closes all connections after an error that says that they lead to a server that is not the primary any more: new ones find the one
// that is, where the DSN names several hosts.
func (t *Transport) moved(err error) {
	if codeOf(err) == "25006" {
		t.work.Reset()
		t.upkeep.Reset()
		t.sending.Reset()
	}
}

// How long the connection that is told of new messages may be silent until it is asked whether it lives, and may then take to
// answer.
const (
	pingEvery  = 15 * time.Second
	pingWithin = 5 * time.Second
)

// sayPooler says once that a pooler stands in between, and what follows from it: workers want to know, others may.
func (t *Transport) sayPooler(ctx context.Context, level slog.Level) {
	c, told := &t.config, "workers are told of new messages by way of "+optionListenDSN
	if c.listen == nil {
		told = "workers poll and are not told of new messages: " + optionListenDSN + " names no way around it"
	}
	switch {
	case c.pooled:
		t.options.Logger.Log(ctx, level, "a pooler in transaction mode stands in between: no statement is prepared by name, "+told, "recognised_by", c.sign, "store", c.where())
	case c.sign != "":
		t.options.Logger.Log(ctx, level, "a pooler in session mode stands in between: each connection of ours takes one of its own",
			"connections", workConns+upkeepConns+sendConns+1+c.pool, "recognised_by", c.sign, "store", c.where())
	}
}

// listen wakes those who wait when other processes tell of new messages. Polling finds them too: a connection that cannot be had is
// no failure.
func (t *Transport) listen(ctx context.Context) {
	if t.config.listen == nil {
		return
	}
	for fails := 0; ctx.Err() == nil; fails++ {
		if t.hear(ctx, &fails) != nil && ctx.Err() == nil {
			d := min(100*time.Millisecond<<min(fails, 6), 5*time.Second)
			_ = sleep.For(ctx, d/2+rand.N(d/2))
		}
	}
}
