package history_test

import (
	"slices"
	"time"

	"github.com/symphony-messenger/symphony/internal/history"
)

// storeMutations break what messages promise together, or what the store shows of them at the end.
func storeMutations() []mutation {
	return []mutation{
		{"two of a group held at once", history.GroupOrder, func(m *mutant) bool {
			a, b := m.groupMates()
			if a == nil {
				return false
			}
			// Both were waiting when a was claimed; now b is claimed 2 ms later, and still settled after a.
			claimAt(&m.events[b.claims[0]], m.events[a.claims[0]].Store+2*ms)
			return true
		}},
		{"two of a group in the wrong order", history.GroupOrder, func(m *mutant) bool {
			a, b := m.groupMates()
			if a == nil {
				return false
			}
			claimAt(&m.events[b.claims[0]], m.events[a.claims[0]].Store-2*ms)
			return true
		}},
		{"duplicate names nothing", history.OnePerKey, func(m *mutant) bool {
			i := m.anyEvent(func(e history.Event) bool { return e.Phase == history.Duplicate })
			if i < 0 {
				return false
			}
			m.events[i].Holder = "nothing"
			return true
		}},
		{"duplicate names another message", history.OnePerKey, func(m *mutant) bool {
			i := m.anyEvent(func(e history.Event) bool { return e.Phase == history.Duplicate })
			t := m.pick(func(t *trace) bool { return m.plain(t) && m.events[t.send].Key == "" })
			if i < 0 || t == nil {
				return false
			}
			m.events[i].Holder = t.id
			return true
		}},
		{"duplicate stored", history.OnePerKey, func(m *mutant) bool {
			hour := map[string]bool{}
			for _, e := range m.events {
				hour[e.Message] = hour[e.Message] || (e.Kind == history.Enqueue && e.Window == time.Hour)
			}
			i := m.anyEvent(func(e history.Event) bool { return e.Phase == history.Duplicate && hour[e.Holder] })
			if i < 0 {
				return false
			}
			e := &m.events[i]
			e.Phase, e.Holder = history.OK, ""
			for _, call := range m.events {
				if call.Proc == e.Proc && call.Seq == e.Op {
					m.final.IDs[history.Live] = append(m.final.IDs[history.Live], call.Message)
				}
			}
			return true
		}},
		{"effect twice", history.EffectOnce, func(m *mutant) bool { return m.effects(2) }},
		{"effect missing", history.EffectOnce, func(m *mutant) bool { return m.effects(0) }},
		{"commit dropped, message delivered", history.AllOrNothing, func(m *mutant) bool {
			t := m.pick(func(t *trace) bool { return m.plain(t) && m.events[t.send].Tx != "" })
			if t == nil {
				return false
			}
			call := m.events[t.send]
			m.drop(func(e history.Event) bool { return e.Kind == history.Tx && e.Proc == call.Proc && e.Tx == call.Tx })
			return true
		}},
		{"committed message gone", history.AllOrNothing, func(m *mutant) bool {
			t := m.pick(func(t *trace) bool { return m.plain(t) && m.events[t.send].Tx != "" })
			if t == nil {
				return false
			}
			m.dropVerdicts(t)
			m.forget(t.id)
			return true
		}},
		{"claimed before the commit", history.AllOrNothing, func(m *mutant) bool {
			t := m.pick(func(t *trace) bool {
				return m.plain(t) && m.events[t.send].Tx != "" && m.commit(t) > m.events[t.send].Wall+3*ms
			})
			if t == nil {
				return false
			}
			claimAt(&m.events[t.claims[0]], m.commit(t)-2*ms)
			return true
		}},
		{"rollback answered as a commit", history.AllOrNothing, func(m *mutant) bool {
			stored := map[string]bool{}
			for _, e := range m.events {
				if e.Kind == history.Enqueue && e.Phase == history.OK {
					stored[opKey(e.Proc, e.Op)] = true
				}
			}
			kept := map[string]bool{}
			for _, e := range m.events {
				if e.Kind == history.Enqueue && e.Phase == history.Call && e.Tx != "" && stored[opKey(e.Proc, e.Seq)] {
					kept[e.Proc+e.Tx] = true
				}
			}
			i := m.anyEvent(func(e history.Event) bool { return e.Phase == history.Rollback && kept[e.Proc+e.Tx] })
			if i < 0 {
				return false
			}
			m.events[i].Phase = history.OK
			return true
		}},
		{"completed verdict dropped", history.Conservation, func(m *mutant) bool {
			t := m.pick(m.plain)
			if t == nil {
				return false
			}
			m.dropVerdicts(t)
			return true
		}},
		{"in two states", history.Conservation, func(m *mutant) bool {
			t := m.pick(m.plain)
			if t == nil {
				return false
			}
			m.final.IDs[history.Live] = append(m.final.IDs[history.Live], t.id)
			return true
		}},
		{"completed, but dead", history.Conservation, func(m *mutant) bool {
			t := m.pick(m.plain)
			if t == nil {
				return false
			}
			m.forget(t.id)
			m.final.IDs[history.Failed] = append(m.final.IDs[history.Failed], t.id)
			return true
		}},
		{"counter wrong", history.Conservation, func(m *mutant) bool {
			all := []history.Outcome{history.Accepted, history.Completed, history.Failed, history.Cancelled, history.Live}
			m.final.Counters[all[m.IntN(len(all))]] += 1 - 2*m.IntN(2)
			return true
		}},
		{"ended an hour late", history.Liveness, func(m *mutant) bool {
			t := m.pick(m.plain)
			if t == nil {
				return false
			}
			call, answer := m.verdict(t, 0)
			call.Wall += int64(time.Hour)
			answer.Wall += int64(time.Hour)
			m.drop(func(e history.Event) bool { // the worker's confirmation would still say when it was
				return e.Kind == history.Verdict && e.Phase == history.OK && e.Op == 0 && e.Token == m.events[t.claims[0]].Token
			})
			return true
		}},
		{"not ended", history.Liveness, func(m *mutant) bool {
			t := m.pick(m.plain)
			if t == nil {
				return false
			}
			m.dropVerdicts(t)
			m.forget(t.id)
			m.final.IDs[history.Live] = append(m.final.IDs[history.Live], t.id)
			return true
		}},
	}
}

func opKey(proc string, seq int64) string { return proc + "#" + time.Duration(seq).String() }

// anyEvent picks an event at random; -1 if none suits.
func (m *mutant) anyEvent(suits func(history.Event) bool) int {
	var list []int
	for i, e := range m.events {
		if suits(e) {
			list = append(list, i)
		}
	}
	if len(list) == 0 {
		return -1
	}
	return list[m.IntN(len(list))]
}

// groupMates picks two messages of a group, at once due, b sent after a was accepted and well before a was claimed,
// a held for a while.
func (m *mutant) groupMates() (a, b *trace) {
	var pairs [][2]*trace
	all := slices.DeleteFunc(slices.Clone(m.traces), func(t *trace) bool {
		return !m.plain(t) || m.events[t.send].Group == "" || m.events[t.send].Tx != ""
	})
	for _, a := range all {
		for _, b := range all {
			call, _ := m.verdict(a, 0)
			claimed := m.events[a.claims[0]]
			if m.events[a.send].Group == m.events[b.send].Group && m.events[a.sent].Wall < m.events[b.send].Wall &&
				m.events[b.sent].Wall+4*ms < claimed.Store && call.Wall > max(claimed.Store, claimed.Since)+6*ms &&
				m.events[b.claims[0]].Store > claimed.Store {
				pairs = append(pairs, [2]*trace{a, b})
			}
		}
	}
	if len(pairs) == 0 {
		return nil, nil
	}
	p := pairs[m.IntN(len(pairs))]
	return p[0], p[1]
}

// effects gives a completed message that completes in a transaction n effects.
func (m *mutant) effects(n int) bool {
	t := m.pick(func(t *trace) bool {
		if !m.plain(t) {
			return false
		}
		call, _ := m.verdict(t, 0)
		return call.InTx
	})
	if t == nil {
		return false
	}
	m.final.Effects[t.id] = n
	return true
}

// commit is when the commit of the transaction that sent the message was asked for; 0 if it was not.
func (m *mutant) commit(t *trace) int64 {
	send := m.events[t.send]
	for _, e := range m.events {
		if e.Kind == history.Tx && e.Phase == history.Call && e.Proc == send.Proc && e.Tx == send.Tx {
			return e.Wall
		}
	}
	return 0
}
