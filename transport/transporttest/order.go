package transporttest

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
)

func orderTests() []test {
	return []test{
		{
			"order/acceptance", "Within one queue: the order in which the store accepted, never the client's id or clock. (S2)",
			0, orderOfAcceptance,
		},
		{
			"order/priority", "Within one queue: priority, higher first, then the order of acceptance. (S2)",
			priorities, orderOfPriority,
		},
		{
			"order/put back", "A retry or snooze keeps its sequence. (S2)",
			0, orderPutBack,
		},
		{
			"order/delayed", "A message that has become due keeps the place that it was accepted at. (S2)",
			delays, orderDelayed,
		},
	}
}

// orderOfAcceptance uses IDs that fall.
func orderOfAcceptance(k *kit) {
	envs := make([]*symphony.Envelope, 20)
	for i := range envs {
		envs[i] = message(func(e *symphony.Envelope) { e.ID[0] = byte(200 - i) })
	}
	k.send(envs[:10]...)
	for _, env := range envs[10:] {
		k.send(env)
	}
	k.takeOnly("w", envs...)
}

func orderOfPriority(k *kit) {
	var envs []*symphony.Envelope
	for p := range 30 {
		envs = append(envs, message(func(e *symphony.Envelope) { e.Priority = p%10 + 1 }))
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(envs), func(i, j int) { envs[i], envs[j] = envs[j], envs[i] })
	k.send(envs...)
	slices.SortStableFunc(envs, func(a, b *symphony.Envelope) int { return b.Priority - a.Priority })
	for i := range 15 { // one by one: what comes together may have been sorted only afterwards
		if d := k.take("w"); d.Envelope.ID != envs[i].ID {
			k.Fatalf("claim %d of one message brought %s of priority %d, want priority %d", i+1, k.name(d.Envelope.ID, envs), d.Envelope.Priority, envs[i].Priority)
		}
	}
	k.takeOnly("w", envs[15:]...)
}

func orderPutBack(k *kit) {
	for _, o := range []symphony.Outcome{symphony.Retried, symphony.Snoozed, symphony.Released, symphony.Unhandled} {
		a, b, c := message(), message(), message()
		k.send(a, b)
		d := k.take("w")
		k.send(c)
		k.settle(verdict(d, o))
		k.done(k.takeOnly("w", a, b, c))
	}
	a, b := message(), message()
	k.send(a, b)
	k.take("w")
	k.lapse()
	k.takeOnly("w", a, b)
}

func orderDelayed(k *kit) {
	a, b := message(delayed(time.Hour)), message()
	k.send(a, b)
	k.Advance(61 * time.Minute)
	k.takeOnly("w", a, b)
}

// done completes all of ds.
func (k *kit) done(ds []symphony.Delivery) {
	k.Helper()
	verdicts := make([]symphony.Verdict, len(ds))
	for i, d := range ds {
		verdicts[i] = done(d)
	}
	k.settle(verdicts...)
}
