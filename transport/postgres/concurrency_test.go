package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgserver"
	"github.com/symphony-messenger/symphony/internal/sleep"
	"github.com/symphony-messenger/symphony/monitor"
)

// ownServer starts a server that no other test disturbs.
func ownServer(t *testing.T, settings map[string]string) *pgserver.Server {
	t.Helper()
	server, err := pgserver.Start(t.Context(), pgserver.Config{Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// deadlocksIn returns what a server's log says of deadlocks.
func deadlocksIn(t *testing.T, path string) string {
	t.Helper()
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	follow := 0
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "deadlock detected") {
			follow = 14
		}
		if follow > 0 {
			follow--
			out = append(out, line[:min(len(line), 250)])
		}
	}
	return strings.Join(out, "")
}

const deadlockCount = "select deadlocks from pg_stat_database where datname = current_database()"

// noDeadlocks reports those that a database has seen.
func noDeadlocks(t *testing.T, server *pgserver.Server, store *Transport) {
	t.Helper()
	if text := deadlocksIn(t, server.Log()); text != "" {
		t.Errorf("deadlocks:\n%.6000s", text)
	}
	if n := scalar[int](t, store, deadlockCount); n > 0 {
		t.Errorf("pg_stat_database counts %d deadlocks", n)
	}
}

// A storm is everything that is done to one store at once.
type storm struct {
	*testing.T
	store *Transport
	ctx   context.Context

	mu       sync.Mutex
	accepted map[symphony.ID]bool
	gone     map[symphony.ID]bool // discarded
	busy     map[string]int
}

func (s *storm) ok(what string, err error) bool {
	if err == nil || s.ctx.Err() != nil {
		return err == nil
	}
	if errors.Is(err, symphony.ErrStoreBusy) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.busy[what]++
		return false
	}
	s.Errorf("%s: %v", what, err)
	return false
}

// send sends batches with keys in random orders.
func (s *storm) send(n int) {
	for s.ctx.Err() == nil {
		var envs []*symphony.Envelope
		for range 1 + rand.IntN(12) {
			envs = append(envs, anEnvelope("t", func(e *symphony.Envelope) {
				switch rand.IntN(4) {
				case 0:
					e.Key = fmt.Sprint("k", rand.IntN(40))
				case 1:
					e.Key, e.Group = fmt.Sprint("k", rand.IntN(40)), fmt.Sprint("g", rand.IntN(8))
				case 2:
					e.Group = fmt.Sprint("g", rand.IntN(8))
				}
				switch rand.IntN(10) {
				case 0:
					e.Delay = time.Duration(rand.IntN(300)) * time.Millisecond
				case 1:
					e.Expires = time.Duration(1+rand.IntN(500)) * time.Millisecond
				}
			}))
		}
		rs, err := s.store.Send(s.ctx, envs)
		s.mu.Lock()
		waiting := len(s.accepted)
		if err == nil {
			for i, r := range rs {
				if !r.Duplicate {
					s.accepted[envs[i].ID] = true
				}
			}
		} else if errors.Is(err, symphony.ErrOutcomeUnknown) {
			for _, e := range envs {
				s.accepted[e.ID] = false
			}
		}
		s.mu.Unlock()
		s.ok("Send", err)
		_ = sleep.For(s.ctx, time.Duration(5+n+waiting/2000)*time.Millisecond)
	}
}

// work claims and gives all outcomes in random order. Now and then it forgets what it has, as a worker that is gone, or is late.
func (s *storm) work(n int) {
	var old []symphony.Verdict
	for round := 0; s.ctx.Err() == nil; round++ {
		claim := claimFor(fmt.Sprint("w", n, "-", round/20), 1+rand.IntN(40))
		claim.Lease = 400 * time.Millisecond
		ds, err := s.store.Receive(s.ctx, claim)
		if !s.ok("Receive", err) {
			continue
		}
		var verdicts []symphony.Verdict
		var held []symphony.Token
		forget := rand.IntN(12) == 0
		for _, d := range ds {
			v := symphony.Verdict{Token: d.Token, Outcome: symphony.Completed}
			failure := &symphony.Failure{Error: "x", Class: "error"}
			switch rand.IntN(14) {
			case 0:
				v.Outcome, v.After, v.Failure = symphony.Retried, time.Duration(rand.IntN(50))*time.Millisecond, failure
			case 1:
				v.Outcome, v.After = symphony.Snoozed, time.Duration(rand.IntN(50))*time.Millisecond
			case 2:
				v.Outcome = symphony.Released
			case 3:
				v.Outcome, v.After = symphony.Unhandled, 20*time.Millisecond
			case 4, 5, 6:
				v.Outcome, v.Reason, v.Failure = symphony.Failed, symphony.ReasonPermanent, failure
			case 7:
				v.Outcome, v.Failure = symphony.Cancelled, failure
			}
			verdicts, held = append(verdicts, v), append(held, d.Token)
		}
		rand.Shuffle(len(verdicts), func(i, j int) { verdicts[i], verdicts[j] = verdicts[j], verdicts[i] })
		if forget {
			old = append(old, verdicts...)
			continue
		}
		if rand.IntN(3) == 0 { // half of it is an orphan to Renew
			_, err := s.store.Renew(s.ctx, claim.Worker, held[:len(held)/2])
			s.ok("Renew", err)
		}
		if rand.IntN(4) == 0 && len(old) > 0 {
			verdicts, old = append(verdicts, old...), nil
		}
		if err := s.store.Settle(s.ctx, verdicts); !errors.Is(err, symphony.ErrLeaseLost) {
			s.ok("Settle", err)
		}
	}
}

// repair retries and discards dead letters, and cancels what it finds.
func (s *storm) repair() {
	for s.ctx.Err() == nil {
		failed, err := s.store.Failed(s.ctx, monitor.Filter{Limit: 60})
		if !s.ok("Failed", err) {
			continue
		}
		var ids []symphony.ID
		for _, f := range failed.Records {
			ids = append(ids, f.ID)
		}
		rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		if ids = ids[:min(len(ids), 30)]; len(ids) == 0 {
			_ = sleep.For(s.ctx, 10*time.Millisecond)
			continue
		}
		if rand.IntN(2) == 0 {
			_, err := s.store.RetryFailed(s.ctx, ids)
			s.ok("RetryFailed", err)
			continue
		}
		answers, err := s.store.DiscardFailed(s.ctx, ids)
		s.ok("DiscardFailed", err)
		s.mu.Lock()
		for i, id := range ids {
			if err != nil || answers[i] == nil { // a call that the end of the storm interrupts may have been carried out
				s.gone[id] = true
			}
		}
		s.mu.Unlock()
	}
}

func (s *storm) cancel() {
	for s.ctx.Err() == nil {
		s.mu.Lock()
		var some symphony.ID
		for id := range s.accepted {
			some = id
			if rand.IntN(50) == 0 {
				break
			}
		}
		s.mu.Unlock()
		if _, err := s.store.Cancel(s.ctx, some); !errors.Is(err, monitor.ErrNotFound) {
			s.ok("Cancel", err)
		}
		_ = sleep.For(s.ctx, 3*time.Millisecond)
	}
}

func (s *storm) maintain() {
	for s.ctx.Err() == nil {
		_, err := s.store.Maintain(s.ctx)
		s.ok("Maintain", err)
		_ = sleep.For(s.ctx, 5*time.Millisecond)
	}
}
