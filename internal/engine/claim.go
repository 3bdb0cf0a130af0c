package engine

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// watchdog ends a claim that perhaps waits on a dead connection. It is begun again.
const watchdog = time.Minute

// The least concurrency with which two or three claims are under way at once: while the store looks for the one, the other's messages are
// read and started. With less, a claim is so small that its own price counts for more.
const (
	twoFrom   = 64
	threeFrom = 256
)

// besideFor is how long a claim beside another one waits for messages, if there are none after all.
const besideFor = 10 * time.Millisecond

// lastLook is how long the claim waits for messages whose answer ends an idle worker. The look that a claim begins with is not bound by it.
const lastLook = 10 * time.Millisecond

// A taking is a claim under way.
type taking struct {
	Claim
	began time.Time
	stop  context.CancelFunc // nil: it comes with verdicts
}

// nextClaim returns what can be claimed now; false: nothing.
func (e *Engine[V]) nextClaim() (c Claim, ok bool) {
	if e.phase > working || e.claim.busy || e.alone != nil || e.settle.fails > 0 || !e.due(e.claim.next) {
		return c, false
	}
	c = Claim{Max: e.Concurrency - e.running, Except: e.saturated()}
	atOnce := e.atOnce()
	c.Max = min(c.Max, e.Concurrency/atOnce)
	if e.careful {
		c.Max = min(c.Max, 1)
	}
	if len(e.takings) > 0 {
		if !e.plenty || len(e.takings) >= atOnce || len(c.Except) > 0 {
			return c, false
		}
		room := e.Concurrency - e.running
		for _, t := range e.takings {
			room -= t.Max
		}
		if c.Max = min(c.Max, room); c.Max < e.Concurrency/8 { // soon there is room for more
			return c, false
		}
	}
	if most := e.Limits.Messages; most > 0 {
		c.Max = min(c.Max, most-e.started-len(e.held))
	}
	if c.Max > 0 {
		c.Queues = e.Queues.Claim()
	}
	return c, len(c.Queues) > 0
}

// atOnce returns how many claims there may be at once. With several, none of them must need to know what another brings.
func (e *Engine[V]) atOnce() int {
	switch {
	case e.Concurrency < twoFrom || e.Exchange != nil || e.Limits.Messages > 0 || len(e.kinds) > 0 || e.Queues.Limited():
		return 1
	case e.Concurrency < threeFrom:
		return 2
	}
	return 3
}

// saturated lists the types of which as many run as may.
func (e *Engine[V]) saturated() (types []string) {
	for k := range e.kinds {
		if k.running >= k.AtMost {
			types = append(types, k.Types...)
		}
	}
	return types
}

// claimMore waits for new jobs, unless a claim is under way.
func (e *Engine[V]) claimMore() {
	if !e.opened {
		e.open()
		return
	}
	for _, t := range e.takings {
		if t.stop != nil && (e.settle.fails > 0 || e.freed && e.wider(t)) {
			t.stop() // it must take no more, or does not know of the room
		}
	}
	e.freed = false
	c, ok := e.nextClaim()
	if !ok {
		return
	}
	t := &taking{Claim: c, began: e.now}
	within := e.patience()
	var until context.Context
	until, t.stop = context.WithCancel(e.intake)
	e.takings = append(e.takings, t)
	e.beside(func() func() {
		ctx, cancel := context.WithTimeout(until, within) // it counts from here: the machine may be busy
		defer cancel()
		js, err := e.Claim(ctx, c)
		ended := ctx.Err() != nil
		t.stop()
		return func() {
			e.taken(t, len(js))
			if err != nil && !ended {
				e.claimFailed("claim messages", err)
				return
			}
			if len(js) == 0 {
				e.looked = t.began
			}
			e.arrive(js)
		}
	})
}

// patience returns how long the next claim waits for messages. An idle worker does not end by the clock alone: a store that is
// slow to answer may have a message, and one that is asked seldom may have got one since.
func (e *Engine[V]) patience() time.Duration {
	switch idle := e.Limits.Idle; {
	case len(e.takings) > 0:
		return besideFor
	case idle > 0:
		return min(watchdog, max(lastLook, e.idleSince.Add(idle).Sub(e.now)))
	}
	return watchdog
}

// taken notes that a claim is over. One that was filled leaves more to claim, most likely.
func (e *Engine[V]) taken(t *taking, n int) {
	e.takings = slices.DeleteFunc(e.takings, func(other *taking) bool { return other == t })
	e.plenty = n == t.Max
}

// wider reports whether a claim could take what the one under way cannot: while that waits, types and
// queues only get room.
func (e *Engine[V]) wider(t *taking) bool {
	return len(e.saturated()) < len(t.Except) || e.Queues.Open() > len(t.Queues)
}

func (e *Engine[V]) open() {
	if e.phase > working || e.claim.busy || !e.due(e.claim.next) {
		return
	}
	e.call(&e.claim, func() func() {
		err := e.Open(e.intake)
		ended := e.intake.Err() != nil
		return func() {
			switch {
			case err == nil:
				e.opened, e.claim.fails = true, 0
				e.callers.Go(e.upkeep)
			case !ended:
				e.claimFailed("make the worker known", err)
			}
		}
	})
}

func (e *Engine[V]) upkeep() {
	for round := 0; e.intake.Err() == nil; round++ {
		for more := true; more && e.intake.Err() == nil; {
			var err error
			if more, err = e.Upkeep(e.intake, round); err != nil && e.intake.Err() == nil {
				e.trouble("maintain the store", err)
				more = false
			}
		}
		select {
		case <-e.intake.Done():
		case <-time.After(54*time.Second + rand.N(12*time.Second)):
		}
	}
}

// claimFailed ends the engine if the store cannot ever be used as it is.
func (e *Engine[V]) claimFailed(what string, err error) {
	if !e.claimed && e.Fatal(err) {
		e.fatal = err
		e.drain()
		return
	}
	e.failed(&e.claim, what, err)
}

// arrive starts new jobs, or says why not.
func (e *Engine[V]) arrive(js []*Job[V]) {
	e.claim.fails = 0
	e.claimed = e.claimed || len(js) > 0
	if len(js) > 0 { // what comes with one that runs alone is given back; mostly there are others like it
		e.careful = slices.ContainsFunc(js, func(j *Job[V]) bool { return j.Alone && !j.Decided })
	}
	for _, j := range js {
		e.inHand[j] = struct{}{}
		e.Queues.Took(j.Queue)
		e.guardUntil(j)
		if j.Kind != nil {
			e.kinds[j.Kind] = struct{}{}
		}
		if j.Alone && !j.Decided && e.alone == nil && e.phase == working {
			e.giveBack()
			e.alone = j
		}
	}
	var start []*Job[V]
	for _, j := range js {
		switch {
		case j.Decided:
			e.decide(j)
		case j == e.alone:
		case e.alone != nil || e.phase > working || e.lateFor(j):
			e.refuse(j, GivenBack)
		case e.startable(j):
			start = append(start, j)
		case j.state == held:
			j.since = e.now
			e.held = append(e.held, j)
		}
	}
	e.start(start)
}

// startable takes a slot for j if its kind has room. It refuses one that comes too late.
func (e *Engine[V]) startable(j *Job[V]) bool {
	if !j.Deadline.IsZero() && !e.now.Before(j.Deadline) {
		e.refuse(j, Expired)
		return false
	}
	if k := j.Kind; k != nil {
		if k.running >= k.AtMost {
			return false
		}
		k.running++
	}
	j.state = running
	e.running++
	return true
}

func (e *Engine[V]) start(js []*Job[V]) {
	if len(js) > 0 {
		e.started += len(js)
		e.finished.Expect(len(js))
		e.Start(js)
	}
}

// startHeld starts what there is room for now, and gives back what has waited for long. When a kind gets
// room, one of it has just left a slot, which no claim counts on yet.
func (e *Engine[V]) startHeld() {
	// What has run must be in the store first: if this one ends the process, all else that is in hand counts as crashed with it.
	settled := e.running == 0 && len(e.pending) == 0 && !e.settle.busy
	if j := e.alone; j != nil && j.state == held && settled && e.startable(j) {
		e.start([]*Job[V]{j})
	}
	if len(e.held) == 0 {
		return
	}
	var start []*Job[V]
	e.held = slices.DeleteFunc(e.held, func(j *Job[V]) bool {
		if e.startable(j) {
			start = append(start, j)
		} else if j.state == held && e.due(j.since.Add(e.Lease/3)) {
			e.refuse(j, GivenBack)
		}
		return j.state != held
	})
	e.start(start)
}

// giveBack refuses all that waits.
func (e *Engine[V]) giveBack() {
	all := e.held
	e.held = nil
	if e.alone != nil && e.alone.state == held {
		all = append(all, e.alone)
	}
	for _, j := range all {
		e.refuse(j, GivenBack)
	}
}

func (e *Engine[V]) refuse(j *Job[V], why Cause) {
	e.Refuse(j, why)
	e.decide(j)
}

// decide counts j as waiting or running no more: it has its verdict.
func (e *Engine[V]) decide(j *Job[V]) {
	e.leave(j)
	e.pending = append(e.pending, j)
	e.prompt = e.prompt || j.Prompt
}

func (e *Engine[V]) leave(j *Job[V]) {
	if j == e.alone {
		e.alone = nil
	}
	if j.state == running {
		e.running--
		if j.Kind != nil {
			j.Kind.running--
		}
	}
	j.state = decided
	e.freed = true
	e.Queues.Gave(j.Queue)
}
