package engine

import (
	"context"
	"math/rand/v2"
	"time"
)

// While many handlers are still to end, as with thousands that do next to nothing, the first verdicts
// wait for others: each trip to the store has a price of its own.
const (
	lingerTime = time.Millisecond
	lingerFor  = 8 // handlers, or more
)

// Verdicts that follow others wait a little for more, unless they are many, or somebody waits for one: they hold no room, and a call for one message
// costs half of what one for ten does.
const (
	settleEvery = 2 * time.Millisecond
	settleMany  = 64
)

// A call is what the pump knows about calls of one kind: there is one at a time.
type call struct {
	busy  bool
	fails int       // in a row
	next  time.Time // not before
}

// call runs f beside the pump, which then runs what f returns.
func (e *Engine[V]) call(c *call, f func() func()) {
	c.busy = true
	e.beside(func() func() {
		answer := f()
		return func() {
			c.busy = false
			answer()
		}
	})
}

// beside runs f beside the pump, which then runs what f returns.
func (e *Engine[V]) beside(f func() func()) {
	e.callers.Go(func() { e.answers <- f() })
}

// failed notes that a call has not succeeded, and when to try again.
func (e *Engine[V]) failed(c *call, what string, err error) {
	c.fails++
	c.next = e.now.Add(pause(c.fails))
	e.trouble(what, err)
}

// pause returns how long to wait after so many failures: at most 50 ms at first, at most 2 s at last, and
// at least half of that.
func pause(fails int) time.Duration {
	d := min(50*time.Millisecond<<min(fails-1, 6), 2*time.Second)
	return d/2 + rand.N(d/2)
}

// collect takes over what handlers have finished.
func (e *Engine[V]) collect() {
	items, underWay := e.finished.Len()
	if items == 0 {
		return
	}
	if underWay >= lingerFor && items < underWay {
		if e.linger.IsZero() {
			e.linger = e.now.Add(lingerTime)
		}
		if !e.due(e.linger) {
			return
		}
	}
	e.linger = time.Time{}
	e.free = e.finished.Take(e.free)
	for _, j := range e.free {
		if j.Failed && !j.Cancelled {
			e.failures++
		}
		if j.lost {
			e.leave(j)
			delete(e.inHand, j)
		} else {
			e.decide(j)
		}
	}
	clear(e.free)
}

// settleAll hands over all verdicts there are, and claims in the same trip if it can.
func (e *Engine[V]) settleAll() {
	if len(e.pending) == 0 || e.settle.busy || !e.due(e.settle.next) {
		return
	}
	patient := e.Exchange == nil && e.phase == working && e.alone == nil && !e.prompt && len(e.pending) < settleMany
	if patient && !e.due(e.settledAt.Add(settleEvery)) {
		return
	}
	js := e.pending
	e.pending, e.prompt, e.settledAt = nil, false, e.now
	for _, j := range js {
		j.state = settling
	}
	var with *taking
	if e.Exchange != nil {
		if c, ok := e.nextClaim(); ok {
			with = &taking{Claim: c}
			e.takings = append(e.takings, with)
		}
	}
	e.call(&e.settle, func() func() {
		ctx, cancel := context.WithTimeout(e.calls, e.Lease)
		defer cancel()
		var claimed []*Job[V]
		var err error
		if with != nil {
			claimed, err = e.Exchange(ctx, js, with.Claim)
		} else {
			err = e.Settle(ctx, js)
		}
		return func() {
			if with != nil {
				e.taken(with, len(claimed))
			}
			e.settled(js, err)
			e.checkLimits() // before what came with the answer is started
			if with != nil && err == nil {
				e.arrive(claimed)
			}
		}
	})
}

// settled forgets what is settled. After an error all of it is still to be, and nothing is claimed
// before it is.
func (e *Engine[V]) settled(js []*Job[V], err error) {
	if err != nil {
		for _, j := range js {
			j.state = decided
		}
		e.pending = append(js, e.pending...)
		e.failed(&e.settle, "settle verdicts", err)
		return
	}
	e.settle.fails = 0
	for _, j := range js {
		if j.Undone && !j.Cancelled {
			e.failures++
		}
		delete(e.inHand, j)
	}
}

// trouble logs that a call of the store has failed, one line a second at most. Any goroutine may call it.
func (e *Engine[V]) trouble(what string, err error) {
	e.troubleMu.Lock()
	defer e.troubleMu.Unlock()
	if now := time.Now(); e.troubleAt.IsZero() || now.Sub(e.troubleAt) >= time.Second {
		e.troubleAt = now
		e.Log.Error("the store failed, the worker tries again", "to", what, "error", err)
	}
}
