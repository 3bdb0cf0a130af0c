package transporttest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func changeTests() []test {
	return []test{
		{
			"change/cancel many", "CancelAll does for many messages what Canceller does for one. (Changer)",
			changing | cancels | find | delays | counts, changeCancel,
		},
		{
			"change/reschedule", "Reschedule makes waiting messages due at a time, or now if that is past. (Changer)",
			changing | find | delays | counts, changeReschedule,
		},
		{
			"change/reschedule by a delay", "A delay is added by the store to its own clock. (Due, S1)",
			changing | find | delays, changeRescheduleDelay,
		},
		{
			"change/reschedule in a group", "A rescheduled message that has its group's turn keeps it; another one makes room. (Changer)",
			changing | groups | delays, changeRescheduleGroup,
		},
		{
			"change/priority", "Prioritize gives waiting messages a priority; they keep their places among those of the same. (Changer)",
			changing | priorities | delays, changePriority,
		},
		{
			"change/nonsense", "A priority or a time that no message may have is refused. (Changer)",
			changing, changeNonsense,
		},
		{
			"change/edit and retry", "RetryEdited retries a dead letter with another body. (Editor)",
			editing | find, changeEdit,
		},
		{
			"change/edit refused", "RetryEdited refuses a body that is not what its content type says, and changes nothing then. (Editor)",
			editing | find | keys, changeEditRefused,
		},
		{
			"workers/what they have", "Workers alive, the queues that each serves and what it has now. (Crew)",
			crews, crewHas,
		},
		{
			"workers/leave", "A worker that has left and holds nothing is no more; one that holds something keeps it until its lease ends. (Leaver)",
			crews | leaving, crewLeaves,
		},
		{
			"workers/idle", "Workers lists those alive, also those that have nothing. (Crew)",
			crews | reopening, crewIdle,
		},
		{
			"workers/returns", "A worker that was taken for dead while it had nothing is alive again when it asks for messages. (Crew)",
			crews | reopening, crewReturns,
		},
		{
			"subscription/unsubscribe", "Unsubscribe: what is dispatched from then on has no copy. (Subscriptions)",
			unsubscribing | subscriptions, unsubscribe,
		},
	}
}

func idsOf(envs ...*symphony.Envelope) []symphony.ID {
	ids := make([]symphony.ID, len(envs))
	for i, env := range envs {
		ids[i] = env.ID
	}
	return ids
}

// answered requires answers of a Changer: nil, or ErrNotFound where found is false.
func (k *kit) answered(found ...bool) func(answers []error, err error) {
	k.Helper()
	return func(answers []error, err error) {
		k.Helper()
		if err != nil || len(answers) != len(found) {
			k.Fatalf("%d answers, want %d; %v", len(answers), len(found), err)
		}
		for i, err := range answers {
			if found[i] && err != nil || !found[i] && !errors.Is(err, monitor.ErrNotFound) {
				k.Fatalf("answer %d is %v, want found: %v", i+1, err, found[i])
			}
		}
	}
}

func changeCancel(k *kit) {
	running, pending, scheduled, ended := message(), message(), message(delayed(time.Hour)), message()
	k.send(ended)
	k.settle(done(k.take("w")))
	k.send(running, pending, scheduled)
	d := k.take("w")
	c := power1[monitor.Changer](k)
	k.answered(true, true, false, true, false)(c.CancelAll(k.ctx, idsOf(running, pending, ended, scheduled, message())))
	k.status(pending, monitor.Cancelled)
	k.status(scheduled, monitor.Cancelled)
	k.status(running, monitor.Processing)
	k.renew("w", symphony.Renewal{Cancelled: []symphony.Token{d.Token}}, d)
	k.settle(verdict(d, symphony.Retried))
	k.status(running, monitor.Cancelled)
	k.counted("at the end", map[countOf]int64{{queue, typ, monitor.Completed}: 1, {queue, typ, monitor.Cancelled}: 3})
	k.takeOnly("w")
}

func changeReschedule(k *kit) {
	c := power1[monitor.Changer](k)
	a, b, running, dead := message(), message(delayed(time.Hour)), message(on("side")), message(on("failing"))
	k.send(a, b, running, dead)
	k.receive(claimOf("v", 1, symphony.QueueClaim{Name: "side"}), 1)
	k.settle(verdict(k.receive(claimOf("v", 1, symphony.QueueClaim{Name: "failing"}), 1)[0], symphony.Failed))
	at := k.find(a).CreatedAt.Add(30 * time.Minute)
	k.answered(true, false, false)(c.Reschedule(k.ctx, idsOf(a, running, dead), monitor.Due{At: at}))
	r := k.status(a, monitor.Scheduled)
	if !r.AvailableAt.Equal(at) || !r.ScheduledAt.IsZero() {
		k.Errorf("it is due at %v, want %v; and was asked for at %v", r.AvailableAt, at, r.ScheduledAt)
	}
	k.counted("with two that are scheduled", map[countOf]int64{
		{queue, typ, monitor.Scheduled}: 2, {"side", typ, monitor.Processing}: 1, {"failing", typ, monitor.Failed}: 1,
	})
	k.takeOnly("w")
	k.answered(true)(c.Reschedule(k.ctx, idsOf(b), monitor.Due{}))
	k.status(b, monitor.Pending)
	k.done(k.takeOnly("w", b))
	k.Advance(31 * time.Minute)
	k.takeOnly("w", a)
}

func changeRescheduleDelay(k *kit) {
	c := power1[monitor.Changer](k)
	k.Advance(time.Hour) // the clock of the store is not that of the process
	a, b := message(), message(delayed(time.Minute))
	k.send(a, b)
	before := k.find(a).CreatedAt
	k.answered(true, true)(c.Reschedule(k.ctx, idsOf(a, b), monitor.Due{Delay: 5*time.Minute + 1}))
	for _, env := range []*symphony.Envelope{a, b} {
		if d := k.status(env, monitor.Scheduled).AvailableAt.Sub(before); d < 5*time.Minute || d > 6*time.Minute {
			k.Errorf("it is due after %v by the clock of the store, want five minutes", d)
		}
	}
	k.takeOnly("w")
	k.Advance(6 * time.Minute)
	k.takeSet("w", a, b)
}

func changeRescheduleGroup(k *kit) {
	c := power1[monitor.Changer](k)
	a, b, d := message(grouped("g")), message(grouped("g")), message(grouped("g"), delayed(time.Hour))
	k.send(a, b, d)
	now := k.find(a).CreatedAt
	k.answered(true)(c.Reschedule(k.ctx, idsOf(b), monitor.Due{At: now.Add(2 * time.Hour)}))
	k.answered(true)(c.Reschedule(k.ctx, idsOf(d), monitor.Due{}))
	k.answered(true)(c.Reschedule(k.ctx, idsOf(a), monitor.Due{At: now.Add(10 * time.Minute)}))
	k.takeOnly("w") // a holds the group until it is due
	k.Advance(11 * time.Minute)
	k.done(k.takeOnly("w", a))
	k.done(k.takeOnly("w", d))
	k.takeOnly("w")
	k.Advance(2 * time.Hour)
	k.takeOnly("w", b)
}

func changePriority(k *kit) {
	c := power1[monitor.Changer](k)
	a, b, d, later := message(), message(), message(), message(delayed(time.Hour))
	k.send(a, b, d, later)
	k.answered(true, true, true, false)(c.Prioritize(k.ctx, idsOf(d, b, later, message()), 9))
	ds := k.takeOnly("w", b, d, a)
	equal(k, "the priority of the first", ds[0].Envelope.Priority, 9)
	k.answered(false)(c.Prioritize(k.ctx, idsOf(b), 3))
	k.done(ds)
	last := message()
	k.send(last)
	k.Advance(61 * time.Minute)
	k.takeOnly("w", later, last)
}

func changeNonsense(k *kit) {
	c := power1[monitor.Changer](k)
	env := message()
	k.send(env)
	_, low := c.Prioritize(k.ctx, idsOf(env), 0)
	_, high := c.Prioritize(k.ctx, idsOf(env), 11)
	_, never := c.Reschedule(k.ctx, idsOf(env), monitor.Due{At: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)})
	_, before := c.Reschedule(k.ctx, idsOf(env), monitor.Due{Delay: -1})
	for _, err := range []error{low, high, never, before} {
		if _, ok := errors.AsType[*symphony.InvalidError](err); !ok {
			k.Errorf("%v, want an *InvalidError", err)
		}
	}
	k.answered()(c.CancelAll(k.ctx, nil))
}

func changeEdit(k *kit) {
	env := message(func(e *symphony.Envelope) { e.Tags = []string{"t"} })
	k.send(env)
	k.bury(env)
	e := power1[monitor.Editor](k)
	if err := e.RetryEdited(k.ctx, env.ID, monitor.Edit{Body: []byte(`{"n": 2}`)}); err != nil {
		k.Fatalf("RetryEdited: %v", err)
	}
	d := k.takeOnly("w", env)[0]
	equal(k, "the body", string(d.Envelope.Body), `{"n": 2}`)
	equal(k, "the rest", d.Envelope.ContentType+" "+d.Envelope.Tags[0], "application/json t")
	equal(k, "the attempt", d.Envelope.Attempt, 1)
	k.settle(verdict(d, symphony.Failed))
	if err := e.RetryEdited(k.ctx, env.ID, monitor.Edit{Body: []byte("\x00\xff"), ContentType: "application/octet-stream"}); err != nil {
		k.Fatalf("RetryEdited: %v", err)
	}
	d = k.takeOnly("w", env)[0]
	equal(k, "the body and its type", string(d.Envelope.Body)+d.Envelope.ContentType, "\x00\xffapplication/octet-stream")
	for what, id := range map[string]symphony.ID{"that is no dead letter any more": env.ID, "that never was": symphony.NewID()} {
		if err := e.RetryEdited(k.ctx, id, monitor.Edit{Body: []byte("{}")}); !errors.Is(err, monitor.ErrNotFound) {
			k.Errorf("RetryEdited of a message %s: %v, want ErrNotFound", what, err)
		}
	}
}

func changeEditRefused(k *kit) {
	env := message(keyed("k", 0))
	k.send(env)
	k.bury(env)
	e := power1[monitor.Editor](k)
	_, invalid := errors.AsType[*symphony.InvalidError](e.RetryEdited(k.ctx, env.ID, monitor.Edit{Body: []byte("{")}))
	if !invalid {
		k.Errorf("a body that is no JSON was not refused as an *InvalidError")
	}
	k.send(message(keyed("k", 0)))
	err := e.RetryEdited(k.ctx, env.ID, monitor.Edit{Body: []byte("[]")})
	if _, taken := errors.AsType[*monitor.KeyTakenError](err); !taken {
		k.Errorf("RetryEdited with a key that has passed to another: %v", err)
	}
	equal(k, "the body", string(k.status(env, monitor.Failed).Body), string(env.Body))
}

func crewHas(k *kit) {
	workers := func() []monitor.Worker {
		ws, err := power1[monitor.Crew](k).Workers(k.ctx)
		if err != nil {
			k.Fatalf("Workers: %v", err)
		}
		return ws
	}
	equal(k, "the number of workers at first", len(workers()), 0)
	a, b, c := message(), message(), message(on("side"))
	k.send(a, b, c)
	ds := k.takeOnly("one", a, b)
	k.Advance(time.Second)
	k.receive(claimOf("two", 1, symphony.QueueClaim{Name: "side"}), 1)
	ws := workers()
	if len(ws) != 2 || ws[0].Identity != "one" || ws[1].Identity != "two" {
		k.Fatalf("workers %+v, want one and two", ws)
	}
	equal(k, "what the first has", ws[0].Count, 2)
	equal(k, "the queues of the second", ws[1].Queues, []string{"side"})
	equal(k, "what the first runs", len(ws[0].Running), 2)
	r := ws[1].Running[0]
	equal(k, "what the second runs", r, monitor.Running{ID: c.ID, Type: typ, Queue: "side", Attempt: 1, Since: r.Since})
	if left := ws[1].AliveUntil.Sub(r.Since); left < lease-time.Second || left > lease+2*time.Second || ws[1].Lease != lease {
		k.Errorf("the lease of %v ends %v after the claim", ws[1].Lease, left)
	}
	// One that has as many of a queue as it may asks for the others, and serves it all the same.
	d := message(on("b"))
	k.send(d)
	k.receive(claimOf("four", 1, symphony.QueueClaim{Name: "c"}, symphony.QueueClaim{Name: "b"}), 1)
	k.Advance(lease / 2)
	e := message(on("a"))
	k.send(e)
	k.receive(claimOf("four", 1, symphony.QueueClaim{Name: "c"}, symphony.QueueClaim{Name: "a"}), 1)
	for _, w := range workers() {
		if w.Identity == "four" {
			equal(k, "the queues of one with several", w.Queues, []string{"a", "b", "c"})
		}
	}
	k.done(ds)
	k.lapse()
	k.receive(claimOf("three", 1, symphony.QueueClaim{Name: "side"}), 1)
	for _, w := range workers() {
		if w.Identity != "three" {
			k.Errorf("worker %s is alive after its lease", w.Identity)
		}
	}
}

func crewLeaves(k *kit) {
	leave := func(worker string, want ...string) {
		k.Helper()
		if err := power1[symphony.Leaver](k).Leave(k.ctx, worker); err != nil {
			k.Fatalf("Leave of %s: %v", worker, err)
		}
		ws, err := power1[monitor.Crew](k).Workers(k.ctx)
		if err != nil {
			k.Fatalf("Workers: %v", err)
		}
		var names []string
		for _, w := range ws {
			names = append(names, w.Identity)
		}
		equal(k, "who is alive after "+worker+" has left", names, want)
	}
	a, b := message(), message()
	k.send(a)
	ds := k.takeOnly("one", a)
	k.send(b)
	k.takeOnly("two", b)
	leave("one", "one", "two")
	k.done(ds)
	leave("one", "two")
	leave("one", "two")
	leave("nobody", "two")
	leave("two", "two")
	k.lapse()
	d := k.take("three") // what the second had
	equal(k, "the tally of what was left", tallyOf(d), tally{Attempt: 1, Crashes: 1, Fence: 2})
	leave("two", "three")
	// Its name may come again.
	k.settle(done(d))
	leave("three")
	k.send(message())
	k.settle(done(k.take("one")))
	leave("one")
}

func crewIdle(k *kit) {
	ctx, cancel := context.WithTimeout(k.ctx, 200*time.Millisecond)
	defer cancel()
	if ds, err := k.Transport.Receive(ctx, claim("idle", 1)); err == nil {
		k.Fatalf("an empty store has delivered %+v", ds)
	}
	alive := func() int {
		ws, err := power1[monitor.Crew](k).Workers(k.ctx)
		if err != nil || len(ws) == 1 && ws[0].Identity != "idle" {
			k.Fatalf("Workers: %+v, %v", ws, err)
		}
		return len(ws)
	}
	equal(k, "the number of workers", alive(), 1)
	k.Advance(lease / 2)
	k.renew("idle", symphony.Renewal{})
	k.Advance(lease / 2)
	equal(k, "the number of workers after a heartbeat", alive(), 1)
	k.Advance(lease)
	equal(k, "the number of workers without one", alive(), 0)
}

// crewReturns has a worker without messages taken for dead, as after a pause of its process.
func crewReturns(k *kit) {
	wait := func() {
		ctx, cancel := context.WithTimeout(k.ctx, 200*time.Millisecond)
		defer cancel()
		if ds, err := k.Transport.Receive(ctx, claimOf("idle", 1, symphony.QueueClaim{Name: "empty"})); err == nil {
			k.Fatalf("an empty queue has delivered %+v", ds)
		}
	}
	wait()
	k.lapse()
	a := message()
	k.send(a)
	k.done(k.takeOnly("other", a)) // and whoever is dead is forgotten
	k.renew("idle", symphony.Renewal{})
	wait()
	ws, err := power1[monitor.Crew](k).Workers(k.ctx)
	if err != nil || !slices.ContainsFunc(ws, func(w monitor.Worker) bool { return w.Identity == "idle" }) {
		k.Errorf("Workers: %+v, %v: want idle too", ws, err)
	}
}

func unsubscribe(k *kit) {
	store := power1[symphony.SubscriptionStore](k)
	subs := []symphony.Subscription{{Type: typ, Owner: "app"}, {Type: typ, Subscriber: "audit", Owner: "app", Queue: "side"}}
	if err := store.Subscribe(k.ctx, subs); err != nil {
		k.Fatalf("Subscribe: %v", err)
	}
	s := power1[monitor.Subscriptions](k)
	list, err := s.Subscribers(k.ctx)
	if err != nil || len(list) != 2 {
		k.Fatalf("Subscribers: %+v, %v", list, err)
	}
	equal(k, "the second", list[1].Subscription, subs[1])
	if list[1].LastSeen.IsZero() || list[1].CreatedAt.IsZero() {
		k.Errorf("seen %v, created %v", list[1].LastSeen, list[1].CreatedAt)
	}
	before := k.send(message())
	equal(k, "the copies before", len(before[0].Copies), 1)
	if err := s.Unsubscribe(k.ctx, typ, "audit"); err != nil {
		k.Fatalf("Unsubscribe: %v", err)
	}
	equal(k, "the copies after", len(k.send(message())[0].Copies), 0)
	equal(k, "those that wait", k.receive(claimOf("w", 1, symphony.QueueClaim{Name: "side"}), 1)[0].Envelope.ID, before[0].Copies[0])
	if err := s.Unsubscribe(k.ctx, typ, "audit"); !errors.Is(err, monitor.ErrNotFound) {
		k.Errorf("Unsubscribe again: %v, want ErrNotFound", err)
	}
}
