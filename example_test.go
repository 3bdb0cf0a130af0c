package symphony_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/retry"
	"github.com/symphony-messenger/symphony/transport/memory"
)

// A message is stored, and a worker handles it; what fails is tried again. Another transport than
// this one keeps messages beyond the process, and nothing else changes.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	bus := &symphony.Bus{Transport: new(memory.Transport), Logger: slog.New(slog.DiscardHandler)}
	symphony.Handle(bus, func(ctx context.Context, m SendWelcome) error {
		env, _ := symphony.EnvelopeFrom(ctx)
		if env.Attempt == 1 {
			fmt.Println("the mail server is busy")
			return errors.New("busy")
		}
		fmt.Println("welcome, user", m.UserID, "at attempt", env.Attempt)
		stop()
		return nil
	}, symphony.Retry(retry.Exponential{Delay: 10 * time.Millisecond}))

	receipt, err := bus.Dispatch(ctx, SendWelcome{UserID: 42}, symphony.IdempotencyKey("welcome:42", 24*time.Hour))
	fmt.Println("stored:", !receipt.ID.IsZero(), err)
	again, err := bus.Dispatch(ctx, SendWelcome{UserID: 42}, symphony.IdempotencyKey("welcome:42", 24*time.Hour))
	fmt.Println("the same:", again.Duplicate && again.ID == receipt.ID, err)

	fmt.Println((&symphony.Worker{Bus: bus}).Run(ctx))
	// Output:
	// stored: true <nil>
	// the same: true <nil>
	// the mail server is busy
	// welcome, user 42 at attempt 2
	// <nil>
}
