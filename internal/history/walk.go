package history

import (
	"fmt"
	"slices"
	"time"
)

// walk follows a message from claim to claim, in the order of the fences.
func (c *checker) walk(j *job) {
	c.fences(j)
	c.stale(j)
	c.due(j)
	w := &walker{c: c, j: j, counts: firstCounts()}
	for i, cl := range j.claims {
		var prev *claim
		if i > 0 {
			prev = j.claims[i-1]
		}
		w.step(prev, cl)
	}
	w.finish()
}

// fences checks that the order of the fences is that of the claims.
func (c *checker) fences(j *job) {
	var latest *claim // of those with lower fences
	var at int64
	for i, cl := range j.claims {
		when := c.when(cl)
		switch {
		case cl.Fence <= 0:
			c.violate(Fencing, j, "the claim has no fence", cl.Event)
		case i > 0 && cl.Fence == j.claims[i-1].Fence:
			c.violate(Fencing, j, "two claims have one fence", j.claims[i-1].Event, cl.Event)
		case latest != nil && when.hi < at:
			c.violate(Fencing, j, "the later claim has the lower fence", cl.Event, latest.Event)
		}
		if latest == nil || when.lo > at {
			latest, at = cl, when.lo
		}
	}
}

// when is the time of a claim for comparison with other claims: the store's, if all of them know it.
func (c *checker) when(cl *claim) span {
	if c.exact {
		return span{cl.Store, cl.Store}
	}
	return cl.span
}

// stale finds verdicts and renewals that were accepted after a later claim.
func (c *checker) stale(j *job) {
	var first *claim // the earliest of the later claims
	for _, cl := range slices.Backward(j.claims) {
		for _, o := range slices.Concat(cl.verdicts, cl.renewals) {
			if o.phase() != OK || first == nil || !o.after(first) {
				continue
			}
			if o.asked().Kind == Verdict {
				cl.stale = true
				c.report.StaleAccepted++
			}
			c.violate(Fencing, j, fmt.Sprintf("a stale %s was accepted", o.asked().Kind), cl.Event, first.Event, o.call, o.ans)
		}
		if first == nil || cl.hi < first.hi {
			first = cl
		}
	}
}

// due checks every claim against the time for which the message was sent.
func (c *checker) due(j *job) {
	if j.stored < maybeStored {
		return
	}
	asked := j.sent.asked()
	due := asked.Due
	if from := c.storeTime(j.sent, 0); asked.Delay > 0 && from > 0 {
		due = max(due, from+int64(asked.Delay))
	}
	for _, cl := range j.claims {
		if c.latest(cl) < due {
			c.early(j, "it was claimed before it was due", asked, cl.Event)
		}
	}
}

func (c *checker) early(j *job, detail string, events ...*Event) {
	c.report.Early++
	c.violate(NotEarly, j, detail, events...)
}

// latest is the latest time, by the store's clock, at which the claim can have been made.
func (c *checker) latest(cl *claim) int64 {
	switch {
	case cl.Store != 0:
		return cl.Store
	case c.final.Rules.SkewedClock:
		return never
	}
	return cl.Wall
}

// storeTime is the earliest time, by the store's clock, at which o can have taken effect; unknown if
// only clocks that cannot be compared tell.
func (c *checker) storeTime(o *op, unknown int64) int64 {
	switch {
	case o.store() != 0:
		return o.store()
	case c.final.Rules.SkewedClock:
		return unknown
	}
	return max(o.lo-grain, unknown)
}

// A walker is on its way through the claims of one message.
type walker struct {
	c       *checker
	j       *job
	finals  []*op // accepted in this life
	ended   bool  // a claim after the end has been reported
	doubles bool  // two finals have been reported
	replay  int   // how many replays are used up
	counts  counts
}

func (w *walker) step(prev, cl *claim) {
	if prev != nil && w.replayedBefore(prev, cl) {
		w.endLife(prev.lo, w.j.replays[w.replay-1].hi)
		w.finals, w.ended, w.j.replayed = nil, false, true
		w.counts.reopen(prev, cl)
	} else if len(w.finals) > 0 {
		w.afterEnd(cl)
		w.counts.reopen(prev, cl)
	} else if prev != nil {
		w.exclusion(prev, cl)
		w.counts.between(prev, cl)
	} else {
		w.counts.first(cl)
	}
	for _, o := range w.j.cancels {
		w.afterOther(o, o.phase() == OK && o.outcome() == Cancelled, cl)
	}
	for _, e := range w.j.dead {
		w.afterOther(&op{ans: e, span: span{0, e.Wall}}, true, cl)
	}
	w.bounds(cl)
	for _, v := range cl.verdicts {
		if v.phase() != OK || !v.outcome().final() {
			continue
		}
		w.finals = append(w.finals, v)
		w.j.finals = append(w.j.finals, v)
		if len(w.finals) == 2 {
			w.doubled(w.finals[0], v)
		}
	}
}

func (w *walker) doubled(a, b *op) {
	if w.doubles {
		return
	}
	w.doubles = true
	w.c.report.Doubled++
	w.c.violate(OneVerdict, w.j, "two final verdicts were accepted", a.call, a.ans, b.call, b.ans)
}

// replayedBefore uses up a replay that may have happened between two claims and is needed to explain the second.
func (w *walker) replayedBefore(prev, cl *claim) bool {
	mayHaveEnded := len(w.finals) > 0 || len(w.j.dead) > 0 || len(w.j.cancels) > 0 ||
		slices.ContainsFunc(prev.verdicts, func(v *op) bool { return v.phase() == Unknown && v.outcome().final() })
	for w.replay < len(w.j.replays) && w.j.replays[w.replay].lo <= cl.hi {
		r := w.j.replays[w.replay]
		w.replay++
		if r.hi >= prev.lo && (r.phase() == OK || (r.phase() == Unknown && mayHaveEnded)) {
			return true
		}
	}
	return false
}

// afterEnd reports a claim that follows an accepted final verdict.
func (w *walker) afterEnd(cl *claim) {
	if w.ended || w.finals[0].after(cl) { // the last: a stale verdict, reported as that
		return
	}
	w.ended = true
	w.c.violate(NoClaimAfterEnd, w.j, "it was claimed after a final verdict was accepted", w.finals[0].call, w.finals[0].ans, cl.Event)
}

// afterOther reports a claim that follows an end without a verdict.
func (w *walker) afterOther(end *op, certain bool, cl *claim) {
	if !certain || w.ended || cl.lo <= end.hi {
		return
	}
	for _, r := range w.j.replays {
		if r.hi >= end.lo && r.lo <= cl.hi && r.phase() != Refused {
			return
		}
	}
	w.ended = true
	w.c.violate(NoClaimAfterEnd, w.j, "it was claimed after its end", end.ans, cl.Event)
}

// exclusion checks that what came between two claims of one life made the second possible.
func (w *walker) exclusion(prev, cl *claim) {
	at := w.c.latest(cl)
	lapse := prev.leaseEnd - grain
	if prev.leaseEnd == 0 {
		lapse = 0
	}
	earliest, how := lapse, LeaseExclusion
	events := []*Event{prev.Event}
	for _, v := range prev.verdicts {
		if v.outcome().final() || v.after(cl) || (v.phase() != OK && v.phase() != Unknown) {
			continue
		}
		back := w.c.storeTime(v, prev.Store) + int64(w.wait(prev, v))
		if v.phase() == OK {
			earliest, how = back, NotEarly
			events = append(events, v.call, v.ans)
			break
		}
		earliest, how = min(earliest, back), NotEarly
		events = append(events, v.call)
	}
	events = append(events, cl.Event)
	switch {
	case at >= earliest:
	case how == LeaseExclusion:
		w.c.violate(LeaseExclusion, w.j, "it was claimed while another claim held it", events...)
	default:
		w.c.early(w.j, "it was claimed before its wait was over", events...)
	}
}

// wait is the least time that the verdict puts the message back for.
func (w *walker) wait(cl *claim, v *op) time.Duration {
	after := v.asked().After
	if f := w.c.final.Rules.Backoff; f != nil && v.outcome() == Retried && cl.Attempt > 0 {
		after = max(after, f(cl.Attempt))
	}
	return after
}

// bounds checks the counters that a claim shows, and their limits.
func (w *walker) bounds(cl *claim) {
	if cl.Attempt == 0 {
		return // the store does not say
	}
	if why := w.counts.see(cl); why != "" {
		w.c.violate(Bounded, w.j, why, cl.Event)
	}
	limit := w.c.final.Rules.MaxRetries
	if w.j.sent != nil && w.j.sent.asked().MaxRetries != nil {
		limit = w.j.sent.asked().MaxRetries
	}
	if limit != nil && cl.Attempt > *limit+1 && !w.j.replayed {
		w.c.violate(Bounded, w.j, fmt.Sprintf("attempt %d with at most %d retries", cl.Attempt, *limit), cl.Event)
	}
	if most := w.c.final.Rules.MaxCrashes; most > 0 && cl.Crashes >= most && cl.started != nil && !w.j.replayed {
		w.c.violate(Bounded, w.j, fmt.Sprintf("it was run after %d crashes of at most %d", cl.Crashes, most), cl.Event, cl.started)
	}
}

// endLife sets when the first life of the message ended, if nothing better is known from lo to hi.
func (w *walker) endLife(lo, hi int64) {
	if w.j.replayed {
		return
	}
	w.j.end = span{lo, hi}
	if len(w.finals) > 0 {
		w.j.end = w.finals[0].span
	}
}

// finish judges the last life.
func (w *walker) finish() {
	ended := 0 // without a verdict
	lo, hi := int64(never), int64(never)
	for _, o := range w.j.cancels {
		if o.phase() == Refused {
			continue
		}
		lo = min(lo, o.lo)
		if o.phase() == OK && o.outcome() == Cancelled {
			hi = min(hi, o.hi)
			ended++
			if len(w.j.finals)+ended > 1+len(w.j.replays) && len(w.finals) > 0 {
				w.doubled(o, w.finals[0])
			}
		}
	}
	if n := len(w.j.claims); n > 0 {
		last := w.j.claims[n-1]
		for _, v := range last.verdicts {
			if v.phase() == Unknown && v.outcome().final() {
				lo = min(lo, v.lo)
			}
		}
		if len(w.j.states) > 0 && !slices.Contains(w.j.states, Live) {
			lo = min(lo, last.lo) // ended somehow
		}
	} else if len(w.j.states) > 0 && !slices.Contains(w.j.states, Live) && w.j.sent != nil {
		lo = min(lo, w.j.sent.lo)
	}
	for _, e := range w.j.dead {
		hi = min(hi, e.Wall)
	}
	w.endLife(lo, hi)
}
