package symphony_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony"
)

func TestInPlace(t *testing.T) {
	bus := new(symphony.Bus)
	var got greet
	var env *symphony.Envelope
	symphony.Handle(bus, func(ctx context.Context, m greet) error {
		got = m
		env, _ = symphony.EnvelopeFrom(ctx)
		return nil
	})
	receipt, err := bus.Dispatch(t.Context(), greet{"Ann"}, symphony.Delay(aDay), symphony.Queue("q"), symphony.Header("tenant", "acme"))
	if err != nil || got.Name != "Ann" {
		t.Fatal(got, err)
	}
	if env.ID != receipt.ID || env.Attempt != 1 || env.Type != "test.greet" || env.Headers["tenant"] != "acme" || env.Queue != "q" {
		t.Errorf("receipt %v, envelope %+v", receipt, env)
	}
	if _, ok := symphony.EnvelopeFrom(t.Context()); ok {
		t.Error("an envelope outside a handler")
	}
}

func TestInPlaceNeedsAHandler(t *testing.T) {
	_, err := new(symphony.Bus).Dispatch(t.Context(), greet{})
	if !errors.Is(err, symphony.ErrNoHandler) || !strings.Contains(err.Error(), "test.greet") {
		t.Error(err)
	}
}

func TestInPlaceStopsAtTheFirstError(t *testing.T) {
	bus, handled, no := new(symphony.Bus), "", errors.New("no")
	symphony.Handle(bus, func(_ context.Context, m greet) error {
		handled += m.Name
		if m.Name == "b" {
			return no
		}
		return nil
	})
	rs, err := bus.DispatchAll(t.Context(), greets("a", "b", "c"))
	if !errors.Is(err, no) || rs != nil || handled != "ab" {
		t.Error(rs, err, handled)
	}
}

func TestInPlaceErrorsKeepWhatTheyAskFor(t *testing.T) {
	cause := errors.New("busy")
	for want, answer := range map[symphony.Outcome]error{
		symphony.Snoozed:   symphony.Snooze(time.Minute),
		symphony.Retried:   symphony.RetryIn(time.Minute, cause),
		symphony.Failed:    symphony.Permanent(cause),
		symphony.Cancelled: symphony.Cancel(cause),
	} {
		bus := new(symphony.Bus)
		symphony.Handle(bus, func(context.Context, greet) error { return answer })
		_, err := bus.Dispatch(t.Context(), greet{})
		if o, _, decided := symphony.OutcomeOf(err); o != want || !decided || want != symphony.Snoozed && !errors.Is(err, cause) {
			t.Errorf("%v asks for %s", err, o)
		}
	}
}

// Recovery belongs to the worker: in place, a panic is the caller's.
func TestInPlacePanicsPropagate(t *testing.T) {
	bus := new(symphony.Bus)
	symphony.Handle(bus, func(context.Context, greet) error { panic("boom") })
	if got := panics(t, func() { _, _ = bus.Dispatch(t.Context(), greet{}) }); got != "boom" {
		t.Error(got)
	}
}

func TestInPlacePointersAndValuesMeet(t *testing.T) {
	values, pointers := new(symphony.Bus), new(symphony.Bus)
	var got []string
	symphony.Handle(values, func(_ context.Context, m greet) error { got = append(got, "value "+m.Name); return nil })
	symphony.Handle(pointers, func(_ context.Context, m *greet) error { got = append(got, "pointer "+m.Name); return nil })
	m := &greet{"Ann"}
	for _, bus := range []*symphony.Bus{values, pointers} {
		for _, m := range []symphony.Message{m, *m} {
			if _, err := bus.Dispatch(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	if diff := cmp.Diff([]string{"value Ann", "value Ann", "pointer Ann", "pointer Ann"}, got); diff != "" {
		t.Error(diff)
	}
}

// oldGreet is what the type was in an older release of the program.
type oldGreet struct {
	Name string `json:"name"`
}

func (oldGreet) MessageType() string { return "test.hello" }

func TestAlias(t *testing.T) {
	bus := new(symphony.Bus)
	var got []string
	symphony.Handle(bus, func(ctx context.Context, m greet) error {
		env, _ := symphony.EnvelopeFrom(ctx)
		got = append(got, env.Type+" "+m.Name)
		return nil
	}, symphony.Alias("test.hello", "hi"), symphony.Alias("Hallo"))
	for _, m := range []symphony.Message{greet{"a"}, oldGreet{"b"}, symphony.Raw{Type: "hi", Body: []byte(`{"name":"c"}`)}, symphony.Raw{Type: "Hallo", Body: []byte(`{"name":"d"}`)}} {
		if _, err := bus.Dispatch(t.Context(), m); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff([]string{"test.greet a", "test.hello b", "hi c", "Hallo d"}, got); diff != "" {
		t.Error(diff)
	}
}

// S24: in place the handler and all subscribers run, one after another by name, errors joined.
func TestInPlaceSubscribers(t *testing.T) {
	bus := new(symphony.Bus)
	var j journal
	var ids []symphony.ID
	note := func(name string, err error) func(context.Context, greet) error {
		return func(ctx context.Context, m greet) error {
			env, _ := symphony.EnvelopeFrom(ctx)
			j.note("%s as %q in %s, priority %d", name, env.Subscriber, env.Queue, env.Priority)
			ids = append(ids, env.ID)
			return err
		}
	}
	zebra, ant := errors.New("zebra"), errors.New("ant")
	symphony.On(bus, "zebra", note("zebra", zebra), symphony.Queue("zoo"), symphony.Priority(9))
	symphony.On(bus, "ant", note("ant", ant))
	symphony.Handle(bus, note("handler", nil))
	receipt, err := bus.Dispatch(t.Context(), greet{}, symphony.Queue("call"))
	if !errors.Is(err, zebra) || !errors.Is(err, ant) || !strings.HasSuffix(err.Error(), "ant\nzebra") {
		t.Error(err)
	}
	j.want(t,
		`handler as "" in call, priority 5`,
		`ant as "ant" in call, priority 5`,
		`zebra as "zebra" in zoo, priority 9`)
	if !receipt.ID.IsZero() {
		t.Errorf("a receipt beside an error: %v", receipt)
	}
	if ids[1] != ids[0].For("ant") || ids[2] != ids[0].For("zebra") {
		t.Errorf("ids %v", ids)
	}
}

func TestInPlaceSubscribersWithoutAHandler(t *testing.T) {
	bus, n := new(symphony.Bus), 0
	symphony.On(bus, "a", func(context.Context, greet) error { n++; return nil })
	symphony.On(bus, "b", func(context.Context, *greet) error { n++; return nil })
	if _, err := bus.Dispatch(t.Context(), greet{}); err != nil || n != 2 {
		t.Error(err, n)
	}
}

func TestInPlaceSubscribersShareNoEnvelope(t *testing.T) {
	bus := new(symphony.Bus)
	symphony.On(bus, "a", func(ctx context.Context, m greet) error {
		env, _ := symphony.EnvelopeFrom(ctx)
		env.Queue, env.Tags = "changed", append(env.Tags, "a")
		return nil
	})
	symphony.On(bus, "b", func(ctx context.Context, m greet) error {
		if env, _ := symphony.EnvelopeFrom(ctx); env.Queue != "default" || len(env.Tags) != 1 {
			t.Errorf("saw %s %v", env.Queue, env.Tags)
		}
		return nil
	})
	if _, err := bus.Dispatch(t.Context(), greet{}, symphony.Tag("x")); err != nil {
		t.Error(err)
	}
}

func TestBatchInPlaceHasOneMessage(t *testing.T) {
	bus, sizes := new(symphony.Bus), []int{}
	var answer []error
	symphony.HandleBatch(bus, 100, func(_ context.Context, ms []greet) []error {
		sizes = append(sizes, len(ms))
		return answer
	})
	if _, err := bus.DispatchAll(t.Context(), greets("a", "b")); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]int{1, 1}, sizes); diff != "" {
		t.Error(diff)
	}
	no := errors.New("no")
	for _, tt := range []struct {
		answer []error
		want   string
	}{
		{[]error{nil}, ""},
		{[]error{no}, "dispatch test.greet: no"},
		{[]error{no, nil}, "dispatch test.greet: batch handler returned 2 errors for 1 messages"},
		{[]error{}, "dispatch test.greet: batch handler returned 0 errors for 1 messages"},
	} {
		answer = tt.answer
		got := ""
		if _, err := bus.Dispatch(t.Context(), greet{}); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%v: error %q, want %q", tt.answer, got, tt.want)
		}
	}
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			name   string
			answer func(context.Context) error
		}{
			{"the error of the context", func(ctx context.Context) error { return ctx.Err() }},
			{"its cause", func(ctx context.Context) error { return context.Cause(ctx) }},
		} {
			bus := new(symphony.Bus)
			symphony.Handle(bus, func(ctx context.Context, _ greet) error {
				<-ctx.Done()
				if context.Cause(ctx) != symphony.ErrTimeout {
					t.Errorf("cause %v", context.Cause(ctx))
				}
				return tt.answer(ctx)
			}, symphony.Timeout(30*time.Second))
			start := time.Now()
			_, err := bus.Dispatch(t.Context(), greet{})
			if !errors.Is(err, symphony.ErrTimeout) || time.Since(start) != 30*time.Second {
				t.Errorf("%s: %v after %v", tt.name, err, time.Since(start))
			}
		}
	})
}

func TestTimeoutSaysHowLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := new(symphony.Bus)
		symphony.Handle(bus, func(ctx context.Context, _ greet) error { <-ctx.Done(); return symphony.Permanent(ctx.Err()) }, symphony.Timeout(time.Second))
		_, err := bus.Dispatch(t.Context(), greet{})
		if err == nil || !strings.Contains(err.Error(), "handler timed out after 1s: context deadline exceeded") || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if o, _, _ := symphony.OutcomeOf(err); o != symphony.Failed {
			t.Errorf("the handler's decision is lost: %s", o)
		}
	})
}

// Nor is one that the handler has set for something it does.
func TestTimeoutIsNotTheHandlersDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := new(symphony.Bus)
		symphony.Handle(bus, func(ctx context.Context, _ greet) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			<-ctx.Done()
			return ctx.Err()
		}, symphony.Timeout(time.Minute))
		_, err := bus.Dispatch(t.Context(), greet{})
		if errors.Is(err, symphony.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// A deadline of the caller is not the timeout of the handler.
func TestTimeoutIsNotTheCallersDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := new(symphony.Bus)
		symphony.Handle(bus, func(ctx context.Context, _ greet) error { <-ctx.Done(); return ctx.Err() }, symphony.Timeout(time.Minute))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := bus.Dispatch(ctx, greet{})
		if errors.Is(err, symphony.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// What runs in place inside a handler does not claim its timeout.
func TestTimeoutIsNamedOnceByItsOwner(t *testing.T) {
	for _, inner := range []time.Duration{0, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			bus := new(symphony.Bus)
			symphony.Handle(bus, func(ctx context.Context, _ greet) error {
				_, err := bus.Dispatch(ctx, &created{})
				if errors.Is(err, symphony.ErrTimeout) {
					t.Errorf("with %v of its own the inner message says %v", inner, err)
				}
				return err
			}, symphony.Timeout(time.Second))
			symphony.Handle(bus, func(ctx context.Context, _ *created) error { <-ctx.Done(); return ctx.Err() }, symphony.Timeout(inner))
			_, err := bus.Dispatch(t.Context(), greet{})
			if !errors.Is(err, symphony.ErrTimeout) || !strings.Contains(err.Error(), "timed out after 1s: ") {
				t.Error(err)
			}
		})
	}
}

func TestNoTimeout(t *testing.T) {
	for _, d := range []time.Duration{0, -1} {
		bus := new(symphony.Bus)
		symphony.Handle(bus, func(ctx context.Context, _ greet) error {
			if _, ok := ctx.Deadline(); ok {
				t.Errorf("Timeout(%v) set a deadline", d)
			}
			return ctx.Err()
		}, symphony.Timeout(d))
		if _, err := bus.Dispatch(t.Context(), greet{}); err != nil {
			t.Error(err)
		}
	}
}

// What runs in place inside a worker's handler is not what the worker has claimed: completing it in a
// transaction must not complete that.
func TestInPlaceHasNoDelivery(t *testing.T) {
	bus := new(symphony.Bus)
	symphony.Handle(bus, func(ctx context.Context, _ greet) error {
		if d, ok := symphony.DeliveryFrom(ctx); ok {
			t.Errorf("delivery %v", d)
		}
		return nil
	})
	if _, err := bus.Dispatch(symphony.ContextWithDelivery(t.Context(), &symphony.Delivery{Token: "1"}), greet{}); err != nil {
		t.Error(err)
	}
}
