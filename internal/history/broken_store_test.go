package history_test

import (
	"testing"
	"time"

	"github.com/symphony-messenger/symphony/internal/history"
)

// TestBrokenStore has histories in which messages contradict each other or the state of the store. Each
// breaks exactly one promise.
func TestBrokenStore(t *testing.T) { runBroken(t, brokenStore()) }

func brokenStore() []brokenCase {
	return []brokenCase{
		{"two of a group at once", history.GroupOrder, func(s *script) {
			s.send("a", history.OK, group("g"))
			s.send("b", history.OK, group("g"))
			s.claim("a", 1)
			s.done("b", 1)
			s.verdict(by{"a", 1}, history.Completed, history.OK)
			s.end(history.Completed, "a")
		}},
		{"group freed by a retry", history.GroupOrder, func(s *script) {
			s.send("a", history.OK, group("g"))
			s.send("b", history.OK, group("g"))
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Retried, history.OK, after(time.Second))
			s.done("b", 1)
			s.wait(time.Second)
			s.done("a", 2, attempt(2))
		}},
		{"group freed by a failure that never ended", history.GroupOrder, func(s *script) {
			s.send("a", history.OK, group("g"))
			s.send("b", history.OK, group("g"))
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Retried, history.OK, after(time.Second))
			s.end(history.Live, "a")
			s.done("b", 1)
		}},
		{"group freed before the lease end", history.GroupOrder, func(s *script) {
			s.send("a", history.OK, group("g"))
			s.send("b", history.OK, group("g"))
			s.claim("a", 1)
			s.fault(history.Kill, "w1")
			s.done("b", 1)
			s.wait(lease)
			s.done("a", 2, crashes(1))
		}},
		{"second of a group first", history.GroupOrder, func(s *script) {
			s.send("a", history.OK, group("g"))
			s.send("b", history.OK, group("g"))
			s.done("b", 1)
			s.done("a", 1)
		}},
		{"first of a group forgotten", history.GroupOrder, func(s *script) {
			s.send("a", history.OK, group("g"))
			s.send("b", history.OK, group("g"))
			s.done("b", 1)
			s.end(history.Live, "a")
		}},
		{"delayed one later than one due after it", history.GroupOrder, func(s *script) {
			s.send("a", history.OK, group("g"), delay(time.Second))
			s.send("b", history.OK, group("g"), delay(2*time.Second))
			s.wait(3 * time.Second)
			s.done("b", 1)
			s.done("a", 1)
		}},

		{"key given twice in its window", history.OnePerKey, func(s *script) {
			s.send("a", history.OK, window(time.Hour))
			s.done("a", 1)
			s.send("b", history.OK, window(time.Hour))
			s.done("b", 1)
		}},
		{"key given twice while it lives", history.OnePerKey, func(s *script) {
			s.send("a", history.OK, window(0))
			s.send("b", history.OK, window(0))
			s.done("a", 1)
			s.done("b", 1)
		}},
		{"duplicate of nothing", history.OnePerKey, func(s *script) { s.duplicate("nothing") }},
		{"duplicate of a rolled-back message", history.OnePerKey, func(s *script) {
			s.send("a", history.OK, window(time.Hour), tx("t"))
			s.duplicate("a")
			s.tx("t", history.Rollback)
		}},
		{"duplicate of an uncommitted message", history.OnePerKey, func(s *script) {
			s.send("a", history.OK, window(time.Hour), tx("t"))
			s.duplicate("a")
			s.tx("t", history.OK)
			s.done("a", 1)
		}},
		{"duplicate of another key", history.OnePerKey, func(s *script) {
			s.send("a", history.OK)
			s.duplicate("a")
			s.done("a", 1)
		}},
		{"duplicate though the key was free", history.OnePerKey, func(s *script) {
			s.send("a", history.OK, window(time.Minute))
			s.done("a", 1)
			s.wait(time.Hour)
			s.duplicate("a")
		}},
		{"duplicate, but stored", history.OnePerKey, func(s *script) {
			s.send("a", history.OK, window(time.Hour))
			s.done("a", 1)
			s.duplicate("a", func(e *history.Event) { e.Message = "b" })
			s.done("b", 1)
		}},

		{"effect twice", history.EffectOnce, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.start("a", 1, inTx)
			s.verdict(by{"a", 1}, history.Completed, history.OK, inTx)
			s.end(history.Completed, "a")
			s.final.Effects = map[string]int{"a": 2}
		}},
		{"completed, effect rolled back", history.EffectOnce, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.start("a", 1, inTx)
			s.verdict(by{"a", 1}, history.Completed, history.OK, inTx)
			s.end(history.Completed, "a")
			s.final.Effects = map[string]int{}
		}},
		{"effect of a failed message", history.EffectOnce, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.start("a", 1, inTx)
			s.verdict(by{"a", 1}, history.Failed, history.OK)
			s.end(history.Failed, "a")
			s.final.Effects = map[string]int{"a": 1}
		}},
		{"completed before its effect, then killed", history.EffectOnce, func(s *script) {
			s.sent()
			s.done("a", 1)
			s.final.Effects = map[string]int{}
		}},
		{"effect of a message never stored", history.EffectOnce, func(s *script) {
			s.final.Effects = map[string]int{"ghost": 1}
		}},

		{"rolled back, but delivered", history.AllOrNothing, func(s *script) {
			s.sent(tx("t"))
			s.tx("t", history.Rollback)
			s.done("a", 1)
		}},
		{"commit never asked for, but delivered", history.AllOrNothing, func(s *script) {
			s.sent(tx("t"))
			s.done("a", 1)
		}},
		{"delivered before the commit", history.AllOrNothing, func(s *script) {
			s.sent(tx("t"))
			s.done("a", 1)
			s.tx("t", history.OK)
		}},
		{"committed, but gone", history.AllOrNothing, func(s *script) {
			s.sent(tx("t"))
			s.tx("t", history.OK)
		}},
		{"half of an unknown commit", history.AllOrNothing, func(s *script) {
			s.send("a", history.OK, tx("t"))
			s.send("b", history.OK, tx("t"))
			s.tx("t", "")
			s.done("b", 1)
		}},

		{"in two states", history.Conservation, func(s *script) {
			s.sent()
			s.done("a", 1)
			s.end(history.Failed, "a")
		}},
		{"completed, but still live", history.Conservation, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Completed, history.OK)
			s.end(history.Live, "a")
		}},
		{"completed, but not in the history", history.Conservation, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Completed, history.OK)
		}},
		{"completed by nobody", history.Conservation, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.end(history.Completed, "a")
		}},
		{"expired without a limit", history.Conservation, func(s *script) {
			s.sent()
			s.end(history.Expired, "a")
		}},
		{"cancelled by nobody", history.Conservation, func(s *script) {
			s.sent()
			s.end(history.Cancelled, "a")
		}},
		{"unknown failure, found as completed", history.Conservation, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Failed, "")
			s.end(history.Completed, "a")
		}},
		{"counter off by one", history.Conservation, func(s *script) {
			s.sent()
			s.done("a", 1)
			s.final.Counters = map[history.Outcome]int{history.Accepted: 1, history.Completed: 2}
		}},

		{"still waiting after the drain", history.Liveness, func(s *script) {
			s.final.Rules.DrainWithin = time.Minute
			s.sent()
			s.end(history.Live, "a")
		}},
		{"ended long after the last fault", history.Liveness, func(s *script) {
			s.final.Rules.DrainWithin = time.Minute
			s.sent()
			s.fault(history.Kill, "w9")
			s.wait(2 * time.Minute)
			s.done("a", 1)
		}},
	}
}

// TestEveryInvariantHasABrokenHistory keeps the tables complete when an invariant is added.
func TestEveryInvariantHasABrokenHistory(t *testing.T) {
	seen := map[history.Invariant]int{}
	for _, c := range append(brokenMessages(), brokenStore()...) {
		seen[c.want]++
	}
	for i := range history.Invariant(18) {
		if i.Sentence() != history.Invariant(0).Sentence() && seen[i] == 0 {
			t.Errorf("%v (%s) has no broken history", i, i.Sentence())
		}
	}
}
