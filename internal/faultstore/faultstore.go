// Package faultstore makes a transport fail as a store behind a network does: before it has done what it was asked, after it has
// done it, and by answering late. Which calls that hits is decided by a seed, as far as the order of the calls is the same.
package faultstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/sleep"
)

// Faults says how often what goes wrong. The shares are those of all calls and add up to 1 at most.
type Faults struct {
	Seed   uint64
	Before float64       // fail, and nothing was done
	After  float64       // fail, though all was done
	Late   float64       // half of them are done late, half answered late
	By     time.Duration // late ones, at most
	Outage float64       // begin a time in which every call fails as with Before
	Gone   time.Duration // how long that is, at most; at least half of it
}

// Even spreads a share of failing calls over all faults. A sixteenth more are outages, as long as the late are late.
func Even(seed uint64, share float64, by time.Duration) Faults {
	return Faults{Seed: seed, Before: share / 3, After: share / 3, Late: share / 3, By: by, Outage: share / 16, Gone: by}
}

// A Fault is one kind of what goes wrong, for the counts.
type Fault string

// The faults.
const (
	Before     Fault = "before"
	After      Fault = "after"
	Outage     Fault = "outage"
	LateCall   Fault = "late call"
	LateAnswer Fault = "late answer"
)

// An InjectedError is what a call returns that fails.
type InjectedError struct {
	Call string // the method
	Done bool   // in spite of it
}

// Error implements error.
func (e *InjectedError) Error() string {
	if e.Done {
		return "injected fault: " + e.Call + " was done and its answer is lost"
	}
	return "injected fault: " + e.Call + " was not done"
}

// A Store is the transport that fails. It may be used concurrently, as the one within.
type Store struct {
	symphony.Transport
	faults Faults

	mu     sync.Mutex
	rng    *rand.Rand
	counts map[string]int
	back   time.Time     // the end of an outage
	strand time.Duration // the outage that begins with the next claim; 0: none
}

// New returns t with faults. It is an Exchanger if t itself is one; the other powers of t have no faults.
func New(t symphony.Transport, f Faults) *Store {
	return &Store{Transport: t, faults: f, rng: rand.New(rand.NewPCG(f.Seed, 0)), counts: make(map[string]int)}
}

// Unwrap lets [symphony.As] find the other powers of the transport.
func (s *Store) Unwrap() symphony.Transport { return s.Transport }

// Worker returns what a worker should use: s, and its Exchange only if the transport within has one.
func (s *Store) Worker() symphony.Transport {
	if ex, ok := symphony.As[symphony.Exchanger](s.Transport); ok {
		return exchanging{s, ex}
	}
	return s
}

// Counts says how often each call, such as "Settle", met each fault. The key is both, with a blank between.
func (s *Store) Counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]int, len(s.counts))
	for k, n := range s.counts {
		all[k] = n
	}
	return all
}

// Strand begins an outage of length d as soon as a worker has claimed something: it can neither renew nor settle that meanwhile.
func (s *Store) Strand(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.strand = d
}

// claimed begins the outage that was asked for.
func (s *Store) claimed(ds []symphony.Delivery) []symphony.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(ds) > 0 && s.strand > 0 {
		s.back, s.strand = time.Now().Add(s.strand), 0
	}
	return ds
}

// Heal ends all faults: from now on nothing goes wrong.
func (s *Store) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.back, s.strand = Faults{}, time.Time{}, 0
}

// draw decides what goes wrong with a call.
func (s *Store) draw(call string) (f Fault, by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	roll := s.rng.Float64()
	upTo := func(d time.Duration) time.Duration { return time.Duration(s.rng.Int64N(int64(max(d, 1)))) }
	switch p := s.faults; {
	case time.Now().Before(s.back):
		f = Before
	case roll < p.Before:
		f = Before
	case roll < p.Before+p.After:
		f = After
	case roll < p.Before+p.After+p.Late/2:
		f = LateCall
	case roll < p.Before+p.After+p.Late:
		f = LateAnswer
	case roll < p.Before+p.After+p.Late+p.Outage:
		f, s.back = Outage, time.Now().Add(p.Gone/2+upTo(p.Gone/2))
	default:
		return "", 0
	}
	s.counts[fmt.Sprintf("%s %s", call, f)]++
	return f, upTo(s.faults.By)
}

// through makes a call, or lets it fail. An error of the store itself is worth more than one of ours.
func through[T any](ctx context.Context, s *Store, call string, do func() (T, error)) (answer T, err error) {
	var none T
	f, by := s.draw(call)
	switch f {
	case Before, Outage:
		return none, &InjectedError{Call: call}
	case LateCall: // it is made in any case: a request that is on its way is not called back
		_ = sleep.For(ctx, by)
	}
	answer, err = do()
	switch {
	case f == After && err == nil:
		return none, &InjectedError{Call: call, Done: true}
	case f == LateAnswer:
		_ = sleep.For(context.WithoutCancel(ctx), by)
	}
	return answer, err
}

// Send implements [symphony.Sender].
func (s *Store) Send(ctx context.Context, envs []*symphony.Envelope) ([]symphony.Receipt, error) {
	return through(ctx, s, "Send", func() ([]symphony.Receipt, error) { return s.Transport.Send(ctx, envs) })
}

// Receive implements [symphony.Transport].
func (s *Store) Receive(ctx context.Context, c symphony.Claim) ([]symphony.Delivery, error) {
	ds, err := through(ctx, s, "Receive", func() ([]symphony.Delivery, error) { return s.Transport.Receive(ctx, c) })
	return s.claimed(ds), err
}

// Settle implements [symphony.Transport]. The answer that verdicts came too late is lost as any other.
func (s *Store) Settle(ctx context.Context, verdicts []symphony.Verdict) error {
	refused, err := through(ctx, s, "Settle", func() (error, error) { return refusal(s.Transport.Settle(ctx, verdicts)) })
	if err != nil {
		return err
	}
	return refused
}

// Renew implements [symphony.Transport].
func (s *Store) Renew(ctx context.Context, worker string, held []symphony.Token) (symphony.Renewal, error) {
	return through(ctx, s, "Renew", func() (symphony.Renewal, error) { return s.Transport.Renew(ctx, worker, held) })
}

type exchanging struct {
	*Store
	ex symphony.Exchanger
}

// Exchange implements [symphony.Exchanger].
func (s exchanging) Exchange(ctx context.Context, verdicts []symphony.Verdict, c symphony.Claim) ([]symphony.Delivery, error) {
	type answer struct {
		ds      []symphony.Delivery
		refused error
	}
	a, err := through(ctx, s.Store, "Exchange", func() (answer, error) {
		ds, err := s.ex.Exchange(ctx, verdicts, c)
		refused, err := refusal(err)
		return answer{ds, refused}, err
	})
	if err != nil {
		return nil, err
	}
	return s.claimed(a.ds), a.refused
}
