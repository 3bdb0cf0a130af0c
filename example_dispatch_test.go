package symphony_test

import (
	"context"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
)

type SendWelcome struct{ UserID int64 }

func (SendWelcome) MessageType() string { return "send_welcome" }

// Without a transport a message is handled at once, in the goroutine that dispatches it.
func Example_inPlace() {
	bus := new(symphony.Bus)
	symphony.Handle(bus, func(_ context.Context, m SendWelcome) error {
		fmt.Println("welcome, user", m.UserID)
		return nil
	})

	_, err := bus.Dispatch(context.Background(), SendWelcome{UserID: 42})
	fmt.Println(err)
	// Output:
	// welcome, user 42
	// <nil>
}

// Stamps say how a message travels. What makes no sense is refused before anything is sent.
func ExampleStamp() {
	bus := new(symphony.Bus)
	symphony.Handle(bus, func(ctx context.Context, m SendWelcome) error {
		env, _ := symphony.EnvelopeFrom(ctx)
		fmt.Println(env.Queue, env.Priority, env.Headers["tenant"], env.Tags)
		return nil
	})

	ctx := context.Background()
	acme := bus.With(symphony.Queue("mail"), symphony.Header("tenant", "acme"))
	_, err := acme.Dispatch(ctx, SendWelcome{UserID: 42}, symphony.Priority(9), symphony.Tag("import"))
	fmt.Println(err)
	_, err = acme.Dispatch(ctx, SendWelcome{UserID: 42}, symphony.Priority(0))
	fmt.Println(err)
	_, err = acme.Dispatch(ctx, SendWelcome{UserID: 42}, symphony.IdempotencyKey("", time.Hour))
	fmt.Println(err)
	// Output:
	// mail 9 acme [import]
	// <nil>
	// dispatch send_welcome: invalid priority "0": must be between 1 and 10
	// dispatch send_welcome: invalid idempotency key "": must be 1 to 255 bytes
}

// Wrap gives one message of many stamps of its own.
func ExampleWrap() {
	bus := new(symphony.Bus)
	symphony.Handle(bus, func(ctx context.Context, m SendWelcome) error {
		env, _ := symphony.EnvelopeFrom(ctx)
		fmt.Println("user", m.UserID, "priority", env.Priority)
		return nil
	})

	receipts, err := bus.DispatchAll(context.Background(), []symphony.Message{
		SendWelcome{UserID: 1},
		symphony.Wrap(SendWelcome{UserID: 2}, symphony.Priority(10)),
	}, symphony.Priority(3))
	fmt.Println(len(receipts), err)
	// Output:
	// user 1 priority 3
	// user 2 priority 10
	// 2 <nil>
}

// Raw carries bytes of a type that is known only at run time, as they are.
func ExampleRaw() {
	bus := new(symphony.Bus)
	symphony.HandleRaw(bus, "sensor.reading", func(_ context.Context, env *symphony.Envelope) error {
		fmt.Printf("%s %s\n", env.ContentType, env.Body)
		return nil
	})

	ctx := context.Background()
	_, err := bus.Dispatch(ctx, symphony.Raw{Type: "sensor.reading", Body: []byte(`{ "celsius": 21.50 }`)})
	fmt.Println(err)
	_, err = bus.Dispatch(ctx, symphony.Raw{Type: "sensor.reading", Body: []byte(`{ "celsius": `)})
	fmt.Println(err)
	// Output:
	// application/json { "celsius": 21.50 }
	// <nil>
	// dispatch sensor.reading: decode sensor.reading: invalid body "{ \"celsius\": ": must be well-formed JSON (unexpected end of JSON input)
}
