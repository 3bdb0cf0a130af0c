package transporttest

import (
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func groupTests() []test {
	return []test{
		{
			"group/one at a time", "Messages of one group are handled one at a time, in the order of becoming due. (S5)",
			groups, groupOneAtATime,
		},
		{
			"group/scope", "Scope (queue, group); messages without a group and of others go by. (S5)",
			groups, groupScope,
		},
		{
			"group/priority", "Priority is ignored inside a group. (S5)",
			groups | priorities, groupPriority,
		},
		{
			"group/holds", "A retry or snooze holds the group (strict). (S5)",
			groups | delays, groupHolds,
		},
		{
			"group/frees", "Dead letter, cancel, expiry free the group and the next one runs. (S5)",
			groups, groupFrees,
		},
		{
			"group/cancelled while it waits", "Cancel of one that waits, first or not, frees its place. (S5)",
			groups | cancels | delays, groupCancelWaiting,
		},
		{
			"group/expired while it waits", "Expiry of one that waits, first or not, frees its place. (S5)",
			groups | expiries | delays, groupExpireWaiting,
		},
		{
			"group/crash", "A crashed holder blocks for one lease at most. (S5)",
			groups, groupCrash,
		},
		{
			"group/delayed", "A delayed message does not block the group before it is due. (S5)",
			groups | delays, groupDelayed,
		},
		{
			"group/retry of a dead letter", "Retry from the dead letters joins at the end. (S5)",
			groups | deadLetters, groupDeadLetter,
		},
		{
			"group/waiting", "A message that is due and cannot be claimed says that it waits for its group. (Record)",
			groups | find, groupWaiting,
		},
		{
			"group/lost verdict", "A verdict that came too late frees no group. (promise 2, S5)",
			groups, groupLost,
		},
	}
}

// members returns n messages of one group.
func members(n int, change ...func(*symphony.Envelope)) []*symphony.Envelope {
	envs := make([]*symphony.Envelope, n)
	for i := range envs {
		envs[i] = message(append([]func(*symphony.Envelope){grouped("g")}, change...)...)
	}
	return envs
}

func groupOneAtATime(k *kit) {
	envs := members(5)
	k.send(envs[0])
	k.send(envs[1:]...)
	for _, env := range envs {
		k.done(k.takeOnly("w", env))
	}
	k.takeOnly("w")
	late := members(2)
	k.send(late...)
	k.takeOnly("w", late[0])
}

func groupScope(k *kit) {
	a, b := members(2), members(2, on("side"))
	other := message(grouped("h"))
	free := message()
	k.send(a[0], b[0], a[1], b[1], other, free)
	d := k.takeOnly("w", a[0], other, free)[0]
	side := claimOf("w", 1, symphony.QueueClaim{Name: "side"})
	e := k.takeOnlyFrom(side, b[0])[0]
	k.settle(done(d))
	k.takeOnly("w", a[1])
	k.takeOnlyFrom(side)
	k.settle(done(e))
	k.takeOnlyFrom(side, b[1])
}

func groupPriority(k *kit) {
	low := message(grouped("g"), func(e *symphony.Envelope) { e.Priority = 2 })
	high := message(grouped("g"), func(e *symphony.Envelope) { e.Priority = 10 })
	first := message(grouped("g"), func(e *symphony.Envelope) { e.Priority = 1 })
	k.send(first, low, high)
	k.done(k.takeOnly("w", first))
	k.done(k.takeOnly("w", low))
	k.takeOnly("w", high)
}

func groupHolds(k *kit) {
	for _, o := range []symphony.Outcome{symphony.Retried, symphony.Snoozed, symphony.Unhandled} {
		envs := members(2)
		k.send(envs...)
		k.settle(after(verdict(k.takeOnly("w", envs[0])[0], o), time.Hour))
		k.takeOnly("w")
		k.notYet(time.Hour)
		k.takeOnly("w")
		k.due()
		k.settle(verdict(k.takeOnly("w", envs[0])[0], o))
		k.settle(verdict(k.takeOnly("w", envs[0])[0], symphony.Released))
		k.done(k.takeOnly("w", envs[0]))
		k.done(k.takeOnly("w", envs[1]))
	}
}

func groupFrees(k *kit) {
	for _, o := range []symphony.Outcome{symphony.Completed, symphony.Failed, symphony.Cancelled, symphony.Expired} {
		envs := members(2)
		k.send(envs...)
		k.settle(verdict(k.takeOnly("w", envs[0])[0], o))
		k.done(k.takeOnly("w", envs[1]))
	}
}

func (k *kit) cancel(env *symphony.Envelope, want monitor.Status) {
	k.Helper()
	r, err := power1[monitor.Canceller](k).Cancel(k.ctx, env.ID)
	if err != nil || r.ID != env.ID || r.Status != want {
		k.Fatalf("Cancel: %s, %v, want a message that is %s", r.Status, err, want)
	}
}

func groupCancelWaiting(k *kit) {
	envs := members(5)
	k.send(envs...)
	k.cancel(envs[0], monitor.Cancelled) // ready
	k.cancel(envs[3], monitor.Cancelled) // in the line
	d := k.takeOnly("w", envs[1])[0]
	k.settle(after(verdict(d, symphony.Retried), time.Hour))
	k.cancel(envs[1], monitor.Cancelled) // holds the group while it waits for a retry
	k.done(k.takeOnly("w", envs[2]))
	k.takeOnly("w", envs[4])
}

func groupExpireWaiting(k *kit) {
	envs := members(5)
	for _, i := range []int{0, 3} {
		envs[i].Expires = time.Minute
	}
	envs[1].Expires = time.Hour
	k.send(envs...)
	k.Advance(2 * time.Minute)
	d := k.takeOnly("w", envs[1])[0]
	k.settle(after(verdict(d, symphony.Snoozed), 30*time.Minute))
	k.takeOnly("w")
	k.Advance(time.Hour)
	k.done(k.takeOnly("w", envs[2]))
	k.takeOnly("w", envs[4])
}

func groupCrash(k *kit) {
	envs := members(2)
	k.send(envs...)
	k.takeOnly("w", envs[0])
	k.Advance(lease / 2)
	k.takeOnly("v")
	k.Advance(lease/2 + time.Second)
	d := k.takeOnly("v", envs[0])[0]
	equal(k, "Crashes", d.Envelope.Crashes, 1)
	k.settle(done(d))
	k.takeOnly("v", envs[1])
}

func groupDelayed(k *kit) {
	late := members(1, delayed(time.Hour))[0]
	soon := members(1, delayed(30*time.Minute))[0]
	now := members(2)
	k.send(late, soon, now[0], now[1])
	k.done(k.takeOnly("w", now[0]))
	c := claim("patient", 1)
	c.Lease = 3 * time.Hour
	d := k.receive(c, 1)[0]
	k.Advance(2 * time.Hour)
	last := members(1)[0]
	k.send(last)
	k.takeOnly("w")
	k.settle(done(d))
	for _, env := range []*symphony.Envelope{soon, late, last} {
		k.done(k.takeOnly("w", env))
	}
}

func groupDeadLetter(k *kit) {
	envs := members(3)
	k.send(envs...)
	k.bury(envs[0])
	k.repair("retry", []bool{true}, envs[0])
	last := members(1)[0]
	k.send(last)
	for _, env := range []*symphony.Envelope{envs[1], envs[2], envs[0], last} {
		k.done(k.takeOnly("w", env))
	}
}

func groupWaiting(k *kit) {
	envs := members(3)
	k.send(envs...)
	for i := range envs {
		d := k.takeOnly("w", envs[i])[0]
		for _, env := range envs[i+1:] {
			equal(k, "waiting_for", k.status(env, monitor.Pending).WaitingFor, monitor.WaitingForGroup)
		}
		equal(k, "waiting_for of the first", k.status(envs[i], monitor.Processing).WaitingFor, "")
		k.settle(done(d))
	}
}

func groupLost(k *kit) {
	envs := members(2)
	k.send(envs...)
	stale := k.takeOnly("w", envs[0])[0]
	k.lapse()
	fresh := k.takeOnly("v", envs[0])[0]
	for _, o := range outcomes() {
		k.refused([]symphony.Verdict{verdict(stale, o)}, stale.Token)
		k.takeOnly(fmt.Sprintf("w after %s", o))
	}
	k.settle(done(fresh))
	k.takeOnly("v", envs[1])
}
