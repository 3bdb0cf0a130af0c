package transporttest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

const (
	lease    = 30 * time.Second
	queue    = "default"
	typ      = "suite.Message"
	probe    = "suite.Probe"
	patience = 10 * time.Second // until a message that is ready must have come
)

// A reporter is what a *testing.T and a *rapid.T have in common.
type reporter interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// A kit is a store with what the cases do to it. What must succeed ends the case when it does not.
type kit struct {
	reporter
	Store
	t   *testing.T
	ctx context.Context
}

func newKit(t *testing.T, r reporter, s Store) *kit {
	return &kit{reporter: r, Store: s, t: t, ctx: t.Context()}
}

func power1[T any](k *kit) T {
	v, _ := symphony.As[T](k.Transport)
	return v
}

// message returns a new envelope, changed by change.
func message(change ...func(*symphony.Envelope)) *symphony.Envelope {
	env := &symphony.Envelope{
		ID: symphony.NewID(), Type: typ, Queue: queue, Priority: 5,
		Body: []byte(`{"n":1}`), ContentType: "application/json",
	}
	for _, c := range change {
		c(env)
	}
	return env
}

func delayed(d time.Duration) func(*symphony.Envelope) {
	return func(e *symphony.Envelope) { e.Delay = d }
}

func grouped(name string) func(*symphony.Envelope) {
	return func(e *symphony.Envelope) { e.Group = name }
}

func expiring(d time.Duration) func(*symphony.Envelope) {
	return func(e *symphony.Envelope) { e.Expires = d }
}

func keyed(key string, window time.Duration) func(*symphony.Envelope) {
	return func(e *symphony.Envelope) { e.Key, e.Window = key, window }
}

func on(queue string) func(*symphony.Envelope) {
	return func(e *symphony.Envelope) { e.Queue = queue }
}

func (k *kit) send(envs ...*symphony.Envelope) []symphony.Receipt {
	k.Helper()
	receipts, err := k.Transport.Send(k.ctx, envs)
	if err != nil {
		k.Fatalf("Send: %v", err)
	}
	if len(receipts) != len(envs) {
		k.Fatalf("Send answered %d receipts for %d envelopes", len(receipts), len(envs))
	}
	return receipts
}

// few is as many messages as a store takes in one statement even where statements may not take long and the machine is busy.
const few = 250

// sendAll sends many messages, a few at a time.
func (k *kit) sendAll(envs []*symphony.Envelope) {
	k.Helper()
	for some := range slices.Chunk(envs, few) {
		k.send(some...)
	}
}

// claim is what worker asks for when it serves the queue of most cases.
func claim(worker string, most int) symphony.Claim {
	return symphony.Claim{Worker: worker, Queues: []symphony.QueueClaim{{Name: queue}}, Max: most, Lease: lease}
}

// receive claims until n messages have come.
func (k *kit) receive(c symphony.Claim, n int) []symphony.Delivery {
	k.Helper()
	ctx, cancel := context.WithTimeout(k.ctx, patience)
	defer cancel()
	var got []symphony.Delivery
	for len(got) < n {
		c.Max = n - len(got)
		ds, err := k.Transport.Receive(ctx, c)
		if err != nil {
			k.Fatalf("Receive of %s: %v; only %d of %d messages came", c.Worker, err, len(got), n)
		}
		if len(ds) == 0 || len(ds) > c.Max {
			k.Fatalf("Receive answered %d deliveries, want 1 to %d", len(ds), c.Max)
		}
		got = append(got, ds...)
	}
	return got
}

// take is receive for one worker and one message.
func (k *kit) take(worker string) symphony.Delivery {
	k.Helper()
	return k.receive(claim(worker, 1), 1)[0]
}

// takeOnly requires that exactly want can be claimed now, in this order, and returns the deliveries to
// worker. To see that there is nothing more it sends a message that comes last.
func (k *kit) takeOnly(worker string, want ...*symphony.Envelope) []symphony.Delivery {
	k.Helper()
	return k.takeOnlyFrom(claim(worker, 1), want...)
}

func (k *kit) takeOnlyFrom(c symphony.Claim, want ...*symphony.Envelope) []symphony.Delivery {
	k.Helper()
	got := k.receive(c, len(want))
	for i, d := range got {
		if d.Envelope.ID != want[i].ID {
			k.Fatalf("delivery %d of %d is %s, want %s", i+1, len(got), k.name(d.Envelope.ID, want), k.name(want[i].ID, want))
		}
	}
	last := message(on(c.Queues[len(c.Queues)-1].Name), func(e *symphony.Envelope) {
		e.Type = probe
		if k.Transport.Capabilities().Priority {
			e.Priority = 1
		}
	})
	k.send(last)
	d := k.receive(c, 1)[0]
	if d.Envelope.ID != last.ID {
		k.Fatalf("%s came, which cannot be claimed now", k.name(d.Envelope.ID, want))
	}
	k.settle(done(d))
	return got
}

// name says which of a case's messages id is.
func (k *kit) name(id symphony.ID, of []*symphony.Envelope) string {
	i := slices.IndexFunc(of, func(env *symphony.Envelope) bool { return env.ID == id })
	if i < 0 {
		return fmt.Sprintf("message %s, which nobody waits for", id)
	}
	return fmt.Sprintf("number %d of those expected", i+1)
}

func done(d symphony.Delivery) symphony.Verdict { return verdict(d, symphony.Completed) }

// verdict is one as a worker would give it.
func verdict(d symphony.Delivery, o symphony.Outcome) symphony.Verdict {
	v := symphony.Verdict{Token: d.Token, Outcome: o}
	switch o {
	case symphony.Failed:
		v.Reason = symphony.ReasonPermanent
		v.Failure = failure()
	case symphony.Retried, symphony.Cancelled:
		v.Failure = failure()
	}
	return v
}

func failure() *symphony.Failure {
	return &symphony.Failure{Error: "no such mailbox", Class: "suite.Error", Trace: "main.go:1"}
}

func after(v symphony.Verdict, d time.Duration) symphony.Verdict { v.After = d; return v }

func (k *kit) settle(verdicts ...symphony.Verdict) {
	k.Helper()
	if err := k.Transport.Settle(k.ctx, verdicts); err != nil {
		k.Fatalf("Settle: %v", err)
	}
}

// refused requires that exactly those of verdicts with the given tokens come too late.
func (k *kit) refused(verdicts []symphony.Verdict, want ...symphony.Token) {
	k.Helper()
	k.lost(k.Transport.Settle(k.ctx, verdicts), want...)
}

func (k *kit) lost(err error, want ...symphony.Token) {
	k.Helper()
	lost, ok := errors.AsType[*symphony.LostError](err)
	if !ok || !errors.Is(err, symphony.ErrLeaseLost) {
		k.Fatalf("the error is %v, want a *LostError", err)
	}
	if !sameSet(lost.Tokens, want) {
		k.Fatalf("the *LostError names %q, want %q", lost.Tokens, want)
	}
}

func sameSet[T interface{ ~string }](a, b []T) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// lapse lets every lease end.
func (k *kit) lapse() { k.Advance(lease + time.Second) }

func (k *kit) find(env *symphony.Envelope) monitor.Record {
	k.Helper()
	r, err := power1[monitor.Finder](k).Find(k.ctx, env.ID)
	if err != nil {
		k.Fatalf("Find: %v", err)
	}
	return r
}

// status requires the state of a message.
func (k *kit) status(env *symphony.Envelope, want monitor.Status) monitor.Record {
	k.Helper()
	r := k.find(env)
	if r.Status != want {
		k.Fatalf("the message is %s, want %s", r.Status, want)
	}
	return r
}

// equal requires that two values are the same.
func equal[T any](k *kit, what string, got, want T) {
	k.Helper()
	if !reflect.DeepEqual(got, want) {
		k.Errorf("%s is %+v, want %+v", what, got, want)
	}
}
