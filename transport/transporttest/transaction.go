package transporttest

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func transactionTests() []test {
	return []test{
		{
			"transaction/send and commit", "Dispatch in a transaction goes to the transport of that transaction; not seen before commit. (S11)",
			transactions, txSend,
		},
		{
			"transaction/send and roll back", "Transactional both ways: what was sent in a transaction that is rolled back never was. (promise 3)",
			transactions, txSendRollback,
		},
		{
			"transaction/key and roll back", "A key is taken from acceptance: a rolled back message has none. (S4, S11)",
			transactions | keys, txKeyRollback,
		},
		{
			"transaction/complete and commit", "If it was committed, the message is gone and the verdict changes nothing; it never reports ErrLeaseLost. (S12, Verdict)",
			transactions | find, txComplete,
		},
		{
			"transaction/complete and roll back", "If not, the verdict is applied as it stands and named by a *NotCommittedError. (Verdict)",
			transactions | find, txCompleteRollback,
		},
		{
			"transaction/complete without the lease", "Completion in a transaction carries the token and changes nothing when the lease was lost: ErrLeaseLost. (promise 2)",
			transactions | find, txCompleteLost,
		},
		{
			"transaction/complete in a group", "Completion frees the group when it is committed, and not before. (S5, S12)",
			transactions | groups, txCompleteGroup,
		},
	}
}

// dispatch sends in tx, as a user would.
func (k *kit) dispatch(tx Tx, stamps ...symphony.Stamp) *symphony.Envelope {
	k.Helper()
	bus := &symphony.Bus{Transport: k.Transport}
	m := symphony.Raw{Type: typ, Body: []byte(`{}`)}
	r, err := bus.Dispatch(k.ctx, m, append(stamps, symphony.Queue(queue), tx.Stamp)...)
	if err != nil {
		k.Fatalf("Dispatch in a transaction: %v", err)
	}
	return &symphony.Envelope{ID: r.ID}
}

func (k *kit) must(what string, do func() error) {
	k.Helper()
	if err := do(); err != nil {
		k.Fatalf("%s: %v", what, err)
	}
}

func txSend(k *kit) {
	tx := k.Begin(k.t)
	a, b := k.dispatch(tx), k.dispatch(tx)
	if finder := power1[monitor.Finder](k); finder != nil {
		if r, err := finder.Find(k.ctx, a.ID); !errors.Is(err, monitor.ErrNotFound) {
			k.Errorf("Find before the commit: %+v, %v, want ErrNotFound", r, err)
		}
	}
	k.must("Commit", tx.Commit)
	k.takeOnly("w", a, b)
}

func txSendRollback(k *kit) {
	tx := k.Begin(k.t)
	k.dispatch(tx)
	k.must("Rollback", tx.Rollback)
	k.takeOnly("w")
	if counter := power1[monitor.Counter](k); counter != nil {
		k.counted("after the rollback", map[countOf]int64{})
	}
}

func txKeyRollback(k *kit) {
	tx := k.Begin(k.t)
	k.dispatch(tx, symphony.IdempotencyKey("k", lease))
	k.must("Rollback", tx.Rollback)
	k.takeOnly("w", k.fresh("after the rollback", "k", lease))
}

// complete completes d in tx from within a handler, which is where users do it.
func (k *kit) complete(tx Tx, d symphony.Delivery) error {
	k.Helper()
	err := errors.New("the handler was not called")
	k.handle(d, func(ctx context.Context) { err = tx.Complete(ctx) })
	return err
}

// handle calls do as the handler of d. A worker hands d over, from a transport that has nothing else
// and forgets the verdict: the cases give their own.
func (k *kit) handle(d symphony.Delivery, do func(ctx context.Context)) {
	k.Helper()
	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	bus := &symphony.Bus{Logger: slog.New(slog.DiscardHandler)}
	symphony.HandleRaw(bus, d.Envelope.Type, func(ctx context.Context, _ *symphony.Envelope) error {
		do(ctx)
		return nil
	})
	worker := &symphony.Worker{Bus: bus, Transport: &single{d: d, settled: cancel}}
	if err := worker.Run(ctx); err != nil {
		k.Fatalf("handle a message: %v", err)
	}
}

// A single is a transport with one delivery.
type single struct {
	symphony.Transport
	once    sync.Once
	d       symphony.Delivery
	settled func()
}

// Receive implements [symphony.Transport].
func (s *single) Receive(ctx context.Context, _ symphony.Claim) (ds []symphony.Delivery, err error) {
	s.once.Do(func() { ds = []symphony.Delivery{s.d} })
	if ds != nil {
		return ds, nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// Settle implements [symphony.Transport].
func (s *single) Settle(context.Context, []symphony.Verdict) error { s.settled(); return nil }

// Renew implements [symphony.Transport].
func (s *single) Renew(context.Context, string, []symphony.Token) (symphony.Renewal, error) {
	return symphony.Renewal{}, nil
}

// Capabilities implements [symphony.Transport].
func (s *single) Capabilities() symphony.Capabilities { return symphony.Capabilities{InTx: true} }

func inTx(v symphony.Verdict) symphony.Verdict { v.InTx = true; return v }

func txComplete(k *kit) {
	for _, o := range outcomes() {
		env := message()
		k.send(env)
		d := k.take("w")
		tx := k.Begin(k.t)
		k.must("Complete", func() error { return k.complete(tx, d) })
		k.must("Commit", tx.Commit)
		k.status(env, monitor.Completed)
		k.settle(inTx(verdict(d, o)))
		k.status(env, monitor.Completed)
		k.lapse()
		k.takeOnly("w")
		k.settle(inTx(verdict(d, o)))
	}
}

func txCompleteRollback(k *kit) {
	for _, o := range []symphony.Outcome{symphony.Retried, symphony.Failed, symphony.Snoozed, symphony.Cancelled} {
		env := message()
		k.send(env)
		d := k.take("w")
		tx := k.Begin(k.t)
		k.must("Complete", func() error { return k.complete(tx, d) })
		k.must("Rollback", tx.Rollback)
		k.status(env, monitor.Processing)
		err := k.Transport.Settle(k.ctx, []symphony.Verdict{inTx(verdict(d, o))})
		open, ok := errors.AsType[*symphony.NotCommittedError](err)
		if !ok || !errors.Is(err, symphony.ErrNotCommitted) || !sameSet(open.Tokens, []symphony.Token{d.Token}) {
			k.Fatalf("Settle after the rollback: %v, want a *NotCommittedError with its token", err)
		}
		k.status(env, becomes(o))
		if becomes(o) == monitor.Pending {
			k.done(k.takeOnly("w", env))
		}
	}
}

func txCompleteLost(k *kit) {
	env := message()
	k.send(env)
	stale := k.take("w")
	k.lapse()
	current := k.take("v")
	tx := k.Begin(k.t)
	if err := k.complete(tx, stale); !errors.Is(err, symphony.ErrLeaseLost) {
		k.Errorf("Complete after the lease was lost: %v, want ErrLeaseLost", err)
	}
	k.must("Commit", tx.Commit)
	k.status(env, monitor.Processing)
	k.settle(done(current))
	k.status(env, monitor.Completed)
}

func txCompleteGroup(k *kit) {
	envs := members(2)
	k.send(envs...)
	d := k.takeOnly("w", envs[0])[0]
	tx := k.Begin(k.t)
	k.must("Complete", func() error { return k.complete(tx, d) })
	k.must("Rollback", tx.Rollback)
	k.takeOnly("w")
	tx = k.Begin(k.t)
	k.must("Complete", func() error { return k.complete(tx, d) })
	k.must("Commit", tx.Commit)
	k.takeOnly("w", envs[1])
}
