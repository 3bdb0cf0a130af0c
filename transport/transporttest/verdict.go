package transporttest

import (
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func verdictTests() []test {
	const fenced = "Every verdict carries the token and changes nothing when the lease was lost: ErrLeaseLost. (promise 2)"
	list := []test{
		{
			"verdict/nothing", "Settle of no verdicts does nothing.",
			0, func(k *kit) { k.settle() },
		},
		{
			"verdict/unknown outcome", "Settle is all or none for every other error. (Transport)",
			0, verdictUnknown,
		},
		{
			"verdict/wrong token", fenced,
			0, verdictWrongToken,
		},
		{
			"verdict/many", "Those whose lease is lost are named; the others of the same call are applied. (Transport)",
			find, verdictMany,
		},
	}
	for _, o := range outcomes() {
		list = append(list,
			test{
				"verdict/in time/" + string(o), "A verdict in time is recorded: " + ends()[o] + ". (Outcome)",
				find, func(k *kit) { verdictInTime(k, o) },
			},
			test{
				"verdict/twice/" + string(o), "A verdict ends the lease: the token is worth nothing after it. " + fenced,
				find, func(k *kit) { verdictTwice(k, o) },
			},
			test{
				"verdict/lost to another/" + string(o), fenced,
				find, func(k *kit) { verdictLost(k, o, "other") },
			},
			test{
				"verdict/lost and leased again/" + string(o), "A token is worth nothing once the lease has passed on, even to the same worker. " + fenced,
				find, func(k *kit) { verdictLost(k, o, "w") },
			},
		)
	}
	return list
}

func outcomes() []symphony.Outcome {
	return []symphony.Outcome{
		symphony.Completed, symphony.Retried, symphony.Snoozed, symphony.Released,
		symphony.Unhandled, symphony.Failed, symphony.Cancelled, symphony.Expired,
	}
}

// ends is what the documentation says of each outcome.
func ends() map[symphony.Outcome]string {
	return map[symphony.Outcome]string{
		symphony.Completed: "never deliver again",
		symphony.Retried:   "count a failure, deliver again after After",
		symphony.Snoozed:   "count nothing, deliver again after After",
		symphony.Released:  "deliver again at once, to anybody",
		symphony.Unhandled: "deliver again after After, counted apart",
		symphony.Failed:    "keep as a dead letter",
		symphony.Cancelled: "end without a dead letter",
		symphony.Expired:   "its deadline passed before this attempt started",
	}
}

// becomes is the state that an outcome leads to.
func becomes(o symphony.Outcome) monitor.Status {
	switch o {
	case symphony.Completed:
		return monitor.Completed
	case symphony.Failed:
		return monitor.Failed
	case symphony.Cancelled:
		return monitor.Cancelled
	case symphony.Expired:
		return monitor.Expired
	}
	return monitor.Pending
}

func verdictInTime(k *kit, o symphony.Outcome) {
	env := message()
	k.send(env)
	d := k.take("w")
	k.settle(verdict(d, o))
	r := k.status(env, becomes(o))
	if becomes(o) == monitor.Pending {
		if r.LockedBy != "" || !r.LockedUntil.IsZero() {
			k.Errorf("a message that nobody has is locked by %q until %v", r.LockedBy, r.LockedUntil)
		}
		k.takeOnly("v", env)
		return
	}
	if r.FinishedAt.Before(r.CreatedAt) {
		k.Errorf("finished_at is %v, before created_at %v", r.FinishedAt, r.CreatedAt)
	}
	k.lapse() // nothing of it may be left that a sweep would find
	k.takeOnly("v")
	k.status(env, becomes(o))
}

func verdictTwice(k *kit, o symphony.Outcome) {
	env, other := message(), message()
	k.send(env, other)
	ds := k.takeOnly("w", env, other)
	v := verdict(ds[0], o)
	k.refused([]symphony.Verdict{v, v, done(ds[1])}, v.Token)
	k.status(other, monitor.Completed)
	before := k.status(env, becomes(o))
	for _, again := range outcomes() {
		k.refused([]symphony.Verdict{verdict(ds[0], again)}, v.Token)
		equal(k, "the record after another verdict, "+string(again), k.find(env), before)
	}
}

// verdictLost gives a verdict on a delivery whose message has passed to another.
func verdictLost(k *kit, o symphony.Outcome, to string) {
	env := message()
	k.send(env)
	stale := k.take("w")
	k.lapse()
	current := k.take(to)
	if current.Envelope.ID != env.ID || current.Envelope.Crashes != 1 {
		k.Fatalf("the delivery after the lease is of %s with %d crashes", current.Envelope.ID, current.Envelope.Crashes)
	}
	fresh := message()
	k.send(fresh)
	mine := k.take(to)

	before := k.status(env, monitor.Processing)
	verdicts := []symphony.Verdict{after(verdict(stale, o), time.Hour), done(mine)}
	k.refused(verdicts, stale.Token)
	equal(k, "the record after a verdict that came too late", k.find(env), before)
	k.status(fresh, monitor.Completed)
	if letters := power1[monitor.DeadLetters](k); letters != nil {
		if page, err := letters.Failed(k.ctx, monitor.Filter{}); err != nil || len(page.Records) > 0 {
			k.Errorf("after a verdict that came too late there are %d dead letters, %v", len(page.Records), err)
		}
	}
	k.refused([]symphony.Verdict{verdict(stale, o), done(current), done(current)}, stale.Token, current.Token) // the last one came too late as well
	k.status(env, monitor.Completed)
	k.refused([]symphony.Verdict{verdict(stale, o)}, stale.Token)
	k.takeOnly(to)
}

func verdictUnknown(k *kit) {
	a, b := message(), message()
	k.send(a, b)
	ds := k.takeOnly("w", a, b)
	for _, o := range outcomes() {
		if err := k.Transport.Settle(k.ctx, []symphony.Verdict{verdict(ds[0], o), {Token: ds[1].Token, Outcome: "eaten"}}); err == nil {
			k.Fatalf("Settle of an outcome that does not exist returned no error")
		}
		k.takeOnly("w")
	}
	k.done(ds) // neither lease was lost
}

func verdictWrongToken(k *kit) {
	a, b := message(), message()
	k.send(a)
	first := k.take("w")
	wrong := []symphony.Token{"", "0", "nonsense", "1.1.1", "999999.1", first.Token + "0", "x" + first.Token, first.Token[:len(first.Token)-1]}
	for _, token := range wrong {
		for _, o := range outcomes() {
			k.refused([]symphony.Verdict{{Token: token, Outcome: o, Failure: failure()}}, token)
		}
	}
	k.send(b)
	k.takeOnly("v", b)
	k.settle(done(first))
}

func verdictMany(k *kit) {
	const n = 300
	envs := make([]*symphony.Envelope, n)
	for i := range envs {
		envs[i] = message()
	}
	k.send(envs...)
	stale := k.receive(claim("w", n/2), n/2)
	k.lapse()
	fresh := k.receive(claim("v", n), n)
	var verdicts []symphony.Verdict
	var want []symphony.Token
	for i, d := range fresh {
		verdicts = append(verdicts, verdict(d, outcomes()[i%len(outcomes())]))
	}
	for _, d := range stale {
		verdicts = slices.Insert(verdicts, len(want)*2, done(d))
		want = append(want, d.Token)
	}
	k.refused(verdicts, want...)
	for i, d := range fresh {
		k.status(envs[slices.IndexFunc(envs, func(e *symphony.Envelope) bool { return e.ID == d.Envelope.ID })], becomes(outcomes()[i%len(outcomes())]))
	}
}
