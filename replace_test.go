package symphony_test

import (
	"errors"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
)

// Of several stamps for a key the last one counts, whole.
func TestKeyActions(t *testing.T) {
	r := newRecorder()
	r.caps.Replace = true
	bus := &symphony.Bus{Transport: r}
	for i, c := range []struct {
		stamps []symphony.Stamp
		want   symphony.Envelope
	}{
		{[]symphony.Stamp{symphony.Replace("k", time.Hour)}, symphony.Envelope{Key: "k", Window: time.Hour, WhenTaken: symphony.ReplaceWaiting}},
		{[]symphony.Stamp{symphony.Debounce("k", time.Minute)}, symphony.Envelope{Key: "k", Delay: time.Minute, WhenTaken: symphony.DebounceWaiting}},
		{[]symphony.Stamp{symphony.Debounce("k", time.Minute), symphony.IdempotencyKey("l", time.Hour)}, symphony.Envelope{Key: "l", Window: time.Hour, Delay: time.Minute}},
	} {
		if _, err := bus.Dispatch(t.Context(), greet{"a"}, c.stamps...); err != nil {
			t.Fatal(err)
		}
		env := r.sent()[i]
		got := symphony.Envelope{Key: env.Key, Window: env.Window, Delay: env.Delay, WhenTaken: env.WhenTaken}
		if got.Key != c.want.Key || got.Window != c.want.Window || got.Delay != c.want.Delay || got.WhenTaken != c.want.WhenTaken {
			t.Errorf("%d: %+v, want %+v", i, got, c.want)
		}
	}
	for _, bad := range []symphony.Stamp{
		symphony.Replace("", 0), symphony.Replace("k", -1), symphony.Debounce("", 0), symphony.Debounce("k", -1),
		func(e *symphony.Envelope) error { e.Key, e.WhenTaken = "k", "eat"; return nil },
	} {
		_, err := bus.Dispatch(t.Context(), greet{"a"}, bad)
		if _, ok := errors.AsType[*symphony.InvalidError](err); !ok {
			t.Errorf("%v, want an *InvalidError", err)
		}
	}
	r.caps.Replace = false
	if _, err := bus.Dispatch(t.Context(), greet{"a"}, symphony.Replace("k", 0)); !errors.Is(err, symphony.ErrUnsupported) {
		t.Errorf("%v, want ErrUnsupported", err)
	}
}
