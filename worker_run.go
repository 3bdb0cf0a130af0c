package symphony

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/symphony-messenger/symphony/internal/engine"
	"github.com/symphony-messenger/symphony/internal/share"
	"github.com/symphony-messenger/symphony/retry"
)

// A run is one call of Worker.Run. Its engine says when something happens; the run knows what.
type run struct {
	Worker // its defaults filled in

	id        string
	ctx       context.Context // of observer and log: it has the values of Run's, and does not end
	engine    *engine.Engine[task]
	exchanger Exchanger // nil: the transport is none

	// Of the calls that claim.
	taking sync.Mutex // guards the next two
	kinds  map[*registration]*engine.Kind
	warned map[string]time.Time // about types without a handler
}

// A task is a delivery in the hands of a worker, and what has become of it.
type task struct {
	Delivery
	reg     *registration // nil: there is no handler
	verdict Verdict
	err     error
	took    time.Duration
}

type job = engine.Job[task]

// newRun expects a worker that has passed its check.
func newRun(ctx context.Context, w Worker) *run {
	host, _ := os.Hostname()
	w.Transport = cmp.Or(w.Transport, w.Bus.Transport)
	w.Name = cmp.Or(w.Name, host, "worker")
	w.Concurrency = cmp.Or(w.Concurrency, 10)
	w.Lease = cmp.Or(w.Lease, 30*time.Second)
	w.Grace = cmp.Or(w.Grace, 20*time.Second)
	w.MaxCrashes = cmp.Or(w.MaxCrashes, 5)
	w.Unknown = cmp.Or(w.Unknown, 24*time.Hour)
	if w.Retry == nil {
		w.Retry = retry.Exponential{}
	}
	w.Logger = cmp.Or(w.Logger, w.Bus.logger())
	if len(w.Queues) == 0 {
		w.Queues = []WorkerQueue{{Name: defaultQueue}}
	}
	r := &run{
		Worker: w, id: w.Name + "-" + rand.Text()[:10], ctx: context.WithoutCancel(ctx),
		kinds: make(map[*registration]*engine.Kind), warned: make(map[string]time.Time),
	}
	r.Logger = w.Logger.With("worker", r.id)
	queues := share.New(w.Strict)
	for _, q := range w.Queues {
		queues.Add(q.Name, max(q.Weight, 1), q.Concurrency)
	}
	c := engine.Config[task]{
		Concurrency: w.Concurrency, Lease: w.Lease, Grace: w.Grace, Hurry: w.Hurry, Limits: engine.Limits(w.Limits),
		Queues: queues, Log: r.Logger, LeaseLost: ErrLeaseLost, Cancelled: ErrCancelled, Stopping: ErrStopping,
		Open: r.subscribe, Claim: r.receive, Settle: r.settle, Renew: r.renew, Fatal: unusable, Upkeep: r.upkeep, Leave: r.leave,
		Start: r.start, Refuse: refuse, Lost: r.leaseLost,
	}
	if ex, ok := As[Exchanger](w.Transport); ok {
		r.exchanger, c.Exchange = ex, r.exchange
	}
	r.engine = engine.New(c)
	return r
}

// unusable reports whether a store will go on to refuse us.
func unusable(err error) bool {
	return errors.Is(err, ErrNotMigrated) || errors.Is(err, ErrSchemaTooNew) || errors.Is(err, errors.ErrUnsupported)
}

// checkTransport refuses one that would never send anything to the subscribers of the bus.
func (r *run) checkTransport() error {
	if r.Transport == nil {
		return errors.New("neither it nor its bus has a transport")
	}
	if _, ok := As[SubscriptionStore](r.Transport); ok {
		return nil
	}
	for _, s := range r.Bus.subscriptions() {
		if s.Subscriber != "" {
			return fmt.Errorf("%w: subscriptions, as that of %s to %s", ErrUnsupported, s.Subscriber, s.Type)
		}
	}
	return nil
}

// subscribe tells the store of our handlers, so that nothing dispatched from now on misses them.
func (r *run) subscribe(ctx context.Context) error {
	store, ok := As[SubscriptionStore](r.Transport)
	subs := r.Bus.subscriptions()
	if !ok || len(subs) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.Lease)
	defer cancel()
	return store.Subscribe(ctx, subs)
}

// leave tells the store that the worker has ended.
func (r *run) leave(ctx context.Context) error {
	if l, ok := As[Leaver](r.Transport); ok {
		return l.Leave(ctx, r.id)
	}
	return nil
}

// upkeep does the store's chores of about a minute, and tells it every ten that the subscribers live.
func (r *run) upkeep(ctx context.Context, round int) (more bool, err error) {
	if round%10 == 9 {
		err = r.subscribe(ctx)
	}
	if m, ok := As[Maintainer](r.Transport); ok && err == nil {
		return m.Maintain(ctx)
	}
	return false, err
}
