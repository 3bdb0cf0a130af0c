package transporttest

import (
	"errors"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func exchangeTests() []test {
	return []test{
		{
			"exchange/settles and leases", "An Exchanger settles verdicts and leases the next envelopes in one round trip. (Exchanger)",
			exchange, exchangeBoth,
		},
		{
			"exchange/does not block", "It does not block when there are none. (Exchanger)",
			exchange, exchangeEmpty,
		},
		{
			"exchange/lost", "With a *LostError the deliveries are valid. (Exchanger)",
			exchange, exchangeLost,
		},
		{
			"exchange/nothing on error", "With any other error nothing was settled or leased. (Exchanger)",
			exchange, exchangeFails,
		},
		{
			"maintain/ends", "One call is bounded; more says that there is more to do at once. History is kept 24 h. (Maintainer, S15)",
			maintenance | find, maintainEnds,
		},
	}
}

func (k *kit) exchange(c symphony.Claim, want []*symphony.Envelope, verdicts ...symphony.Verdict) []symphony.Delivery {
	k.Helper()
	got, err := power1[symphony.Exchanger](k).Exchange(k.ctx, verdicts, c)
	if err != nil {
		k.Fatalf("Exchange: %v", err)
	}
	k.deliveredAll(got, want)
	return got
}

func (k *kit) deliveredAll(got []symphony.Delivery, want []*symphony.Envelope) {
	k.Helper()
	if len(got) != len(want) {
		k.Fatalf("%d deliveries came, want %d", len(got), len(want))
	}
	for i, d := range got {
		if d.Envelope.ID != want[i].ID {
			k.Fatalf("delivery %d is %s, want number %d", i+1, k.name(d.Envelope.ID, want), i+1)
		}
	}
}

func exchangeBoth(k *kit) {
	a, b, c := message(), message(), message()
	k.send(a, b, c)
	ds := k.exchange(claim("w", 2), []*symphony.Envelope{a, b})
	// What a verdict puts back may be claimed in the same exchange, before what was accepted later.
	ds = k.exchange(claim("w", 2), []*symphony.Envelope{b, c}, done(ds[0]), verdict(ds[1], symphony.Retried))
	equal(k, "the tally", tallyOf(ds[0]), tally{Attempt: 2, Fence: 2})
	k.exchange(claim("w", 2), nil, done(ds[0]), done(ds[1]))
	k.lapse()
	k.takeOnly("w")
}

func exchangeEmpty(k *kit) {
	k.send(message(on("side")))
	k.exchange(claim("w", 5), nil)
	none := claim("w", 0)
	k.send(message())
	k.exchange(none, nil) // a claim of nothing only settles
}

func exchangeLost(k *kit) {
	a, b := message(), message()
	k.send(a)
	stale := k.take("w")
	k.lapse()
	current := k.take("v")
	k.send(b)
	got, err := power1[symphony.Exchanger](k).Exchange(k.ctx, []symphony.Verdict{done(stale)}, claim("w", 5))
	k.lost(err, stale.Token)
	k.deliveredAll(got, []*symphony.Envelope{b})
	k.settle(done(got[0]), done(current))
}

func exchangeFails(k *kit) {
	a, bad, b := message(), message(), message()
	k.send(a, bad, b)
	d, other := k.take("w"), k.take("w")
	if got, err := power1[symphony.Exchanger](k).Exchange(k.ctx, []symphony.Verdict{done(d), {Token: other.Token, Outcome: "eaten"}}, claim("w", 5)); err == nil || len(got) > 0 {
		k.Fatalf("Exchange with an outcome that does not exist: %d deliveries, %v", len(got), err)
	}
	k.takeOnly("v", b)
	k.settle(done(d), done(other))
}

func maintainEnds(k *kit) {
	const n = 1250
	envs := make([]*symphony.Envelope, n)
	for i := range envs {
		envs[i] = message()
	}
	k.sendAll(envs)
	for range n / few {
		k.done(k.receive(claim("w", few), few))
	}
	waiting := message()
	k.send(waiting)
	maintain := func() {
		k.Helper()
		m := power1[symphony.Maintainer](k)
		for calls := 0; ; calls++ {
			more, err := m.Maintain(k.ctx)
			if err != nil {
				k.Fatalf("Maintain: %v", err)
			}
			if !more {
				return
			}
			if calls > n {
				k.Fatalf("Maintain says for ever that there is more")
			}
		}
	}
	k.Advance(23 * time.Hour)
	maintain()
	k.status(envs[0], monitor.Completed)
	k.status(envs[n-1], monitor.Completed)
	k.Advance(2 * time.Hour)
	maintain()
	for _, env := range []*symphony.Envelope{envs[0], envs[n/2], envs[n-1]} {
		if _, err := power1[monitor.Finder](k).Find(k.ctx, env.ID); !errors.Is(err, monitor.ErrNotFound) {
			k.Errorf("Find of what ended 25 hours ago: %v, want ErrNotFound", err)
		}
	}
	k.takeOnly("w", waiting)
}
