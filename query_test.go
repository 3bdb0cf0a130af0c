package symphony_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony"
)

type user struct{ Name string }

type getUser struct {
	symphony.Returns[user]
	ID int
}

func (getUser) MessageType() string { return "test.get_user" }

func TestAsk(t *testing.T) {
	var j journal
	around := func(name string) symphony.Middleware {
		return func(next symphony.Handler) symphony.Handler {
			return func(ctx context.Context, env *symphony.Envelope) error { j.note("%s", name); return next(ctx, env) }
		}
	}
	r := newRecorder()
	bus := &symphony.Bus{ // a query never travels
		Transport: r, Routes: []symphony.Route{{Type: "*", Transport: r}},
		Sending: []symphony.Middleware{around("sending")}, Handling: []symphony.Middleware{around("handling")},
	}
	symphony.Answer(bus, func(_ context.Context, q getUser) (user, error) {
		if q.ID == 0 {
			return user{"half"}, errors.New("no such user")
		}
		return user{"Ann"}, nil
	}, symphony.Middleware(around("handler")))
	got, err := symphony.Ask(t.Context(), bus, getUser{ID: 7})
	if err != nil || got.Name != "Ann" || len(r.calls) != 0 {
		t.Error(got, err, len(r.calls))
	}
	if diff := cmp.Diff(journal{"sending", "handling", "handler"}, j); diff != "" {
		t.Error(diff)
	}
	if got, err := symphony.Ask(t.Context(), bus, getUser{ID: 0}); err == nil || got != (user{}) {
		t.Errorf("beside an error: %v, %v", got, err)
	}
}

func TestAskNeedsAnAnswer(t *testing.T) {
	for name, set := range map[string]func(*symphony.Bus){
		"nobody": func(*symphony.Bus) {},
		"a handler that does not answer": func(bus *symphony.Bus) {
			symphony.Handle(bus, func(context.Context, getUser) error { return nil })
		},
		"subscribers only": func(bus *symphony.Bus) {
			symphony.On(bus, "log", func(context.Context, getUser) error { return nil })
		},
		"a middleware that keeps it back": func(bus *symphony.Bus) {
			symphony.Answer(bus, func(context.Context, getUser) (user, error) { return user{"Ann"}, nil })
			bus.Sending = []symphony.Middleware{func(symphony.Handler) symphony.Handler {
				return func(context.Context, *symphony.Envelope) error { return nil }
			}}
		},
	} {
		bus := new(symphony.Bus)
		set(bus)
		if got, err := symphony.Ask(t.Context(), bus, getUser{ID: 7}); !errors.Is(err, symphony.ErrNoHandler) || got != (user{}) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// A query that an answerer dispatches does not answer the question that is being asked.
func TestAskIsNotAnsweredBySomebodyElse(t *testing.T) {
	bus := new(symphony.Bus)
	symphony.Answer(bus, func(ctx context.Context, q getUser) (user, error) {
		if q.ID == 1 {
			return user{"asked for"}, nil
		}
		return user{"another"}, nil
	})
	symphony.On(bus, "curious", func(ctx context.Context, q getUser) error {
		if q.ID != 1 {
			return nil
		}
		if other, err := symphony.Ask(ctx, bus, getUser{ID: 2}); err != nil || other.Name != "another" {
			t.Error(other, err)
		}
		_, err := bus.Dispatch(ctx, getUser{ID: 3})
		return err
	})
	if got, err := symphony.Ask(t.Context(), bus, getUser{ID: 1}); err != nil || got.Name != "asked for" {
		t.Error(got, err)
	}
}

func TestAskChecksTheQuery(t *testing.T) {
	_, err := symphony.Ask(t.Context(), new(symphony.Bus), (*getUser)(nil))
	invalidly(t, err, "message")
}

func TestReturnsIsNotInTheBody(t *testing.T) {
	if b, err := json.Marshal(getUser{ID: 1}); err != nil || string(b) != `{"ID":1}` {
		t.Error(string(b), err)
	}
}
