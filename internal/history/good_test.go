package history_test

import (
	"testing"
	"time"

	"github.com/symphony-messenger/symphony/internal/history"
)

// TestGoodHistories must pass: most of them are good only because an outcome is unknown, or because what
// was recorded late may have happened early.
func TestGoodHistories(t *testing.T) {
	for _, c := range []struct {
		name  string
		build func(*script)
	}{
		{"nothing", func(*script) {}},
		{"completed", func(s *script) {
			s.sent()
			s.done("a", 1)
			s.final.Counters = map[history.Outcome]int{history.Accepted: 1, history.Completed: 1, history.Live: 0}
		}},
		{"still live", func(s *script) {
			s.sent()
			s.end(history.Live, "a")
		}},
		{"completed, store without history", func(s *script) {
			s.sent()
			s.done("a", 1)
			delete(s.final.IDs, history.Completed)
			s.final.Counters = map[history.Outcome]int{history.Completed: 1}
		}},
		{"retried three times, then failed", func(s *script) {
			s.sent()
			for n := range int64(3) {
				s.claim("a", n+1, attempt(int(n)+1))
				s.verdict(by{"a", n + 1}, history.Retried, history.OK, after(time.Second))
				s.wait(time.Second)
			}
			s.claim("a", 4, attempt(4))
			s.verdict(by{"a", 4}, history.Failed, history.OK)
			s.add("w4", history.Event{Kind: history.Dead, Message: "a"})
			s.end(history.Failed, "a")
		}},
		{"failed once and then expired: a dead letter", func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Retried, history.OK)
			s.claim("a", 2, attempt(2))
			s.verdict(by{"a", 2}, history.Expired, history.OK)
			s.end(history.Failed, "a")
		}},
		{"crashed as often as allowed, parked unrun", func(s *script) {
			s.final.Rules.MaxCrashes = 1
			s.sent()
			s.claim("a", 1)
			s.start("a", 1)
			s.wait(lease)
			s.claim("a", 2, crashes(1))
			s.verdict(by{"a", 2}, history.Failed, history.OK)
			s.end(history.Failed, "a")
		}},

		{"unknown enqueue, stored", func(s *script) {
			s.send("a", "")
			s.done("a", 1)
		}},
		{"unknown enqueue, not stored", func(s *script) { s.send("a", "") }},
		{"unknown enqueue without an id, stored", func(s *script) {
			s.send("a", "", noID)
			s.done("a", 1)
		}},
		{"unknown enqueue without an id, never claimed", func(s *script) {
			s.send("a", history.Unknown, noID)
			s.end(history.Live, "a")
		}},
		{"unknown enqueue without an id, named by a duplicate", func(s *script) {
			s.send("a", "", noID, window(time.Hour))
			s.duplicate("a")
			s.end(history.Live, "a")
		}},
		{"id learnt from the answer", func(s *script) {
			s.send("a", "", noID)
			s.answer(s.events[0], history.OK, func(e *history.Event) { e.Message = "a" })
			s.done("a", 1)
		}},
		{"unknown enqueue repeated with its id after it ran", func(s *script) {
			s.send("a", history.Unknown)
			s.done("a", 1)
			s.send("a", history.OK)
		}},
		{"unknown completion, completed", func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Completed, "")
			s.end(history.Completed, "a")
		}},
		{"unknown completion, not done: claimed again after the lease", func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Completed, "")
			s.wait(lease)
			s.done("a", 2, crashes(1))
		}},
		{"unknown completion, store without history", func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Completed, history.Unknown)
			delete(s.final.IDs, history.Completed)
			s.final.Counters = map[history.Outcome]int{history.Accepted: 1, history.Completed: 1}
		}},
		{"unknown retry, done", func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Retried, "", after(time.Second))
			s.wait(time.Second)
			s.done("a", 2, attempt(2))
		}},
		{"unknown retry, not done", func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Retried, "", after(time.Hour))
			s.wait(lease)
			s.done("a", 2, crashes(1))
		}},
		{"refused verdict repeated", func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Completed, history.Refused)
			s.verdict(by{"a", 1}, history.Completed, history.OK)
			s.end(history.Completed, "a")
		}},
		{"unknown verdict repeated", func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Completed, history.Unknown)
			s.verdict(by{"a", 1}, history.Completed, history.OK)
			s.end(history.Completed, "a")
		}},
		{"claim that died unrecorded counts as a crash", func(s *script) {
			s.sent()
			s.done("a", 2, crashes(1))
		}},
		{"claim that came back unused does not", func(s *script) {
			s.sent()
			s.done("a", 2)
		}},

		{"paused worker is refused", func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.fault(history.Stop, "w1")
			s.wait(lease)
			s.done("a", 2, crashes(1))
			s.fault(history.Cont, "w1")
			s.verdict(by{"a", 1}, history.Completed, history.Lost)
		}},
		{"retry accepted, answer recorded after the next claim", func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Retried, "")
			call := s.events[len(s.events)-1]
			s.done("a", 2, attempt(2))
			s.answer(call, history.OK)
		}},
		{"claim recorded after the next one, store's time unknown", func(s *script) {
			s.sent()
			early := s.now
			s.wait(lease)
			s.claim("a", 2, noStore, crashes(1))
			s.claim("a", 1, noStore, func(e *history.Event) { e.Since, e.LeaseEnd = early, 0 })
			s.verdict(by{"a", 1}, history.Completed, history.Lost)
			s.verdict(by{"a", 2}, history.Completed, history.OK)
			s.end(history.Completed, "a")
		}},
		{"claimed before the enqueue was answered", func(s *script) {
			s.send("a", "")
			call := s.events[0]
			s.done("a", 1)
			s.answer(call, history.OK)
		}},
		{"renewed, then lost", func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.wait(lease / 2)
			s.ask("w1", history.Event{Kind: history.Renew, Token: token("a", 1)}, "")
			s.answer(s.events[len(s.events)-1], history.OK, func(e *history.Event) { e.LeaseEnd = s.now + int64(lease) })
			s.wait(lease)
			s.done("a", 2, crashes(1))
			s.ask("w1", history.Event{Kind: history.Renew, Token: token("a", 1)}, history.Lost)
		}},
		{"clocks an hour apart", func(s *script) {
			s.final.Rules.SkewedClock = true
			back := func(e *history.Event) { e.Store -= int64(time.Hour); e.LeaseEnd -= int64(time.Hour) }
			s.sent(delay(time.Second), group("g"))
			s.wait(time.Second)
			s.claim("a", 1, back)
			s.verdict(by{"a", 1}, history.Retried, history.OK, after(time.Second))
			s.wait(time.Second)
			s.done("a", 2, attempt(2), back)
		}},

		{"failed, replayed, completed", func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Failed, history.OK)
			s.replay("a", history.OK)
			s.done("a", 2)
		}},
		{"failed, replayed, still waiting", func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Failed, history.OK)
			s.replay("a", history.OK)
			s.end(history.Live, "a")
		}},
		{"unknown failure, replayed at once", func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Failed, "")
			s.replay("a", history.OK)
			s.done("a", 2, attempt(2))
		}},
		{"cancelled while it waited", func(s *script) {
			s.sent()
			s.cancel("a", history.OK, history.Cancelled)
			s.end(history.Cancelled, "a")
		}},
		{"marked as cancelled, the handler fails", func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.cancel("a", history.OK, "")
			s.verdict(by{"a", 1}, history.Failed, history.OK)
			s.end(history.Cancelled, "a")
		}},
		{"marked as cancelled, the handler completes", func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.cancel("a", history.OK, "")
			s.verdict(by{"a", 1}, history.Completed, history.OK)
			s.end(history.Completed, "a")
		}},
		{"expired unstarted", func(s *script) {
			s.sent(expires(time.Second))
			s.end(history.Expired, "a")
		}},
		{"deadline after a retry", func(s *script) {
			s.sent(expires(time.Minute))
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Retried, history.OK, after(time.Hour))
			s.end(history.Failed, "a")
		}},

		{"group in order", func(s *script) {
			s.send("a", history.OK, group("g"))
			s.send("b", history.OK, group("g"))
			s.send("c", history.OK, group("other"))
			s.claim("c", 1)
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Retried, history.OK, after(time.Second))
			s.wait(time.Second)
			s.done("a", 2, attempt(2))
			s.done("b", 1)
			s.verdict(by{"c", 1}, history.Completed, history.OK)
			s.end(history.Completed, "c")
		}},
		{"group freed by the lease of a killed holder", func(s *script) {
			s.send("a", history.OK, group("g"))
			s.send("b", history.OK, group("g"))
			s.claim("a", 1)
			s.fault(history.Kill, "w1")
			s.wait(lease)
			s.done("a", 2, crashes(1))
			s.done("b", 1)
		}},
		{"group freed by an unknown completion", func(s *script) {
			s.send("a", history.OK, group("g"))
			s.send("b", history.OK, group("g"))
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Completed, "")
			s.end(history.Completed, "a")
			s.done("b", 1)
		}},
		{"delayed message does not hold its group", func(s *script) {
			s.send("a", history.OK, group("g"), delay(time.Minute))
			s.send("b", history.OK, group("g"))
			s.done("b", 1)
			s.wait(time.Minute)
			s.done("a", 1)
		}},
		{"sent first, committed last", func(s *script) {
			s.send("a", history.OK, group("g"), tx("t"))
			s.send("b", history.OK, group("g"))
			s.done("b", 1)
			s.tx("t", history.OK)
			s.done("a", 1)
		}},

		{"duplicate in its window", func(s *script) {
			s.send("a", history.OK, window(time.Hour))
			s.done("a", 1)
			s.duplicate("a")
		}},
		{"key given again after its window", func(s *script) {
			s.send("a", history.OK, window(time.Minute))
			s.done("a", 1)
			s.wait(time.Minute)
			s.send("b", history.OK, window(time.Minute))
			s.done("b", 1)
		}},
		{"key given again after the life of its holder", func(s *script) {
			s.send("a", history.OK, window(0))
			s.done("a", 1)
			s.send("b", history.OK, window(0))
			s.done("b", 1)
		}},
		{"key of a rolled-back message", func(s *script) {
			s.send("a", history.OK, window(time.Hour), tx("t"))
			s.tx("t", history.Rollback)
			s.send("b", history.OK, window(time.Hour))
			s.done("b", 1)
		}},
		{"duplicate inside one transaction", func(s *script) {
			s.send("a", history.OK, window(time.Hour), tx("t"))
			s.duplicate("a", tx("t"))
			s.tx("t", history.OK)
			s.done("a", 1)
		}},

		{"committed", func(s *script) {
			s.sent(tx("t"))
			s.tx("t", history.OK)
			s.done("a", 1)
		}},
		{"rolled back", func(s *script) {
			s.sent(tx("t"))
			s.tx("t", history.Rollback)
		}},
		{"killed before the commit", func(s *script) { s.sent(tx("t")) }},
		{"unknown commit, all there", func(s *script) {
			s.send("a", history.OK, tx("t"))
			s.send("b", history.OK, tx("t"))
			s.tx("t", "")
			s.done("a", 1)
			s.end(history.Live, "b")
		}},
		{"unknown commit, none there", func(s *script) {
			s.send("a", history.OK, tx("t"))
			s.send("b", history.OK, tx("t"))
			s.tx("t", "")
		}},

		{"effect in the transaction", func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.start("a", 1, inTx)
			s.verdict(by{"a", 1}, history.Completed, history.OK, inTx)
			s.add("w1", history.Event{Kind: history.Verdict, Phase: history.OK, Token: token("a", 1), Outcome: history.Completed, InTx: true})
			s.end(history.Completed, "a")
			s.final.Effects = map[string]int{"a": 1}
		}},
		{"commit in the handler unknown, the worker learns it", func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.start("a", 1, inTx)
			s.verdict(by{"a", 1}, history.Completed, "", inTx)
			s.add("w1", history.Event{Kind: history.Verdict, Phase: history.OK, Token: token("a", 1), Outcome: history.Completed, InTx: true})
			s.end(history.Completed, "a")
			s.final.Effects = map[string]int{"a": 1}
		}},
		{"transaction rolled back, retried", func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.start("a", 1, inTx)
			s.verdict(by{"a", 1}, history.Completed, history.Refused, inTx)
			s.verdict(by{"a", 1}, history.Retried, history.OK)
			s.claim("a", 2, attempt(2))
			s.verdict(by{"a", 2}, history.Completed, history.OK, inTx)
			s.end(history.Completed, "a")
			s.final.Effects = map[string]int{"a": 1}
		}},
		{"effect outside transactions twice after a crash", func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.wait(lease)
			s.done("a", 2, crashes(1))
			s.final.Effects = map[string]int{"a": 2}
		}},

		{"drained in time", func(s *script) {
			s.final.Rules.DrainWithin = time.Minute
			s.sent(delay(time.Hour))
			s.fault(history.Kill, "w9")
			s.wait(time.Hour)
			s.done("a", 1)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScript()
			c.build(s)
			if err := s.check().Err(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
