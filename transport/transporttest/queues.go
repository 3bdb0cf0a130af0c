package transporttest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
)

func queueTests() []test {
	return []test{
		{
			"queues/apart", "A claim takes from the queues that it names. (Claim)",
			0, queuesApart,
		},
		{
			"queues/preference", "Queues are in the order of preference: a later one fills what those before it leave. (Claim)",
			0, queuesPreference,
		},
		{
			"queues/priority does not cross", "Priorities never compare across queues. (S2)",
			priorities, queuesPriority,
		},
		{
			"queues/except", "Except are types that the worker cannot take now. (Claim)",
			0, queuesExcept,
		},
		{
			"receive/blocks", "Receive blocks until there is at least one. (Transport)",
			0, receiveBlocks,
		},
		{
			"receive/looks", "A ctx that ends during the first look does not keep it from bringing what is there. (Transport)",
			0, receiveLooks,
		},
		{
			"receive/ended context", "Receive blocks until ctx ends, and then returns ctx's error; nothing is leased then. (Transport)",
			0, receiveEnded,
		},
	}
}

func claimOf(worker string, most int, queues ...symphony.QueueClaim) symphony.Claim {
	return symphony.Claim{Worker: worker, Queues: queues, Max: most, Lease: lease}
}

func queuesApart(k *kit) {
	a, b := message(on("a")), message(on("b"))
	k.send(a, b)
	k.takeOnlyFrom(claimOf("w", 1, symphony.QueueClaim{Name: "b"}), b)
	k.takeOnlyFrom(claimOf("w", 1, symphony.QueueClaim{Name: "none"}))
	k.takeOnlyFrom(claimOf("w", 1, symphony.QueueClaim{Name: "none"}, symphony.QueueClaim{Name: "a"}), a)
}

func queuesPreference(k *kit) {
	var a, b []*symphony.Envelope
	for range 4 {
		a, b = append(a, message(on("a"))), append(b, message(on("b")))
	}
	k.send(slices.Concat(b, a)...)
	for _, step := range []struct {
		claim symphony.Claim
		want  []*symphony.Envelope
	}{
		{claimOf("w", 3, symphony.QueueClaim{Name: "a", Max: 1}, symphony.QueueClaim{Name: "b"}), []*symphony.Envelope{a[0], b[0], b[1]}},
		{claimOf("w", 2, symphony.QueueClaim{Name: "a", Max: 5}, symphony.QueueClaim{Name: "b"}), []*symphony.Envelope{a[1], a[2]}},
		{claimOf("w", 9, symphony.QueueClaim{Name: "b", Max: 1}, symphony.QueueClaim{Name: "a"}), []*symphony.Envelope{b[2], a[3]}},
		{claimOf("w", 9, symphony.QueueClaim{Name: "a"}, symphony.QueueClaim{Name: "b", Max: 3}), []*symphony.Envelope{b[3]}},
	} {
		got, err := k.Transport.Receive(k.ctx, step.claim)
		if err != nil {
			k.Fatalf("Receive: %v", err)
		}
		var ids, want []symphony.ID
		for _, d := range got {
			ids = append(ids, d.Envelope.ID)
		}
		for _, env := range step.want {
			want = append(want, env.ID)
		}
		if !slices.Equal(ids, want) {
			k.Fatalf("a claim of %+v answered %v, want %v", step.claim.Queues, ids, want)
		}
	}
}

func queuesPriority(k *kit) {
	low := message(on("a"), func(e *symphony.Envelope) { e.Priority = 1 })
	high := message(on("b"), func(e *symphony.Envelope) { e.Priority = 10 })
	k.send(high, low)
	c := claimOf("w", 1, symphony.QueueClaim{Name: "a"}, symphony.QueueClaim{Name: "b"})
	k.takeOnlyFrom(c, low, high)
}

func queuesExcept(k *kit) {
	of := func(name string) *symphony.Envelope { return message(func(e *symphony.Envelope) { e.Type = name }) }
	a, b, c, d := of("A"), of("B"), of("C"), of("B")
	k.send(a, b, c, d)
	some := claim("w", 1)
	some.Except = []string{"A", "C", "Z"}
	k.takeOnlyFrom(some, b, d)
	k.takeOnly("w", a, c)
}

func receiveBlocks(k *kit) {
	ctx, cancel := context.WithTimeout(k.ctx, patience)
	defer cancel()
	type answer struct {
		got []symphony.Delivery
		err error
	}
	answers := make(chan answer)
	go func() {
		got, err := k.Transport.Receive(ctx, claim("w", 10))
		answers <- answer{got, err}
	}()
	select {
	case early := <-answers:
		k.Fatalf("Receive of an empty queue returned: %d deliveries, %v", len(early.got), early.err)
	case <-time.After(50 * time.Millisecond):
	}
	env := message()
	k.send(env)
	if a := <-answers; a.err != nil || len(a.got) != 1 || a.got[0].Envelope.ID != env.ID {
		k.Fatalf("Receive that had waited: %d deliveries, %v", len(a.got), a.err)
	}
}

// A hasty context ends as soon as it has been asked whether it has.
type hasty struct {
	context.Context
	end context.CancelFunc
}

func (h hasty) Err() error {
	defer h.end()
	return h.Context.Err()
}

func receiveLooks(k *kit) {
	soon := func() hasty {
		ctx, cancel := context.WithCancel(k.ctx)
		return hasty{ctx, cancel}
	}
	env := message()
	k.send(env)
	got, err := k.Transport.Receive(soon(), claim("new", 1))
	if err != nil || len(got) != 1 || got[0].Envelope.ID != env.ID {
		k.Fatalf("Receive whose context ends after it has begun: %d deliveries, %v, want the message", len(got), err)
	}
	if got, err := k.Transport.Receive(soon(), claim("new", 1)); !errors.Is(err, context.Canceled) || len(got) > 0 {
		k.Fatalf("the same where nothing is: %d deliveries, %v", len(got), err)
	}
}

func receiveEnded(k *kit) {
	cause := errors.New("the worker stops")
	ended, cancel := context.WithCancelCause(k.ctx)
	cancel(cause)
	env := message()
	k.send(env)
	if got, err := k.Transport.Receive(ended, claim("w", 1)); !errors.Is(err, context.Canceled) || len(got) > 0 {
		k.Fatalf("Receive with an ended context: %d deliveries, %v", len(got), err)
	}
	k.done(k.takeOnly("w", env))

	short, cancelShort := context.WithTimeout(k.ctx, 20*time.Millisecond)
	defer cancelShort()
	if got, err := k.Transport.Receive(short, claim("w", 1)); !errors.Is(err, context.DeadlineExceeded) || len(got) > 0 {
		k.Fatalf("Receive whose context ends while it waits: %d deliveries, %v", len(got), err)
	}
	next := message()
	k.send(next)
	k.takeOnly("v", next)
}
