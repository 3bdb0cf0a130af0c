package symphony_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/symphony-messenger/symphony"
)

func printed(what string) symphony.Middleware {
	return func(next symphony.Handler) symphony.Handler {
		return func(ctx context.Context, env *symphony.Envelope) error {
			fmt.Println("begin", what, env.Type)
			err := next(ctx, env)
			fmt.Println("end", what, env.Type, err)
			return err
		}
	}
}

// Middleware is around sending, around all handlers of a bus, or around one handler.
func ExampleMiddleware() {
	bus := &symphony.Bus{
		Sending:  []symphony.Middleware{printed("sending")},
		Handling: []symphony.Middleware{printed("handling")},
	}
	symphony.Handle(bus, func(_ context.Context, m SendWelcome) error {
		return errors.New("no mailbox")
	}, printed("this handler"))

	_, err := bus.Dispatch(context.Background(), SendWelcome{UserID: 42})
	fmt.Println(err)
	// Output:
	// begin sending send_welcome
	// begin handling send_welcome
	// begin this handler send_welcome
	// end this handler send_welcome no mailbox
	// end handling send_welcome no mailbox
	// end sending send_welcome no mailbox
	// dispatch send_welcome: no mailbox
}
