package history_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/symphony-messenger/symphony/internal/history"
)

// A mutant is a good history that one change may break.
type mutant struct {
	*rand.Rand
	events []history.Event
	final  history.Final
	traces []*trace // of the good history: valid until events are dropped
}

// copyFor makes another mutant of the same history.
func (m mutant) copyFor(seed uint64) *mutant {
	final := m.final
	m.Rand, m.events = rand.New(rand.NewPCG(seed, 2)), slices.Clone(m.events)
	m.final.IDs, m.final.Effects, m.final.Counters = maps.Clone(final.IDs), maps.Clone(final.Effects), maps.Clone(final.Counters)
	for o := range m.final.IDs {
		m.final.IDs[o] = slices.Clone(m.final.IDs[o])
	}
	return &m
}

// A trace is where the events of one message are.
type trace struct {
	id             string
	send, sent     int // call and answer; -1: none
	claims         []int
	calls, answers map[string][]int // of verdicts and renewals, by token; the answer is -1 when it is unknown
	odd            bool             // replayed or cancelled: what breaks it is not obvious
}

// traces finds the events of every message, by id.
func traces(events []history.Event) []*trace {
	byID := map[string]*trace{}
	owner := map[string]*trace{}
	answers := map[string]map[int64]int{}
	get := func(id string) *trace {
		if byID[id] == nil {
			byID[id] = &trace{id: id, send: -1, sent: -1, calls: map[string][]int{}, answers: map[string][]int{}}
		}
		return byID[id]
	}
	for i, e := range events {
		if e.Op != 0 && e.Phase != history.Unknown {
			if answers[e.Proc] == nil {
				answers[e.Proc] = map[int64]int{}
			}
			answers[e.Proc][e.Op] = i
		}
	}
	for i, e := range events {
		answer := -1
		if e.Phase == history.Call {
			if a, ok := answers[e.Proc][e.Seq]; ok {
				answer = a
			}
		}
		switch {
		case e.Kind == history.Claim:
			t := get(e.Message)
			t.claims = append(t.claims, i)
			owner[e.Token] = t
		case e.Kind == history.Replay || e.Kind == history.Cancel:
			if e.Phase == history.Call {
				get(e.Message).odd = true
			}
		case e.Kind == history.Enqueue && e.Phase == history.Call:
			t := get(e.Message)
			t.send, t.sent = i, answer
		case (e.Kind == history.Verdict || e.Kind == history.Renew) && e.Phase == history.Call:
			t := owner[e.Token]
			t.calls[e.Token] = append(t.calls[e.Token], i)
			t.answers[e.Token] = append(t.answers[e.Token], answer)
		}
	}
	var list []*trace
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		list = append(list, byID[id])
	}
	return list
}

// verdict returns the only verdict on the nth claim with its answer, if it has exactly one call.
func (m *mutant) verdict(t *trace, n int) (call, answer *history.Event) {
	token := m.events[t.claims[n]].Token
	if len(t.calls[token]) != 1 || t.answers[token][0] < 0 || m.events[t.calls[token][0]].Kind != history.Verdict {
		return nil, nil
	}
	return &m.events[t.calls[token][0]], &m.events[t.answers[token][0]]
}

// plain reports whether the message was claimed once, and that completed it.
func (m *mutant) plain(t *trace) bool {
	if t.odd || len(t.claims) != 1 || t.send < 0 || t.sent < 0 || m.events[t.claims[0]].Fence != 1 {
		return false
	}
	call, answer := m.verdict(t, 0)
	return call != nil && call.Outcome == history.Completed && answer.Phase == history.OK
}

// pick returns a random trace that suits.
func (m *mutant) pick(suits func(*trace) bool) *trace {
	list := slices.DeleteFunc(slices.Clone(m.traces), func(t *trace) bool { return !suits(t) })
	if len(list) == 0 {
		return nil
	}
	return list[m.IntN(len(list))]
}

// drop removes events for which gone is true.
func (m *mutant) drop(gone func(history.Event) bool) { m.events = slices.DeleteFunc(m.events, gone) }

// dropVerdicts removes the verdicts of a message with their answers.
func (m *mutant) dropVerdicts(t *trace) {
	type op struct {
		proc string
		seq  int64
	}
	gone := map[op]bool{}
	tokens := map[string]bool{}
	for _, i := range t.claims {
		tokens[m.events[i].Token] = true
	}
	for _, e := range m.events {
		if e.Kind == history.Verdict && e.Phase == history.Call && tokens[e.Token] {
			gone[op{e.Proc, e.Seq}] = true
		}
	}
	m.drop(func(e history.Event) bool {
		return e.Kind == history.Verdict && (tokens[e.Token] || gone[op{e.Proc, e.Op}])
	})
}

// forget removes a message from the drained store, and from its statistics.
func (m *mutant) forget(id string) {
	for o, ids := range m.final.IDs {
		if i := slices.Index(ids, id); i >= 0 {
			m.final.IDs[o] = slices.Delete(ids, i, i+1)
			m.final.Counters[o]--
			m.final.Counters[history.Accepted]--
		}
	}
	delete(m.final.Effects, id)
}

// appended adds a copy of an event at the end, as a new one of its process.
func (m *mutant) appended(e history.Event) history.Event {
	e.Seq = int64(len(m.events)) + 1_000_000
	e.Wall = m.events[len(m.events)-1].Wall + 10*ms
	m.events = append(m.events, e)
	return e
}

// claimAt moves a claim in time.
func claimAt(e *history.Event, at int64) { e.Store, e.Since = at, at }

// TestMutantsAreCaught breaks simulated good histories in one place at a time. Every kind of change is a violation by
// construction, so each must be reported, and as what it is.
func TestMutantsAreCaught(t *testing.T) {
	const seeds, perSeed, enough = 10, 2, 8
	made, caught := map[string]int{}, map[string]int{}
	kinds := slices.Concat(messageMutations(), storeMutations())
	for seed := range uint64(seeds) {
		events, final := simulate(seed, simSendings)
		good := mutant{events: events, final: final, traces: traces(events)}
		for _, kind := range kinds {
			for n := range uint64(perSeed) {
				m := good.copyFor(seed*perSeed + n)
				if !kind.change(m) {
					continue
				}
				made[kind.name]++
				r := history.Check(m.events, m.final)
				if slices.Contains(broken(r), kind.want) {
					caught[kind.name]++
				} else {
					t.Errorf("seed %d, mutant %d: %s is not reported as %v\n%v", seed, n, kind.name, kind.want, r.Err())
				}
			}
		}
	}
	for _, kind := range kinds {
		t.Logf("%3d of %3d caught: %v %s", caught[kind.name], made[kind.name], kind.want, kind.name)
		if made[kind.name] < enough {
			t.Errorf("%s: only %d mutants, want %d: the simulation gives no occasion", kind.name, made[kind.name], enough)
		}
	}
}
