package symphony_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony"
)

// Options of a handler are options of a subscriber as well, beside the stamps of its copies.
func TestOptionsOfASubscriber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := new(symphony.Bus)
		var j journal
		symphony.On(bus, "slow", func(ctx context.Context, m greet) error {
			<-ctx.Done()
			return ctx.Err()
		}, symphony.Timeout(time.Minute), j.around("slow"), symphony.Queue("slow"), symphony.AtMost(1), symphony.Alias("test.hello"))
		for _, m := range []symphony.Message{greet{"a"}, symphony.Raw{Type: "test.hello", Body: []byte(`{"name":"b"}`)}} {
			if _, err := bus.Dispatch(t.Context(), m); !errors.Is(err, symphony.ErrTimeout) {
				t.Error(err)
			}
		}
		j.want(t, "slow> a", "<slow a: context deadline exceeded", "slow> b", "<slow b: context deadline exceeded")
	})
}

func TestMiddlewareOfAHandlerNests(t *testing.T) {
	bus := new(symphony.Bus)
	var j journal
	symphony.Handle(bus, func(context.Context, greet) error { return nil }, j.around("outer"), j.around("inner"))
	if _, err := bus.Dispatch(t.Context(), greet{"a"}); err != nil {
		t.Fatal(err)
	}
	j.want(t, "outer> a", "inner> a", "<inner a: <nil>", "<outer a: <nil>")
}

func TestWithDispatchesManyAtOnce(t *testing.T) {
	r := newRecorder()
	d := (&symphony.Bus{Transport: r}).With(symphony.Queue("mail"), symphony.Priority(9))
	if _, err := d.DispatchAll(t.Context(), greets("a", "b"), symphony.Priority(1)); err != nil || len(r.calls) != 1 {
		t.Fatal(err, len(r.calls))
	}
	for _, env := range r.sent() {
		if env.Queue != "mail" || env.Priority != 1 {
			t.Errorf("queue %s, priority %d", env.Queue, env.Priority)
		}
	}
}

// wishful is a message whose own stamps are wrong.
type wishful struct{}

func (wishful) MessageType() string      { return "test.wishful" }
func (wishful) Stamps() []symphony.Stamp { return []symphony.Stamp{symphony.Priority(99)} }

func TestStampsOfAMessageCanRefuse(t *testing.T) {
	invalidly(t, refused(t, wishful{}), "priority")
}

// A batch of less than one message is one of one.
func TestBatchSize(t *testing.T) {
	bus := new(symphony.Bus)
	var got []greet
	symphony.HandleBatch(bus, -1, func(_ context.Context, ms []greet) []error { got = append(got, ms...); return nil })
	if _, err := bus.Dispatch(t.Context(), greet{"a"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]greet{{"a"}}, got); diff != "" {
		t.Error(diff)
	}
}
