package symphonytest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/retry"
	"github.com/symphony-messenger/symphony/symphonytest"
	"github.com/symphony-messenger/symphony/transport/memory"
)

// worker runs the handlers of a bus one at a time, in silence.
func worker(bus *symphony.Bus) *symphony.Worker {
	return &symphony.Worker{Bus: bus, Concurrency: 1, Logger: slog.New(slog.DiscardHandler), Retry: retry.Exponential{Jitter: -1}}
}

func lines(es []symphony.Event) (lines []string) {
	for _, e := range es {
		line := fmt.Sprintf("%s #%d %s", e.Envelope.Type, e.Envelope.Attempt, e.Outcome)
		if e.Reason != "" {
			line += " " + string(e.Reason)
		}
		if e.Err != nil {
			line += ": " + e.Err.Error()
		}
		lines = append(lines, line)
	}
	return lines
}

func dispatch(t *testing.T, d symphony.Dispatcher, m symphony.Message, stamps ...symphony.Stamp) symphony.ID {
	t.Helper()
	receipt, err := d.Dispatch(t.Context(), m, stamps...)
	if err != nil {
		t.Fatal(err)
	}
	return receipt.ID
}

func TestDrainRunsWhatIsReady(t *testing.T) {
	var spy symphonytest.Spy
	bus := &symphony.Bus{Transport: &spy}
	symphony.Handle(bus, func(ctx context.Context, m welcome) error {
		_, err := bus.Dispatch(ctx, &audit{fmt.Sprint("welcomed ", m.UserID)})
		return err
	})
	symphony.Handle(bus, func(_ context.Context, m *audit) error { return symphony.Permanent(errors.New(m.What)) })
	dispatch(t, bus, welcome{UserID: 1})
	dispatch(t, bus, welcome{UserID: 2}, symphony.Delay(time.Hour))
	dispatch(t, bus, welcome{UserID: 3}, symphony.Queue("elsewhere"))

	w := worker(bus)
	want := []string{"welcome #1 completed", "audit #1 failed permanent: welcomed 1"}
	if diff := cmp.Diff(want, lines(symphonytest.Drain(t, w))); diff != "" {
		t.Error(diff)
	}
	symphonytest.AssertDispatched(t, &spy, &audit{"welcomed 1"})
	if again := symphonytest.Drain(t, w); len(again) != 0 {
		t.Errorf("nothing was ready, and this happened: %v", lines(again))
	}

	w.Queues = []symphony.WorkerQueue{{Name: "elsewhere"}}
	if diff := cmp.Diff([]string{"welcome #1 completed"}, lines(symphonytest.Drain(t, w))); diff != "" {
		t.Error(diff)
	}
}

// While a message is being handled, another may come of it.
func TestDrainWaitsForHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var spy symphonytest.Spy
		bus := &symphony.Bus{Transport: &spy}
		symphony.Handle(bus, func(ctx context.Context, m welcome) error {
			time.Sleep(10 * time.Second)
			_, err := bus.Dispatch(ctx, &audit{})
			return err
		})
		symphony.Handle(bus, func(context.Context, *audit) error { return nil })
		dispatch(t, bus, welcome{})
		if diff := cmp.Diff([]string{"welcome #1 completed", "audit #1 completed"}, lines(symphonytest.Drain(t, worker(bus)))); diff != "" {
			t.Error(diff)
		}
	})
}

func TestDrainLeavesRetries(t *testing.T) {
	var spy symphonytest.Spy
	bus := &symphony.Bus{Transport: &spy}
	symphony.Handle(bus, func(_ context.Context, m welcome) error { return errors.New("no") })
	dispatch(t, bus, welcome{})
	if diff := cmp.Diff([]string{"welcome #1 retried: no"}, lines(symphonytest.Drain(t, worker(bus)))); diff != "" {
		t.Error(diff)
	}
}

func TestDrainOfAnEmptyQueueIsShort(t *testing.T) {
	start := time.Now()
	if es := symphonytest.Drain(t, worker(&symphony.Bus{Transport: new(memory.Transport)})); len(es) != 0 || time.Since(start) > 5*time.Second {
		t.Error(es, time.Since(start))
	}
}

func TestDrainWithConcurrency(t *testing.T) {
	var spy symphonytest.Spy
	var handled atomic.Int32
	bus := &symphony.Bus{Transport: &spy}
	symphony.Handle(bus, func(context.Context, welcome) error { handled.Add(1); return nil })
	for i := range 500 {
		dispatch(t, bus, welcome{UserID: int64(i)})
	}
	w := worker(bus)
	w.Concurrency = 20
	if es := symphonytest.Drain(t, w); len(es) != 500 || handled.Load() != 500 {
		t.Errorf("%d events, %d handled", len(es), handled.Load())
	}
}

// What a worker must pass over while others of its kind run is not left behind.
func TestDrainWithLimitsOfTypesAndQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var spy symphonytest.Spy
		bus := &symphony.Bus{Transport: &spy}
		slow := func() error { time.Sleep(time.Second); return nil }
		symphony.Handle(bus, func(context.Context, welcome) error { return slow() }, symphony.AtMost(1))
		symphony.Handle(bus, func(context.Context, *audit) error { return slow() })
		w := worker(bus)
		w.Concurrency = 8
		w.Queues = []symphony.WorkerQueue{{Name: "default"}, {Name: "narrow", Concurrency: 1}}
		for range 10 {
			dispatch(t, bus, welcome{})
			dispatch(t, bus, &audit{}, symphony.Queue("narrow"))
		}
		start := time.Now()
		if es := symphonytest.Drain(t, w); len(es) != 20 {
			t.Errorf("%d of 20 were handled: %v", len(es), lines(es))
		}
		if took := time.Since(start); took < 10*time.Second || took > 20*time.Second {
			t.Errorf("20 messages, two at a time, took %v", took)
		}
	})
}

// A day of delays and retries runs in milliseconds.
func TestDrainAllInFakeTime(t *testing.T) {
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		var spy symphonytest.Spy
		bus := &symphony.Bus{Transport: &spy}
		start := time.Now()
		var at []string
		symphony.Handle(bus, func(ctx context.Context, m welcome) error {
			env, _ := symphony.EnvelopeFrom(ctx)
			at = append(at, fmt.Sprintf("%d #%d %v", m.UserID, env.Attempt, time.Since(start).Round(time.Minute)))
			if m.UserID == 1 && env.Attempt < 4 {
				return symphony.RetryIn(6*time.Hour, errors.New("not yet"))
			}
			return nil
		})
		dispatch(t, bus, welcome{UserID: 1})
		dispatch(t, bus, welcome{UserID: 2}, symphony.Delay(24*time.Hour))
		dispatch(t, bus, welcome{UserID: 3}, symphony.Delay(time.Hour), symphony.Expires(time.Minute))
		got := lines(symphonytest.DrainAll(t, worker(bus)))
		want := []string{
			"welcome #1 retried: not yet", "welcome #2 retried: not yet", "welcome #3 retried: not yet", "welcome #4 completed",
			"welcome #1 completed",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"1 #1 0s", "1 #2 6h0m0s", "1 #3 12h0m0s", "1 #4 18h0m0s", "2 #1 24h0m0s"}, at); diff != "" {
			t.Error(diff)
		}
		if took := time.Since(start); took < 24*time.Hour || took > 24*time.Hour+time.Minute {
			t.Errorf("a day took %v", took)
		}
	})
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("a day took %v of real time", took)
	}
}

func TestDrainAllExhaustsRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var spy symphonytest.Spy
		bus := &symphony.Bus{Transport: &spy}
		symphony.Handle(bus, func(context.Context, welcome) error { return errors.New("no") }, symphony.Retry(retry.Exponential{Max: 2}))
		dispatch(t, bus, welcome{})
		want := []string{"welcome #1 retried: no", "welcome #2 retried: no", "welcome #3 failed exhausted: no"}
		if diff := cmp.Diff(want, lines(symphonytest.DrainAll(t, worker(bus)))); diff != "" {
			t.Error(diff)
		}
	})
}

// What waits behind a member of its group cannot be done now: Drain does not wait for it.
func TestDrainLeavesWhatItsGroupHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var spy symphonytest.Spy
		bus := &symphony.Bus{Transport: &spy}
		symphony.Handle(bus, func(context.Context, welcome) error { return symphony.Snooze(time.Hour) })
		symphony.Handle(bus, func(context.Context, *audit) error { return nil })
		dispatch(t, bus, welcome{}, symphony.Group("g"), symphony.Expires(2*time.Hour+time.Minute))
		dispatch(t, bus, &audit{}, symphony.Group("g"))
		if diff := cmp.Diff([]string{"welcome #1 snoozed: snoozed for 1h0m0s"}, lines(symphonytest.Drain(t, worker(bus)))); diff != "" {
			t.Error(diff)
		}
		got := lines(symphonytest.DrainAll(t, worker(bus)))
		if len(got) == 0 || got[len(got)-1] != "audit #1 completed" {
			t.Errorf("after the hold: %v", got)
		}
	})
}

func TestDrainTellsTheObserver(t *testing.T) {
	var spy symphonytest.Spy
	bus := &symphony.Bus{Transport: &spy}
	symphony.Handle(bus, func(context.Context, welcome) error { return nil })
	dispatch(t, bus, welcome{})
	w, own := worker(bus), new(kinds)
	w.Observer = own
	symphonytest.Drain(t, w)
	if diff := cmp.Diff(kinds{"claimed", "started", "settled"}, *own); diff != "" || w.Observer != own {
		t.Error(diff)
	}
}

type kinds []string

func (k *kinds) Observe(_ context.Context, e symphony.Event) { *k = append(*k, string(e.Kind)) }

func TestDrainEndsTheTestWhenItCannotWork(t *testing.T) {
	for name, tt := range map[string]struct {
		worker *symphony.Worker
		want   string
	}{
		"a transport that cannot count": {
			&symphony.Worker{Bus: &symphony.Bus{Transport: blind{new(memory.Transport)}}},
			"symphonytest: drain: the transport symphonytest_test.blind cannot count its messages",
		},
		"no transport": {
			&symphony.Worker{Bus: new(symphony.Bus)},
			"symphonytest: drain: the transport <nil> cannot count its messages",
		},
		"a worker that cannot work": {
			&symphony.Worker{Bus: &symphony.Bus{Transport: loaded(t)}, Queues: []symphony.WorkerQueue{{Name: "default"}, {Name: "Not A Name"}}},
			`symphonytest: drain: run worker: invalid queue "Not A Name"`,
		},
	} {
		if got := said(t, func(tb testing.TB) { symphonytest.Drain(tb, tt.worker) }); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// A limit of the worker ends the drain as it ends the worker.
func TestDrainStopsAtALimit(t *testing.T) {
	var spy symphonytest.Spy
	bus := &symphony.Bus{Transport: &spy}
	symphony.Handle(bus, func(context.Context, welcome) error { return nil })
	for range 3 {
		dispatch(t, bus, welcome{})
	}
	w := worker(bus)
	w.Limits.Messages = 2
	if es := symphonytest.Drain(t, w); len(es) != 2 {
		t.Errorf("%v", lines(es))
	}
}

// blind hides what a transport can do beyond the five methods.
type blind struct{ symphony.Transport }

// loaded is a transport that has something to do.
func loaded(t *testing.T) *memory.Transport {
	transport := new(memory.Transport)
	dispatch(t, &symphony.Bus{Transport: transport}, welcome{})
	return transport
}
