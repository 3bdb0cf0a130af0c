package transporttest

import (
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func expiryTests() []test {
	return []test{
		{
			"expiry/never started", "Expires, counted from acceptance: no attempt starts later; never started → expired, no dead letter. (S6)",
			expiries | find | deadLetters, expiryNeverStarted,
		},
		{
			"expiry/in time", "A message that has not expired is delivered, with its deadline by this process's clock. (Delivery)",
			expiries, expiryInTime,
		},
		{
			"expiry/before its delay is over", "No attempt starts later than the expiry. (S6)",
			expiries | delays | find, expiryBeforeDue,
		},
		{
			"expiry/retry too late", "A failed one whose next attempt would start too late → dead letter with its last error and reason deadline. (S6)",
			expiries | delays | deadLetters | find, expiryAtRetry,
		},
		{
			"expiry/failed and then late", "A failed one that expires while it waits → dead letter with its last error and reason deadline. (S6)",
			expiries | delays | deadLetters | find, expiryFailed,
		},
		{
			"expiry/found by the worker", "Expired: its deadline passed before this attempt started; one that had failed is a dead letter. (Outcome, S6)",
			expiries | deadLetters | find, expiryByWorker,
		},
		{
			"expiry/running", "An attempt that has started in time may end later. (S6)",
			expiries | find, expiryRunning,
		},
		{
			"expiry/crashed", "No attempt starts later, also after a lease ran out. (S6)",
			expiries | find, expiryCrashed,
		},
	}
}

func expiryNeverStarted(k *kit) {
	k.Advance(24 * time.Hour)
	a, b := message(expiring(time.Hour)), message()
	k.send(a, b)
	if d := k.find(a).ExpiresAt.Sub(k.find(a).CreatedAt); d < time.Hour || d > time.Hour+time.Millisecond {
		k.Errorf("expires_at is %v after created_at, want 1h", d)
	}
	k.Advance(61 * time.Minute)
	k.takeOnly("w", b)
	k.status(a, monitor.Expired)
	equal(k, "the number of dead letters", len(k.failed(monitor.Filter{})), 0)
}

func expiryInTime(k *kit) {
	k.Advance(24 * time.Hour)
	a := message(expiring(time.Hour))
	k.send(a)
	k.notYet(time.Hour)
	d := k.takeOnly("w", a)[0]
	if left := time.Until(d.Deadline); left > time.Minute+time.Second || left < time.Minute-2*patience {
		k.Errorf("the deadline is %v away, want a minute", left)
	}
}

func expiryBeforeDue(k *kit) {
	a := message(expiring(time.Hour), delayed(2*time.Hour))
	k.send(a)
	k.Advance(121 * time.Minute)
	k.takeOnly("w")
	k.status(a, monitor.Expired)
}

func expiryAtRetry(k *kit) {
	a, b := message(expiring(time.Hour)), message(expiring(time.Hour))
	k.send(a, b)
	ds := k.takeOnly("w", a, b)
	k.settle(after(verdict(ds[0], symphony.Retried), 2*time.Hour), after(verdict(ds[1], symphony.Retried), 30*time.Minute))
	k.deadline(a, 1)
	equal(k, "RetryCount of one whose only failure led to no other attempt", k.find(a).RetryCount, 0)
	k.status(b, monitor.Scheduled)
	k.Advance(31 * time.Minute)
	k.takeOnly("w", b)
}

// deadline requires that env is a dead letter because its time was over, after failures.
func (k *kit) deadline(env *symphony.Envelope, failures int) {
	k.Helper()
	r := k.status(env, monitor.Failed)
	equal(k, "Reason", r.Reason, symphony.ReasonDeadline)
	equal(k, "LastError", r.LastError, failure().Error)
	equal(k, "ErrorClass", r.ErrorClass, failure().Class)
	equal(k, "the number of attempts", len(r.Attempts), failures)
	found := false
	for _, letter := range k.failed(monitor.Filter{Reason: symphony.ReasonDeadline}) {
		found = found || letter.ID == env.ID
	}
	equal(k, "that it is listed as a dead letter", found, true)
}

func expiryFailed(k *kit) {
	a, b := message(expiring(time.Hour)), message()
	k.send(a)
	k.settle(verdict(k.take("w"), symphony.Retried))
	k.settle(after(verdict(k.take("w"), symphony.Retried), 30*time.Minute))
	k.send(b)
	k.Advance(61 * time.Minute)
	k.takeOnly("w", b)
	k.deadline(a, 2)
}

func expiryByWorker(k *kit) {
	a, b := message(expiring(time.Hour)), message(expiring(time.Hour))
	k.send(a)
	k.settle(verdict(k.take("w"), symphony.Retried))
	k.send(b)
	for _, d := range k.takeOnly("w", a, b) {
		k.settle(verdict(d, symphony.Expired))
	}
	k.deadline(a, 1)
	k.status(b, monitor.Expired)
}

func expiryRunning(k *kit) {
	a := message(expiring(time.Minute))
	k.send(a)
	c := claim("w", 1)
	c.Lease = time.Hour
	d := k.receive(c, 1)[0]
	k.Advance(10 * time.Minute)
	k.takeOnly("v")
	k.status(a, monitor.Processing)
	k.settle(done(d))
	k.status(a, monitor.Completed)
}

func expiryCrashed(k *kit) {
	a := message(expiring(10 * time.Second))
	k.send(a)
	k.take("w")
	k.lapse()
	k.takeOnly("v")
	equal(k, "crash_count", k.status(a, monitor.Expired).CrashCount, 1)
}
