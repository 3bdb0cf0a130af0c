package symphony_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// A tardy store does at once what it is asked, and answers renewals and claims late.
type tardy struct {
	*probe
	renewal time.Duration
	claim   atomic.Int64 // a time.Duration
}

func (s *tardy) Renew(ctx context.Context, worker string, held []symphony.Token) (symphony.Renewal, error) {
	r, err := s.probe.Renew(ctx, worker, held)
	if err == nil {
		time.Sleep(s.renewal)
	}
	return r, err
}

func (s *tardy) Receive(ctx context.Context, c symphony.Claim) ([]symphony.Delivery, error) {
	ds, err := s.probe.Receive(ctx, c)
	time.Sleep(time.Duration(s.claim.Load()))
	return ds, err
}

// TestLateRenewalCountsFromItsRequest: the store may have renewed a lease as soon as it was asked.
func TestLateRenewalCountsFromItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, w := newProbe(), new(waiting)
		began := time.Now()
		p.fail = func(call string) error {
			if call == "renew" && time.Since(began) > 11*time.Second { // all but the first
				return errors.New("unreachable")
			}
			return nil
		}
		bus := &symphony.Bus{Transport: &tardy{probe: p, renewal: 9 * time.Second}}
		symphony.Handle(bus, w.handle)
		dispatch(t, bus, 1)
		run(t, &symphony.Worker{Bus: bus})
		pass(time.Minute)
		if len(w.at) == 0 || w.at[0].Sub(began) != 35*time.Second {
			t.Errorf("the context ended at %v, want 25 s after the renewal was asked for at 10 s", w.at)
		}
	})
}

// TestWhatArrivesWhileStoppingIsGivenBack: a claim may be answered when the worker takes nothing new any more.
func TestWhatArrivesWhileStoppingIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &tardy{probe: newProbe()}
		bus := &symphony.Bus{Transport: store}
		symphony.Handle(bus, func(_ context.Context, m task) error {
			if m.N > 0 {
				t.Error("it was started")
			}
			time.Sleep(15 * time.Second)
			return nil
		})
		first := dispatch(t, bus, 1)
		stop := run(t, &symphony.Worker{Bus: bus})
		synctest.Wait()
		store.claim.Store(int64(10 * time.Second))
		second, err := bus.Dispatch(t.Context(), task{N: 1})
		if err != nil {
			t.Fatal(err)
		}
		pass(5 * time.Second)
		if rec := store.record(t, second); rec.Status != monitor.Processing {
			t.Fatalf("the second message is %s, want it on its way to the worker", rec.Status)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if rec := store.record(t, first[0]); rec.Status != monitor.Completed {
			t.Errorf("the first message is %s, want completed", rec.Status)
		}
		if rec := store.record(t, second); rec.Status != monitor.Pending || rec.RetryCount+rec.CrashCount > 0 {
			t.Errorf("the second message is %s after %d retries and %d crashes, want pending", rec.Status, rec.RetryCount, rec.CrashCount)
		}
	})
}
