package engine

import (
	"context"
	"runtime/metrics"
	"time"
)

const (
	stopTime  = 5 * time.Second // for handlers whose contexts have ended
	flushTime = 5 * time.Second // for the last verdicts
	leaveTime = time.Second     // for the store to forget the worker
)

type phase int

const (
	working  phase = iota
	draining       // claims nothing; handlers run on
	stopping       // their contexts have ended
	flushing       // only verdicts are left
	over
)

// drain makes the engine take nothing new and give back what it has not started. Handlers may run on:
// one that needs longer than the grace would otherwise never end in a worker that is started again for
// every message.
func (e *Engine[V]) drain() {
	if e.phase == working {
		e.phase, e.until = draining, time.Time{}
		e.endIntake()
		e.giveBack()
	}
}

// interrupt drains because Run's context has ended: from now on handlers have the grace.
func (e *Engine[V]) interrupt() {
	e.drain()
	if e.phase == draining {
		e.until = time.Now().Add(e.Grace)
	}
}

// advance goes through the phases of the end.
func (e *Engine[V]) advance() {
	if e.phase == draining && (e.hurried || !e.until.IsZero() && e.due(e.until)) {
		e.phase, e.until = stopping, e.now.Add(stopTime)
		for j := range e.inHand {
			if j.state == running {
				j.end(e.Stopping)
			}
		}
	}
	if (e.phase == draining || e.phase == stopping) && e.running == 0 || e.phase == stopping && e.due(e.until) {
		e.phase, e.until = flushing, e.now.Add(flushTime)
	}
	nothingLeft := len(e.pending) == 0 && !e.settle.busy && !e.claim.busy && len(e.takings) == 0
	if e.phase == flushing && (nothingLeft || e.due(e.until)) {
		e.phase = over
	}
}

// goodbye lets the store forget the worker, which has nothing any more. If that fails, its lease runs out.
func (e *Engine[V]) goodbye() {
	ctx, cancel := context.WithTimeout(e.handling, leaveTime)
	defer cancel()
	if err := e.Leave(ctx); err != nil {
		e.Log.Debug("the store takes a worker that has ended for alive until its lease is over", "error", err)
	}
}

// checkLimits begins to drain when a limit is reached.
func (e *Engine[V]) checkLimits() {
	if e.phase > working {
		return
	}
	if len(e.inHand) > 0 || !e.opened { // one that waits for its store is not idle
		e.idleSince = e.now
	}
	reached := ""
	switch l := e.Limits; {
	case l.Messages > 0 && e.started >= l.Messages:
		reached = "messages"
	case l.Failures > 0 && e.failures >= l.Failures:
		reached = "failures"
	case l.Time > 0 && e.due(e.began.Add(l.Time)):
		reached = "time"
	case l.Idle > 0 && e.due(e.idleSince.Add(l.Idle)) && !e.looked.Before(e.idleSince.Add(l.Idle)):
		reached = "idle"
	case l.Memory > 0 && e.memoryOver(l.Memory):
		reached = "memory"
	}
	if reached != "" {
		e.Log.Info("worker has reached a limit", "limit", reached)
		e.drain()
	}
}

func (e *Engine[V]) memoryOver(limit int64) bool {
	if !e.due(e.memoryAt) {
		return false
	}
	e.memoryAt = e.now.Add(time.Second)
	e.due(e.memoryAt)
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64()-sample[1].Value.Uint64()) >= limit
}
