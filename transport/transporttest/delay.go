package transporttest

import (
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func delayTests() []test {
	return []test{
		{
			"delay/never early", "Never early, by the store's clock. (promise 4)",
			delays, delayNeverEarly,
		},
		{
			"delay/from acceptance", "Delay is added by the store, to its clock when it accepts the message. (S1)",
			delays, delayFromAcceptance,
		},
		{
			"delay/at", "At is absolute; compared with the store's clock. (S1)",
			delays, delayAt,
		},
		{
			"delay/at in the past", "At in the past = now. (S1)",
			delays, delayAtInThePast,
		},
		{
			"delay/after an attempt", "Retried, Snoozed, Unhandled: the wait before the next delivery, added to the store's clock. (Verdict)",
			delays, delayAfterVerdict,
		},
		{
			"delay/scheduled_at", "scheduled_at = the time asked for (null: at once), never changed; available_at = when it is next due; rounded up to milliseconds. (S1)",
			delays | find, delayRecord,
		},
		{
			"delay/far away", "Every delay up to Capabilities.MaxDelay is kept. (Capabilities)",
			delays, delayFar,
		},
	}
}

// notYet and due move the clock to a minute before and a minute after the end of a wait of d: what
// the test itself takes must not matter.
func (k *kit) notYet(d time.Duration) { k.Advance(d - time.Minute) }

func (k *kit) due() { k.Advance(2 * time.Minute) }

func delayNeverEarly(k *kit) {
	a, b := message(delayed(time.Hour)), message()
	k.send(a, b)
	k.done(k.takeOnly("w", b))
	k.notYet(time.Hour)
	k.takeOnly("w")
	k.due()
	k.takeOnly("w", a)
}

func delayFromAcceptance(k *kit) {
	k.Advance(3 * time.Hour)
	a := message(delayed(time.Hour))
	k.send(a)
	k.takeOnly("w")
	k.notYet(time.Hour)
	k.takeOnly("w")
	k.due()
	k.takeOnly("w", a)
}

func delayAt(k *kit) {
	at := func(d time.Duration) *symphony.Envelope {
		return message(func(e *symphony.Envelope) { e.At = time.Now().Add(d).In(time.FixedZone("far", 12*3600)) })
	}
	a, b := at(2*time.Hour), at(3*time.Hour)
	k.send(b, a)
	k.takeOnly("w")
	k.notYet(2 * time.Hour)
	k.takeOnly("w")
	k.due()
	k.done(k.takeOnly("w", a))
	k.Advance(time.Hour)
	c := at(time.Hour) // over already, by the store's clock
	k.send(c)
	k.takeOnly("w", b, c)
}

func delayAtInThePast(k *kit) {
	a := message(func(e *symphony.Envelope) { e.At = time.Now().Add(-time.Hour) })
	b := message(func(e *symphony.Envelope) { e.At = time.UnixMilli(1) })
	k.send(a, b)
	k.takeOnly("w", a, b)
}

func delayAfterVerdict(k *kit) {
	for _, o := range []symphony.Outcome{symphony.Retried, symphony.Snoozed, symphony.Unhandled} {
		a := message()
		k.send(a)
		k.settle(after(verdict(k.take("w"), o), time.Hour))
		k.takeOnly("w")
		k.notYet(time.Hour)
		k.takeOnly("w")
		k.due()
		k.done(k.takeOnly("w", a))
	}
}

func delayRecord(k *kit) {
	now, later, at := message(), message(delayed(time.Hour)), message()
	at.At = time.Now().Add(time.Hour)
	k.send(now, later, at)

	r := k.status(now, monitor.Pending)
	if !r.ScheduledAt.IsZero() {
		k.Errorf("scheduled_at of a message that is due at once is %v, want none", r.ScheduledAt)
	}
	if r.AvailableAt.Before(r.CreatedAt) {
		k.Errorf("available_at is %v, before created_at %v", r.AvailableAt, r.CreatedAt)
	}
	r = k.status(at, monitor.Scheduled)
	if d := r.ScheduledAt.Sub(at.At); d < 0 || d >= time.Millisecond {
		k.Errorf("scheduled_at is %v after the time asked for, want it rounded up to the millisecond", d)
	}
	r = k.status(later, monitor.Scheduled)
	asked := r.ScheduledAt
	if d := asked.Sub(r.CreatedAt); d < time.Hour || d > time.Hour+time.Millisecond {
		k.Errorf("scheduled_at is %v after created_at, want the delay, 1h0m0s", d)
	}
	equal(k, "available_at", r.AvailableAt, asked)

	k.Advance(61 * time.Minute)
	ds := k.takeOnly("w", now, later, at)
	k.settle(done(ds[0]), after(verdict(ds[1], symphony.Retried), 3*time.Hour), done(ds[2]))
	r = k.status(later, monitor.Scheduled)
	equal(k, "scheduled_at after a retry", r.ScheduledAt, asked)
	if d := r.AvailableAt.Sub(r.CreatedAt); d < 4*time.Hour {
		k.Errorf("available_at after a retry is %v after created_at, want more than 4h", d)
	}
	k.Advance(3*time.Hour + time.Minute)
	k.takeOnly("v", later)
	k.status(later, monitor.Processing)
}

func delayFar(k *kit) {
	far := min(k.Transport.Capabilities().MaxDelay, 200*365*24*time.Hour)
	a, b := message(delayed(far)), message()
	k.send(a, b)
	k.done(k.takeOnly("w", b))
	k.notYet(far)
	k.takeOnly("w")
	k.due()
	k.takeOnly("w", a)
}
