package transporttest

import (
	"bytes"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
)

func subscriptionTests() []test {
	return []test{
		{
			"subscription/fan-out", "Every dispatch stores one message for the type's handler and one per subscription; Receipt.Copies has their ids. (S10)",
			subscriptions, subscriptionFanOut,
		},
		{
			"subscription/no handler", "One message for the type's handler, if it has one or has no subscription. (S10)",
			subscriptions, subscriptionNoHandler,
		},
		{
			"subscription/from now on", "Each subscription sees every event accepted after it was created. (S10)",
			subscriptions, subscriptionFromNow,
		},
		{
			"subscription/own wishes", "What the subscription says applies to its copies; those of the call do not override it. Headers merge, tags add up. (S10, Subscription)",
			subscriptions | delays | priorities, subscriptionWishes,
		},
		{
			"subscription/replaced", "Subscribe adds or replaces. (SubscriptionStore)",
			subscriptions, subscriptionReplaced,
		},
		{
			"subscription/repeated send", "Send is repeatable: a repeated dispatch makes the same copies. (Sender)",
			subscriptions, subscriptionRepeated,
		},
		{
			"subscription/keys", "Unique together with (message type, subscriber): each copy takes its own key. (S4, S10)",
			subscriptions | keys, subscriptionKeys,
		},
		{
			"subscription/own fate", "Each subscriber has its own envelope and retries: one that fails never runs the others again. (On)",
			subscriptions, subscriptionFate,
		},
	}
}

func (k *kit) subscribe(subs ...symphony.Subscription) {
	k.Helper()
	for i := range subs {
		if subs[i].Type == "" {
			subs[i].Type = typ
		}
	}
	if err := power1[symphony.SubscriptionStore](k).Subscribe(k.ctx, subs); err != nil {
		k.Fatalf("Subscribe: %v", err)
	}
}

// copyFor is the copy of env that belongs to a subscriber, as far as IDs go.
func copyFor(env *symphony.Envelope, subscriber string) *symphony.Envelope {
	return (&symphony.Subscription{Subscriber: subscriber}).Copy(env)
}

func subscriptionFanOut(k *kit) {
	k.subscribe(symphony.Subscription{Subscriber: "zeta"}, symphony.Subscription{}, symphony.Subscription{Subscriber: "alpha"},
		symphony.Subscription{Type: "suite.Other", Subscriber: "beta"})
	env := message()
	alpha, zeta := copyFor(env, "alpha"), copyFor(env, "zeta")
	equal(k, "the receipt", k.send(env)[0], symphony.Receipt{ID: env.ID, Copies: []symphony.ID{alpha.ID, zeta.ID}})
	got := k.takeSet("w", env, alpha, zeta)
	var names []string
	for _, d := range got {
		names = append(names, d.Envelope.Subscriber)
		if !bytes.Equal(d.Envelope.Body, env.Body) || d.Envelope.Queue != env.Queue {
			k.Errorf("the copy for %q has body %q in queue %s", d.Envelope.Subscriber, d.Envelope.Body, d.Envelope.Queue)
		}
	}
	slices.Sort(names)
	equal(k, "the subscribers that have a copy", names, []string{"", "alpha", "zeta"})
}

func subscriptionNoHandler(k *kit) {
	env := message()
	k.send(env)
	k.done(k.takeOnly("w", env))
	k.subscribe(symphony.Subscription{Subscriber: "b"}, symphony.Subscription{Subscriber: "a"})
	env = message()
	a, b := copyFor(env, "a"), copyFor(env, "b")
	equal(k, "the receipt", k.send(env)[0], symphony.Receipt{ID: a.ID, Copies: []symphony.ID{a.ID, b.ID}})
	k.takeSet("w", a, b)
}

func subscriptionFromNow(k *kit) {
	before := message()
	k.send(before)
	k.subscribe(symphony.Subscription{}, symphony.Subscription{Subscriber: "a"})
	k.done(k.takeOnly("w", before))
	after := message()
	k.send(after)
	k.takeSet("w", after, copyFor(after, "a"))
}

func subscriptionWishes(k *kit) {
	five := 5
	k.subscribe(symphony.Subscription{Subscriber: "plain"}, symphony.Subscription{
		Subscriber: "wishes", Queue: "side", Priority: 9, Delay: time.Hour, MaxRetries: &five,
		Headers: map[string]string{"b": "sub", "c": "sub"}, Tags: []string{"own"},
	})
	env := message(func(e *symphony.Envelope) {
		e.Headers, e.Tags, e.At = map[string]string{"a": "call", "b": "call"}, []string{"call"}, time.Now().Add(-time.Hour)
	})
	k.send(env)
	plain := k.takeOnly("w", copyFor(env, "plain"))[0].Envelope
	equal(k, "the headers of the plain copy", plain.Headers, env.Headers)
	equal(k, "the tags of the plain copy", plain.Tags, env.Tags)

	side := claimOf("w", 1, symphony.QueueClaim{Name: "side"})
	k.takeOnlyFrom(side)
	k.Advance(61 * time.Minute)
	own := k.takeOnlyFrom(side, copyFor(env, "wishes"))[0].Envelope
	equal(k, "Priority", own.Priority, 9)
	equal(k, "MaxRetries", own.MaxRetries, &five)
	equal(k, "Headers", own.Headers, map[string]string{"a": "call", "b": "sub", "c": "sub"})
	equal(k, "Tags", own.Tags, []string{"call", "own"})
}

func subscriptionReplaced(k *kit) {
	k.subscribe(symphony.Subscription{Subscriber: "a", Queue: "old"})
	k.subscribe(symphony.Subscription{Subscriber: "a"})
	env := message()
	k.send(env)
	k.takeOnly("w", copyFor(env, "a"))
	k.takeOnlyFrom(claimOf("w", 1, symphony.QueueClaim{Name: "old"}))
}

func subscriptionRepeated(k *kit) {
	k.subscribe(symphony.Subscription{}, symphony.Subscription{Subscriber: "a"})
	env := message()
	first := k.send(env)[0]
	equal(k, "the receipt of the repeated Send", k.send(env)[0], first)
	k.takeSet("w", env, copyFor(env, "a"))
}

func subscriptionKeys(k *kit) {
	k.subscribe(symphony.Subscription{}, symphony.Subscription{Subscriber: "a"})
	first := message(keyed("k", time.Hour))
	r := k.send(first)[0]
	again := k.send(message(keyed("k", time.Hour)))[0]
	equal(k, "the receipt of the duplicate", again, symphony.Receipt{ID: first.ID, Duplicate: true, Copies: r.Copies})

	k.subscribe(symphony.Subscription{Subscriber: "b"}) // has no message with the key yet
	third := message(keyed("k", time.Hour))
	want := symphony.Receipt{ID: first.ID, Copies: []symphony.ID{r.Copies[0], copyFor(third, "b").ID}}
	equal(k, "the receipt when one copy is new", k.send(third)[0], want)
	k.takeSet("w", first, copyFor(first, "a"), copyFor(third, "b"))
}

func subscriptionFate(k *kit) {
	k.subscribe(symphony.Subscription{}, symphony.Subscription{Subscriber: "a"})
	env := message()
	k.send(env)
	for _, d := range k.takeSet("w", env, copyFor(env, "a")) {
		if d.Envelope.Subscriber == "" {
			k.settle(done(d))
		} else {
			k.settle(verdict(d, symphony.Retried))
		}
	}
	d := k.takeOnly("w", copyFor(env, "a"))[0]
	equal(k, "the tally", tallyOf(d), tally{Attempt: 2, Fence: 2})
}
