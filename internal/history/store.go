package history

import (
	"fmt"
	"maps"
	"slices"
)

// presence checks that the store has the message in the state that the history says.
func (c *checker) presence(j *job) {
	switch {
	case !j.exists():
	case len(j.states) > 1:
		c.violate(Conservation, j, fmt.Sprintf("the store has it as %q", j.states), j.last()...)
	case len(j.states) == 1 && !j.allowed(j.states[0]):
		c.violate(Conservation, j, fmt.Sprintf("the store has it as %s, which no verdict says", j.states[0]), j.last()...)
	case !c.unexplained(j):
	case len(j.finals) > 0:
		c.violate(Conservation, j, "it is gone from the store, in spite of its verdict", j.last()...)
	case j.sent.asked().Tx != "":
		c.report.Lost++
		c.violate(AllOrNothing, j, "it was committed and is gone", j.last()...)
	default:
		c.report.Lost++
		c.violate(NoLoss, j, "it was accepted and is gone", j.last()...)
	}
}

// unexplained reports whether the message is not in the store, in no state of which the store keeps no record either.
func (c *checker) unexplained(j *job) bool {
	return len(j.states) == 0 && len(c.unkept(j)) == 0
}

// unkept are the states, of those that the store keeps no record of, in which the message may be.
func (c *checker) unkept(j *job) []Outcome {
	var states []Outcome
	for _, s := range []Outcome{Completed, Failed, Cancelled, Expired, Live} {
		if _, kept := c.final.IDs[s]; !kept && j.allowed(s) {
			states = append(states, s)
		}
	}
	return states
}

// last are the events that show what became of the message last.
func (j *job) last() []*Event {
	var events []*Event
	if j.sent != nil {
		events = append(events, j.sent.call, j.sent.ans)
	}
	if n := len(j.claims); n > 0 {
		events = append(events, j.claims[n-1].Event)
		for _, v := range j.claims[n-1].verdicts {
			events = append(events, v.call, v.ans)
		}
	}
	return events
}

// allowed reports whether the history lets the message end in state s.
func (j *job) allowed(s Outcome) bool {
	if j.putBack() {
		return true
	}
	cancelled, atOnce := false, false
	for _, o := range j.cancels {
		cancelled = cancelled || o.phase() != Refused
		atOnce = atOnce || (o.phase() == OK && o.outcome() == Cancelled)
	}
	if len(j.finals) > 0 {
		return slices.ContainsFunc(j.finals, func(v *op) bool {
			// A handler's error ends a message that is marked as cancelled, and one that has failed before is a dead letter when it expires.
			return v.outcome() == s || (cancelled && s == Cancelled && v.outcome() != Completed) ||
				(s == Failed && v.outcome() == Expired && j.claims[len(j.claims)-1].Attempt != 1)
		})
	}
	if n := len(j.claims); n > 0 {
		for _, v := range j.claims[n-1].verdicts {
			if v.phase() == Unknown && v.outcome() == s {
				return true
			}
		}
	}
	mayExpire := j.sent != nil && j.sent.asked().Expires > 0
	switch s {
	case Live:
		return !atOnce && len(j.dead) == 0
	case Cancelled:
		return cancelled
	case Expired:
		return mayExpire
	case Failed:
		return mayExpire || len(j.dead) > 0
	}
	return false
}

// putBack reports whether somebody may have replayed the message, so that it can have had another life that nobody saw.
func (j *job) putBack() bool {
	return slices.ContainsFunc(j.replays, func(o *op) bool { return o.phase() != Refused })
}

// counters compares the store's own statistics with the history.
func (c *checker) counters() {
	lo, hi := map[Outcome]int{}, map[Outcome]int{}
	for _, j := range c.order {
		if !j.exists() || j.bad {
			continue
		}
		lo[Accepted]++
		hi[Accepted]++
		in := j.states
		if len(in) == 0 {
			in = c.unkept(j)
		}
		for _, s := range in {
			hi[s]++
			if len(in) == 1 {
				lo[s]++
			}
		}
	}
	for _, s := range slices.Sorted(maps.Keys(c.final.Counters)) {
		if n := c.final.Counters[s]; n < lo[s] || n > hi[s] {
			c.violate(Conservation, nil, fmt.Sprintf("the store counts %d %s, the history %s", n, s, between(lo[s], hi[s])))
		}
	}
}

// effects checks what the handlers of a message have left behind.
func (c *checker) effects(j *job) {
	if c.final.Effects == nil || !j.exists() {
		return
	}
	n := c.final.Effects[j.id]
	if n > 1 && j.inTx {
		c.violate(EffectOnce, j, fmt.Sprintf("its effect is there %d times", n), j.last()...)
		return
	}
	in := j.states
	if len(in) == 0 {
		in = c.unkept(j)
	}
	if len(in) != 1 {
		return // it may have completed
	}
	completed := in[0] == Completed
	switch {
	case completed && n == 0:
		c.violate(EffectOnce, j, "it completed without its effect", j.last()...)
	case !completed && n > 0 && j.inTx:
		c.violate(EffectOnce, j, "its effect is there, but it did not complete", j.last()...)
	}
}

// strayEffects reports effects of messages that were never stored.
func (c *checker) strayEffects() {
	for _, id := range slices.Sorted(maps.Keys(c.final.Effects)) {
		if j := c.jobs[id]; c.final.Effects[id] > 0 && (j == nil || !j.exists()) {
			c.violate(EffectOnce, &job{id: id}, "there is an effect of it, but it was never stored")
		}
	}
}
