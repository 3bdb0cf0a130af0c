package symphony_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// checked is a message with a rule of its own.
type checked struct{ N int }

func (checked) MessageType() string { return "test.checked" }

func (c checked) Validate() error {
	if c.N < 0 {
		return errNegative
	}
	return nil
}

func TestErrorsDecideTheFate(t *testing.T) {
	failed := errors.New("failed")
	for name, c := range map[string]struct {
		handle func() error
		want   symphony.Outcome
		after  time.Duration
		reason symphony.Reason
		text   string // of the failure
		class  string
		trace  string // a part of it
	}{
		"nil":              {handle: func() error { return nil }, want: symphony.Completed},
		"ordinary":         {func() error { return failed }, symphony.Retried, 7 * time.Second, "", "failed", "error", ""},
		"wrapped":          {func() error { return fmt.Errorf("read: %w", io.EOF) }, symphony.Retried, 7 * time.Second, "", "read: EOF", "error", ""},
		"permanent":        {func() error { return symphony.Permanent(failed) }, symphony.Failed, 0, symphony.ReasonPermanent, "failed", "error", ""},
		"wrapped fate":     {func() error { return fmt.Errorf("x: %w", symphony.Permanent(failed)) }, symphony.Failed, 0, symphony.ReasonPermanent, "x: failed", "error", ""},
		"retry in":         {func() error { return symphony.RetryIn(time.Minute, failed) }, symphony.Retried, time.Minute, "", "failed", "error", ""},
		"retry in no time": {func() error { return symphony.RetryIn(-time.Minute, failed) }, symphony.Retried, 0, "", "failed", "error", ""},
		"snooze":           {handle: func() error { return symphony.Snooze(time.Hour) }, want: symphony.Snoozed, after: time.Hour},
		"cancel":           {func() error { return symphony.Cancel(failed) }, symphony.Cancelled, 0, "", "failed", "error", ""},
		"panic":            {func() error { panic("oh") }, symphony.Retried, 7 * time.Second, "", "panic: oh", "*symphony.PanicError", "TestErrorsDecideTheFate"},
		"panic with error": {func() error { panic(symphony.Permanent(failed)) }, symphony.Failed, 0, symphony.ReasonPermanent, "panic: failed", "*symphony.PanicError", "TestErrorsDecideTheFate"},
		"panic with nil":   {func() error { panic(nil) }, symphony.Retried, 7 * time.Second, "", "panic: panic called with nil", "*runtime.PanicNilError", "TestErrorsDecideTheFate"},
		"Goexit": {
			func() error { runtime.Goexit(); return nil }, symphony.Retried, 7 * time.Second, "",
			"handler ended its goroutine with runtime.Goexit", "*symphony.PanicError", "Goexit",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProbe()
				bus := &symphony.Bus{Transport: p}
				symphony.Handle(bus, func(context.Context, task) error { return c.handle() }, symphony.Retry(fixed{7 * time.Second, 3}))
				dispatch(t, bus, 1)
				stop := run(t, &symphony.Worker{Bus: bus})
				synctest.Wait()
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				vs := p.verdicts()
				if len(vs) == 0 {
					t.Fatal("no verdict")
				}
				v := vs[0]
				near := v.After >= c.after*9/10 && v.After <= c.after*11/10
				if v.Outcome != c.want || !near || v.Reason != c.reason || (v.Failure == nil) != (c.text == "") {
					t.Fatalf("verdict %+v, want %s after %v, reason %q", v, c.want, c.after, c.reason)
				}
				if f := v.Failure; f != nil && (!strings.HasPrefix(f.Error, c.text) || f.Class != c.class ||
					!strings.Contains(f.Trace, c.trace) || (f.Trace == "") != (c.trace == "")) {
					t.Errorf("failure %q of class %q with trace %.2000q, want %q of %q with %q", f.Error, f.Class, f.Trace, c.text, c.class, c.trace)
				}
			})
		})
	}
}

func TestMessagesThatCannotBeHandled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		symphony.Handle(bus, func(context.Context, checked) error {
			t.Error("the handler was called")
			return nil
		})
		broken, err := bus.Dispatch(t.Context(), symphony.Raw{Type: "test.checked", Body: []byte(`{"N":"x"}`)})
		if err != nil {
			t.Fatal(err)
		}
		refused, err := bus.Dispatch(t.Context(), symphony.Raw{Type: "test.checked", Body: []byte(`{"N":-1}`)})
		if err != nil {
			t.Fatal(err)
		}
		var log logbook
		run(t, &symphony.Worker{Bus: bus, Logger: logger(&log)})
		synctest.Wait()
		for r, want := range map[symphony.ID]symphony.Reason{broken.ID: symphony.ReasonUndecodable, refused.ID: symphony.ReasonInvalid} {
			rec, err := p.Find(t.Context(), r)
			if err != nil || rec.Status != monitor.Failed || rec.Reason != want || len(rec.Body) == 0 {
				t.Errorf("%s, reason %q, body %q, error %v; want a dead letter with reason %s", rec.Status, rec.Reason, rec.Body, err, want)
			}
			if n := log.with(r.String()); n != 1 {
				t.Errorf("%d log lines about %s, want 1", n, r)
			}
		}
	})
}

func TestWhichPolicyDecides(t *testing.T) {
	own, queues, workers := fixed{time.Second, 5}, fixed{2 * time.Second, 4}, fixed{3 * time.Second, 3}
	for name, c := range map[string]struct {
		handler, queue, worker symphony.RetryPolicy
		stamps                 []symphony.Stamp
		fails                  error
		attempts               int
		wait                   time.Duration // before each, within a tenth
	}{
		"default":         {attempts: 4},
		"worker":          {worker: workers, attempts: 4, wait: 3 * time.Second},
		"queue":           {worker: workers, queue: queues, attempts: 5, wait: 2 * time.Second},
		"handler":         {worker: workers, queue: queues, handler: own, attempts: 6, wait: time.Second},
		"stamp":           {worker: workers, queue: queues, handler: own, stamps: []symphony.Stamp{symphony.MaxRetries(1)}, attempts: 2, wait: time.Second},
		"stamp says more": {worker: workers, stamps: []symphony.Stamp{symphony.MaxRetries(6)}, attempts: 7, wait: 3 * time.Second},
		"stamp says none": {worker: workers, stamps: []symphony.Stamp{symphony.MaxRetries(0)}, attempts: 1},
		"retry in": {
			handler: own, fails: symphony.RetryIn(9*time.Second, errors.New("failed")), attempts: 6, wait: 9 * time.Second,
		},
		"retry in with stamp": {
			stamps: []symphony.Stamp{symphony.MaxRetries(5)},
			fails:  symphony.RetryIn(9*time.Second, errors.New("failed")), attempts: 6, wait: 9 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProbe()
				bus := &symphony.Bus{Transport: p}
				fails := c.fails
				if fails == nil {
					fails = errors.New("failed")
				}
				var at []time.Time
				var opts []symphony.HandlerOption
				if c.handler != nil {
					opts = append(opts, symphony.Retry(c.handler))
				}
				symphony.Handle(bus, func(ctx context.Context, _ task) error {
					at = append(at, time.Now())
					if env, _ := symphony.EnvelopeFrom(ctx); env.Attempt != len(at) {
						t.Errorf("attempt %d is called %d", len(at), env.Attempt)
					}
					return fails
				}, opts...)
				r := dispatch(t, bus, 1, c.stamps...)[0]
				run(t, &symphony.Worker{Bus: bus, Retry: c.worker, Queues: []symphony.WorkerQueue{{Name: "default", Retry: c.queue}}})
				pass(time.Hour)
				rec := p.record(t, r)
				if len(at) != c.attempts || rec.Status != monitor.Failed || rec.Reason != symphony.ReasonExhausted || rec.RetryCount != c.attempts-1 {
					t.Fatalf("%d attempts, then %s (%s) after %d retries; want %d attempts", len(at), rec.Status, rec.Reason, rec.RetryCount, c.attempts)
				}
				for i := 1; i < len(at) && c.wait > 0; i++ {
					if wait := at[i].Sub(at[i-1]).Round(10 * time.Millisecond); wait != c.wait {
						t.Errorf("wait %d is %v, want %v", i, wait, c.wait)
					}
				}
			})
		})
	}
}

func TestSnoozeIsNoAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		runs := 0
		symphony.Handle(bus, func(ctx context.Context, _ task) error {
			if env, _ := symphony.EnvelopeFrom(ctx); env.Attempt != 1 {
				t.Errorf("attempt %d", env.Attempt)
			}
			if runs++; runs <= 50 {
				return symphony.Snooze(time.Minute)
			}
			return nil
		})
		r := dispatch(t, bus, 1, symphony.MaxRetries(0))[0]
		run(t, &symphony.Worker{Bus: bus})
		pass(51 * time.Minute)
		if rec := p.record(t, r); rec.Status != monitor.Completed || rec.SnoozeCount != 50 || rec.RetryCount != 0 {
			t.Errorf("%s after %d snoozes and %d retries", rec.Status, rec.SnoozeCount, rec.RetryCount)
		}
	})
}

func TestTimeoutIsAFailureOfItsName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		symphony.Handle(bus, func(ctx context.Context, _ task) error {
			<-ctx.Done()
			return ctx.Err()
		}, symphony.Timeout(time.Minute))
		dispatch(t, bus, 1)
		run(t, &symphony.Worker{Bus: bus})
		pass(time.Minute)
		if vs := p.verdicts(); len(vs) != 1 || vs[0].Outcome != symphony.Retried || !strings.Contains(vs[0].Failure.Error, "handler timed out after 1m0s") {
			t.Errorf("verdicts %+v", vs)
		}
	})
}

func TestPolicyThatPanicsLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		bus := &symphony.Bus{Transport: p}
		symphony.Handle(bus, func(context.Context, task) error { return errors.New("failed") }, symphony.Retry(policyFunc(func(int, error) time.Duration {
			panic("policy")
		})))
		r := dispatch(t, bus, 1)[0]
		run(t, &symphony.Worker{Bus: bus})
		pass(time.Hour)
		if rec := p.record(t, r); rec.Status != monitor.Failed || rec.RetryCount != 3 || rec.LastError != "panic: policy" {
			t.Errorf("%s after %d retries, last error %q; want the default policy and the panic", rec.Status, rec.RetryCount, rec.LastError)
		}
	})
}

type policyFunc func(int, error) time.Duration

func (f policyFunc) Next(failures int, err error) (time.Duration, bool) {
	return f(failures, err), true
}

// committing answers as a store with transactions: it says which verdicts with InTx found nothing
// committed.
type committing struct {
	*probe
	committed bool
}

func (c committing) Exchange(context.Context, []symphony.Verdict, symphony.Claim) ([]symphony.Delivery, error) {
	return nil, errors.New("not used: the worker sees no Exchanger")
}

func (c committing) Settle(ctx context.Context, vs []symphony.Verdict) error {
	open := &symphony.NotCommittedError{}
	var plain []symphony.Verdict
	for _, v := range vs {
		if v.InTx {
			if c.committed {
				continue // the message is gone
			}
			open.Tokens = append(open.Tokens, v.Token)
			v.InTx = false
		}
		plain = append(plain, v)
	}
	if err := c.probe.Settle(ctx, plain); err != nil || open.Tokens == nil {
		return err
	}
	return fmt.Errorf("settle: %w", open)
}

func TestCompletionInTheHandlersTransaction(t *testing.T) {
	failed := errors.New("failed")
	for name, c := range map[string]struct {
		returns   error
		committed bool
		want      monitor.Status
		outcome   symphony.Outcome // as the observer sees it
		err       error
	}{
		"committed":              {nil, true, monitor.Completed, symphony.Completed, nil},
		"committed, then failed": {failed, true, monitor.Completed, symphony.Completed, failed},
		"not committed":          {nil, false, monitor.Scheduled, symphony.Retried, symphony.ErrNotCommitted},
		"not committed, failed":  {failed, false, monitor.Scheduled, symphony.Retried, failed},
		"permanent":              {symphony.Permanent(failed), false, monitor.Failed, symphony.Failed, failed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProbe()
				store := committing{p, c.committed}
				bus := &symphony.Bus{Transport: struct{ symphony.Transport }{store}}
				symphony.Handle(bus, func(ctx context.Context, _ task) error {
					d, _ := symphony.DeliveryFrom(ctx)
					if c.committed {
						if err := p.Transport.Settle(ctx, []symphony.Verdict{{Token: d.Token, Outcome: symphony.Completed}}); err != nil {
							t.Error(err)
						}
					}
					d.CompletedInTx()
					time.Sleep(11 * time.Second) // a heartbeat finds the lease gone
					if ctx.Err() != nil {
						t.Errorf("the context ended with %v", context.Cause(ctx))
					}
					return c.returns
				})
				r := dispatch(t, bus, 1)[0]
				o := &observer{seen: make(map[symphony.ID][]symphony.Event)}
				var log logbook
				stop := run(t, &symphony.Worker{Bus: bus, Observer: o, Logger: logger(&log)})
				synctest.Wait()
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				if rec := p.record(t, r); rec.Status != c.want {
					t.Errorf("message is %s, want %s", rec.Status, c.want)
				}
				events := o.of(r.ID)
				if e := events[len(events)-1]; e.Kind != symphony.EventSettled || e.Outcome != c.outcome || !errors.Is(e.Err, c.err) {
					t.Errorf("last event %+v, want %s with error %v", e, c.outcome, c.err)
				}
				if n := log.with("lease lost"); n > 0 {
					t.Errorf("%d lines about lost leases", n)
				}
				if n := log.with("though its handler failed"); n != btoi(c.committed && c.returns != nil) {
					t.Errorf("%d lines about a handler that failed after its completion", n)
				}
			})
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
