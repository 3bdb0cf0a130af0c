package symphony_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
)

func TestRegistrationPanics(t *testing.T) {
	nothing := func(context.Context, greet) error { return nil }
	taken := func() *symphony.Bus {
		bus := new(symphony.Bus)
		symphony.Handle(bus, nothing)
		symphony.On(bus, "crm", nothing)
		return bus
	}
	for name, tt := range map[string]struct {
		register func()
		want     string
	}{
		"a second handler": {
			func() { symphony.Handle(taken(), nothing) },
			`symphony: type test.greet has a second handler for subscriber ""`,
		},
		"a second handler of another kind": {
			func() {
				symphony.HandleRaw(taken(), "test.greet", func(context.Context, *symphony.Envelope) error { return nil })
			},
			`symphony: type test.greet has a second handler for subscriber ""`,
		},
		"a second subscriber of one name": {
			func() { symphony.On(taken(), "crm", nothing) },
			`symphony: type test.greet has a second handler for subscriber "crm"`,
		},
		"an alias that has a handler": {
			func() {
				symphony.Handle(taken(), func(context.Context, *created) error { return nil }, symphony.Alias("test.greet"))
			},
			`symphony: type test.greet has a second handler for subscriber ""`,
		},
		"an alias of itself": {
			func() { symphony.Handle(new(symphony.Bus), nothing, symphony.Alias("test.greet")) },
			`symphony: type test.greet has a second handler for subscriber ""`,
		},
		"no name of a type": {
			func() { symphony.Handle(new(symphony.Bus), func(context.Context, named) error { return nil }) },
			`symphony: invalid message type "": must be [A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}`,
		},
		"no name of an alias": {
			func() { symphony.Handle(new(symphony.Bus), nothing, symphony.Alias(`App\Greet`)) },
			`symphony: invalid message type "App\\Greet": must be `,
		},
		"no name of a raw type": {
			func() {
				symphony.HandleRaw(new(symphony.Bus), "a b", func(context.Context, *symphony.Envelope) error { return nil })
			},
			`symphony: invalid message type "a b": must be `,
		},
		"no name of a subscriber": {
			func() { symphony.On(new(symphony.Bus), "CRM", nothing) },
			`symphony: invalid subscriber "CRM": must be [a-z0-9][a-z0-9_.-]{0,62}`,
		},
		"a subscriber without a name": {
			func() { symphony.On(new(symphony.Bus), "", nothing) },
			`symphony: invalid subscriber "": must be `,
		},
		"an interface": {
			func() {
				symphony.Handle(new(symphony.Bus), func(context.Context, symphony.Message) error { return nil })
			},
			`symphony: a handler of symphony.Message: it needs a concrete message type`,
		},
		"no function": {
			func() { symphony.Handle[greet](new(symphony.Bus), nil) },
			`symphony: a handler of symphony_test.greet: it needs a function`,
		},
		"a stamp that refuses": {
			func() { symphony.On(new(symphony.Bus), "crm", nothing, symphony.Priority(11)) },
			`symphony: subscriber crm of test.greet: invalid priority "11": must be between 1 and 10`,
		},
		"a key for all messages": {
			func() { symphony.On(new(symphony.Bus), "crm", nothing, symphony.IdempotencyKey("k", time.Hour)) },
			`symphony: subscriber crm of test.greet: invalid stamp of a subscriber "crm": must be one that fits every message`,
		},
		"a time for all messages": {
			func() { symphony.On(new(symphony.Bus), "crm", nothing, symphony.At(time.Now())) },
			`symphony: subscriber crm of test.greet: invalid stamp of a subscriber "crm": must be one that fits every message`,
		},
		"a transaction for all messages": {
			func() {
				r := newRecorder()
				symphony.On(new(symphony.Bus), "crm", nothing, symphony.Via(r, r))
			},
			`symphony: subscriber crm of test.greet: invalid stamp of a subscriber "crm": must be one that fits every message`,
		},
		"too many tags for all messages": {
			func() {
				symphony.On(new(symphony.Bus), "crm", nothing, symphony.Tag(strings.Split("abcdefghijklmnopq", "")...))
			},
			`symphony: subscriber crm of test.greet: invalid number of tags "17": must be at most 16`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := panics(t, tt.register); !strings.HasPrefix(got, tt.want) {
				t.Errorf("panic %q, want %q", got, tt.want)
			}
		})
	}
}

// Registering while messages are handled is safe.
func TestRegisterConcurrently(t *testing.T) {
	bus := new(symphony.Bus)
	symphony.Handle(bus, func(context.Context, greet) error { return nil })
	done := make(chan error, 1)
	go func() {
		for range 100 {
			if _, err := bus.Dispatch(t.Context(), greet{}); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for _, name := range strings.Fields("z y x w v u t s r q p o n m l k j i h g f e d c b a") {
		symphony.On(bus, name, func(context.Context, greet) error { return nil })
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
