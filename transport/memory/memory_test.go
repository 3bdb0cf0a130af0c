package memory_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/transport/memory"
)

func envelope(typ string) *symphony.Envelope {
	return &symphony.Envelope{ID: symphony.NewID(), Type: typ, Queue: "default", Priority: 5, Body: []byte("{}"), ContentType: "application/json"}
}

func claim(most int) symphony.Claim {
	return symphony.Claim{Worker: "w", Queues: []symphony.QueueClaim{{Name: "default"}}, Max: most, Lease: 30 * time.Second}
}

// A Receive that waits must wake for each thing that can make a message ready. In a bubble the clock
// stands still while anything runs: a wait that polls, or sleeps too long, shows as a wrong time.
func TestReceiveWakesWhenAMessageBecomesReady(t *testing.T) {
	for _, test := range []struct {
		name  string
		after time.Duration // when the message is ready
		do    func(t *testing.T, q *memory.Transport, waiting func())
	}{
		{"when it is sent", time.Minute, func(t *testing.T, q *memory.Transport, waiting func()) {
			waiting()
			time.Sleep(time.Minute)
			send(t, q, envelope("a"))
		}},
		{"when its delay is over", time.Hour, func(t *testing.T, q *memory.Transport, waiting func()) {
			send(t, q, delayed(time.Hour))
			waiting()
		}},
		{"when another one is due earlier", time.Minute, func(t *testing.T, q *memory.Transport, waiting func()) {
			send(t, q, delayed(time.Hour))
			waiting()
			send(t, q, delayed(time.Minute))
		}},
		{"when a lease ends", 30 * time.Second, func(t *testing.T, q *memory.Transport, waiting func()) {
			send(t, q, envelope("a"))
			receive(t, q)
			waiting()
		}},
		{"when it is put back", 10 * time.Second, func(t *testing.T, q *memory.Transport, waiting func()) {
			send(t, q, envelope("a"))
			d := receive(t, q)
			waiting()
			time.Sleep(10 * time.Second)
			settle(t, q, symphony.Verdict{Token: d.Token, Outcome: symphony.Released})
		}},
		{"when its group is free", 10 * time.Second, func(t *testing.T, q *memory.Transport, waiting func()) {
			first, second := envelope("a"), envelope("a")
			first.Group, second.Group = "g", "g"
			send(t, q, first, second)
			d := receive(t, q)
			waiting()
			time.Sleep(10 * time.Second)
			settle(t, q, symphony.Verdict{Token: d.Token, Outcome: symphony.Completed})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := new(memory.Transport)
				start, done := time.Now(), make(chan time.Duration, 1)
				test.do(t, q, func() {
					go func() {
						got, err := q.Receive(t.Context(), claim(1))
						if err != nil || len(got) != 1 {
							t.Errorf("Receive: %d deliveries, %v", len(got), err)
						}
						done <- time.Since(start)
					}()
					synctest.Wait()
				})
				if took := <-done; took != test.after {
					t.Errorf("received after %v, want %v", took, test.after)
				}
			})
		})
	}
}

func delayed(d time.Duration) *symphony.Envelope {
	env := envelope("a")
	env.Delay = d
	return env
}

func receive(t *testing.T, q *memory.Transport) symphony.Delivery {
	t.Helper()
	got, err := q.Receive(t.Context(), claim(1))
	if err != nil {
		t.Fatalf("Receive: %v", err)
	}
	return got[0]
}

func settle(t *testing.T, q *memory.Transport, verdicts ...symphony.Verdict) {
	t.Helper()
	if err := q.Settle(t.Context(), verdicts); err != nil {
		t.Fatalf("Settle: %v", err)
	}
}

func send(t *testing.T, q *memory.Transport, envs ...*symphony.Envelope) {
	t.Helper()
	if _, err := q.Send(t.Context(), envs); err != nil {
		t.Fatalf("Send: %v", err)
	}
}

func TestReceiveGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := new(memory.Transport).Receive(ctx, claim(1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Receive: %v, want %v", err, context.DeadlineExceeded)
		}
	})
}

func TestHistoryIsBounded(t *testing.T) {
	q := new(memory.Transport)
	first := envelope("a")
	send(t, q, first)
	got, err := q.Receive(t.Context(), claim(1))
	for n := 0; n < 10_001 && err == nil; n++ {
		send(t, q, envelope("a"))
		got, err = q.Exchange(t.Context(), []symphony.Verdict{{Token: got[0].Token, Outcome: symphony.Completed}}, claim(1))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Find(t.Context(), first.ID); !errors.Is(err, monitor.ErrNotFound) {
		t.Errorf("Find of the message that ended 10,001 messages ago: %v, want %v", err, monitor.ErrNotFound)
	}
	counts, err := q.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range counts.Counts {
		if c.Status == monitor.Completed && c.N != 10_001 {
			t.Errorf("%d messages counted as completed, want all 10,001", c.N)
		}
	}
}

func TestMaintainDropsWhatIsOver(t *testing.T) {
	q := new(memory.Transport)
	env := envelope("a")
	env.Key, env.Window = "k", 48*time.Hour
	send(t, q, env)
	settle(t, q, symphony.Verdict{Token: receive(t, q).Token, Outcome: symphony.Completed})
	for _, step := range []struct {
		advance          time.Duration
		found, duplicate bool
	}{
		{23 * time.Hour, true, true},
		{2 * time.Hour, false, true},
		{24 * time.Hour, false, false},
	} {
		q.Advance(step.advance)
		if more, err := q.Maintain(t.Context()); more || err != nil {
			t.Fatalf("Maintain: more %v, %v", more, err)
		}
		if _, err := q.Find(t.Context(), env.ID); (err == nil) != step.found {
			t.Errorf("after %v more: Find: %v, want found %v", step.advance, err, step.found)
		}
		again := envelope("a")
		again.Key, again.Window = "k", 48*time.Hour
		rs, err := q.Send(t.Context(), []*symphony.Envelope{again})
		if err != nil || rs[0].Duplicate != step.duplicate {
			t.Errorf("after %v more: Send with the same key: %+v, %v, want duplicate %v", step.advance, rs, err, step.duplicate)
		}
	}
}
