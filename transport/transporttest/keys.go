package transporttest

import (
	"errors"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func keyTests() []test {
	return []test{
		{
			"key/within the window", "A second dispatch stores nothing and is no error: Receipt{ID: first, Duplicate: true}; what became of the first does not matter inside the window. (S4)",
			keys, keyWithinWindow,
		},
		{
			"key/window over", "The key is taken until window after acceptance, by the store's clock. (S4)",
			keys, keyWindowOver,
		},
		{
			"key/no window", "window 0 = only while it lives (pending, scheduled, processing). (S4)",
			keys | delays, keyNoWindow,
		},
		{
			"key/lives longer than its window", "The key is taken in any case while the message lives. (S4)",
			keys | delays, keyOutlivesWindow,
		},
		{
			"key/scope", "Unique together with (message type, subscriber), whatever the queue. (S4)",
			keys, keyScope,
		},
		{
			"key/one batch", "Batch: each message its own receipt, duplicates inside one batch too. (S4)",
			keys, keyBatch,
		},
		{
			"key/repeated send", "An envelope whose ID is stored already is no duplicate. (Sender)",
			keys, keyRepeated,
		},
		{
			"key/nothing stored", "Taken from acceptance: a message that was not stored has no key. (S4)",
			keys, keyNotStored,
		},
		{
			"key/dead letter", "Failed does not matter inside the window; outside of it a dead letter does not live. (S4)",
			keys | deadLetters, keyDeadLetter,
		},
		{
			"key/cancelled and expired", "What became of the message (cancelled, expired) does not matter inside the window. (S4)",
			keys | cancels | expiries, keyCancelled,
		},
		{
			"key/discard", "Discard by a person frees the key. (S4)",
			keys | deadLetters, keyDiscard,
		},
		{
			"key/retry", "Retry from the dead letters keeps the key or, if it was taken meanwhile, is refused with the holder's id. (S4)",
			keys | deadLetters, keyRetry,
		},
	}
}

// duplicate requires that a message with the key of first is not stored.
func (k *kit) duplicate(when string, first *symphony.Envelope) {
	k.Helper()
	again := message(keyed(first.Key, first.Window))
	if r := k.send(again)[0]; !r.Duplicate || r.ID != first.ID {
		k.Fatalf("%s: a second message with the key: the receipt is %+v, want the duplicate of %s", when, r, first.ID)
	}
}

// fresh requires that a message with the key is stored.
func (k *kit) fresh(when, key string, window time.Duration) *symphony.Envelope {
	k.Helper()
	env := message(keyed(key, window))
	if r := k.send(env)[0]; r.Duplicate || r.ID != env.ID {
		k.Fatalf("%s: a message with a key that is free: the receipt is %+v, want its own", when, r)
	}
	return env
}

func keyWithinWindow(k *kit) {
	a := k.fresh("at first", "k", time.Hour)
	k.duplicate("while it waits", a)
	d := k.takeOnly("w", a)[0]
	k.duplicate("while it is handled", a)
	k.settle(verdict(d, symphony.Retried))
	k.duplicate("while it waits for a retry", a)
	k.done(k.takeOnly("w", a))
	k.duplicate("when it is completed", a)
	k.notYet(time.Hour)
	k.duplicate("just before the end of the window", a)
	k.takeOnly("w")
}

func keyWindowOver(k *kit) {
	k.Advance(24 * time.Hour)
	a := k.fresh("at first", "k", time.Hour)
	k.done(k.takeOnly("w", a))
	k.notYet(time.Hour)
	k.duplicate("just before the end of the window", a)
	k.due()
	b := k.fresh("after the window", "k", time.Hour)
	k.duplicate("after the window of the first, within that of the second", b)
	k.takeOnly("w", b)
}

func keyNoWindow(k *kit) {
	a := message(keyed("k", 0), delayed(time.Hour))
	k.send(a)
	k.duplicate("while it is scheduled", a)
	k.Advance(time.Hour)
	k.duplicate("while it waits", a)
	d := k.takeOnly("w", a)[0]
	k.duplicate("while it is handled", a)
	k.settle(done(d))
	b := k.fresh("when it is completed", "k", 0)
	k.takeOnly("w", b)
}

func keyOutlivesWindow(k *kit) {
	a := message(keyed("k", time.Minute), delayed(10*time.Hour))
	k.send(a)
	k.Advance(time.Hour)
	k.duplicate("while it is scheduled, after the window", a)
	k.Advance(9 * time.Hour)
	d := k.takeOnly("w", a)[0]
	k.duplicate("while it is handled, after the window", a)
	k.settle(done(d))
	k.takeOnly("w", k.fresh("when it is completed, after the window", "k", time.Minute))
}

func keyScope(k *kit) {
	a := message(keyed("k", time.Hour))
	otherType := message(keyed("k", time.Hour), func(e *symphony.Envelope) { e.Type = "suite.Other" })
	otherSubscriber := message(keyed("k", time.Hour), func(e *symphony.Envelope) { e.Subscriber = "audit" })
	otherKey := message(keyed("K", time.Hour))
	otherQueue := message(keyed("k", time.Hour), on("side"))
	receipts := k.send(a, otherType, otherSubscriber, otherKey, otherQueue)
	for i, r := range receipts[:4] {
		if r.Duplicate {
			k.Errorf("message %d of those with keys of their own is a duplicate: %+v", i+1, r)
		}
	}
	if r := receipts[4]; !r.Duplicate || r.ID != a.ID {
		k.Errorf("the same key in another queue: the receipt is %+v, want the duplicate of %s", r, a.ID)
	}
	k.takeOnly("w", a, otherType, otherSubscriber, otherKey)
	k.takeOnlyFrom(claimOf("w", 1, symphony.QueueClaim{Name: "side"}))
}

func keyBatch(k *kit) {
	a, b, c := message(keyed("k", 0)), message(), message(keyed("k", 0))
	d, e := message(keyed("l", 0)), message(keyed("l", time.Hour))
	for i, r := range k.send(a, b, c, d, e) {
		want := []symphony.Receipt{{ID: a.ID}, {ID: b.ID}, {ID: a.ID, Duplicate: true}, {ID: d.ID}, {ID: d.ID, Duplicate: true}}[i]
		equal(k, "a receipt", r, want)
	}
	k.takeOnly("w", a, b, d)
}

func keyRepeated(k *kit) {
	a := message(keyed("k", time.Hour))
	k.send(a)
	equal(k, "the receipt of a repeated Send", k.send(a)[0], symphony.Receipt{ID: a.ID})
	d := k.takeOnly("w", a)[0]
	equal(k, "the receipt of a Send repeated while it is handled", k.send(a)[0], symphony.Receipt{ID: a.ID})
	k.settle(done(d))
	k.duplicate("after the repeated Send", a)
}

func keyNotStored(k *kit) {
	bad := message(func(e *symphony.Envelope) { e.Priority = 11 })
	if _, err := k.Transport.Send(k.ctx, []*symphony.Envelope{message(keyed("k", time.Hour)), bad}); err == nil {
		k.Fatalf("Send of a message with priority 11 returned no error")
	}
	k.takeOnly("w", k.fresh("after a Send that failed", "k", time.Hour))
}

func keyDeadLetter(k *kit) {
	a := k.fresh("at first", "k", time.Hour)
	k.bury(a)
	k.duplicate("while it is a dead letter, within the window", a)
	k.Advance(61 * time.Minute)
	k.takeOnly("w", k.fresh("while it is a dead letter, after the window", "k", time.Hour))
}

func keyCancelled(k *kit) {
	a := k.fresh("at first", "k", time.Hour)
	if _, err := power1[monitor.Canceller](k).Cancel(k.ctx, a.ID); err != nil {
		k.Fatalf("Cancel: %v", err)
	}
	k.duplicate("when it is cancelled", a)
	b := message(keyed("l", time.Hour), expiring(time.Minute))
	k.send(b)
	k.Advance(2 * time.Minute)
	k.takeOnly("w")
	k.duplicate("when it is expired", b)

	c := message(keyed("m", 0), expiring(time.Minute))
	k.send(c)
	k.Advance(2 * time.Minute)
	k.takeOnly("w")
	k.takeOnly("w", k.fresh("when it is expired and has no window", "m", 0))
}

func keyDiscard(k *kit) {
	a := k.fresh("at first", "k", time.Hour)
	k.bury(a)
	k.repair("discard", []bool{true}, a)
	k.takeOnly("w", k.fresh("when its message was discarded", "k", time.Hour))
}

func keyRetry(k *kit) {
	a := k.fresh("at first", "k", time.Minute)
	k.bury(a)
	k.Advance(time.Hour)
	k.repair("retry", []bool{true}, a)
	k.duplicate("when it lives again", a)
	k.bury(a)
	b := k.fresh("when it is a dead letter again", "k", time.Minute)
	answers, err := power1[monitor.DeadLetters](k).RetryFailed(k.ctx, []symphony.ID{a.ID})
	if err != nil || len(answers) != 1 {
		k.Fatalf("RetryFailed: %d answers, %v", len(answers), err)
	}
	taken, ok := errors.AsType[*monitor.KeyTakenError](answers[0])
	if !ok || taken.Holder != b.ID || taken.Key != "k" {
		k.Fatalf("RetryFailed of a message whose key was taken: %v, want a *KeyTakenError with holder %s", answers[0], b.ID)
	}
	k.done(k.takeOnly("w", b))
	k.Advance(2 * time.Minute)
	k.repair("retry", []bool{true}, a)
	k.takeOnly("w", a)
}
