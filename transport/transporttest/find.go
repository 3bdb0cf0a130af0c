package transporttest

import (
	"errors"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func findTests() []test {
	return []test{
		{
			"find/content", "A Record is one message as the store has it, in any state. (Record)",
			find, findContent,
		},
		{
			"find/states", "States, one word each: pending, scheduled, processing, completed, failed, cancelled, expired. (S17)",
			find | delays | expiries, findStates,
		},
		{
			"find/unknown", "Find returns ErrNotFound for a message that never was. (Finder)",
			find, findUnknown,
		},
		{
			"counts/after every step", "Counts are exact at every commit: live states and dead letters those there are now, the others all there ever were. (Counter, S14)",
			counts | delays | deadLetters, countsExact,
		},
		{
			"counts/oldest ready", "OldestReady is how long the longest waiting message that could be claimed has been due. (Counts)",
			counts | delays, countsOldest,
		},
		{
			"counts/no handler", "What no worker has a handler for is visible as such until it is claimed again, or ends. (S8)",
			counts | delays | cancels, countsNoHandler,
		},
	}
}

func findContent(k *kit) {
	caps := k.Transport.Capabilities()
	limit := 2
	env := message(func(e *symphony.Envelope) {
		e.Body, e.ContentType, e.Version = []byte("\x00\xff"), "application/octet-stream", 4
		e.Headers, e.Tags, e.MaxRetries, e.Subscriber = map[string]string{"a": "ü"}, []string{"z", "y"}, &limit, "audit"
		if caps.Group {
			e.Group = "g"
		}
		if caps.Idempotency {
			e.Key = "k"
		}
		if caps.Priority {
			e.Priority = 8
		}
	})
	k.send(env)
	var d symphony.Delivery
	for _, state := range []monitor.Status{monitor.Pending, monitor.Processing, monitor.Completed} {
		r := k.status(env, state)
		want := monitor.Record{
			ID: env.ID, Type: env.Type, Subscriber: env.Subscriber, Queue: env.Queue, Status: state, Priority: env.Priority,
			Body: env.Body, ContentType: env.ContentType, Version: env.Version, Headers: env.Headers, Tags: env.Tags,
			Group: env.Group, Key: env.Key, MaxRetries: env.MaxRetries,
			// What other cases are about.
			CreatedAt: r.CreatedAt, AvailableAt: r.AvailableAt, FinishedAt: r.FinishedAt, Fence: r.Fence,
			LockedBy: r.LockedBy, LockedAt: r.LockedAt, LockedUntil: r.LockedUntil,
		}
		equal(k, "the record of a message that is "+string(state), r, want)
		switch state {
		case monitor.Pending:
			d = k.take("w")
		case monitor.Processing:
			r.Body[0], r.Headers["a"], r.Tags[0], *r.MaxRetries = 'x', "x", "x", 9 // a copy: it changes nothing
			k.settle(done(d))
		}
	}
}

func findStates(k *kit) {
	pending, scheduled, expired := message(on("idle")), message(delayed(time.Hour)), message(on("idle"), expiring(time.Minute))
	processing, completed, failed, cancelled := message(), message(), message(), message()
	k.send(processing, completed, failed, cancelled, pending, scheduled, expired)
	ds := k.takeOnly("w", processing, completed, failed, cancelled)
	k.settle(done(ds[1]), verdict(ds[2], symphony.Failed), verdict(ds[3], symphony.Cancelled))
	k.Advance(2 * time.Minute)
	k.takeOnlyFrom(claimOf("w", 1, symphony.QueueClaim{Name: "idle"}), pending)
	k.settle(done(k.takeOnly("v", processing)[0]))
	for state, env := range map[monitor.Status]*symphony.Envelope{
		monitor.Processing: pending, monitor.Scheduled: scheduled, monitor.Completed: completed,
		monitor.Failed: failed, monitor.Cancelled: cancelled, monitor.Expired: expired,
	} {
		k.status(env, state)
	}
	k.status(processing, monitor.Completed)
}

func findUnknown(k *kit) {
	if r, err := power1[monitor.Finder](k).Find(k.ctx, symphony.NewID()); !errors.Is(err, monitor.ErrNotFound) {
		k.Errorf("Find of a message that never was: %+v, %v, want ErrNotFound", r, err)
	}
}

type countOf struct {
	queue, typ string
	status     monitor.Status
}

// counted requires the counts of all messages that are no probes.
func (k *kit) counted(when string, want map[countOf]int64) {
	k.Helper()
	all, err := power1[monitor.Counter](k).Counts(k.ctx)
	if err != nil {
		k.Fatalf("Counts: %v", err)
	}
	got := make(map[countOf]int64)
	for _, c := range all.Counts {
		if c.Type != probe && c.N != 0 {
			got[countOf{c.Queue, c.Type, c.Status}] += c.N
		}
	}
	equal(k, "what is counted "+when, got, want)
}

func countsExact(k *kit) {
	now := make(map[countOf]int64)
	step := func(when string, status monitor.Status, change int64) {
		k.Helper()
		c := countOf{queue, typ, status}
		if now[c] += change; now[c] == 0 {
			delete(now, c)
		}
		if when != "" {
			k.counted(when, now)
		}
	}
	k.counted("at first", now)
	a, b := message(), message(delayed(time.Hour))
	side := message(on("side"), func(e *symphony.Envelope) { e.Type = "suite.Other" })
	k.send(a, b, side)
	now[countOf{"side", "suite.Other", monitor.Pending}] = 1
	step("", monitor.Scheduled, 1)
	step("when three are accepted", monitor.Pending, 1)
	k.send(a)
	step("when one is sent again", monitor.Pending, 0)
	d := k.take("w")
	step("", monitor.Pending, -1)
	step("when one is taken", monitor.Processing, 1)
	k.settle(after(verdict(d, symphony.Retried), 2*time.Hour))
	step("", monitor.Processing, -1)
	step("when it waits for a retry", monitor.Scheduled, 1)
	k.Advance(3 * time.Hour)
	ds := k.takeOnly("w", a, b)
	step("", monitor.Scheduled, -2)
	step("when both are taken", monitor.Processing, 2)
	k.settle(done(ds[0]), verdict(ds[1], symphony.Failed))
	step("", monitor.Processing, -2)
	step("", monitor.Completed, 1)
	step("when one is done and one failed", monitor.Failed, 1)
	k.refused([]symphony.Verdict{done(ds[1])}, ds[1].Token)
	step("when a verdict came too late", monitor.Failed, 0)
	k.repair("retry", []bool{true}, b)
	step("", monitor.Failed, -1)
	step("when the dead letter is retried", monitor.Pending, 1)
	k.take("w")
	step("", monitor.Pending, -1)
	step("when it is taken", monitor.Processing, 1)
	k.lapse()
	k.takeOnly("v", b)
	step("when another has taken it", monitor.Processing, 0)
	k.lapse()
	k.bury(b)
	step("", monitor.Processing, -1)
	step("when it has failed again", monitor.Failed, 1)
	k.repair("discard", []bool{true}, b)
	step("when it is discarded", monitor.Failed, -1)
}

func countsOldest(k *kit) {
	oldest := func(when string, want time.Duration) {
		k.Helper()
		all, err := power1[monitor.Counter](k).Counts(k.ctx)
		if err != nil {
			k.Fatalf("Counts: %v", err)
		}
		if got := all.OldestReady; got < want-time.Second || got > want+time.Minute {
			k.Errorf("the oldest ready message %s has been due for %v, want %v", when, got, want)
		}
	}
	oldest("of none", 0)
	a, b, c := message(delayed(time.Hour)), message(), message(on("side"))
	k.send(a)
	k.Advance(30 * time.Minute)
	oldest("while one is scheduled", 0)
	k.send(b, c)
	k.Advance(10 * time.Minute)
	oldest("of two", 10*time.Minute)
	k.done(k.takeOnly("w", b))
	oldest("when the first is done", 10*time.Minute)
	k.done(k.takeOnlyFrom(claimOf("w", 1, symphony.QueueClaim{Name: "side"}), c))
	oldest("when both are done", 0)
	k.Advance(30 * time.Minute)
	k.takeOnlyFrom(claimOf("w", 1, symphony.QueueClaim{Name: "side"})) // somebody has looked
	oldest("when the scheduled one has become due", 10*time.Minute)
}

func countsNoHandler(k *kit) {
	waiting := func(when string, want int64) {
		k.Helper()
		all, err := power1[monitor.Counter](k).Counts(k.ctx)
		if err != nil {
			k.Fatalf("Counts: %v", err)
		}
		var got int64
		for _, c := range all.NoHandler {
			got += c.N
		}
		equal(k, "those without a handler "+when, got, want)
	}
	a, b := message(), message()
	k.send(a, b)
	waiting("at first", 0)
	for _, d := range k.takeOnly("w", a, b) {
		k.settle(after(verdict(d, symphony.Unhandled), time.Hour))
	}
	waiting("when two were put back", 2)
	k.cancel(b, monitor.Cancelled)
	waiting("when one of them is cancelled", 1)
	k.Advance(61 * time.Minute)
	k.takeOnly("w", a)
	waiting("when the other is claimed", 0)
}
