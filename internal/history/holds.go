package history

import (
	"cmp"
	"slices"
	"time"
)

// A hold is what a message certainly has to itself, from one moment to another.
type hold struct {
	j           *job
	from, until int64
	events      []*Event
}

// overlaps calls report with every hold that certainly begins within another one.
func overlaps(holds []hold, report func(a, b hold)) {
	slices.SortStableFunc(holds, func(a, b hold) int { return cmp.Compare(a.from, b.from) })
	var longest hold
	for _, h := range holds {
		if longest.j != nil && longest.j != h.j && h.from < min(longest.until, h.until) {
			report(longest, h)
		}
		if h.until > longest.until {
			longest = h
		}
	}
}

// plus adds to a time, which may be never.
func plus(t int64, d time.Duration) int64 {
	if t == never {
		return never
	}
	return t + int64(d)
}

// storedBy is the latest time at which the message can have been stored.
func (j *job) storedBy() int64 {
	hi := j.sent.hi
	if len(j.claims) > 0 {
		hi = min(hi, j.claims[0].hi)
	}
	return hi
}

// duplicates checks that what senders were told about the holders of their keys is true.
func (c *checker) duplicates() {
	for _, d := range c.dups {
		h := c.jobs[d.ans.Holder]
		if h == nil || h.stored < maybeStored {
			c.violate(OnePerKey, h, "a duplicate names message "+d.ans.Holder+", which was never stored", d.call, d.ans)
			continue
		}
		h.named = true
		asked, first := d.asked(), h.sent.asked()
		if keyOf(asked) != keyOf(first) {
			c.violate(OnePerKey, h, "a duplicate names it, but it has another key", d.call, d.ans, first)
			continue
		}
		sameTx := asked.Tx != "" && asked.Proc == first.Proc && asked.Tx == first.Tx
		if !sameTx && h.visible.lo > d.hi {
			c.violate(OnePerKey, h, "a duplicate named it before it was there", d.call, d.ans, first)
		}
	}
}

// keys checks that no key was given twice, nor refused when it was free.
func (c *checker) keys() {
	byKey := map[string][]hold{}
	for _, j := range c.order {
		if j.bad || j.stored < maybeStored || !j.exists() || j.sent.asked().Key == "" {
			continue
		}
		asked := j.sent.asked()
		key := keyOf(asked)
		byKey[key] = append(byKey[key], hold{
			j: j, from: j.storedBy(), until: max(j.sent.lo+int64(asked.Window), j.end.lo),
			events: []*Event{asked, j.sent.ans},
		})
	}
	for _, j := range c.order { // not over the map: the report has an order
		if j.sent == nil || j.sent.asked().Key == "" {
			continue
		}
		key := keyOf(j.sent.asked())
		overlaps(byKey[key], func(a, b hold) {
			c.violate(OnePerKey, b.j, "message "+a.j.id+" had its key", slices.Concat(a.events, b.events)...)
		})
		delete(byKey, key)
	}
	for _, d := range c.dups {
		h := c.jobs[d.ans.Holder]
		if h == nil || h.stored < maybeStored || h.bad || h.putBack() {
			continue
		}
		free := max(h.end.hi, plus(plus(h.storedBy(), h.sent.asked().Window), time.Duration(grain)))
		if free < d.lo {
			c.violate(OnePerKey, h, "a duplicate names it, but its key was free again", h.sent.asked(), d.call, d.ans)
		}
	}
}

type groupKey struct{ queue, group string }

// groups checks that the messages of a group were held one at a time and in order.
func (c *checker) groups() {
	members := map[groupKey][]*job{}
	var order []groupKey
	for _, j := range c.order {
		if j.bad || j.stored < maybeStored || j.sent.asked().Group == "" {
			continue
		}
		key := groupKey{j.sent.asked().Queue, j.sent.asked().Group}
		if members[key] == nil {
			order = append(order, key)
		}
		members[key] = append(members[key], j)
	}
	for _, key := range order {
		var holds []hold
		for _, j := range members[key] {
			holds = c.groupHolds(holds, j)
		}
		overlaps(holds, func(a, b hold) {
			c.violate(GroupOrder, b.j, "message "+a.j.id+" of its group was held at the same time", slices.Concat(a.events, b.events)...)
		})
		c.groupOrder(members[key])
	}
}

// groupHolds appends when j certainly held its group: from a claim until a verdict that frees the group, or until
// the lease ran out. A retry or a snooze keeps it.
func (c *checker) groupHolds(holds []hold, j *job) []hold {
	open := false
	for i, cl := range j.claims {
		if !open {
			holds = append(holds, hold{j: j, from: cl.hi, events: []*Event{cl.Event}})
		}
		h := &holds[len(holds)-1]
		accepted := cl.verdict(OK)
		keeps := accepted != nil && (accepted.outcome() == Retried || accepted.outcome() == Snoozed) && !j.putBack()
		last := i+1 == len(j.claims)
		open = keeps && !last && j.claims[i+1].Fence == cl.Fence+1
		switch {
		case open:
			continue // the next claim goes on with it
		case keeps && (!last || slices.Contains(j.states, Live)):
			// It holds at least until its wait is over. Then somebody who died unrecorded may have claimed it.
			h.until = accepted.lo + int64(accepted.asked().After)
		case accepted != nil:
			h.until = accepted.lo
		default:
			h.until = c.lapse(cl)
		}
		for _, o := range j.cancels {
			h.until = min(h.until, o.lo)
		}
		if len(j.dead) > 0 {
			h.until = min(h.until, cl.lo)
		}
	}
	return holds
}

// lapse is the earliest moment at which a claim without an accepted verdict can have freed its group.
func (c *checker) lapse(cl *claim) int64 {
	until := cl.lo
	if !c.final.Rules.SkewedClock {
		until = max(until, cl.leaseEnd-grain)
	}
	for _, v := range cl.verdicts {
		if v.phase() == Unknown {
			until = min(until, v.lo)
		}
	}
	return until
}

// ready is when the message became due and could be claimed, by the machine's clock.
func (c *checker) ready(j *job) span {
	asked := j.sent.asked()
	if asked.Due > 0 && c.final.Rules.SkewedClock {
		return span{0, never}
	}
	s := span{j.sent.lo, j.storedBy()}
	if asked.Delay > 0 {
		s = span{s.lo + int64(asked.Delay) - grain, plus(plus(s.hi, asked.Delay), time.Duration(grain))}
	}
	s.hi = max(s.hi, j.visible.hi)
	if asked.Due > 0 {
		s = span{max(s.lo, asked.Due-grain), max(s.hi, asked.Due+grain)}
	}
	return s
}

// groupOrder reports a message that was claimed although another one had certainly been ready before it and waited.
func (c *checker) groupOrder(jobs []*job) {
	type member struct {
		j              *job
		ready, claimed span
	}
	var waiting, claimed []member
	for _, j := range jobs {
		m := member{j: j, ready: c.ready(j), claimed: span{never, never}}
		switch {
		case len(j.claims) > 0:
			m.claimed = c.when(j.claims[0])
			claimed = append(claimed, m)
			if j.claims[0].Fence > 1 {
				continue // a claim before it died unrecorded
			}
		case !slices.Contains(j.states, Live):
			continue
		}
		waiting = append(waiting, m)
	}
	slices.SortStableFunc(waiting, func(a, b member) int { return cmp.Compare(a.claimed.lo, b.claimed.lo) })
	slices.SortStableFunc(claimed, func(a, b member) int { return cmp.Compare(a.claimed.hi, b.claimed.hi) })
	var last member // of those claimed earlier, the one that became ready last
	for _, w := range waiting {
		for len(claimed) > 0 && claimed[0].claimed.hi < w.claimed.lo {
			if last.j == nil || claimed[0].ready.lo > last.ready.lo {
				last = claimed[0]
			}
			claimed = claimed[1:]
		}
		if last.j != nil && last.ready.lo > w.ready.hi {
			c.violate(GroupOrder, last.j, "message "+w.j.id+" of its group came before it and waited",
				w.j.sent.asked(), last.j.sent.asked(), last.j.claims[0].Event)
		}
	}
}
