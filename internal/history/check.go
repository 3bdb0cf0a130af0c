package history

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Check holds a history against the invariants. Give it all events of a run, as [Read] returns them, and the
// state of the store after everything has drained. It takes time and memory in proportion to the
// events, which it does not change; the report refers to copies.
//
// A violation is reported only where no order of the recorded operations, and no outcome of the unknown
// ones, would explain what followed.
func Check(events []Event, final Final) Report {
	c := newChecker(events, final)
	c.transactions()
	c.duplicates()
	for _, e := range c.orphans {
		c.violate(Fencing, c.jobs[e.Message], "nobody claimed the token", e)
	}
	for _, j := range c.order {
		c.source(j)
		if !j.bad {
			c.walk(j)
			c.presence(j)
			c.effects(j)
			c.liveness(j)
		}
	}
	c.strayEffects()
	c.counters()
	c.keys()
	c.groups()
	c.figures()
	return c.report
}

// violate reports. The message may be nil.
func (c *checker) violate(inv Invariant, j *job, detail string, events ...*Event) {
	v := Violation{Invariant: inv, Detail: detail}
	if j != nil {
		v.Message = j.id
	}
	for _, e := range events {
		if e != nil {
			v.Events = append(v.Events, *e)
		}
	}
	c.report.Violations = append(c.report.Violations, v)
}

// storing says what is known of the sending of a message.
type storing int

const (
	notSent     storing = iota // nobody asked for it
	isRefused                  // every call failed
	isDuplicate                // answered with another message
	isRolledBack
	maybeStored
	isStored
)

// transactions decides for every message whether it was stored, and checks that unknown commits did all or nothing.
func (c *checker) transactions() {
	for _, j := range c.order {
		for _, o := range j.enqueues {
			j.addSent(c.storing(o))
		}
	}
	for _, j := range c.order {
		for _, o := range j.enqueues {
			t := c.txs[txKey{o.asked().Proc, o.asked().Tx}]
			if t == nil || t.jobs == nil || t.jobs[0] != j {
				continue
			}
			c.atomic(t)
			t.jobs = nil
		}
	}
}

// storing says what became of an enqueue, and when the message was there for others to see.
func (c *checker) storing(o *op) (s storing, sent *op, visible span) {
	switch o.phase() {
	case OK:
		s = isStored
	case Duplicate:
		return isDuplicate, o, o.span
	case Unknown:
		s = maybeStored
	default:
		return isRefused, o, o.span
	}
	if o.asked().Tx == "" {
		return s, o, o.span
	}
	end := c.tx(o.asked()).end
	switch {
	case end == nil:
		return isRolledBack, o, o.span
	case end.phase() == OK:
		return s, o, end.span
	case end.phase() == Unknown:
		return maybeStored, o, end.span
	}
	return isRolledBack, o, o.span
}

// addSent adds what is known of one enqueue. A call that was repeated after an unknown outcome stored the
// message at some time from the first to the last.
func (j *job) addSent(s storing, o *op, visible span) {
	switch {
	case s < maybeStored:
	case j.sent == nil:
		j.sent, j.visible = o, visible
	case j.stored == maybeStored:
		both := *j.sent
		both.hi = max(o.hi, o.lo)
		if o.ans != nil {
			ans := *o.ans
			ans.Store = 0
			both.ans = &ans
		}
		j.sent, j.visible.hi = &both, visible.hi
	}
	j.stored = max(j.stored, s)
}

// atomic checks a transaction whose commit has an unknown outcome.
func (c *checker) atomic(t *tx) {
	if t.end == nil || t.end.phase() != Unknown {
		return
	}
	var there, missing *job
	for _, j := range t.jobs {
		switch {
		case j.appears():
			there = j
		case j.stored == maybeStored && j.sent.phase() == OK && c.unexplained(j):
			missing = j
		}
	}
	if there != nil && missing != nil {
		c.violate(AllOrNothing, missing, fmt.Sprintf("is gone, but message %s of the same transaction is there", there.id),
			missing.sent.call, missing.sent.ans, there.enqueues[0].asked(), t.end.call)
	}
}

// source checks that what appears was sent, with these bytes.
func (c *checker) source(j *job) {
	if j.appears() {
		var first *Event
		if len(j.claims) > 0 {
			first = j.claims[0].Event
		}
		switch j.stored {
		case notSent:
			j.bad = true
			c.violate(NoPhantom, j, "nobody sent it", first)
		case isRefused:
			j.bad = true
			c.violate(NoPhantom, j, "sending it failed", first, j.enqueues[0].ans)
		case isDuplicate:
			j.bad = true
			c.violate(OnePerKey, j, "it is there, though its sender was told of an older one", first, j.enqueues[0].ans)
		case isRolledBack:
			j.bad = true
			c.violate(AllOrNothing, j, "it is there, though its transaction was rolled back", first, j.enqueues[0].asked())
		}
	}
	if j.stored < maybeStored {
		return
	}
	asked := j.sent.asked()
	for _, cl := range j.claims {
		switch {
		case asked.SHA256 != "" && cl.SHA256 != "" && asked.SHA256 != cl.SHA256:
			c.violate(NoPhantom, j, "its body is not the one that was sent", asked, cl.Event)
		case cl.hi < j.sent.lo:
			c.violate(NoPhantom, j, "it was claimed before it was sent", asked, cl.Event)
		case cl.hi < j.visible.lo:
			c.violate(AllOrNothing, j, "it was claimed before its transaction committed", asked, cl.Event)
		}
	}
}

// liveness checks that the message ended in time after the last fault.
func (c *checker) liveness(j *job) {
	within := int64(c.final.Rules.DrainWithin)
	if within == 0 || j.stored < maybeStored || !j.exists() {
		return
	}
	if slices.Contains(j.states, Live) {
		c.violate(Liveness, j, "it has not ended", j.sent.asked())
		return
	}
	start := c.ready(j).hi
	if start == never {
		start = c.ready(j).lo
	}
	for _, f := range c.faults {
		start = max(start, f.Wall)
	}
	for _, v := range j.finals {
		if v.lo > start+within {
			c.violate(Liveness, j, fmt.Sprintf("its end was asked for %v after the last fault", time.Duration(v.lo-start)), v.call, v.ans)
			return
		}
	}
}

// figures counts kills and measures how soon what a killed process held was claimed again.
func (c *checker) figures() {
	killed := map[string]int64{}
	for _, f := range c.faults {
		switch f.Fault {
		case Kill:
			c.report.Kills++
			killed[f.Target] = f.Wall
		case Restart:
			c.report.Restarts++
		}
	}
	var reruns []int64
	for _, j := range c.order {
		if j.exists() && !j.bad {
			c.report.Jobs++
		}
		for i, cl := range j.claims {
			at, dead := killed[cl.Proc]
			if !dead || i+1 == len(j.claims) {
				continue
			}
			// The count of crashes says that the lease ran out. On a slow machine nearly every claim has a verdict
			// too, of which nobody knows whether it was carried out.
			next := j.claims[i+1]
			if next.hi > at && next.Fence == cl.Fence+1 && next.Crashes == cl.Crashes+1 {
				reruns = append(reruns, next.hi-at)
			}
		}
	}
	if len(reruns) == 0 {
		return
	}
	slices.SortFunc(reruns, cmp.Compare[int64])
	p99 := float64(reruns[int(math.Ceil(0.99*float64(len(reruns))))-1]) / float64(time.Second)
	c.report.Reruns, c.report.P99RerunS = len(reruns), &p99
}
