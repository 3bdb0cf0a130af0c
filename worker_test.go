package symphony_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/transport/memory"
)

// task is a message for workers; its type says which.
type task struct {
	N int `json:"n"`
}

func (task) MessageType() string { return "test.task" }

// A probe is a store in memory that notes what a worker asks of it and fails when told to.
type probe struct {
	*memory.Transport
	fail func(call string) error // nil: never

	mu      sync.Mutex
	claims  []symphony.Claim
	batches [][]symphony.Verdict
	renewed int
	stored  []symphony.Subscription
}

func newProbe() *probe { return &probe{Transport: new(memory.Transport)} }

func (p *probe) called(call string, note func()) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		if err := p.fail(call); err != nil {
			return err
		}
	}
	note()
	return nil
}

func (p *probe) Receive(ctx context.Context, c symphony.Claim) ([]symphony.Delivery, error) {
	if err := p.called("receive", func() { p.claims = append(p.claims, c) }); err != nil {
		return nil, err
	}
	return p.Transport.Receive(ctx, c)
}

func (p *probe) Exchange(ctx context.Context, vs []symphony.Verdict, c symphony.Claim) ([]symphony.Delivery, error) {
	err := p.called("settle", func() { p.claims, p.batches = append(p.claims, c), append(p.batches, vs) })
	if err != nil {
		return nil, err
	}
	return p.Transport.Exchange(ctx, vs, c)
}

func (p *probe) Settle(ctx context.Context, vs []symphony.Verdict) error {
	if err := p.called("settle", func() { p.batches = append(p.batches, vs) }); err != nil {
		return err
	}
	return p.Transport.Settle(ctx, vs)
}

func (p *probe) Renew(ctx context.Context, worker string, held []symphony.Token) (symphony.Renewal, error) {
	if err := p.called("renew", func() { p.renewed++ }); err != nil {
		return symphony.Renewal{}, err
	}
	return p.Transport.Renew(ctx, worker, held)
}

func (p *probe) Subscribe(ctx context.Context, subs []symphony.Subscription) error {
	if err := p.called("subscribe", func() { p.stored = append(p.stored, subs...) }); err != nil {
		return err
	}
	return p.Transport.Subscribe(ctx, subs)
}

func (p *probe) Maintain(ctx context.Context) (bool, error) {
	if err := p.called("maintain", func() {}); err != nil {
		return false, err
	}
	return p.Transport.Maintain(ctx)
}

// verdicts returns all verdicts that reached the store, in order.
func (p *probe) verdicts() []symphony.Verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Concat(p.batches...)
}

func (p *probe) asked() []symphony.Claim {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.claims)
}

// record returns what the store knows about the message of receipt r.
func (p *probe) record(t *testing.T, r symphony.Receipt) monitor.Record {
	t.Helper()
	rec, err := p.Find(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// A logbook keeps log lines with the time at which they came.
type logbook struct {
	mu    sync.Mutex
	lines []string
	times []time.Time
}

func (j *logbook) Enabled(context.Context, slog.Level) bool { return true }
func (j *logbook) WithAttrs([]slog.Attr) slog.Handler       { return j }
func (j *logbook) WithGroup(string) slog.Handler            { return j }
func (j *logbook) Handle(_ context.Context, r slog.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	j.lines, j.times = append(j.lines, line), append(j.times, r.Time)
	return nil
}

func logger(to *logbook) *slog.Logger { return slog.New(to) }

// with returns how many lines contain text.
func (j *logbook) with(text string) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range j.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// run starts w, which stops when the test ends or calls stop.
func run(t *testing.T, w *symphony.Worker) (stop func() error) {
	t.Helper()
	if w.Logger == nil {
		w.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = stop() })
	return stop
}

// pass lets time pass in a bubble, and everything happen that is due by then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// dispatch sends n tasks and returns their receipts.
func dispatch(t *testing.T, b *symphony.Bus, n int, stamps ...symphony.Stamp) []symphony.Receipt {
	t.Helper()
	ms := make([]symphony.Message, n)
	for i := range ms {
		ms[i] = task{i}
	}
	rs, err := b.DispatchAll(t.Context(), ms, stamps...)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// abandon claims messages in the name of a worker that then dies, and waits until their leases are over.
func abandon(t *testing.T, p *probe, n int) {
	t.Helper()
	ds, err := p.Transport.Receive(t.Context(), symphony.Claim{
		Worker: "dead", Queues: []symphony.QueueClaim{{Name: "default"}}, Max: n, Lease: time.Second,
	})
	if err != nil || len(ds) != n {
		t.Fatalf("claimed %d, error %v, want %d", len(ds), err, n)
	}
	time.Sleep(1100 * time.Millisecond) // in a bubble
}

func TestWorkerHandlesWhatIsDispatched(t *testing.T) {
	for name, hide := range map[string]bool{"exchanges": false, "settles and receives": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProbe()
				bus := &symphony.Bus{Transport: p}
				if hide {
					bus.Transport = struct{ symphony.Transport }{p}
				}
				var mu sync.Mutex
				seen := make(map[int]int)
				symphony.Handle(bus, func(_ context.Context, m task) error {
					mu.Lock()
					defer mu.Unlock()
					seen[m.N]++
					return nil
				})
				rs := dispatch(t, bus, 500)
				run(t, &symphony.Worker{Bus: bus, Concurrency: 7})
				pass(time.Second)
				for i, r := range rs {
					if rec := p.record(t, r); rec.Status != monitor.Completed || rec.Fence != 1 || seen[i] != 1 {
						t.Fatalf("message %d: %s after %d deliveries, handled %d times", i, rec.Status, rec.Fence, seen[i])
					}
				}
				for _, c := range p.asked() {
					if c.Max < 1 || c.Max > 7 {
						t.Fatalf("a claim of %d, want 1 to 7", c.Max)
					}
				}
			})
		})
	}
}

func TestContextOfHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		got := make(chan error, 1)
		symphony.Handle(bus, func(ctx context.Context, _ task) error {
			env, hasEnv := symphony.EnvelopeFrom(ctx)
			d, hasDelivery := symphony.DeliveryFrom(ctx)
			_, ends := ctx.Deadline()
			switch {
			case !hasEnv || env.Type != "test.task" || env.Attempt != 1 || env.Fence != 1:
				got <- fmt.Errorf("envelope %+v", env)
			case !hasDelivery || d.Envelope != env || d.Token == "":
				got <- fmt.Errorf("delivery %+v", d)
			case ctx.Value(key{}) != "value":
				got <- errors.New("the values of Run's context are missing")
			case ends:
				got <- errors.New("it has a deadline, though nobody gave one")
			default:
				got <- nil
			}
			return nil
		})
		dispatch(t, bus, 1)
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		go func() {
			if err := <-got; err != nil {
				t.Error(err)
			}
			cancel()
		}()
		if err := (&symphony.Worker{Bus: bus}).Run(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestObserverSeesEachStepInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		fails := errors.New("once")
		symphony.Handle(bus, func(ctx context.Context, m task) error {
			time.Sleep(3 * time.Second)
			if env, _ := symphony.EnvelopeFrom(ctx); env.Attempt == 1 && m.N == 0 {
				return fails
			}
			return nil
		})
		var log logbook
		o := &observer{seen: make(map[symphony.ID][]symphony.Event)}
		run(t, &symphony.Worker{Bus: bus, Observer: o, Logger: logger(&log)})
		rs := dispatch(t, bus, 2)
		pass(time.Minute)
		want := []symphony.EventKind{symphony.EventClaimed, symphony.EventStarted, symphony.EventSettled}
		for i, kinds := range [][]symphony.EventKind{slices.Concat(want, want), want} {
			events := o.of(rs[i].ID)
			var got []symphony.EventKind
			for _, e := range events {
				got = append(got, e.Kind)
			}
			if !slices.Equal(got, kinds) {
				t.Fatalf("message %d: events %q, want %q", i, got, kinds)
			}
			if last := events[len(events)-1]; last.Outcome != symphony.Completed || last.Took != 3*time.Second || last.Err != nil {
				t.Errorf("message %d: last event %+v", i, last)
			}
		}
		if e := o.of(rs[0].ID)[2]; e.Outcome != symphony.Retried || e.Err != fails || e.After < 900*time.Millisecond || e.After > 1100*time.Millisecond {
			t.Errorf("event of the failure: %+v", e)
		}
		if n := log.with("observer failed"); n != 9 {
			t.Errorf("%d panics of the observer in the log, want 9", n)
		}
	})
}

// An observer notes events, and panics each time.
type observer struct {
	mu   sync.Mutex
	seen map[symphony.ID][]symphony.Event
}

func (o *observer) Observe(_ context.Context, e symphony.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen[e.Envelope.ID] = append(o.seen[e.Envelope.ID], e)
	panic("observer")
}

func (o *observer) of(id symphony.ID) []symphony.Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen[id]
}

func TestLoneMessageSettlesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		symphony.Handle(bus, func(ctx context.Context, m task) error {
			if m.N > 0 {
				<-ctx.Done()
			}
			return nil
		})
		run(t, &symphony.Worker{Bus: bus, Concurrency: 100})
		dispatch(t, bus, 5) // four run on
		began := time.Now()
		synctest.Wait()
		if n := len(p.verdicts()); n != 1 || time.Since(began) != 0 {
			t.Errorf("%d verdicts after %v, want 1 at once", n, time.Since(began))
		}
	})
}

func TestVerdictsAreBatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		symphony.Handle(bus, func(context.Context, task) error { return nil })
		dispatch(t, bus, 1000)
		run(t, &symphony.Worker{Bus: bus, Concurrency: 100})
		pass(time.Minute)
		if n := len(p.verdicts()); n != 1000 {
			t.Fatalf("%d verdicts, want 1000", n)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if n := len(p.batches); n > 100 {
			t.Errorf("1000 verdicts in %d trips to the store, want 100 at most", n)
		}
	})
}

func TestStartAndStopLeaveNothingBehind(t *testing.T) {
	p := newProbe() // TestMain looks for goroutines
	bus := &symphony.Bus{Transport: p}
	var handled sync.WaitGroup
	symphony.Handle(bus, func(context.Context, task) error {
		handled.Done()
		return nil
	})
	for range 100 {
		stop := run(t, &symphony.Worker{Bus: bus})
		handled.Add(3)
		dispatch(t, bus, 3)
		handled.Wait()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	if vs := p.verdicts(); len(vs) != 300 || slices.ContainsFunc(vs, func(v symphony.Verdict) bool { return v.Outcome != symphony.Completed }) {
		t.Errorf("%d verdicts, want 300 that say completed", len(vs))
	}
}

func TestWorkerRefusesWhatCannotWork(t *testing.T) {
	p := newProbe()
	bus := &symphony.Bus{Transport: p}
	withSubscriber := &symphony.Bus{Transport: struct{ symphony.Transport }{p}}
	symphony.On(withSubscriber, "crm", func(context.Context, task) error { return nil })
	for name, w := range map[string]*symphony.Worker{
		"it has no bus":                         {},
		"neither it nor its bus":                {Bus: new(symphony.Bus)},
		`invalid queue "No"`:                    {Bus: bus, Queues: []symphony.WorkerQueue{{Name: "No"}}},
		`invalid queue of a worker "a"`:         {Bus: bus, Queues: []symphony.WorkerQueue{{Name: "a"}, {Name: "a"}}},
		`concurrency of queue a "-1"`:           {Bus: bus, Queues: []symphony.WorkerQueue{{Name: "a", Weight: -1}}},
		`limit of a worker "-2"`:                {Bus: bus, Concurrency: -2},
		`time of a worker "-1s"`:                {Bus: bus, Lease: -time.Second},
		`invalid limit of memory "-5"`:          {Bus: bus, Limits: symphony.Limits{Memory: -5}},
		`invalid name of a worker "a\nb"`:       {Bus: bus, Name: "a\nb"},
		"subscriptions, as that of crm to test": {Bus: withSubscriber},
	} {
		if err := w.Run(t.Context()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one that says %s", err, name)
		}
	}
	if n := len(p.asked()); n > 0 {
		t.Errorf("%d claims", n)
	}
}
