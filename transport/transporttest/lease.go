package transporttest

import (
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func leaseTests() []test {
	return []test{
		{
			"lease/runs out", "A claim is a lease; when it runs out without a verdict that is counted as a crash, and the message is delivered again. (promise 2, S9)",
			0, leaseRunsOut,
		},
		{
			"lease/holds", "A message that is leased goes to nobody else before the lease ends, by the store's clock. (promise 2)",
			0, leaseHolds,
		},
		{
			"lease/times", "ClaimedAt is by the store's clock; Until is when the lease ends at the earliest, by this process's monotonic clock. (Delivery)",
			0, leaseTimes,
		},
		{
			"lease/counts from the claim", "Leases are by the store's clock, read at the claim. (S1)",
			0, leaseFromClaim,
		},
		{
			"lease/renew", "Renew keeps the leases of everything that worker holds, for as long as it claimed them. (Transport)",
			0, leaseRenew,
		},
		{
			"lease/renew of one worker", "Renew keeps the leases of that worker, and of no other. (Transport)",
			0, leaseRenewOwn,
		},
		{
			"lease/renew names the lost", "A Renewal says which leases a worker no longer has. (Renewal)",
			0, leaseRenewLost,
		},
		{
			"lease/orphans", "What the store has leased to a worker besides the held ones for longer than a lease never arrived, and is put back. (Transport)",
			0, leaseOrphans,
		},
		{
			"lease/all that ran out", "Whoever finds leases that ran out puts all their messages back, whatever one of them is. (S9)",
			cancels | expiries | find, leaseSweepsAll,
		},
		{
			"lease/record", "A message in the hands of a worker shows which, since when and until when. (Record)",
			find, leaseRecord,
		},
	}
}

func leaseRunsOut(k *kit) {
	a, b := message(), message()
	k.send(a, b)
	for n := range 4 {
		worker := fmt.Sprintf("w%d", n)
		ds := k.takeOnly(worker, a, b)
		for _, d := range ds {
			equal(k, "the tally", tallyOf(d), tally{Attempt: 1, Crashes: n, Fence: n + 1})
		}
		k.lapse()
	}
}

func leaseHolds(k *kit) {
	a := message()
	k.send(a)
	d := k.take("w")
	k.takeOnly("v")
	k.takeOnly("w") // nor to the same worker, although it asks
	k.Advance(lease / 2)
	k.takeOnly("v")
	k.settle(done(d))
}

func leaseTimes(k *kit) {
	k.Advance(time.Hour) // the clock of the store is not that of the process
	k.send(message())
	before := time.Now()
	d := k.take("w")
	if earliest, latest := before.Add(lease-patience), time.Now().Add(lease); d.Until.Before(earliest) || d.Until.After(latest) {
		k.Errorf("Until is %v after the claim, want the lease, %v, or a little less", d.Until.Sub(before), lease)
	}
	if late := d.ClaimedAt.Sub(before.Add(time.Hour)); late < -time.Second || late > patience {
		k.Errorf("ClaimedAt is %v after the claim, by the store's clock", late)
	}
	if !d.Deadline.IsZero() {
		k.Errorf("Deadline of a message without expiry is %v", d.Deadline)
	}
}

// leaseFromClaim has a worker whose own clock is far behind the store's.
func leaseFromClaim(k *kit) {
	a := message()
	k.send(a)
	k.Advance(24 * time.Hour)
	d := k.take("w")
	k.takeOnly("v")
	k.settle(done(d))
}

func leaseRenew(k *kit) {
	a, b := message(), message()
	k.send(a, b)
	c := claim("w", 2)
	c.Lease = 10 * time.Minute
	ds := k.receive(c, 2)
	for range 3 {
		k.Advance(9 * time.Minute)
		k.renew("w", symphony.Renewal{}, ds...)
		k.takeOnly("v")
	}
	k.done(ds)
}

// renew requires the answer to the heartbeat of a worker that holds ds.
func (k *kit) renew(worker string, want symphony.Renewal, ds ...symphony.Delivery) {
	k.Helper()
	held := make([]symphony.Token, len(ds))
	for i, d := range ds {
		held[i] = d.Token
	}
	k.renewTokens(worker, want, held...)
}

func (k *kit) renewTokens(worker string, want symphony.Renewal, held ...symphony.Token) {
	k.Helper()
	got, err := k.Transport.Renew(k.ctx, worker, held)
	if err != nil {
		k.Fatalf("Renew: %v", err)
	}
	if !sameSet(got.Lost, want.Lost) || !sameSet(got.Cancelled, want.Cancelled) {
		k.Fatalf("Renew of %s answered %+v, want %+v", worker, got, want)
	}
}

func leaseRenewOwn(k *kit) {
	a, b := message(), message()
	k.send(a, b)
	mine, other := k.take("w"), k.take("v")
	k.Advance(20 * time.Second)
	k.renew("w", symphony.Renewal{}, mine)
	k.Advance(20 * time.Second)
	k.takeOnly("x", b)
	k.refused([]symphony.Verdict{done(mine), done(other)}, other.Token)
}

func leaseRenewLost(k *kit) {
	a, b, c, e := message(), message(), message(), message()
	k.send(a)
	lost := k.take("w")
	k.lapse()
	again := k.take("w") // the same message, in the same hands, under a new lease
	k.send(b, c)
	settled, held := k.take("w"), k.take("w")
	k.settle(done(settled))
	k.send(e)
	foreign := k.take("v")
	const nonsense = "nonsense"
	k.renewTokens("w", symphony.Renewal{Lost: []symphony.Token{lost.Token, settled.Token, foreign.Token, nonsense}},
		lost.Token, again.Token, settled.Token, held.Token, foreign.Token, nonsense)
	k.renewTokens("never seen", symphony.Renewal{Lost: []symphony.Token{held.Token}}, held.Token)
	k.lapse()
	k.takeOnly("x", a, c, e)
	k.renew("w", symphony.Renewal{Lost: []symphony.Token{again.Token, held.Token}}, again, held)
	k.takeOnly("y") // a heartbeat that comes too late takes nothing back
}

func leaseOrphans(k *kit) {
	a, b := message(), message()
	k.send(a, b)
	ds := k.receive(claim("w", 2), 2)
	held, orphan := ds[0], ds[1]
	for range 2 { // it may still be on its way
		k.renew("w", symphony.Renewal{}, held)
		k.takeOnly("v")
		k.Advance(lease/2 - time.Second)
	}
	k.renew("w", symphony.Renewal{}, held)
	k.Advance(lease / 2)
	k.renew("w", symphony.Renewal{}, held)
	k.takeOnly("v", b)
	k.refused([]symphony.Verdict{done(orphan), done(held)}, orphan.Token)
}

// leaseSweepsAll leaves messages behind of which some must not be delivered again.
func leaseSweepsAll(k *kit) {
	var envs, want []*symphony.Envelope
	for i := range 12 {
		env := message()
		switch i % 4 {
		case 0, 2:
			want = append(want, env)
		case 1:
			env.Expires = 10 * time.Second
		}
		envs = append(envs, env)
	}
	k.send(envs...)
	for _, worker := range []string{"w1", "w2", "w3"} {
		k.receive(claim(worker, 4), 4)
	}
	for i := 3; i < len(envs); i += 4 {
		if _, err := power1[monitor.Canceller](k).Cancel(k.ctx, envs[i].ID); err != nil {
			k.Fatalf("Cancel: %v", err)
		}
	}
	k.lapse()
	k.takeOnly("v", want...)
	for i := range envs {
		switch i % 4 {
		case 1:
			k.status(envs[i], monitor.Expired)
		case 3:
			k.status(envs[i], monitor.Cancelled)
		}
	}
}

func leaseRecord(k *kit) {
	env := message()
	k.send(env)
	k.take("w")
	r := k.status(env, monitor.Processing)
	equal(k, "locked_by", r.LockedBy, "w")
	if r.LockedAt.Before(r.CreatedAt) {
		k.Errorf("locked_at is %v, before created_at %v", r.LockedAt, r.CreatedAt)
	}
	if d := r.LockedUntil.Sub(r.LockedAt); d < lease || d > lease+patience {
		k.Errorf("the lease ends %v after locked_at, want %v", d, lease)
	}
}
