package symphony_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony"
)

// journal notes in what order things happen.
type journal []string

func (j *journal) note(format string, args ...any) { *j = append(*j, fmt.Sprintf(format, args...)) }

// around notes when a middleware begins and ends, for which message.
func (j *journal) around(name string) symphony.Middleware {
	return func(next symphony.Handler) symphony.Handler {
		return func(ctx context.Context, env *symphony.Envelope) error {
			m := env.Message.(greet)
			j.note("%s> %s", name, m.Name)
			err := next(ctx, env)
			j.note("<%s %s: %v", name, m.Name, err)
			return err
		}
	}
}

func (j journal) want(t *testing.T, lines ...string) {
	t.Helper()
	if diff := cmp.Diff(lines, []string(j)); diff != "" {
		t.Error(diff)
	}
}

func greets(names ...string) (ms []symphony.Message) {
	for _, name := range names {
		ms = append(ms, greet{name})
	}
	return ms
}

func TestSendingMiddlewareIsAroundTheSend(t *testing.T) {
	var j journal
	r := newRecorder()
	down := errors.New("store is down")
	r.fail = func(int) error { j.note("send"); return down }
	bus := &symphony.Bus{Transport: r, Sending: []symphony.Middleware{j.around("outer"), j.around("inner")}}
	if _, err := bus.Dispatch(t.Context(), greet{"a"}); !errors.Is(err, down) {
		t.Error(err)
	}
	j.want(t, "outer> a", "inner> a", "send", "<inner a: store is down", "<outer a: store is down")
}

func TestSendingMiddlewareOfABatchNests(t *testing.T) {
	var j journal
	r := newRecorder()
	r.fail = func(int) error { j.note("send"); return nil }
	bus := &symphony.Bus{Transport: r, Sending: []symphony.Middleware{j.around("m")}}
	rs, err := bus.DispatchAll(t.Context(), greets("a", "b", "c"))
	if err != nil || len(r.calls) != 1 || len(r.calls[0]) != 3 || len(rs) != 3 {
		t.Fatal(rs, err, r.calls)
	}
	j.want(t, "m> a", "m> b", "m> c", "send", "<m c: <nil>", "<m b: <nil>", "<m a: <nil>")
}

func TestSendingMiddlewareMayChangeTheEnvelope(t *testing.T) {
	for name, mw := range map[string]symphony.Middleware{
		"in place": func(next symphony.Handler) symphony.Handler {
			return func(ctx context.Context, env *symphony.Envelope) error {
				env.Message, env.Queue = greet{"changed"}, "changed"
				return next(ctx, env)
			}
		},
		"as a copy": func(next symphony.Handler) symphony.Handler {
			return func(ctx context.Context, env *symphony.Envelope) error {
				own := *env
				own.Message, own.Queue = greet{"changed"}, "changed"
				return next(ctx, &own)
			}
		},
	} {
		r := newRecorder()
		bus := &symphony.Bus{Transport: r, Sending: []symphony.Middleware{mw}}
		if _, err := bus.Dispatch(t.Context(), greet{"a"}); err != nil {
			t.Fatal(err)
		}
		if env := r.one(t); env.Queue != "changed" || string(env.Body) != `{"name":"changed"}` {
			t.Errorf("%s: sent %s to %s", name, env.Body, env.Queue)
		}
	}
}

// keepBack keeps the messages of one name back.
func keepBack(name string, err error) symphony.Middleware {
	return func(next symphony.Handler) symphony.Handler {
		return func(ctx context.Context, env *symphony.Envelope) error {
			if env.Message == (greet{name}) {
				return err
			}
			return next(ctx, env)
		}
	}
}

func TestSendingMiddlewareKeepsBack(t *testing.T) {
	for _, name := range []string{"a", "b", "c"} {
		r := newRecorder()
		bus := &symphony.Bus{Transport: r, Sending: []symphony.Middleware{keepBack(name, nil)}}
		rs, err := bus.DispatchAll(t.Context(), greets("a", "b", "c"))
		if err != nil || len(rs) != 3 || len(r.calls) != 1 {
			t.Fatal(rs, err, r.calls)
		}
		sent := r.sent()
		for i, message := range []string{"a", "b", "c"} {
			if message == name {
				if !rs[i].ID.IsZero() {
					t.Errorf("%s was kept back and has a receipt", name)
				}
				continue
			}
			if rs[i].ID != sent[0].ID || sent[0].Message != (greet{message}) {
				t.Errorf("without %s: the receipt of %s is %v, sent was %v as %v", name, message, rs[i], sent[0].Message, sent[0].ID)
			}
			sent = sent[1:]
		}
	}
	r := newRecorder()
	bus := &symphony.Bus{Transport: r, Sending: []symphony.Middleware{keepBack("a", nil)}}
	if receipt, err := bus.Dispatch(t.Context(), greet{"a"}); err != nil || !receipt.ID.IsZero() || len(r.calls) != 0 {
		t.Error(receipt, err, r.calls)
	}
}

func TestSendingMiddlewareThatFailsStopsAll(t *testing.T) {
	forbidden := errors.New("forbidden")
	for _, name := range []string{"a", "b", "c"} {
		r := newRecorder()
		bus := &symphony.Bus{Transport: r, Sending: []symphony.Middleware{keepBack(name, forbidden)}}
		rs, err := bus.DispatchAll(t.Context(), greets("a", "b", "c"))
		if !errors.Is(err, forbidden) || rs != nil || len(r.calls) != 0 {
			t.Errorf("%s: %v, %v, %d calls", name, rs, err, len(r.calls))
		}
	}
}

// A middleware may try the send again: with the same messages, under the same IDs.
func TestSendingMiddlewareRepeats(t *testing.T) {
	again := func(next symphony.Handler) symphony.Handler {
		return func(ctx context.Context, env *symphony.Envelope) error {
			return errors.Join(next(ctx, env), next(ctx, env))
		}
	}
	for _, name := range []string{"a", "b", "c"} {
		r := newRecorder()
		bus := &symphony.Bus{Transport: r, Sending: []symphony.Middleware{only(name, again)}}
		rs, err := bus.DispatchAll(t.Context(), greets("a", "b", "c"))
		if err != nil || len(r.calls) != 2 {
			t.Fatal(err, len(r.calls))
		}
		ids := func(envs []symphony.Envelope) (ids []symphony.ID) {
			for _, env := range envs {
				ids = append(ids, env.ID)
			}
			return ids
		}
		want := []symphony.ID{rs[0].ID, rs[1].ID, rs[2].ID}
		if !slices.Equal(ids(r.calls[0]), want) || !slices.Equal(ids(r.calls[1]), want) {
			t.Errorf("%s repeats: sent %v and %v, receipts %v", name, ids(r.calls[0]), ids(r.calls[1]), want)
		}
	}
}

// only applies mw to the messages of one name.
func only(name string, mw symphony.Middleware) symphony.Middleware {
	return func(next symphony.Handler) symphony.Handler {
		special := mw(next)
		return func(ctx context.Context, env *symphony.Envelope) error {
			if env.Message == (greet{name}) {
				return special(ctx, env)
			}
			return next(ctx, env)
		}
	}
}

func TestSendingMiddlewareRetriesAFailedSend(t *testing.T) {
	r := newRecorder()
	r.fail = func(call int) error {
		if call == 1 {
			return errors.New("connection reset")
		}
		return nil
	}
	once := func(next symphony.Handler) symphony.Handler {
		return func(ctx context.Context, env *symphony.Envelope) error {
			if next(ctx, env) == nil {
				return nil
			}
			return next(ctx, env)
		}
	}
	receipt, err := (&symphony.Bus{Transport: r, Sending: []symphony.Middleware{once}}).Dispatch(t.Context(), greet{"a"})
	if err != nil || len(r.calls) != 2 || r.calls[0][0].ID != receipt.ID || r.calls[1][0].ID != receipt.ID {
		t.Error(receipt, err, len(r.calls))
	}
}

func TestSendingMiddlewareInPlace(t *testing.T) {
	var j journal
	bus := &symphony.Bus{
		Sending:  []symphony.Middleware{j.around("send"), keepBack("kept", nil)},
		Handling: []symphony.Middleware{j.around("bus")},
	}
	symphony.Handle(bus, func(_ context.Context, m greet) error {
		j.note("handle")
		return errors.New("no")
	}, symphony.Middleware(j.around("handler")))
	if _, err := bus.Dispatch(t.Context(), greet{"a"}); err == nil || err.Error() != "dispatch test.greet: no" {
		t.Error(err)
	}
	j.want(t, "send> a", "bus> a", "handler> a", "handle", "<handler a: no", "<bus a: no", "<send a: no")
	if receipt, err := bus.Dispatch(t.Context(), greet{"kept"}); err != nil || !receipt.ID.IsZero() {
		t.Errorf("kept back: %v, %v", receipt, err)
	}
}

// 10,000 messages through middleware nest 10,000 deep.
func TestSendingMiddlewareOfTheLargestBatch(t *testing.T) {
	r, seen := newRecorder(), 0
	count := func(next symphony.Handler) symphony.Handler {
		return func(ctx context.Context, env *symphony.Envelope) error { seen++; return next(ctx, env) }
	}
	bus := &symphony.Bus{Transport: r, Sending: []symphony.Middleware{count, count}}
	if _, err := bus.DispatchAll(t.Context(), slices.Repeat([]symphony.Message{greet{}}, 10_000)); err != nil || seen != 20_000 || len(r.sent()) != 10_000 {
		t.Error(err, seen, len(r.sent()))
	}
}

func TestContextOfMiddlewareReachesTheSend(t *testing.T) {
	type key struct{}
	set := func(next symphony.Handler) symphony.Handler {
		return func(ctx context.Context, env *symphony.Envelope) error {
			return next(context.WithValue(ctx, key{}, "set"), env)
		}
	}
	var got any
	tx := senders{func(ctx context.Context) { got = ctx.Value(key{}) }}
	r := newRecorder()
	_, err := (&symphony.Bus{Transport: r, Sending: []symphony.Middleware{set}}).Dispatch(t.Context(), greet{}, symphony.Via(r, &tx))
	if err != nil || got != "set" {
		t.Error(got, err)
	}
}

type senders struct{ saw func(context.Context) }

func (s *senders) Send(ctx context.Context, envs []*symphony.Envelope) ([]symphony.Receipt, error) {
	s.saw(ctx)
	return make([]symphony.Receipt, len(envs)), nil
}

func TestMiddlewareSeesWhatIsNotEncodedYet(t *testing.T) {
	look := func(next symphony.Handler) symphony.Handler {
		return func(ctx context.Context, env *symphony.Envelope) error {
			if env.Body != nil || env.Message != (greet{"a"}) || env.ID.IsZero() {
				return fmt.Errorf("saw body %q, message %v, id %v", env.Body, env.Message, env.ID)
			}
			return next(ctx, env)
		}
	}
	_, err := (&symphony.Bus{Transport: newRecorder(), Sending: []symphony.Middleware{look}}).Dispatch(t.Context(), greet{"a"})
	if err != nil {
		t.Error(strings.TrimPrefix(err.Error(), "dispatch test.greet: "))
	}
}
