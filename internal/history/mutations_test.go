package history_test

import (
	"slices"
	"time"

	"github.com/symphony-messenger/symphony/internal/history"
)

// A mutation changes a good history in one place, at random, so that it breaks a promise. It says whether
// it found an occasion.
type mutation struct {
	name   string
	want   history.Invariant
	change func(*mutant) bool
}

// messageMutations break what a message promises by itself.
func messageMutations() []mutation {
	return []mutation{
		{"verdict dropped, message gone", history.NoLoss, func(m *mutant) bool {
			t := m.pick(func(t *trace) bool { return m.plain(t) && m.events[t.send].Tx == "" })
			if t == nil {
				return false
			}
			m.dropVerdicts(t)
			m.forget(t.id)
			return true
		}},
		{"enqueue dropped", history.NoPhantom, func(m *mutant) bool {
			t := m.pick(m.plain)
			if t == nil {
				return false
			}
			call := m.events[t.send]
			m.drop(func(e history.Event) bool {
				return e.Kind == history.Enqueue && e.Proc == call.Proc && (e.Seq == call.Seq || e.Op == call.Seq)
			})
			return true
		}},
		{"body changed", history.NoPhantom, func(m *mutant) bool {
			t := m.pick(m.plain)
			if t == nil {
				return false
			}
			m.events[t.claims[0]].SHA256 = history.Sum([]byte("other"))
			return true
		}},
		{"claim moved before the enqueue", history.NoPhantom, func(m *mutant) bool {
			t := m.pick(m.plain)
			if t == nil {
				return false
			}
			claimAt(&m.events[t.claims[0]], m.events[t.send].Wall-50*ms)
			return true
		}},
		{"completion duplicated", history.OneVerdict, func(m *mutant) bool {
			t := m.pick(m.plain)
			if t == nil {
				return false
			}
			call, answer := m.verdict(t, 0)
			again := *answer
			again.Op = m.appended(*call).Seq
			m.appended(again)
			return true
		}},
		{"stale verdict accepted", history.Fencing, func(m *mutant) bool { return m.acceptStale(history.Verdict) }},
		{"stale renewal accepted", history.Fencing, func(m *mutant) bool { return m.acceptStale(history.Renew) }},
		{"fences of two claims swapped", history.Fencing, func(m *mutant) bool {
			t := m.pick(func(t *trace) bool {
				return len(t.claims) > 1 && m.events[t.claims[0]].Store < m.events[t.claims[1]].Store
			})
			if t == nil {
				return false
			}
			a, b := &m.events[t.claims[0]], &m.events[t.claims[1]]
			a.Fence, b.Fence = b.Fence, a.Fence
			return true
		}},
		{"fence given twice", history.Fencing, func(m *mutant) bool {
			t := m.pick(func(t *trace) bool { return len(t.claims) > 1 })
			if t == nil {
				return false
			}
			m.events[t.claims[1]].Fence = m.events[t.claims[0]].Fence
			return true
		}},
		{"tokens of two verdicts swapped", history.Fencing, func(m *mutant) bool {
			a, b := m.pick(m.plain), m.pick(m.plain)
			if a == nil || a == b {
				return false
			}
			x, _ := m.verdict(a, 0)
			y, _ := m.verdict(b, 0)
			x.Token, y.Token = y.Token, x.Token
			return true
		}},
		{"claim dropped", history.Fencing, func(m *mutant) bool {
			t := m.pick(m.plain)
			if t == nil {
				return false
			}
			m.events = slices.Delete(m.events, t.claims[0], t.claims[0]+1)
			return true
		}},
		{"claimed again after its end", history.NoClaimAfterEnd, func(m *mutant) bool {
			t := m.pick(m.plain)
			if t == nil {
				return false
			}
			c := m.events[t.claims[0]]
			c.Fence++
			c.Token += "again"
			claimAt(&c, m.events[len(m.events)-1].Wall+ms)
			m.appended(c)
			return true
		}},
		{"claimed before its delay", history.NotEarly, func(m *mutant) bool {
			t := m.pick(func(t *trace) bool { return m.plain(t) && m.events[t.send].Delay > 20*time.Millisecond })
			if t == nil {
				return false
			}
			send := m.events[t.send]
			claimAt(&m.events[t.claims[0]], send.Wall+int64(send.Delay)-10*ms)
			return true
		}},
		{"claimed before its time", history.NotEarly, func(m *mutant) bool {
			t := m.pick(func(t *trace) bool { return m.plain(t) && m.events[t.send].Due > 0 })
			if t == nil {
				return false
			}
			claimAt(&m.events[t.claims[0]], m.events[t.send].Due-1)
			return true
		}},
		{"claimed before its wait is over", history.NotEarly, func(m *mutant) bool {
			t, n := m.between(func(call, answer *history.Event) bool {
				return answer.Phase == history.OK && call.Outcome == history.Retried
			})
			if t == nil {
				return false
			}
			call, _ := m.verdict(t, n)
			claimAt(&m.events[t.claims[n+1]], call.Wall+int64(call.After)-10*ms)
			return true
		}},
		{"failure too many", history.Bounded, func(m *mutant) bool {
			t := m.pick(m.plain)
			if t == nil {
				return false
			}
			m.events[t.claims[0]].Attempt++
			return true
		}},
		{"failure not counted", history.Bounded, func(m *mutant) bool {
			t, n := m.between(func(call, answer *history.Event) bool {
				return answer.Phase == history.OK && call.Outcome == history.Retried
			})
			if t == nil {
				return false
			}
			m.events[t.claims[n+1]].Attempt--
			return true
		}},
		{"crash too many", history.Bounded, func(m *mutant) bool {
			t := m.pick(m.plain)
			if t == nil {
				return false
			}
			m.events[t.claims[0]].Crashes++
			return true
		}},
		{"crash not counted", history.Bounded, func(m *mutant) bool {
			t, n := m.between(func(_, answer *history.Event) bool { return answer.Phase == history.Lost })
			if t == nil {
				return false
			}
			m.events[t.claims[n+1]].Crashes--
			return true
		}},
		{"claimed while the lease lasts", history.LeaseExclusion, func(m *mutant) bool {
			t, n := m.between(func(_, answer *history.Event) bool { return answer.Phase == history.Lost })
			if t == nil {
				return false
			}
			claimAt(&m.events[t.claims[n+1]], m.events[t.claims[n]].LeaseEnd-100*ms)
			return true
		}},
	}
}

// between picks two successive claims of a message of which the first got one verdict that suits, and was never renewed.
func (m *mutant) between(suits func(call, answer *history.Event) bool) (t *trace, n int) {
	find := func(t *trace) int {
		for n := range len(t.claims) - 1 {
			call, answer := m.verdict(t, n)
			if call != nil && suits(call, answer) && m.events[t.claims[n+1]].Fence == m.events[t.claims[n]].Fence+1 {
				return n
			}
		}
		return -1
	}
	t = m.pick(func(t *trace) bool { return !t.odd && len(t.claims) > 1 && find(t) >= 0 })
	if t == nil {
		return nil, 0
	}
	return t, find(t)
}

// acceptStale turns the refusal of a verdict or renewal that was asked for after a later claim into OK.
func (m *mutant) acceptStale(kind history.Kind) bool {
	var refusals []int
	for _, t := range m.traces {
		for n := range len(t.claims) - 1 {
			token := m.events[t.claims[n]].Token
			for k, a := range t.answers[token] {
				call := m.events[t.calls[token][k]]
				if a >= 0 && call.Kind == kind && m.events[a].Phase == history.Lost && m.events[t.claims[n+1]].Wall < call.Wall {
					refusals = append(refusals, a)
				}
			}
		}
	}
	if len(refusals) == 0 {
		return false
	}
	m.events[refusals[m.IntN(len(refusals))]].Phase = history.OK
	return true
}
