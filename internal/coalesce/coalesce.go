// Package coalesce lets concurrent sends of one message each share a transaction of the store.
package coalesce

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/symphony-messenger/symphony"
)

// How much one flush takes.
const (
	maxFlush      = 1000
	maxFlushBytes = 4 << 20
)

// Sends are the single sends of a transport on their way. The first caller flushes at once, what arrives
// meanwhile waits for the next flush, which one of those who wait performs: no goroutine of its own, and
// nobody serves others longer than one flush. Its methods may be called concurrently.
type Sends struct {
	// Write stores envelopes, all or none, and returns their receipts in order.
	Write func(ctx context.Context, envs []*symphony.Envelope) ([]symphony.Receipt, error)
	// IsData reports whether an error of Write is about the messages themselves: each is then written
	// alone, so that its caller gets an answer of its own.
	IsData func(err error) bool
	// Parallel is how many flushes may be on their way at once; 0: 1.
	Parallel int
	// Patience is how long a flush may take before another one begins beside it. One for all costs less than two for a half each, but one
	// that hangs must not hold up everybody.
	Patience time.Duration

	mu       sync.Mutex
	flushes  []time.Time // on their way, by when they began
	waiting  []*call
	expected int       // that wait, once those whose flush ended last have come again
	until    time.Time // if they do so at once
}

// How long a flush waits for those whose flush has just ended: they are often about to send again, and one
// flush for all of them costs little more than each of two for a half.
const (
	linger      = 100 * time.Microsecond
	lingerTurns = 200 // also where no time passes
)

// A call is one caller of Send.
type call struct {
	env     *symphony.Envelope
	lead    chan struct{} // closed: it is this caller's turn to flush
	began   time.Time     // its flush
	done    chan struct{} // closed: receipt and err are set
	receipt symphony.Receipt
	err     error
}

// Send stores env, together with those of concurrent calls. When ctx ends after a flush has taken it, the
// error matches symphony.ErrOutcomeUnknown.
func (s *Sends) Send(ctx context.Context, env *symphony.Envelope) (symphony.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return symphony.Receipt{}, err
	}
	c := &call{env: env, lead: make(chan struct{}), done: make(chan struct{}), err: errAborted}
	s.mu.Lock()
	lead := s.room()
	if lead {
		s.begin(c) // others leave it alone
	} else { // this call may return before its flush: the envelope is the caller's again then
		c.env = snapshot(c.env)
	}
	s.waiting = append(s.waiting, c)
	s.mu.Unlock()
	if !lead {
		select {
		case <-c.lead:
			lead = true
		case <-c.done:
		case <-ctx.Done():
			if s.withdraw(c) {
				return symphony.Receipt{}, ctx.Err()
			}
			select {
			case <-c.done: // its flush ended meanwhile
			default:
				return symphony.Receipt{}, fmt.Errorf("%w: %w", symphony.ErrOutcomeUnknown, ctx.Err())
			}
		}
	}
	if lead {
		s.flush(ctx, c)
	}
	return c.receipt, c.err
}

// Waiting says how many sends wait for the next flush, and how many flushes are on their way.
func (s *Sends) Waiting() (sends, flushes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting), len(s.flushes)
}

// errAborted is the answer of a flush that panicked.
var errAborted = fmt.Errorf("%w: the flush was aborted", symphony.ErrOutcomeUnknown)

func snapshot(env *symphony.Envelope) *symphony.Envelope {
	own := *env
	own.Body, own.Headers, own.Tags = bytes.Clone(env.Body), maps.Clone(env.Headers), slices.Clone(env.Tags)
	if env.MaxRetries != nil {
		most := *env.MaxRetries
		own.MaxRetries = &most
	}
	return &own
}

// withdraw takes c out of those who wait, unless a flush has it already.
func (s *Sends) withdraw(c *call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.waiting, c)
	if i < 0 {
		return false
	}
	s.waiting = slices.Delete(s.waiting, i, i+1)
	if c.told() { // it was to flush: the next one does
		s.pass(c.began)
	}
	return true
}

// told reports whether c is to lead a flush.
func (c *call) told() bool {
	select {
	case <-c.lead:
		return true
	default:
		return false
	}
}

// room reports whether another flush may begin. s.mu is held.
func (s *Sends) room() bool {
	n := len(s.flushes)
	return n == 0 || n < s.Parallel && time.Since(s.flushes[n-1]) >= s.Patience
}

// begin makes c lead a flush. s.mu is held.
func (s *Sends) begin(c *call) {
	c.began = time.Now()
	s.flushes = append(s.flushes, c.began)
	close(c.lead)
}

// pass ends the flush that began at one time, and hands over to the first who waits and does not lead another one. s.mu is held.
func (s *Sends) pass(began time.Time) {
	i := slices.Index(s.flushes, began)
	s.flushes = slices.Delete(s.flushes, i, i+1)
	if !s.room() {
		return // the other flush hands over
	}
	for _, c := range s.waiting {
		if !c.told() {
			s.begin(c)
			return
		}
	}
}

// gather lets those come who are expected.
func (s *Sends) gather() {
	for range lingerTurns {
		s.mu.Lock()
		come := len(s.waiting) >= s.expected || !time.Now().Before(s.until)
		s.mu.Unlock()
		if come {
			return
		}
		runtime.Gosched()
	}
}

// take returns the leader and what else waits, within limits. Those who are to lead flushes of their own
// are left to them.
func (s *Sends) take(leader *call) []*call {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls, size := []*call{leader}, len(leader.env.Body)
	s.waiting = slices.DeleteFunc(s.waiting, func(c *call) bool {
		if c == leader {
			return true
		}
		if len(calls) == maxFlush || size+len(c.env.Body) > maxFlushBytes || c.told() {
			return false
		}
		calls, size = append(calls, c), size+len(c.env.Body)
		return true
	})
	return calls
}

// flush writes what waits, within limits.
func (s *Sends) flush(ctx context.Context, leader *call) {
	s.gather()
	calls := s.take(leader)
	defer func() {
		for _, c := range calls {
			close(c.done)
		}
		s.mu.Lock()
		s.expected, s.until = len(s.waiting)+len(calls), time.Now().Add(linger)
		s.pass(leader.began)
		s.mu.Unlock()
	}()
	// The leader's ctx must not decide about the others: with company it counts no more.
	if len(calls) > 1 {
		ctx = context.WithoutCancel(ctx)
	}
	if err := s.write(ctx, calls); err == nil || len(calls) == 1 || !s.IsData(err) {
		answer(calls, err)
		return
	}
	for i := range calls { // one row was refused: each caller gets an answer of its own
		err := s.write(ctx, calls[i:i+1])
		answer(calls[i:i+1], err)
		if err != nil && !s.IsData(err) {
			answer(calls[i:], err)
			return
		}
	}
}

func answer(calls []*call, err error) {
	for _, c := range calls {
		c.err = err
	}
}

func (s *Sends) write(ctx context.Context, calls []*call) error {
	envs := make([]*symphony.Envelope, len(calls))
	for i, c := range calls {
		envs[i] = c.env
	}
	rs, err := s.Write(ctx, envs)
	if err != nil {
		return err
	}
	for i, c := range calls {
		c.receipt = rs[i]
	}
	return nil
}
