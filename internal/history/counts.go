package history

import "fmt"

// counts are the bounds within which the counters of a message must lie at its next claim. Unknown
// outcomes widen them; what a claim then shows narrows them again.
type counts struct{ attemptLo, attemptHi, crashLo, crashHi int }

func firstCounts() counts { return counts{attemptLo: 1, attemptHi: 1} }

// first is for the first recorded claim: deliveries before it died unrecorded.
func (n *counts) first(cl *claim) { n.crashHi += int(max(cl.Fence-1, 0)) }

// between adds what can have happened from one claim to the next.
func (n *counts) between(prev, cl *claim) {
	// Whoever took it in between died before writing that down, so it ran no handler.
	n.crashHi += int(max(cl.Fence-prev.Fence-1, 0))
	var sure *op
	maybe, mayHaveFailed := false, false
	for _, v := range prev.verdicts {
		switch {
		case v.phase() == OK && !prev.stale:
			sure = v
		case v.phase() == OK || v.phase() == Unknown:
			maybe = true
			mayHaveFailed = mayHaveFailed || v.outcome() == Retried
		}
	}
	switch {
	case sure != nil && sure.outcome() == Retried:
		n.attemptLo++
		n.attemptHi++
	case sure != nil:
	default:
		n.crashHi++
		if !maybe {
			n.crashLo++
		}
		if mayHaveFailed {
			n.attemptHi++
		}
	}
}

// reopen is for a replay: the message may keep its counters, with what its last claim added, or start anew.
func (n *counts) reopen(prev, cl *claim) {
	n.attemptLo, n.crashLo = 1, 0
	n.attemptHi++
	n.crashHi += 1 + int(max(cl.Fence-prev.Fence-1, 0))
}

// see compares with what a claim shows and says what is wrong.
func (n *counts) see(cl *claim) (why string) {
	switch {
	case cl.Attempt < n.attemptLo || cl.Attempt > n.attemptHi:
		why = fmt.Sprintf("attempt is %d, the history says %s", cl.Attempt, between(n.attemptLo, n.attemptHi))
	case cl.Crashes < n.crashLo || cl.Crashes > n.crashHi:
		why = fmt.Sprintf("crashes are %d, the history says %s", cl.Crashes, between(n.crashLo, n.crashHi))
	}
	*n = counts{cl.Attempt, cl.Attempt, cl.Crashes, cl.Crashes}
	return why
}

func between(lo, hi int) string {
	if lo == hi {
		return fmt.Sprint(lo)
	}
	return fmt.Sprintf("%d to %d", lo, hi)
}
