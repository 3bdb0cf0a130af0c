package symphony_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/symphony-messenger/symphony"
)

func TestRoutes(t *testing.T) {
	fallback, mail, audit := newRecorder(), newRecorder(), newRecorder()
	bus := &symphony.Bus{Transport: fallback, Routes: []symphony.Route{
		{Type: "mail.*", Transport: mail, Queue: "mail"},
		{Type: "mail.bulk.*", Queue: "bulk"},
		{Type: "mail.bulk.now", Transport: mail, Queue: "now"},
		{Type: "mail.bulk.now*", Queue: "longer-but-not-exact"},
		{Type: "audit*", Transport: audit},
		{Type: "audit*", Transport: fallback, Queue: "second"},
	}}
	for _, tt := range []struct {
		name, typ string
		to        *recorder
		queue     string
	}{
		{"no route", "other", fallback, "default"},
		{"a prefix", "mail.welcome", mail, "mail"},
		{"the longest prefix, with the transport of the bus", "mail.bulk.later", fallback, "bulk"},
		{"an exact match beats a prefix that is as long", "mail.bulk.now", mail, "now"},
		{"a prefix is no exact match", "mail.bulk.now.2", fallback, "longer-but-not-exact"},
		{"a prefix matches itself", "mail.", mail, "mail"},
		{"a name is no prefix", "mail", fallback, "default"},
		{"the first of two alike, with the default queue", "audit.login", audit, "default"},
		{"case matters", "Mail.welcome", fallback, "default"},
	} {
		for _, r := range []*recorder{fallback, mail, audit} {
			r.calls = nil
		}
		if _, err := bus.Dispatch(t.Context(), named{tt.typ}); err != nil {
			t.Fatal(err)
		}
		if got := tt.to.sent(); len(got) != 1 || got[0].Queue != tt.queue {
			t.Errorf("%s: %s went elsewhere, or to queue %v", tt.name, tt.typ, got)
		}
	}
}

func TestRouteOfAllTypes(t *testing.T) {
	r := newRecorder()
	bus := &symphony.Bus{Routes: []symphony.Route{{Type: "*", Transport: r, Queue: "all"}}}
	if _, err := bus.Dispatch(t.Context(), greet{}); err != nil || r.one(t).Queue != "all" {
		t.Error(r.sent(), err)
	}
}

func TestRouteInPlace(t *testing.T) {
	r, handled := newRecorder(), 0
	bus := &symphony.Bus{Transport: r, Routes: []symphony.Route{{Type: "test.*", Transport: r, InPlace: true}}}
	symphony.Handle(bus, func(context.Context, greet) error { handled++; return nil })
	if _, err := bus.Dispatch(t.Context(), greet{}); err != nil || handled != 1 || len(r.calls) != 0 {
		t.Errorf("%v, handled %d times, sent %d", err, handled, len(r.calls))
	}
}

func TestQueueOfARouteIsChecked(t *testing.T) {
	r := newRecorder()
	_, err := (&symphony.Bus{Transport: r, Routes: []symphony.Route{{Type: "*", Queue: "Not A Name"}}}).Dispatch(t.Context(), greet{})
	invalidly(t, err, "queue")
	if len(r.calls) != 0 {
		t.Error("sent all the same")
	}
}

// inside is a transport that wraps another.
type inside struct{ *recorder }

func (i inside) Unwrap() symphony.Transport { return i.recorder }

func TestViaSendsInTheTransaction(t *testing.T) {
	r, tx := newRecorder(), newRecorder()
	for name, bus := range map[string]*symphony.Bus{
		"its own transport": {Transport: r},
		"a wrapped one":     {Transport: inside{r}},
		"by route":          {Routes: []symphony.Route{{Type: "test.greet", Transport: r}}},
	} {
		tx.calls = nil
		if _, err := bus.With(symphony.Via(r, tx)).Dispatch(t.Context(), greet{"Ann"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if env := tx.one(t); string(env.Body) != `{"name":"Ann"}` || len(r.calls) != 0 {
			t.Errorf("%s: the transaction got %s, the transport %d", name, env.Body, len(r.calls))
		}
	}
}

// S11: in a transaction means in that transaction, never in place and never elsewhere.
func TestViaNeverRunsInPlace(t *testing.T) {
	r, other, tx := newRecorder(), newRecorder(), newRecorder()
	for name, bus := range map[string]*symphony.Bus{
		"no transport":    {},
		"in place":        {Transport: r, Routes: []symphony.Route{{Type: "*", InPlace: true}}},
		"other transport": {Transport: r, Routes: []symphony.Route{{Type: "test.greet", Transport: other}}},
	} {
		symphony.Handle(bus, func(context.Context, greet) error { t.Errorf("%s: handled in place", name); return nil })
		_, err := bus.With(symphony.Via(r, tx)).Dispatch(t.Context(), greet{})
		if err == nil || !strings.Contains(err.Error(), "belongs to another transport") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(slices.Concat(r.sent(), other.sent(), tx.sent())); n != 0 {
		t.Errorf("%d messages were sent", n)
	}
}

func TestViaReturnsTheErrorOfTheTransaction(t *testing.T) {
	r, tx := newRecorder(), newRecorder()
	aborted := errors.New("current transaction is aborted")
	tx.fail = func(int) error { return aborted }
	_, err := (&symphony.Bus{Transport: r}).Dispatch(t.Context(), greet{}, symphony.Via(r, tx))
	if !errors.Is(err, aborted) {
		t.Error(err)
	}
}

func TestAs(t *testing.T) {
	r := newRecorder()
	if got, ok := symphony.As[*recorder](inside{r}); !ok || got != r {
		t.Error("what is inside was not found")
	}
	if got, ok := symphony.As[interface{ Unwrap() symphony.Transport }](inside{r}); !ok || got == nil {
		t.Error("the outside was not found")
	}
	if _, ok := symphony.As[symphony.Exchanger](inside{r}); ok {
		t.Error("found what is not there")
	}
	if _, ok := symphony.As[symphony.Exchanger](nil); ok {
		t.Error("found something on nil")
	}
}

// S20: the message's own < route < With < call.
func TestStampsOfARoute(t *testing.T) {
	r := newRecorder()
	bus := &symphony.Bus{Transport: r, Routes: []symphony.Route{{
		Type: "*", Queue: "routed",
		Stamps: []symphony.Stamp{symphony.Priority(8), symphony.Group("route"), symphony.Header("from", "route"), symphony.Tag("route")},
	}}}
	_, err := bus.With(symphony.Group("with")).Dispatch(t.Context(), greet{}, symphony.Header("from", "call"), symphony.Tag("call"))
	env := r.one(t)
	if err != nil || env.Queue != "routed" || env.Priority != 8 || env.Group != "with" || env.Headers["from"] != "call" ||
		!slices.Equal(env.Tags, []string{"route", "call"}) {
		t.Errorf("%v: %+v", err, env)
	}
	bad := &symphony.Bus{Transport: r, Routes: []symphony.Route{{Type: "*", Stamps: []symphony.Stamp{symphony.Priority(11)}}}}
	_, err = bad.Dispatch(t.Context(), greet{})
	invalidly(t, err, "priority")
}
