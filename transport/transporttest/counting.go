package transporttest

import (
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func countingTests() []test {
	return []test{
		{
			"counting/outcomes", "attempt = failures + 1; fence = deliveries, ever growing; snooze, release, crash and unknown type change no attempt. (S3)",
			0, countingOutcomes,
		},
		{
			"counting/records", "retry_count = failures that led to another attempt; crash_count = leases that ran out without a verdict; snooze_count. (S3)",
			find, countingRecords,
		},
		{
			"counting/together", "What is counted of a message is kept through all that happens to it. (S3)",
			0, countingTogether,
		},
		{
			"counting/attempts", "Attempts (error, class, trace; first 2 + last 8) are part of the message and move with it. (S15)",
			find, countingAttempts,
		},
		{
			"counting/unhandled", "A worker that has no handler puts the message back, no attempt used, visible as waiting for a handler. (S8)",
			delays | find, countingUnhandled,
		},
	}
}

// A tally is what a delivery says of those before it.
type tally struct{ Attempt, Crashes, Fence, Unhandled int }

func tallyOf(d symphony.Delivery) tally {
	return tally{d.Envelope.Attempt, d.Envelope.Crashes, int(d.Envelope.Fence), d.Unhandled}
}

// A step is one way for a message to come back. The lease of an empty outcome runs out.
type step struct {
	outcome symphony.Outcome
	adds    tally
}

func steps() []step {
	return []step{
		{symphony.Retried, tally{Attempt: 1, Fence: 1}},
		{symphony.Snoozed, tally{Fence: 1}},
		{symphony.Released, tally{Fence: 1}},
		{symphony.Unhandled, tally{Fence: 1, Unhandled: 1}},
		{"", tally{Crashes: 1, Fence: 1}},
	}
}

func (s step) String() string {
	if s.outcome == "" {
		return "lease run out"
	}
	return string(s.outcome)
}

// again delivers d once more, after s.
func (k *kit) again(d symphony.Delivery, s step) symphony.Delivery {
	k.Helper()
	if s.outcome == "" {
		k.lapse()
	} else {
		k.settle(verdict(d, s.outcome))
	}
	return k.take("w")
}

func countingOutcomes(k *kit) {
	for _, s := range steps() {
		k.send(message())
		first := k.take("w")
		equal(k, "the tally of the first delivery", tallyOf(first), tally{Attempt: 1, Fence: 1})
		second := k.again(first, s)
		want := tally{1 + s.adds.Attempt, s.adds.Crashes, 1 + s.adds.Fence, s.adds.Unhandled}
		equal(k, fmt.Sprintf("the tally after one %v", s), tallyOf(second), want)
		if first.Token == second.Token {
			k.Errorf("two deliveries have the token %q", first.Token)
		}
		k.settle(done(second))
	}
}

func countingRecords(k *kit) {
	for _, s := range steps() {
		env := message()
		k.send(env)
		d := k.again(k.again(k.take("w"), s), s)
		r := k.find(env)
		equal(k, fmt.Sprintf("retry_count after two %v", s), r.RetryCount, 2*s.adds.Attempt)
		equal(k, fmt.Sprintf("crash_count after two %v", s), r.CrashCount, 2*s.adds.Crashes)
		equal(k, fmt.Sprintf("fence after two %v", s), r.Fence, int64(3))
		snoozes := 0
		if s.outcome == symphony.Snoozed {
			snoozes = 2
		}
		equal(k, fmt.Sprintf("snooze_count after two %v", s), r.SnoozeCount, snoozes)
		k.settle(done(d))
	}
}

func countingTogether(k *kit) {
	k.send(message())
	d := k.take("w")
	want := tallyOf(d)
	for range 3 {
		for _, s := range steps() {
			d = k.again(d, s)
			want.Attempt += s.adds.Attempt
			want.Crashes += s.adds.Crashes
			want.Fence += s.adds.Fence
			want.Unhandled += s.adds.Unhandled
			equal(k, fmt.Sprintf("the tally after a %v", s), tallyOf(d), want)
		}
	}
}

func countingAttempts(k *kit) {
	env := message()
	k.send(env)
	for n := 1; n <= 12; n++ {
		d := k.take(fmt.Sprintf("worker-%d", n))
		v := verdict(d, symphony.Retried)
		v.Failure = &symphony.Failure{Error: fmt.Sprintf("error %d \"'\\ ü", n), Class: fmt.Sprintf("class%d", n), Trace: fmt.Sprintf("a\nb:%d", n)}
		k.settle(v)
	}
	r := k.find(env)
	kept := []int{1, 2, 5, 6, 7, 8, 9, 10, 11, 12}
	if len(r.Attempts) != len(kept) {
		k.Fatalf("%d attempts are kept, want %d: the first 2 and the last 8", len(r.Attempts), len(kept))
	}
	for i, n := range kept {
		a := r.Attempts[i]
		if a.At.Before(r.CreatedAt) {
			k.Errorf("attempt %d was recorded at %v, before created_at %v", n, a.At, r.CreatedAt)
		}
		a.At = time.Time{}
		equal(k, "an attempt", a, monitor.Attempt{
			Number: n, Worker: fmt.Sprintf("worker-%d", n),
			Error: fmt.Sprintf("error %d \"'\\ ü", n), Class: fmt.Sprintf("class%d", n), Trace: fmt.Sprintf("a\nb:%d", n),
		})
	}
	equal(k, "last_error", r.LastError, "error 12 \"'\\ ü")
	equal(k, "error_class", r.ErrorClass, "class12")
}

func countingUnhandled(k *kit) {
	env := message()
	k.send(env)
	for n := range 3 {
		d := k.take("w")
		equal(k, "Unhandled", d.Unhandled, n)
		k.settle(after(verdict(d, symphony.Unhandled), time.Hour))
		r := k.status(env, monitor.Scheduled)
		equal(k, "waiting_for", r.WaitingFor, monitor.WaitingForHandler)
		equal(k, "retry_count", r.RetryCount, 0)
		k.takeOnly("w")
		k.Advance(61 * time.Minute)
	}
	k.takeOnly("w", env)
	equal(k, "waiting_for of a message that is handled", k.status(env, monitor.Processing).WaitingFor, "")
}
