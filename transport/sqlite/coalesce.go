package sqlite

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/symphony-messenger/symphony"
)

// How much one flush of single dispatches takes.
const (
	maxFlush      = 1000
	maxFlushBytes = 4 << 20
)

// A coalescer lets concurrent single sends share a transaction. The first caller flushes at once,
// what arrives meanwhile waits for the next flush, which one of those who wait performs: no goroutine
// of its own, and nobody serves others longer than one flush.
type coalescer struct {
	t        *Transport
	mu       sync.Mutex
	flushing bool
	waiting  []*sendCall
}

// A sendCall is one caller of Send.
type sendCall struct {
	env     *symphony.Envelope
	lead    chan struct{} // closed: it is this caller's turn to flush
	done    chan struct{} // closed: receipt and err are set
	receipt symphony.Receipt
	err     error
}

func (c *coalescer) init(t *Transport) { c.t = t }

func (c *coalescer) send(ctx context.Context, envs []*symphony.Envelope) ([]symphony.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	call := &sendCall{env: envs[0], lead: make(chan struct{}), done: make(chan struct{}), err: errAborted}
	c.mu.Lock()
	lead := !c.flushing
	c.flushing = true
	if !lead { // this call may return before its flush: the envelope is the caller's again then
		call.env = snapshot(call.env)
	}
	c.waiting = append(c.waiting, call)
	c.mu.Unlock()
	if !lead {
		select {
		case <-call.lead:
			lead = true
		case <-call.done:
		case <-ctx.Done():
			if c.withdraw(call) {
				return nil, ctx.Err()
			}
			select {
			case <-call.done: // its flush ended meanwhile
			default:
				return nil, fmt.Errorf("%w: %w", symphony.ErrOutcomeUnknown, ctx.Err())
			}
		}
	}
	if lead {
		c.flush(ctx)
	}
	if call.err != nil {
		return nil, c.t.fail("send to", call.err)
	}
	return []symphony.Receipt{call.receipt}, nil
}

// errAborted is the answer of a flush that panicked.
var errAborted = fmt.Errorf("%w: the flush was aborted", symphony.ErrOutcomeUnknown)

func snapshot(env *symphony.Envelope) *symphony.Envelope {
	own := *env
	own.Body, own.Headers, own.Tags = bytes.Clone(env.Body), maps.Clone(env.Headers), slices.Clone(env.Tags)
	return &own
}

// withdraw takes call out of those who wait, unless a flush has it already.
func (c *coalescer) withdraw(call *sendCall) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.waiting, call)
	if i < 0 {
		return false
	}
	c.waiting = slices.Delete(c.waiting, i, i+1)
	select {
	case <-call.lead: // it was to flush: the next one does
		c.pass()
	default:
	}
	return true
}

// pass hands the flush to the first who waits. c.mu is held.
func (c *coalescer) pass() {
	if len(c.waiting) == 0 {
		c.flushing = false
		return
	}
	close(c.waiting[0].lead)
}

// flush writes all that waits, within limits; the leader's own send is the first of it.
func (c *coalescer) flush(ctx context.Context) {
	c.mu.Lock()
	n, bytes := 0, 0
	for n < min(len(c.waiting), maxFlush) && (n == 0 || bytes+len(c.waiting[n].env.Body) <= maxFlushBytes) {
		bytes += len(c.waiting[n].env.Body)
		n++
	}
	calls := slices.Clone(c.waiting[:n])
	c.waiting = slices.Delete(c.waiting, 0, n)
	c.mu.Unlock()
	defer func() {
		for _, call := range calls {
			close(call.done)
		}
		c.mu.Lock()
		c.pass()
		c.mu.Unlock()
	}()
	// The leader's ctx must not decide about the others: with company it counts no more.
	if n > 1 {
		ctx = context.WithoutCancel(ctx)
	}
	if err := c.write(ctx, calls); err == nil || n == 1 || !isData(err) {
		answer(calls, err)
		return
	}
	for i := range calls { // one row was refused: each caller gets an answer of its own
		err := c.write(ctx, calls[i:i+1])
		answer(calls[i:i+1], err)
		if err != nil && !isData(err) {
			answer(calls[i:], err)
			return
		}
	}
}

func answer(calls []*sendCall, err error) {
	for _, call := range calls {
		call.err = err
	}
}

func (c *coalescer) write(ctx context.Context, calls []*sendCall) error {
	envs := make([]*symphony.Envelope, len(calls))
	for i, call := range calls {
		envs[i] = call.env
	}
	return c.t.write(ctx, func(q *queries) error {
		rs, err := c.t.insert(q, envs)
		if err != nil {
			return err
		}
		for i, call := range calls {
			call.receipt = rs[i]
		}
		return nil
	})
}
