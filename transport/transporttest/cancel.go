package transporttest

import (
	"errors"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func cancelTests() []test {
	return []test{
		{
			"cancel/queued", "Queued: at once. (S7)",
			cancels | find, cancelQueued,
		},
		{
			"cancel/running", "Running: marked; the worker learns it with its next heartbeat. (S7)",
			cancels | find, cancelRunning,
		},
		{
			"cancel/the answer decides", "The handler's answer then decides: nil = completed, an error = cancelled. (S7)",
			cancels | find, cancelAnswers,
		},
		{
			"cancel/crashed", "A message that is cancelled while it runs does not run again. (S7)",
			cancels | find, cancelCrashed,
		},
		{
			"cancel/not live", "Cancel returns ErrNotFound for a message that is not live. (Canceller)",
			cancels, cancelNotLive,
		},
	}
}

func cancelQueued(k *kit) {
	a, b, c := message(), message(delayed(time.Hour)), message()
	k.send(a, b, c)
	k.cancel(a, monitor.Cancelled)
	k.cancel(b, monitor.Cancelled)
	k.takeOnly("w", c)
	k.Advance(2 * time.Hour)
	k.takeOnly("w", c) // its lease has ended; the others are gone
	for _, env := range []*symphony.Envelope{a, b} {
		if r := k.status(env, monitor.Cancelled); r.FinishedAt.Before(r.CreatedAt) {
			k.Errorf("finished_at is %v, before created_at %v", r.FinishedAt, r.CreatedAt)
		}
	}
}

func cancelRunning(k *kit) {
	a, b := message(), message()
	k.send(a, b)
	ds := k.takeOnly("w", a, b)
	k.renew("w", symphony.Renewal{}, ds...)
	k.cancel(a, monitor.Processing)
	for range 2 { // as often as it asks
		k.renew("w", symphony.Renewal{Cancelled: []symphony.Token{ds[0].Token}}, ds...)
	}
	k.takeOnly("v")
	k.done(ds)
	k.status(a, monitor.Completed)
	k.status(b, monitor.Completed)
}

func cancelAnswers(k *kit) {
	for _, test := range []struct {
		verdict symphony.Outcome
		after   time.Duration
		want    monitor.Status
	}{
		{symphony.Completed, 0, monitor.Completed},
		{symphony.Cancelled, 0, monitor.Cancelled},
		{symphony.Retried, 0, monitor.Cancelled},
		{symphony.Retried, time.Hour, monitor.Cancelled},
		{symphony.Failed, 0, monitor.Cancelled},
		{symphony.Snoozed, 0, monitor.Cancelled},
		{symphony.Released, 0, monitor.Cancelled},
		{symphony.Unhandled, 0, monitor.Cancelled},
	} {
		env := message()
		k.send(env)
		d := k.take("w")
		k.cancel(env, monitor.Processing)
		k.settle(after(verdict(d, test.verdict), test.after))
		if r := k.find(env); r.Status != test.want {
			k.Errorf("a cancelled message with the verdict %s is %s, want %s", test.verdict, r.Status, test.want)
		}
		k.Advance(2 * time.Hour)
		k.takeOnly("w")
	}
}

func cancelCrashed(k *kit) {
	a, b := message(), message()
	k.send(a, b)
	k.takeOnly("w", a, b)
	k.cancel(a, monitor.Processing)
	k.lapse()
	k.takeOnly("v", b)
	k.status(a, monitor.Cancelled)
}

func cancelNotLive(k *kit) {
	done, cancelled := message(), message()
	k.send(done)
	k.settle(verdict(k.take("w"), symphony.Completed))
	k.send(cancelled)
	k.cancel(cancelled, monitor.Cancelled)
	for what, env := range map[string]*symphony.Envelope{"completed": done, "cancelled": cancelled, "unknown": message()} {
		if _, err := power1[monitor.Canceller](k).Cancel(k.ctx, env.ID); !errors.Is(err, monitor.ErrNotFound) {
			k.Errorf("Cancel of a message that is %s: %v, want ErrNotFound", what, err)
		}
	}
}
