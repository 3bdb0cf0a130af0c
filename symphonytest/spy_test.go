package symphonytest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/symphonytest"
)

type welcome struct {
	UserID int64     `json:"user_id"`
	At     time.Time `json:"at,omitzero"`
	Names  []string  `json:"names,omitempty"`
	lost   string
}

func (welcome) MessageType() string { return "welcome" }

type audit struct{ What string }

func (*audit) MessageType() string { return "audit" }

func TestSpyIsADispatcher(t *testing.T) {
	var spy symphonytest.Spy
	var d symphony.Dispatcher = &spy
	receipt, err := d.Dispatch(t.Context(), welcome{UserID: 1}, symphony.Queue("mail"), symphony.Priority(9), symphony.Header("tenant", "acme"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.DispatchAll(t.Context(), []symphony.Message{&audit{"a"}, welcome{UserID: 2}, &audit{"b"}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{1, 2}, ids(symphonytest.Dispatched[welcome](t, &spy))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]*audit{{"a"}, {"b"}}, symphonytest.Dispatched[*audit](t, &spy)); diff != "" {
		t.Error(diff)
	}
	env := symphonytest.Envelopes[welcome](t, &spy)[0]
	if env.ID != receipt.ID || env.Queue != "mail" || env.Priority != 9 || env.Headers["tenant"] != "acme" || env.Message.(welcome).UserID != 1 {
		t.Errorf("envelope %+v", env)
	}
	var types []string
	for _, env := range spy.All() {
		types = append(types, fmt.Sprintf("%s %s %v", env.Type, env.Body, env.Message))
	}
	want := []string{`welcome {"user_id":1} <nil>`, `audit {"What":"a"} <nil>`, `welcome {"user_id":2} <nil>`, `audit {"What":"b"} <nil>`}
	if diff := cmp.Diff(want, types); diff != "" {
		t.Error(diff)
	}
}

func ids(ms []welcome) (ids []int64) {
	for _, m := range ms {
		ids = append(ids, m.UserID)
	}
	return ids
}

// The rules of a real dispatch hold.
func TestSpyRefusesWhatABusRefuses(t *testing.T) {
	var spy symphonytest.Spy
	_, err := spy.Dispatch(t.Context(), welcome{}, symphony.Priority(11))
	if _, ok := errors.AsType[*symphony.InvalidError](err); !ok || len(spy.All()) != 0 {
		t.Error(err, spy.All())
	}
	if _, err := spy.Dispatch(t.Context(), welcome{}, symphony.Via(nil, nil)); err != nil {
		t.Error(err) // no transaction at all
	}
}

func TestSpyRemembersWhatIsStored(t *testing.T) {
	var spy symphonytest.Spy
	for range 2 {
		if _, err := spy.Dispatch(t.Context(), welcome{UserID: 1}, symphony.IdempotencyKey("k", time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	symphonytest.AssertDispatched(t, &spy, welcome{UserID: 1})

	again := func(next symphony.Handler) symphony.Handler {
		return func(ctx context.Context, env *symphony.Envelope) error {
			return errors.Join(next(ctx, env), next(ctx, env))
		}
	}
	bus := &symphony.Bus{Transport: &spy, Sending: []symphony.Middleware{again}}
	if _, err := bus.Dispatch(t.Context(), &audit{"once"}); err != nil {
		t.Fatal(err)
	}
	symphonytest.AssertDispatched(t, &spy, &audit{"once"})

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := spy.Dispatch(cancelled, welcome{UserID: 7}); !errors.Is(err, context.Canceled) || len(spy.All()) != 2 {
		t.Error(err, len(spy.All()))
	}
}

func TestSpyGivesCopies(t *testing.T) {
	var spy symphonytest.Spy
	if _, err := spy.Dispatch(t.Context(), welcome{UserID: 1}, symphony.Tag("a"), symphony.Header("h", "1")); err != nil {
		t.Fatal(err)
	}
	env := spy.All()[0]
	env.Body[0], env.Tags[0], env.Headers["h"], env.Queue = 'x', "x", "x", "x"
	if env := spy.All()[0]; env.Body[0] != '{' || env.Tags[0] != "a" || env.Headers["h"] != "1" || env.Queue != "default" {
		t.Errorf("changed: %+v", env)
	}
}

// reversed is a codec of the program under test.
type reversed struct{ symphony.JSON }

func flip(b []byte) []byte {
	b = bytes.Clone(b)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return b
}

func (c reversed) Encode(env *symphony.Envelope) error {
	err := c.JSON.Encode(env)
	env.Body, env.ContentType = flip(env.Body), "text/reversed"
	return err
}

func (c reversed) Decode(env *symphony.Envelope, into symphony.Message) error {
	return c.JSON.Decode(&symphony.Envelope{Body: flip(env.Body)}, into)
}

func TestSpyWithACodec(t *testing.T) {
	spy := &symphonytest.Spy{Codec: reversed{}}
	for _, d := range []symphony.Dispatcher{spy, &symphony.Bus{Transport: spy, Codec: reversed{}}} {
		if _, err := d.Dispatch(t.Context(), welcome{UserID: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if body := spy.All()[0].Body; string(body) != `}1:"di_resu"{` {
		t.Errorf("body %s", body)
	}
	symphonytest.AssertDispatched(t, spy, welcome{UserID: 1}, welcome{UserID: 1})
}

// fake is a testing.TB that keeps what a helper says.
type fake struct {
	testing.TB
	said []string
}

func (f *fake) Helper() {}
func (f *fake) Errorf(format string, args ...any) {
	f.said = append(f.said, fmt.Sprintf(format, args...))
}

func (f *fake) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	panic(f)
}

// said returns what fn, given a fake, says when it fails.
func said(t *testing.T, fn func(testing.TB)) string {
	f := &fake{TB: t}
	func() {
		defer func() {
			if v := recover(); v != nil && v != f {
				panic(v)
			}
		}()
		fn(f)
	}()
	return strings.Join(f.said, "\n")
}

func TestAssertDispatched(t *testing.T) {
	var spy symphonytest.Spy
	now := time.Now()
	for _, m := range []symphony.Message{welcome{UserID: 1, At: now}, welcome{UserID: 2, Names: []string{"a", "b"}}, &audit{"x"}} {
		if _, err := spy.Dispatch(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	one, two := welcome{UserID: 1, At: now}, welcome{UserID: 2, Names: []string{"a", "b"}}
	for _, tt := range []struct {
		name string
		want []welcome
		ok   bool
	}{
		{"all", []welcome{one, two}, true},
		{"the time in another zone", []welcome{{UserID: 1, At: now.UTC()}, two}, true},
		{"another order", []welcome{two, one}, false},
		{"too few", []welcome{one}, false},
		{"too many", []welcome{one, two, two}, false},
		{"none", nil, false},
		{"another value", []welcome{one, {UserID: 2, Names: []string{"a", "c"}}}, false},
		{"another time", []welcome{{UserID: 1, At: now.Add(1)}, two}, false},
		{"what does not survive the codec", []welcome{one, {UserID: 2, Names: []string{"a", "b"}, lost: "x"}}, false},
	} {
		got := said(t, func(t testing.TB) { symphonytest.AssertDispatched(t, &spy, tt.want...) })
		if ok := got == ""; ok != tt.ok {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
	got := said(t, func(tb testing.TB) { symphonytest.AssertDispatched(tb, &spy, &audit{"x"}, &audit{"y"}) })
	want := "symphonytest: messages of type audit that were dispatched (- wanted, + dispatched):\n" +
		"    &{What:x}\n  - &{What:y}\n" +
		`types of all messages that were dispatched: ["welcome" "welcome" "audit"]`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	symphonytest.AssertDispatched[nothing](t, &spy)
}

type nothing struct{}

func (nothing) MessageType() string { return "nothing" }

func TestUndecodableMessagesEndTheTest(t *testing.T) {
	var spy symphonytest.Spy
	if _, err := spy.Dispatch(t.Context(), symphony.Raw{Type: "welcome", Body: []byte(`{"user_id":"x"}`)}); err != nil {
		t.Fatal(err)
	}
	got := said(t, func(tb testing.TB) { symphonytest.Dispatched[welcome](tb, &spy) })
	if !strings.HasPrefix(got, "symphonytest: decode message "+spy.All()[0].ID.String()+" of type welcome: json: ") {
		t.Error(got)
	}
}

type odd struct {
	Map     map[string][]int
	Pointer *time.Time
	Any     any
	Array   [2]float64
	Bytes   []byte
}

func (odd) MessageType() string { return "odd" }

func TestAssertLooksInside(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	later := at.Add(time.Hour)
	base := func() odd {
		return odd{Map: map[string][]int{"a": {1, 2}}, Pointer: &at, Any: map[string]any{"x": 1.5, "y": nil}, Array: [2]float64{1, 2}, Bytes: []byte{0, 255}}
	}
	var spy symphonytest.Spy
	if _, err := spy.Dispatch(t.Context(), base()); err != nil {
		t.Fatal(err)
	}
	symphonytest.AssertDispatched(t, &spy, base())
	for name, change := range map[string]func(*odd){
		"a value of a map":    func(m *odd) { m.Map["a"] = []int{1} },
		"a key of a map":      func(m *odd) { m.Map = map[string][]int{"b": {1, 2}} },
		"no map":              func(m *odd) { m.Map = nil },
		"a time":              func(m *odd) { m.Pointer = &later },
		"no time":             func(m *odd) { m.Pointer = nil },
		"a type":              func(m *odd) { m.Any = map[string]any{"x": "1.5", "y": nil} },
		"nil and missing":     func(m *odd) { m.Any = map[string]any{"x": 1.5, "z": nil} },
		"nothing in any":      func(m *odd) { m.Any = nil },
		"an array":            func(m *odd) { m.Array[1] = 3 },
		"a byte":              func(m *odd) { m.Bytes[0] = 1 },
		"none and nil":        func(m *odd) { m.Bytes = nil },
		"an int is no number": func(m *odd) { m.Any = map[string]any{"x": 1, "y": nil} },
	} {
		m := base()
		change(&m)
		if said(t, func(tb testing.TB) { symphonytest.AssertDispatched(tb, &spy, m) }) == "" {
			t.Errorf("%s makes no difference", name)
		}
	}
}
