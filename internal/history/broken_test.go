package history_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony/internal/history"
)

type brokenCase struct {
	name  string
	want  history.Invariant
	build func(*script)
}

// TestBrokenMessages has histories of single messages. Each breaks exactly one promise.
func TestBrokenMessages(t *testing.T) { runBroken(t, brokenMessages()) }

func runBroken(t *testing.T, cases []brokenCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newScript()
			c.build(s)
			r := s.check()
			if got := broken(r); !slices.Equal(got, []history.Invariant{c.want}) {
				t.Fatalf("violated: %v, want only %v\n%v", got, c.want, r.Err())
			}
			text := r.Err().Error()
			if !strings.Contains(text, c.want.Sentence()) {
				t.Errorf("the error does not say the promise %q:\n%s", c.want.Sentence(), text)
			}
		})
	}
}

func brokenMessages() []brokenCase {
	return []brokenCase{
		{"accepted and gone", history.NoLoss, func(s *script) { s.sent() }},
		{"claimed, killed and gone", history.NoLoss, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.fault(history.Kill, "w1")
		}},
		{"put back and gone", history.NoLoss, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Retried, history.OK)
		}},
		{"unknown enqueue, delivered, then gone", history.NoLoss, func(s *script) {
			s.send("a", "")
			s.claim("a", 1)
		}},
		{"unknown enqueue, named by a duplicate, then gone", history.NoLoss, func(s *script) {
			s.send("a", "", window(time.Hour))
			s.duplicate("a")
		}},

		{"claim of a message nobody sent", history.NoPhantom, func(s *script) { s.done("ghost", 1) }},
		{"in the store, sent by nobody", history.NoPhantom, func(s *script) { s.end(history.Live, "ghost") }},
		{"delivered though the enqueue failed", history.NoPhantom, func(s *script) {
			s.send("a", history.Refused)
			s.done("a", 1)
		}},
		{"body altered", history.NoPhantom, func(s *script) {
			s.sent()
			s.done("a", 1, func(e *history.Event) { e.SHA256 = history.Sum([]byte("b")) })
		}},
		{"claimed before it was sent", history.NoPhantom, func(s *script) {
			s.claim("a", 1)
			s.sent()
			s.verdict(by{"a", 1}, history.Completed, history.OK)
			s.end(history.Completed, "a")
		}},
		{"unnamed enqueue with another body", history.NoPhantom, func(s *script) {
			s.send("b", "", noID)
			s.done("a", 1)
		}},

		{"same token completes twice", history.OneVerdict, func(s *script) {
			s.sent()
			s.done("a", 1)
			s.verdict(by{"a", 1}, history.Completed, history.OK)
		}},
		{"fails, then completes", history.OneVerdict, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Failed, history.OK)
			s.verdict(by{"a", 1}, history.Completed, history.OK)
			s.end(history.Completed, "a")
		}},
		{"cancelled at once, then completes", history.OneVerdict, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.cancel("a", history.OK, history.Cancelled)
			s.verdict(by{"a", 1}, history.Completed, history.OK)
			s.end(history.Completed, "a")
		}},

		{"stale completion accepted", history.Fencing, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.wait(lease)
			s.claim("a", 2, crashes(1))
			s.verdict(by{"a", 1}, history.Completed, history.OK)
			s.verdict(by{"a", 2}, history.Completed, history.Lost)
			s.end(history.Completed, "a")
		}},
		{"stale completion accepted, store's time unknown", history.Fencing, func(s *script) {
			s.sent()
			s.claim("a", 1, noStore)
			s.wait(lease)
			s.claim("a", 2, crashes(1), noStore)
			s.verdict(by{"a", 1}, history.Completed, history.OK)
			s.verdict(by{"a", 2}, history.Completed, history.Lost)
			s.end(history.Completed, "a")
		}},
		{"stale retry accepted", history.Fencing, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.wait(lease)
			s.claim("a", 2, crashes(1))
			s.verdict(by{"a", 1}, history.Retried, history.OK)
			s.verdict(by{"a", 2}, history.Completed, history.OK)
			s.end(history.Completed, "a")
		}},
		{"stale completion in a transaction accepted", history.Fencing, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.start("a", 1, inTx)
			s.wait(lease)
			s.claim("a", 2, crashes(1))
			s.verdict(by{"a", 1}, history.Completed, history.OK, inTx)
			s.end(history.Completed, "a")
		}},
		{"stale renewal accepted", history.Fencing, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.wait(lease)
			s.claim("a", 2, crashes(1))
			s.ask("w1", history.Event{Kind: history.Renew, Token: token("a", 1)}, history.OK)
			s.verdict(by{"a", 2}, history.Completed, history.OK)
			s.end(history.Completed, "a")
		}},
		{"fences fall", history.Fencing, func(s *script) {
			s.sent()
			s.claim("a", 2, crashes(1))
			s.wait(lease)
			s.done("a", 1, crashes(0))
		}},
		{"one fence twice", history.Fencing, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.wait(lease)
			s.claim("a", 1, crashes(1), func(e *history.Event) { e.Token = "other" })
			s.end(history.Live, "a")
		}},
		{"no fence", history.Fencing, func(s *script) {
			s.sent()
			s.done("a", 0)
		}},
		{"verdict for a token nobody claimed", history.Fencing, func(s *script) {
			s.sent()
			s.verdict(by{"a", 1}, history.Retried, history.Lost)
			s.end(history.Live, "a")
		}},
		{"start with a token nobody claimed", history.Fencing, func(s *script) {
			s.sent()
			s.start("a", 1)
			s.end(history.Live, "a")
		}},

		{"claimed after completion", history.NoClaimAfterEnd, func(s *script) {
			s.sent()
			s.done("a", 1)
			s.claim("a", 2)
		}},
		{"claimed after a refused replay", history.NoClaimAfterEnd, func(s *script) {
			s.sent()
			s.done("a", 1)
			s.replay("a", history.Refused)
			s.claim("a", 2)
		}},
		{"one replay, two further lives", history.NoClaimAfterEnd, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Failed, history.OK)
			s.replay("a", history.OK)
			s.claim("a", 2, attempt(2))
			s.verdict(by{"a", 2}, history.Failed, history.OK)
			s.claim("a", 3, attempt(3))
			s.end(history.Failed, "a")
		}},
		{"claimed after it was cancelled", history.NoClaimAfterEnd, func(s *script) {
			s.sent()
			s.cancel("a", history.OK, history.Cancelled)
			s.claim("a", 1)
			s.end(history.Cancelled, "a")
		}},
		{"claimed from the dead letters", history.NoClaimAfterEnd, func(s *script) {
			s.sent()
			s.add("app", history.Event{Kind: history.Dead, Message: "a"})
			s.claim("a", 1)
			s.end(history.Failed, "a")
		}},

		{"before its time", history.NotEarly, func(s *script) {
			s.sent(func(e *history.Event) { e.Due = s.now + int64(time.Minute) })
			s.done("a", 1)
		}},
		{"before its delay, store's time unknown", history.NotEarly, func(s *script) {
			s.sent(delay(time.Minute))
			s.done("a", 1, noStore)
		}},
		{"before its delay, clocks differ", history.NotEarly, func(s *script) {
			s.final.Rules.SkewedClock = true
			hour := int64(time.Hour)
			s.send("a", "", delay(time.Minute))
			s.answer(s.events[0], history.OK, func(e *history.Event) { e.Store = s.now + hour })
			s.done("a", 1, func(e *history.Event) { e.Store += hour; e.LeaseEnd += hour })
		}},
		{"before its wait", history.NotEarly, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Retried, history.OK, after(time.Minute))
			s.done("a", 2, attempt(2))
		}},
		{"before the policy's wait", history.NotEarly, func(s *script) {
			s.final.Rules.Backoff = func(n int) time.Duration { return time.Duration(n) * time.Second }
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Retried, history.OK)
			s.done("a", 2, attempt(2))
		}},
		{"before its snooze is over", history.NotEarly, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Snoozed, history.OK, after(time.Minute))
			s.done("a", 2)
		}},
		{"before its wait and before the lease end: the unknown verdict explains neither", history.NotEarly, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Retried, "", after(time.Minute))
			s.done("a", 2, attempt(2))
		}},

		{"failure not counted", history.Bounded, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Retried, history.OK)
			s.done("a", 2)
		}},
		{"snooze counted", history.Bounded, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Snoozed, history.OK)
			s.done("a", 2, attempt(2))
		}},
		{"release counted as a crash", history.Bounded, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Released, history.OK)
			s.done("a", 2, crashes(1))
		}},
		{"crash not counted", history.Bounded, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.wait(lease)
			s.done("a", 2)
		}},
		{"crash counted as a failure", history.Bounded, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.wait(lease)
			s.done("a", 2, attempt(2), crashes(1))
		}},
		{"more retries than allowed", history.Bounded, func(s *script) {
			none := 0
			s.sent(func(e *history.Event) { e.MaxRetries = &none })
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Retried, history.OK)
			s.done("a", 2, attempt(2))
		}},
		{"more crashes than allowed", history.Bounded, func(s *script) {
			s.final.Rules.MaxCrashes = 1
			s.sent()
			s.claim("a", 1)
			s.wait(lease)
			s.done("a", 2, crashes(1))
		}},
		{"unknown verdict counted, then not", history.Bounded, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Retried, "")
			s.wait(lease)
			s.claim("a", 2, attempt(2))
			s.wait(lease)
			s.done("a", 3, attempt(1), crashes(1))
		}},

		{"claimed while it was held", history.LeaseExclusion, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.claim("a", 2, crashes(1))
			s.verdict(by{"a", 1}, history.Completed, history.Lost)
			s.verdict(by{"a", 2}, history.Completed, history.OK)
			s.end(history.Completed, "a")
		}},
		{"claimed in spite of a renewal", history.LeaseExclusion, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.wait(lease / 2)
			s.ask("w1", history.Event{Kind: history.Renew, Token: token("a", 1)}, "")
			s.answer(s.events[len(s.events)-1], history.OK, func(e *history.Event) { e.LeaseEnd = s.now + int64(lease) })
			s.wait(lease / 2)
			s.done("a", 2, crashes(1))
		}},
		{"unknown completion, claimed before the lease end", history.LeaseExclusion, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Completed, "")
			s.done("a", 2, crashes(1))
		}},
		{"refused retry, claimed before the lease end", history.LeaseExclusion, func(s *script) {
			s.sent()
			s.claim("a", 1)
			s.verdict(by{"a", 1}, history.Retried, history.Refused)
			s.done("a", 2, crashes(1))
		}},
	}
}
