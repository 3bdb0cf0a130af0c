package engine

import (
	"context"
	"slices"
	"time"
)

// safeUntil is when the handler of j must have been told that its lease may end.
func (e *Engine[V]) safeUntil(j *Job[V]) time.Time {
	return j.Lease.Add(-min(5*time.Second, e.Lease/6))
}

func (e *Engine[V]) lateFor(j *Job[V]) bool { return !e.now.Before(e.safeUntil(j)) }

// guardUntil makes the pump look at the lease of j in time.
func (e *Engine[V]) guardUntil(j *Job[V]) {
	if at := e.safeUntil(j); e.guard.IsZero() || at.Before(e.guard) {
		e.guard = at
		e.due(at)
	}
}

// checkLeases ends the contexts of handlers whose leases could not be renewed. Their verdicts are sent
// all the same: the store knows whether the lease is over.
func (e *Engine[V]) checkLeases() {
	if e.guard.IsZero() || !e.due(e.guard) {
		return
	}
	e.guard = time.Time{}
	ended := 0
	for j := range e.inHand {
		switch {
		case !e.lateFor(j):
			e.guardUntil(j)
		case j.state == running && j.Context.Err() == nil:
			j.end(e.LeaseLost)
			ended++
		case j.state == held:
			e.unhold(j)
			e.refuse(j, GivenBack)
		}
	}
	if ended > 0 {
		e.Log.Warn("leases were not renewed in time: the worker has told the handlers to stop", "handlers", ended)
	}
}

// renew keeps the leases of all that is in hand; with nothing in hand it says that the worker lives.
func (e *Engine[V]) renew() {
	if e.renewal.busy || !e.due(e.renewal.next) {
		return
	}
	js := make([]*Job[V], 0, len(e.inHand))
	for j := range e.inHand {
		if !j.lost {
			js = append(js, j)
		}
	}
	sent := e.now
	e.call(&e.renewal, func() func() {
		ctx, cancel := context.WithTimeout(e.calls, e.Lease/3)
		defer cancel()
		lost, cancelled, err := e.Renew(ctx, js)
		return func() {
			if err != nil {
				e.failed(&e.renewal, "renew leases", err)
				return
			}
			e.renewal.fails, e.renewal.next = 0, sent.Add(e.Lease/3)
			for _, j := range js {
				j.Lease = sent.Add(e.Lease)
			}
			e.lose(lost)
			e.cancel(cancelled)
			e.guard = time.Time{}
			for j := range e.inHand {
				e.guardUntil(j)
			}
		}
	})
}

// lose drops what another worker may have. What is being settled gets its answer from that call.
func (e *Engine[V]) lose(js []*Job[V]) {
	js = slices.DeleteFunc(js, func(j *Job[V]) bool {
		_, known := e.inHand[j]
		return !known || j.state == settling
	})
	for _, j := range js {
		switch j.state {
		case running:
			j.lost = true // it leaves when its handler has ended
			j.end(e.LeaseLost)
			continue
		case held:
			e.unhold(j)
			e.leave(j)
		case decided:
			e.pending = slices.DeleteFunc(e.pending, func(p *Job[V]) bool { return p == j })
		}
		delete(e.inHand, j)
	}
	if len(js) > 0 {
		e.Lost(js)
	}
	if len(e.pending) == 0 && !e.settle.busy {
		e.settle.fails = 0 // what could not be settled need not be any more
	}
}

// cancel tells handlers that somebody has cancelled their messages. Several that share a context run on:
// the others are still wanted.
func (e *Engine[V]) cancel(js []*Job[V]) {
	for _, j := range js {
		switch {
		case j.state == running && !j.lost:
			j.Cancelled = true
			if !j.company {
				j.end(e.Cancelled)
			}
		case j.state == held:
			e.unhold(j)
			e.refuse(j, Cancelled)
		}
	}
}

func (e *Engine[V]) unhold(j *Job[V]) {
	e.held = slices.DeleteFunc(e.held, func(h *Job[V]) bool { return h == j })
}
