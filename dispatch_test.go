package symphony_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony"
)

func TestDispatchSendsOneEnvelope(t *testing.T) {
	r := newRecorder()
	bus := &symphony.Bus{Transport: r}
	receipt, err := bus.Dispatch(t.Context(), greet{"Ann"})
	if err != nil {
		t.Fatal(err)
	}
	env := r.one(t)
	if receipt.ID.IsZero() || receipt.ID != env.ID || receipt.Duplicate {
		t.Errorf("receipt %v, envelope %v", receipt, env.ID)
	}
	if env.Type != "test.greet" || string(env.Body) != `{"name":"Ann"}` || env.ContentType != "application/json" {
		t.Errorf("sent %s %s %s", env.Type, env.ContentType, env.Body)
	}
	if env.Queue != "default" || env.Priority != 5 || env.MaxRetries != nil || env.Version != 0 || env.Subscriber != "" {
		t.Errorf("defaults: %+v", env)
	}
	if env.Headers != nil || env.Tags != nil || env.Delay != 0 || !env.At.IsZero() || env.Expires != 0 || env.Key != "" || env.Group != "" {
		t.Errorf("a wish that nobody had: %+v", env)
	}
}

func TestEveryStampReachesTheTransport(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 6e6, time.UTC)
	env := stored(t, greet{},
		symphony.Queue("mail"), symphony.Priority(9), symphony.At(at), symphony.Expires(time.Hour), symphony.IdempotencyKey("k", aDay),
		symphony.Group("user:1"), symphony.MaxRetries(0), symphony.Header("tenant", "acme"), symphony.Tag("a", "b"), symphony.Tag("c"))
	if env.Queue != "mail" || env.Priority != 9 || !env.At.Equal(at) || env.Expires != time.Hour || env.Key != "k" || env.Window != aDay ||
		env.Group != "user:1" || env.MaxRetries == nil || *env.MaxRetries != 0 {
		t.Errorf("sent %+v", env)
	}
	if env.Headers["tenant"] != "acme" || !slices.Equal(env.Tags, []string{"a", "b", "c"}) {
		t.Errorf("sent %+v", env)
	}
	if env := stored(t, greet{}, symphony.At(at), symphony.Delay(time.Minute)); env.Delay != time.Minute || !env.At.IsZero() {
		t.Errorf("Delay after At: %v %v", env.Delay, env.At)
	}
	if env := stored(t, greet{}, symphony.Delay(time.Minute), symphony.At(at)); env.Delay != 0 || !env.At.Equal(at) {
		t.Errorf("At after Delay: %v %v", env.Delay, env.At)
	}
}

type report struct{}

func (report) MessageType() string { return "test.report" }
func (report) MessageVersion() int { return 3 }

func TestVersionTravels(t *testing.T) {
	if env := stored(t, report{}); env.Version != 3 {
		t.Errorf("version %d, want 3", env.Version)
	}
}

// S20: the message's own stamps < route < With < call < Wrap; headers merge, tags add up.
func TestStampPrecedence(t *testing.T) {
	r := newRecorder()
	bus := &symphony.Bus{Transport: r, Routes: []symphony.Route{{Type: "test.created", Queue: "of-route"}}}
	by := func(who string, priority int) []symphony.Stamp {
		return []symphony.Stamp{
			symphony.Priority(priority), symphony.Header("from", who), symphony.Header("only-"+who, "1"), symphony.Tag(who),
		}
	}
	with := bus.With(by("with", 3)...)
	steps := []struct {
		name     string
		dispatch func() (symphony.Receipt, error)
		queue    string
		priority int
		from     string
		tags     []string
	}{
		{
			"message and route", func() (symphony.Receipt, error) { return bus.Dispatch(t.Context(), &created{1}) },
			"of-route", 2, "message",
			[]string{"message"},
		},
		{
			"with", func() (symphony.Receipt, error) { return with.Dispatch(t.Context(), &created{1}) },
			"of-route", 3, "with",
			[]string{"message", "with"},
		},
		{
			"call", func() (symphony.Receipt, error) { return with.Dispatch(t.Context(), &created{1}, by("call", 4)...) },
			"of-route", 4, "call",
			[]string{"message", "with", "call"},
		},
		{
			"wrap", func() (symphony.Receipt, error) {
				m := symphony.Wrap(symphony.Wrap(&created{1}, by("inner", 6)...), by("wrap", 7)...)
				return with.Dispatch(t.Context(), m, append(by("call", 4), symphony.Queue("of-call"))...)
			},
			"of-call", 7, "wrap",
			[]string{"message", "with", "call", "inner", "wrap"},
		},
	}
	for i, step := range steps {
		if _, err := step.dispatch(); err != nil {
			t.Fatal(err)
		}
		env := r.sent()[i]
		if env.Queue != step.queue || env.Priority != step.priority || env.Headers["from"] != step.from {
			t.Errorf("%s: queue %s, priority %d, from %s", step.name, env.Queue, env.Priority, env.Headers["from"])
		}
		if diff := cmp.Diff(step.tags, env.Tags); diff != "" {
			t.Errorf("%s: tags %s", step.name, diff)
		}
		for _, who := range step.tags {
			if env.Headers["only-"+who] != "1" {
				t.Errorf("%s: the header of %s is gone: %v", step.name, who, env.Headers)
			}
		}
		if *env.MaxRetries != 2 {
			t.Errorf("%s: max retries %d, want those of the message", step.name, *env.MaxRetries)
		}
	}
}

// The stamps that With got are not a buffer that several calls write into.
func TestWithIsSafeToShare(t *testing.T) {
	r := newRecorder()
	stamps := make([]symphony.Stamp, 1, 8)
	stamps[0] = symphony.Tag("with")
	d := (&symphony.Bus{Transport: r}).With(stamps...)
	meanwhile := func(*symphony.Envelope) error {
		_, err := d.Dispatch(t.Context(), greet{"b"}, symphony.Tag("b1"), symphony.Tag("b2"))
		return err
	}
	if _, err := d.Dispatch(t.Context(), greet{"a"}, meanwhile, symphony.Tag("a")); err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]string{{"with", "b1", "b2"}, {"with", "a"}} {
		if got := r.sent()[i].Tags; !slices.Equal(got, want) {
			t.Errorf("tags %v, want %v", got, want)
		}
	}
}

func TestDispatchAllIsOneSend(t *testing.T) {
	r := newRecorder()
	bus := &symphony.Bus{Transport: r}
	rs, err := bus.DispatchAll(t.Context(), []symphony.Message{
		greet{"a"}, symphony.Wrap(greet{"b"}, symphony.Priority(9)), &created{7},
	}, symphony.Priority(4))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.calls) != 1 || len(rs) != 3 {
		t.Fatalf("%d calls, %d receipts", len(r.calls), len(rs))
	}
	var priorities []int
	for i, env := range r.sent() {
		if rs[i].ID != env.ID {
			t.Errorf("receipt %d is %v, the envelope %v", i, rs[i].ID, env.ID)
		}
		priorities = append(priorities, env.Priority)
	}
	if !slices.Equal(priorities, []int{4, 9, 4}) {
		t.Errorf("priorities %v", priorities)
	}
	if rs, err := bus.DispatchAll(t.Context(), nil); rs != nil || err != nil || len(r.calls) != 1 {
		t.Errorf("no messages: %v, %v, %d calls", rs, err, len(r.calls))
	}
}

func TestDispatchAllIsAllOrNone(t *testing.T) {
	for name, bad := range map[string]symphony.Message{
		"nil":          nil,
		"refused":      symphony.Wrap(greet{}, symphony.Priority(11)),
		"invalid":      &created{-1},
		"too large":    symphony.Raw{Type: "big", ContentType: "text/plain", Body: make([]byte, 256<<10+1)},
		"broken JSON":  symphony.Raw{Type: "broken", Body: []byte("{")},
		"unmarshalled": unmarshalled{},
		"unsupported":  symphony.Wrap(greet{}, symphony.Group("g")),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecorder()
			r.caps.Group = false
			rs, err := (&symphony.Bus{Transport: r}).DispatchAll(t.Context(), []symphony.Message{greet{"a"}, greet{"b"}, bad})
			if err == nil || rs != nil || len(r.calls) != 0 {
				t.Fatalf("%v, %v, %d calls; want none", rs, err, len(r.calls))
			}
		})
	}
}

type unmarshalled struct{ F func() }

func (unmarshalled) MessageType() string { return "test.unmarshalled" }

func TestErrorNamesTheMessage(t *testing.T) {
	bus := &symphony.Bus{Transport: newRecorder()}
	_, err := bus.DispatchAll(t.Context(), []symphony.Message{greet{}, &created{-1}})
	if !errors.Is(err, errNegative) || !strings.HasPrefix(fmt.Sprint(err), "dispatch 2 messages, number 2 (test.created): ") {
		t.Error(err)
	}
	_, err = bus.Dispatch(t.Context(), greet{}, symphony.Priority(0))
	if got, want := fmt.Sprint(err), `dispatch test.greet: invalid priority "0": must be between 1 and 10`; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}

func TestDispatchAllBounds(t *testing.T) {
	r := newRecorder()
	bus := &symphony.Bus{Transport: r, MaxBody: 16 << 20}
	_, err := bus.DispatchAll(t.Context(), slices.Repeat([]symphony.Message{greet{}}, 10_001))
	invalidly(t, err, "number of messages")
	if rs, err := bus.DispatchAll(t.Context(), slices.Repeat([]symphony.Message{greet{}}, 10_000)); err != nil || len(rs) != 10_000 {
		t.Errorf("10,000 messages: %d receipts, %v", len(rs), err)
	}
	sixteen := symphony.Raw{Type: "big", ContentType: "text/plain", Body: make([]byte, 16<<20)}
	if _, err := bus.DispatchAll(t.Context(), slices.Repeat([]symphony.Message{sixteen}, 4)); err != nil {
		t.Errorf("64 MiB: %v", err)
	}
	one := symphony.Raw{Type: "small", ContentType: "text/plain", Body: []byte("x")}
	_, err = bus.DispatchAll(t.Context(), append(slices.Repeat([]symphony.Message{sixteen}, 4), one))
	if !errors.Is(err, symphony.ErrTooLarge) || len(r.calls) != 2 {
		t.Errorf("64 MiB and a byte: %v, %d calls", err, len(r.calls))
	}
}

func TestDispatchAllGoesToOnePlace(t *testing.T) {
	a, b := newRecorder(), newRecorder()
	bus := &symphony.Bus{Transport: a, Routes: []symphony.Route{{Type: "test.created", Transport: b}}}
	_, err := bus.DispatchAll(t.Context(), []symphony.Message{greet{}, &created{1}})
	if err == nil || !strings.Contains(err.Error(), "another transport") || len(a.calls)+len(b.calls) > 0 {
		t.Error(err)
	}
	_, err = bus.DispatchAll(t.Context(), []symphony.Message{greet{}, symphony.Wrap(greet{}, symphony.Via(a, newRecorder()))})
	if err == nil || !strings.Contains(err.Error(), "another transport") || len(a.calls) > 0 {
		t.Error(err)
	}
}

// incomparable is a transport, or a sender, that == panics on.
type incomparable struct {
	*recorder
	_ func()
}

func TestDispatchAllToWhatCannotBeCompared(t *testing.T) {
	r := newRecorder()
	two := []symphony.Message{greet{}, greet{}}
	for name, c := range map[string]struct {
		to    symphony.Transport
		stamp symphony.Stamp
	}{
		"transport":     {incomparable{recorder: r}, symphony.Priority(2)},
		"sender":        {r, symphony.Via(r, incomparable{recorder: r})},
		"its transport": {incomparable{recorder: r}, symphony.Via(incomparable{recorder: r}, r)},
	} {
		_, err := (&symphony.Bus{Transport: c.to}).DispatchAll(t.Context(), two, c.stamp)
		if err == nil || !strings.Contains(err.Error(), "another transport") || len(r.sent()) > 0 {
			t.Errorf("%s: error %v, %d sent", name, err, len(r.sent()))
		}
	}
	if _, err := (&symphony.Bus{Transport: incomparable{recorder: r}}).Dispatch(t.Context(), greet{}); err != nil {
		t.Errorf("one message: %v", err)
	}
}

func TestErrorOfTheTransportReachesTheCaller(t *testing.T) {
	r := newRecorder()
	r.fail = func(int) error { return fmt.Errorf("send: %w", symphony.ErrOutcomeUnknown) }
	receipt, err := (&symphony.Bus{Transport: r}).Dispatch(t.Context(), greet{})
	if !errors.Is(err, symphony.ErrOutcomeUnknown) || !receipt.ID.IsZero() {
		t.Error(receipt, err)
	}
}

func TestReceiptIsThatOfTheTransport(t *testing.T) {
	first := symphony.NewID()
	bus := &symphony.Bus{Transport: duplicates{newRecorder(), first}}
	got, err := bus.Dispatch(t.Context(), greet{}, symphony.IdempotencyKey("k", 0))
	if err != nil || !got.Duplicate || got.ID != first || !slices.Equal(got.Copies, []symphony.ID{first.For("crm")}) {
		t.Error(got, err)
	}
}

type duplicates struct {
	*recorder
	first symphony.ID
}

func (d duplicates) Send(_ context.Context, envs []*symphony.Envelope) ([]symphony.Receipt, error) {
	return slices.Repeat([]symphony.Receipt{{ID: d.first, Duplicate: true, Copies: []symphony.ID{d.first.For("crm")}}}, len(envs)), nil
}

func TestUnsupportedWishesAreRefused(t *testing.T) {
	for name, stamp := range map[string]symphony.Stamp{
		"a delay of 1s":            symphony.Delay(time.Second),
		"a time":                   symphony.At(time.Now()),
		"priority":                 symphony.Priority(6),
		"expiry":                   symphony.Expires(time.Hour),
		"idempotency key":          symphony.IdempotencyKey("k", 0),
		"group":                    symphony.Group("g"),
		"the caller's transaction": nil,
	} {
		r := newRecorder()
		r.caps = symphony.Capabilities{}
		if stamp == nil {
			stamp = symphony.Via(r, newRecorder())
		}
		_, err := (&symphony.Bus{Transport: r}).Dispatch(t.Context(), greet{}, stamp)
		if !errors.Is(err, symphony.ErrUnsupported) || !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), name) || len(r.calls) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := newRecorder()
	r.caps = symphony.Capabilities{}
	if _, err := (&symphony.Bus{Transport: r}).Dispatch(t.Context(), greet{}, symphony.Priority(5), symphony.MaxRetries(1)); err != nil {
		t.Errorf("wishes that every transport honours: %v", err)
	}
}

func TestDelaysBeyondTheTransport(t *testing.T) {
	r := newRecorder()
	r.caps.MaxDelay = 15 * time.Minute
	bus := &symphony.Bus{Transport: r}
	for name, stamp := range map[string]symphony.Stamp{
		"delay": symphony.Delay(15*time.Minute + 1),
		"time":  symphony.At(time.Now().Add(time.Hour)),
	} {
		if _, err := bus.Dispatch(t.Context(), greet{}, stamp); !errors.Is(err, symphony.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, stamp := range map[string]symphony.Stamp{
		"delay": symphony.Delay(15 * time.Minute),
		"time":  symphony.At(time.Now().Add(time.Minute)),
		"past":  symphony.At(time.Unix(0, 0)),
	} {
		if _, err := bus.Dispatch(t.Context(), greet{}, stamp); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBodyLimits(t *testing.T) {
	text := func(n int) symphony.Raw {
		return symphony.Raw{Type: "t", ContentType: "text/plain", Body: make([]byte, n)}
	}
	for _, tt := range []struct {
		name           string
		bus, transport int
		bytes          int
		ok             bool
	}{
		{"the default", 0, 0, 256 << 10, true},
		{"over the default", 0, 0, 256<<10 + 1, false},
		{"raised", 16 << 20, 0, 16 << 20, true},
		{"over what was raised", 16 << 20, 0, 16<<20 + 1, false},
		{"lowered", 10, 0, 11, false},
		{"the transport takes less", 0, 100, 101, false},
		{"the transport takes more", 0, 1 << 30, 256<<10 + 1, false},
	} {
		r := newRecorder()
		r.caps.MaxBody = tt.transport
		_, err := (&symphony.Bus{Transport: r, MaxBody: tt.bus}).Dispatch(t.Context(), text(tt.bytes))
		if ok := err == nil; ok != tt.ok || !ok && !errors.Is(err, symphony.ErrTooLarge) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	for _, limit := range []int{-1, 16<<20 + 1} {
		_, err := (&symphony.Bus{Transport: newRecorder(), MaxBody: limit}).Dispatch(t.Context(), greet{})
		invalidly(t, err, "limit of bodies")
	}
}
