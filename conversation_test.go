package symphony_test

import (
	"context"
	"testing"

	"github.com/symphony-messenger/symphony"
)

// Messages that a handler dispatches belong to its conversation: correlation is the first message of
// all, causation the one that was being handled.
func TestConversation(t *testing.T) {
	r := newRecorder()
	bus := &symphony.Bus{Transport: r, Routes: []symphony.Route{{Type: "test.*", InPlace: true}}}
	var first, second symphony.ID
	symphony.Handle(bus, func(ctx context.Context, _ greet) error {
		env, _ := symphony.EnvelopeFrom(ctx)
		first = env.ID
		if _, ok := env.Headers[symphony.HeaderCorrelation]; ok {
			t.Error("the first message follows another")
		}
		_, err := bus.Dispatch(ctx, &created{1})
		return err
	})
	symphony.Handle(bus, func(ctx context.Context, _ *created) error {
		env, _ := symphony.EnvelopeFrom(ctx)
		second = env.ID
		if env.Headers[symphony.HeaderCorrelation] != first.String() || env.Headers[symphony.HeaderCausation] != first.String() {
			t.Errorf("headers of the second: %v", env.Headers)
		}
		_, err := bus.Dispatch(ctx, named{"last"}, symphony.Header("own", "1"))
		return err
	})
	if _, err := bus.Dispatch(t.Context(), greet{}); err != nil {
		t.Fatal(err)
	}
	last := r.one(t)
	if last.Headers[symphony.HeaderCorrelation] != first.String() || last.Headers[symphony.HeaderCausation] != second.String() || last.Headers["own"] != "1" {
		t.Errorf("headers of the third: %v", last.Headers)
	}
	if len(last.Headers) != 3 {
		t.Errorf("headers that nobody asked for: %v", last.Headers)
	}
}

// A copy for a subscriber causes what its handler dispatches; the conversation stays that of the message.
func TestConversationOfASubscriber(t *testing.T) {
	r := newRecorder()
	bus := &symphony.Bus{Transport: r, Routes: []symphony.Route{{Type: "test.*", InPlace: true}}}
	symphony.On(bus, "crm", func(ctx context.Context, _ greet) error {
		_, err := bus.Dispatch(ctx, named{"last"})
		return err
	})
	receipt, err := bus.Dispatch(t.Context(), greet{})
	if err != nil {
		t.Fatal(err)
	}
	if last := r.one(t); last.Headers[symphony.HeaderCausation] != receipt.ID.For("crm").String() {
		t.Errorf("headers %v, dispatched as %v", last.Headers, receipt.ID)
	}
}
