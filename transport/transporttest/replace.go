package transporttest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func replaceTests() []test {
	return []test{
		{
			"replace/waiting", "One that has the key and waits gets the new content; its ID, queue, group, place and times stay. (Replace)",
			replacing | delays | priorities | find | counts, replaceWaiting,
		},
		{
			"replace/running", "While it is being handled the key passes to the one dispatched, which is stored. (Replace)",
			replacing | counts, replaceRunning,
		},
		{
			"replace/ended", "One that has ended keeps its key within the window. (Replace, S4)",
			replacing | find, replaceEnded,
		},
		{
			"replace/debounce", "A debounced message is due once none came for the wait. (Debounce)",
			replacing | delays | counts | find, replaceDebounce,
		},
		{
			"replace/debounce in a group", "A debounced message makes room in its group, unless it has the turn. (Debounce, S5)",
			replacing | delays | groups, replaceDebounceGroup,
		},
		{
			"replace/in one batch", "Duplicates inside one batch too. (S4)",
			replacing | delays | find, replaceBatch,
		},
		{
			"replace/for each subscriber", "The key is unique together with type and subscriber. (S4, S10)",
			replacing | subscriptions | find, replaceCopies,
		},
		{
			"replace/at once", "Nothing that is dispatched is without effect: it is stored, or replaces what waits. (Replace)",
			replacing | counts, replaceAtOnce,
		},
		{
			"replace/in a transaction", "In a transaction that is rolled back nothing is replaced. (promise 3)",
			replacing | transactions | find, replaceInTx,
		},
	}
}

func replacement(key string, window time.Duration, body string) *symphony.Envelope {
	return message(keyed(key, window), func(e *symphony.Envelope) { e.WhenTaken, e.Body = symphony.ReplaceWaiting, []byte(body) })
}

func debounced(key string, wait time.Duration, body string) *symphony.Envelope {
	return message(keyed(key, 0), delayed(wait), func(e *symphony.Envelope) { e.WhenTaken, e.Body = symphony.DebounceWaiting, []byte(body) })
}

func replaceWaiting(k *kit) {
	first, other := replacement("k", time.Hour, `1`), message()
	if r := k.send(first)[0]; r.Duplicate || r.Replaced || r.ID != first.ID {
		k.Fatalf("the receipt of the first is %+v", r)
	}
	k.send(other)
	before := k.find(first)
	most := 7
	second := replacement("k", time.Hour, `"two"`)
	second.Headers, second.Tags, second.MaxRetries, second.Version = map[string]string{"a": "b"}, []string{"t"}, &most, 2
	second.Delay, second.Queue, second.ContentType = time.Hour, "side", "application/x+json"
	equal(k, "the receipt of the second", k.send(second)[0], symphony.Receipt{ID: first.ID, Duplicate: true, Replaced: true})
	want := before
	want.Body, want.Headers, want.Tags, want.MaxRetries, want.Version, want.ContentType = second.Body, second.Headers, second.Tags, &most, 2, second.ContentType
	equal(k, "the record", k.find(first), want)
	k.counted("when it is replaced", map[countOf]int64{{queue, typ, monitor.Pending}: 2})
	ds := k.takeOnly("w", first, other)
	equal(k, "the body", string(ds[0].Envelope.Body), `"two"`)
	// Also one that waits for its retry, of which the failures are kept, and a priority.
	k.settle(after(verdict(ds[0], symphony.Retried), time.Minute), done(ds[1]))
	third := replacement("k", time.Hour, `3`)
	third.Priority = 9
	equal(k, "the receipt of the third", k.send(third)[0], symphony.Receipt{ID: first.ID, Duplicate: true, Replaced: true})
	k.takeOnly("w")
	k.send(message(delayed(30 * time.Second)))
	k.Advance(2 * time.Minute)
	d := k.take("w")
	equal(k, "what comes first", fmt.Sprint(d.Envelope.ID, d.Envelope.Attempt, string(d.Envelope.Body)), fmt.Sprint(first.ID, 2, "3"))
}

func replaceRunning(k *kit) {
	first := replacement("k", 0, `1`)
	k.send(first)
	d := k.take("w")
	second := replacement("k", 0, `2`)
	equal(k, "the receipt of the second", k.send(second)[0], symphony.Receipt{ID: second.ID})
	equal(k, "the receipt of one that keeps the first", k.send(message(keyed("k", 0)))[0], symphony.Receipt{ID: second.ID, Duplicate: true})
	equal(k, "the receipt of the third", k.send(replacement("k", 0, `3`))[0], symphony.Receipt{ID: second.ID, Duplicate: true, Replaced: true})
	k.settle(done(d))
	// The end of the first does not free the key of the second.
	equal(k, "the receipt of the fourth", k.send(replacement("k", 0, `4`))[0], symphony.Receipt{ID: second.ID, Duplicate: true, Replaced: true})
	d = k.takeOnly("w", second)[0]
	equal(k, "the body", string(d.Envelope.Body), `4`)
	k.settle(done(d))
	if last := message(keyed("k", 0)); k.send(last)[0].ID != last.ID {
		k.Errorf("the key is not free after the end of the second")
	}
}

func replaceEnded(k *kit) {
	first := replacement("k", time.Hour, `1`)
	k.send(first)
	k.settle(done(k.take("w")))
	equal(k, "the receipt within the window", k.send(replacement("k", time.Hour, `2`))[0], symphony.Receipt{ID: first.ID, Duplicate: true})
	equal(k, "the body of the first", string(k.status(first, monitor.Completed).Body), `1`)
	k.takeOnly("w")
	k.Advance(61 * time.Minute)
	third := replacement("k", time.Hour, `3`)
	equal(k, "the receipt after the window", k.send(third)[0], symphony.Receipt{ID: third.ID})
}

func replaceDebounce(k *kit) {
	first := debounced("k", time.Minute, `1`)
	k.send(first)
	for i := range 3 {
		k.Advance(40 * time.Second)
		k.takeOnly("w")
		equal(k, "the receipt", k.send(debounced("k", time.Minute, fmt.Sprint(i+2)))[0], symphony.Receipt{ID: first.ID, Duplicate: true, Replaced: true})
	}
	r := k.status(first, monitor.Scheduled)
	if !r.ScheduledAt.Equal(r.AvailableAt) || r.ScheduledAt.Sub(r.CreatedAt) < 3*time.Minute-2*time.Second {
		k.Errorf("asked for %v and due at %v, %v after its begin", r.ScheduledAt, r.AvailableAt, r.ScheduledAt.Sub(r.CreatedAt))
	}
	k.Advance(61 * time.Second)
	d := k.takeOnly("w", first)[0]
	equal(k, "the body", string(d.Envelope.Body), `4`)
	k.settle(done(d))
	second := debounced("k", time.Minute, `5`)
	equal(k, "the receipt after its end", k.send(second)[0], symphony.Receipt{ID: second.ID})
	// Ready, and put off again; then without a wait.
	k.Advance(2 * time.Minute)
	k.takeOnlyFrom(claimOf("v", 1, symphony.QueueClaim{Name: "side"})) // somebody has looked
	k.status(second, monitor.Pending)
	k.send(debounced("k", time.Minute, `6`))
	k.takeOnly("v")
	k.counted("when it is put off", map[countOf]int64{{queue, typ, monitor.Completed}: 1, {queue, typ, monitor.Scheduled}: 1})
	k.send(debounced("k", 0, `7`))
	d = k.takeOnly("v", second)[0]
	equal(k, "the body without a wait", string(d.Envelope.Body), `7`)
}

func replaceDebounceGroup(k *kit) {
	put := func(wait time.Duration, body string) *symphony.Envelope {
		env := debounced("k", wait, body)
		env.Group = "g"
		k.send(env)
		return env
	}
	head, last := message(grouped("g")), message(grouped("g"))
	k.send(head)
	env := put(0, `1`)
	k.send(last)
	put(time.Hour, `2`)
	k.done(k.takeOnly("w", head))
	k.done(k.takeOnly("w", last))
	put(0, `3`)
	k.takeOnly("w", env)
}

func replaceBatch(k *kit) {
	envs := []*symphony.Envelope{debounced("k", time.Minute, `1`), debounced("other", 0, `0`), debounced("k", time.Minute, `2`), debounced("k", time.Minute, `3`)}
	rs := k.send(envs...)
	for i, want := range []symphony.Receipt{
		{ID: envs[0].ID}, {ID: envs[1].ID}, {ID: envs[0].ID, Duplicate: true, Replaced: true}, {ID: envs[0].ID, Duplicate: true, Replaced: true},
	} {
		equal(k, fmt.Sprint("receipt ", i+1), rs[i], want)
	}
	equal(k, "the body", string(k.find(envs[0]).Body), `3`)
}

func replaceCopies(k *kit) {
	subs := []symphony.Subscription{{Type: typ}, {Type: typ, Subscriber: "audit", Queue: "side"}}
	if err := power1[symphony.SubscriptionStore](k).Subscribe(k.ctx, subs); err != nil {
		k.Fatalf("Subscribe: %v", err)
	}
	first := k.send(replacement("k", 0, `1`))[0]
	k.settle(done(k.take("w"))) // the copy of the handler; that of audit waits
	env := replacement("k", 0, `2`)
	second := k.send(env)[0]
	equal(k, "the receipt of the second", second, symphony.Receipt{ID: env.ID, Replaced: true, Copies: first.Copies})
	d := k.receive(claimOf("w", 1, symphony.QueueClaim{Name: "side"}), 1)[0]
	equal(k, "the body for audit", string(d.Envelope.Body), `2`)
	equal(k, "the body for the handler", string(k.take("w").Envelope.Body), `2`)
}

func replaceInTx(k *kit) {
	first := replacement("k", 0, `1`)
	k.send(first)
	for _, commit := range []bool{false, true} {
		tx := k.Begin(k.t)
		bus := &symphony.Bus{Transport: k.Transport}
		r, err := bus.Dispatch(k.ctx, symphony.Raw{Type: typ, Body: []byte(`2`)}, symphony.Replace("k", 0), tx.Stamp)
		if err != nil || r.ID != first.ID || !r.Replaced {
			k.Fatalf("Dispatch in a transaction: %+v, %v", r, err)
		}
		end, want := tx.Rollback, `1`
		if commit {
			end, want = tx.Commit, `2`
		}
		if err := end(); err != nil {
			k.Fatalf("the end of the transaction: %v", err)
		}
		equal(k, "the body", string(k.find(first).Body), want)
	}
}

func replaceAtOnce(k *kit) {
	const senders, each = 4, 30
	var all sync.WaitGroup
	var stored atomic.Int64
	for sender := range senders {
		all.Go(func() {
			for i := range each {
				env := replacement("k", 0, fmt.Sprint(sender*each+i))
				rs, err := k.Transport.Send(k.ctx, []*symphony.Envelope{env})
				switch {
				case err != nil:
					k.Errorf("Send: %v", err)
				case rs[0].ID == env.ID && !rs[0].Duplicate && !rs[0].Replaced:
					stored.Add(1)
				case !rs[0].Duplicate || !rs[0].Replaced:
					k.Errorf("the receipt is %+v", rs[0])
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() { all.Wait(); close(ended) }()
	handled := int64(0)
	for over := false; !over || handled < stored.Load(); {
		ctx, cancel := context.WithTimeout(k.ctx, 50*time.Millisecond)
		ds, _ := k.Transport.Receive(ctx, claim("w", 10))
		cancel()
		k.done(ds)
		handled += int64(len(ds))
		select {
		case <-ended:
			over = true
		default:
		}
	}
	equal(k, "how many were handled", handled, stored.Load())
	k.counted("at the end", map[countOf]int64{{queue, typ, monitor.Completed}: handled})
}
