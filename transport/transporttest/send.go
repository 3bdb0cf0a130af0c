package transporttest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"

	"github.com/symphony-messenger/symphony"
)

func sendTests() []test {
	return []test{
		{
			"send/all or none", "Send stores all envelopes or none. (Sender)",
			0, sendAllOrNone,
		},
		{
			"send/receipts in order", "Send returns the receipts of the envelopes in order. (Sender)",
			0, sendReceipts,
		},
		{
			"send/repeated", "An envelope whose ID is stored already is not stored again and is no duplicate: that makes Send repeatable. (Sender)",
			0, sendRepeated,
		},
		{
			"send/envelopes stay the caller's", "Send does not keep or change envs. (Sender)",
			0, sendCopies,
		},
		{
			"send/ended context", "A Send that fails stores nothing, unless it says that its outcome is unknown. (Sender, S13)",
			0, sendEnded,
		},
		{
			"send/seen by every process", "When Send returns nil, the message is in the store, whoever looks. (Sender)",
			reopening, sendSeenByOthers,
		},
	}
}

// sendAllOrNone lets the store refuse the last of a batch: priorities are 1 to 10 (S16: every store
// checks what the bus checks).
func sendAllOrNone(k *kit) {
	first, second := message(), message()
	bad := message(func(e *symphony.Envelope) { e.Priority = 11 })
	if receipts, err := k.Transport.Send(k.ctx, []*symphony.Envelope{first, second, bad}); err == nil {
		k.Fatalf("Send of a message with priority 11 answered %+v and no error", receipts)
	}
	k.takeOnly("w")
	k.send(second, first)
	k.takeOnly("w", second, first)
}

func sendReceipts(k *kit) {
	envs := make([]*symphony.Envelope, 1000)
	for i := range envs {
		envs[i] = message()
	}
	for i, r := range k.send(envs...) {
		if r.ID != envs[i].ID || r.Duplicate || len(r.Copies) > 0 {
			k.Fatalf("receipt %d of 1,000 is %+v, want the ID %s alone", i+1, r, envs[i].ID)
		}
	}
	k.takeOnly("w", envs...)
	if receipts, err := k.Transport.Send(k.ctx, nil); err != nil || len(receipts) > 0 {
		k.Errorf("Send of nothing: %+v, %v", receipts, err)
	}
}

func sendRepeated(k *kit) {
	a, b := message(), message()
	repeat := func(when string) {
		for _, r := range k.send(a, b, b) {
			if r.Duplicate || r.ID != a.ID && r.ID != b.ID {
				k.Fatalf("%s: the receipt is %+v", when, r)
			}
		}
	}
	k.send(a)
	repeat("while it waits")
	ds := k.takeOnly("w", a, b)
	repeat("while it is handled")
	k.takeOnly("w")
	k.settle(verdict(ds[0], symphony.Retried), verdict(ds[1], symphony.Snoozed))
	repeat("while it waits again")
	k.takeOnly("w", a, b)
}

func sendCopies(k *kit) {
	limit := 7
	env := message(func(e *symphony.Envelope) {
		e.Headers = map[string]string{"tenant": "acme"}
		e.Tags = []string{"one", "two"}
		e.MaxRetries = &limit
	})
	before := *env
	before.Body, before.Headers, before.Tags = bytes.Clone(env.Body), maps.Clone(env.Headers), slices.Clone(env.Tags)
	k.send(env)
	if !reflect.DeepEqual(*env, before) {
		k.Fatalf("after Send the caller's envelope is %+v, was %+v", *env, before)
	}
	spoil := func(e *symphony.Envelope) {
		e.Body[0], e.Headers["tenant"], e.Tags[0], *e.MaxRetries, e.Queue = 'X', "evil", "three", 99, "elsewhere"
	}
	spoil(env)
	for _, delivery := range []string{"first", "second"} {
		d := k.take("w")
		got := d.Envelope
		if !bytes.Equal(got.Body, before.Body) || got.Headers["tenant"] != "acme" || got.Tags[0] != "one" || *got.MaxRetries != 7 || got.Queue != queue {
			k.Fatalf("the %s delivery shows what was changed outside of the store: %+v", delivery, got)
		}
		spoil(got)
		k.settle(verdict(d, symphony.Released))
	}
}

func sendEnded(k *kit) {
	ctx, cancel := context.WithCancel(k.ctx)
	cancel()
	for range 10 {
		env := message()
		switch _, err := k.Transport.Send(ctx, []*symphony.Envelope{env}); {
		case err == nil:
			k.done(k.takeOnly("w", env))
		case !errors.Is(err, symphony.ErrOutcomeUnknown):
			k.takeOnly("w")
		default:
			k.send(env) // which makes it known
			k.done(k.takeOnly("w", env))
		}
	}
}

func sendSeenByOthers(k *kit) {
	other := newKit(k.t, k.reporter, Store{Transport: k.Reopen(k.t), Advance: k.Advance})
	a, b := message(), message()
	k.send(a)
	d := other.takeOnly("w", a)[0]
	other.send(b)
	other.settle(done(d))
	k.refused([]symphony.Verdict{done(d)}, d.Token)
	k.takeOnly("v", b)
}
