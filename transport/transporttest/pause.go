package transporttest

import (
	"errors"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func pauseTests() []test {
	return []test{
		{
			"pause/queue", "No claim takes messages of a paused queue; it goes on accepting them. (Pauser)",
			pausing | delays | counts, pauseQueue,
		},
		{
			"pause/type", "No claim takes messages of a paused type, whenever they became ready. (Pauser)",
			pausing | delays | cancels | find, pauseType,
		},
		{
			"pause/order", "A pause changes no message's place. (S2)",
			pausing, pauseOrder,
		},
		{
			"pause/group", "A paused message that has its group's turn keeps it. (S5)",
			pausing | groups, pauseGroup,
		},
		{
			"pause/many", "What is paused is not in the way of what is not, however much it is. (S2)",
			pausing, pauseMany,
		},
		{
			"pause/stored", "Pauses are stored. (Pauser)",
			pausing | reopening, pauseStored,
		},
		{
			"pause/nonsense", "What cannot be paused is refused; Resume returns ErrNotFound when there is no pause. (Pauser)",
			pausing, pauseNonsense,
		},
	}
}

func (k *kit) pause(p monitor.Pause) {
	k.Helper()
	if err := power1[monitor.Pauser](k).Pause(k.ctx, p); err != nil {
		k.Fatalf("Pause: %v", err)
	}
}

func (k *kit) resume(p monitor.Pause) {
	k.Helper()
	if err := power1[monitor.Pauser](k).Resume(k.ctx, p); err != nil {
		k.Fatalf("Resume: %v", err)
	}
}

var sideQueue = monitor.Pause{Kind: monitor.PausedQueue, Name: "side", By: "suite"}

func pausedType(name string) monitor.Pause {
	return monitor.Pause{Kind: monitor.PausedType, Name: name}
}

func pauseQueue(k *kit) {
	a, b, other := message(on("side")), message(on("side")), message()
	k.send(a)
	k.Advance(time.Minute)
	k.pause(sideQueue)
	k.pause(sideQueue)
	k.send(b, other)
	both := symphony.Claim{Worker: "w", Queues: []symphony.QueueClaim{{Name: "side"}, {Name: queue}}, Max: 1, Lease: lease}
	k.takeOnlyFrom(both, other)
	c, err := power1[monitor.Counter](k).Counts(k.ctx)
	if err != nil || c.OldestReady > 30*time.Second {
		k.Errorf("a message that could be claimed has been due for %v, want none; %v", c.OldestReady, err)
	}
	k.counted("while it is paused", map[countOf]int64{{"side", typ, monitor.Pending}: 2, {queue, typ, monitor.Processing}: 1})
	k.resume(sideQueue)
	k.takeOnlyFrom(claimOf("v", 1, symphony.QueueClaim{Name: "side"}), a, b)
}

func pauseType(k *kit) {
	// The probes of the suite have another type.
	before, running, later, cancelled := message(), message(), message(delayed(time.Hour)), message()
	k.send(running)
	d := k.take("w")
	k.send(before, later, cancelled)
	k.pause(pausedType(typ))
	during := message()
	k.send(during)
	k.takeOnly("w")
	k.settle(after(verdict(d, symphony.Retried), 0))
	k.Advance(61 * time.Minute)
	k.takeOnly("w")
	k.takeOnly("w")
	k.cancel(cancelled, monitor.Cancelled)
	for _, env := range []*symphony.Envelope{before, during, running, later} {
		k.status(env, monitor.Pending)
	}
	k.resume(pausedType(typ))
	k.takeOnly("w", running, before, later, during)
}

func pauseOrder(k *kit) {
	other := func(e *symphony.Envelope) { e.Type = "suite.Other" }
	a, b, c, d := message(other), message(), message(other), message()
	k.send(a, b, c)
	k.pause(pausedType("suite.Other"))
	k.send(d)
	ds := k.takeOnly("w", b, d)
	k.settle(verdict(ds[0], symphony.Released), verdict(ds[1], symphony.Released))
	k.resume(pausedType("suite.Other"))
	k.takeOnly("w", a, b, c, d)
}

func pauseGroup(k *kit) {
	other := func(e *symphony.Envelope) { e.Type = "suite.Other" }
	a, b, alone := message(grouped("g"), other), message(grouped("g")), message()
	k.send(a, b, alone)
	k.pause(pausedType("suite.Other"))
	k.done(k.takeOnly("w", alone))
	k.resume(pausedType("suite.Other"))
	k.done(k.takeOnly("w", a))
	k.takeOnly("w", b)
}

func pauseMany(k *kit) {
	const n = 6000
	var envs []*symphony.Envelope
	for range n {
		envs = append(envs, message(func(e *symphony.Envelope) { e.Type = "suite.Other" }))
	}
	k.sendAll(envs)
	last := message()
	k.send(last)
	k.pause(pausedType("suite.Other"))
	k.takeOnly("w", last)
	k.resume(pausedType("suite.Other"))
	got := 0
	for got < n { // those that come back in steps come all the same
		ds := k.receiveSome(claim("v", few))
		got += len(ds)
		k.done(ds)
	}
	k.takeOnly("v")
}

func pauseStored(k *kit) {
	k.pause(sideQueue)
	k.pause(pausedType(typ))
	again := &kit{reporter: k.reporter, Store: Store{Transport: k.Reopen(k.t), Advance: k.Advance}, t: k.t, ctx: k.ctx}
	list, err := power1[monitor.Pauser](again).Pauses(k.ctx)
	if err != nil || len(list) != 2 {
		k.Fatalf("Pauses: %+v, %v", list, err)
	}
	equal(k, "the first", list[0], monitor.Pause{Kind: monitor.PausedQueue, Name: "side", By: "suite", Since: list[0].Since})
	equal(k, "the second", list[1], monitor.Pause{Kind: monitor.PausedType, Name: typ, Since: list[1].Since})
	if list[0].Since.IsZero() {
		k.Errorf("nobody knows since when")
	}
	k.send(message(on("side")), message())
	again.takeOnly("w")
	again.resume(sideQueue)
	again.resume(pausedType(typ))
	k.receive(claimOf("w", 1, symphony.QueueClaim{Name: "side"}), 1)
	k.take("w")
}

func pauseNonsense(k *kit) {
	p := power1[monitor.Pauser](k)
	for _, bad := range []monitor.Pause{{Kind: "worker", Name: "w"}, {Kind: monitor.PausedQueue, Name: "No such"}, {Kind: monitor.PausedType, Name: "a b"}} {
		for _, do := range []error{p.Pause(k.ctx, bad), p.Resume(k.ctx, bad)} {
			if _, ok := errors.AsType[*symphony.InvalidError](do); !ok {
				k.Errorf("pause of %+v: %v, want an *InvalidError", bad, do)
			}
		}
	}
	for _, none := range []monitor.Pause{sideQueue, pausedType(typ)} {
		if err := p.Resume(k.ctx, none); !errors.Is(err, monitor.ErrNotFound) {
			k.Errorf("Resume of what is not paused: %v, want ErrNotFound", err)
		}
	}
}
