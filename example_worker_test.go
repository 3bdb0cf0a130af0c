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

// A worker runs until its context ends or, as here, a limit is reached.
func ExampleWorker() {
	ctx := context.Background()
	bus := &symphony.Bus{Transport: new(memory.Transport)}
	symphony.Handle(bus, func(ctx context.Context, m OrderPaid) error {
		env, _ := symphony.EnvelopeFrom(ctx)
		if env.Attempt == 1 {
			return errors.New("the warehouse does not answer")
		}
		fmt.Println("attempt", env.Attempt, "ships", m.OrderID)
		return nil
	}, symphony.Retry(retry.Exponential{Delay: time.Millisecond}))
	_, _ = bus.Dispatch(ctx, OrderPaid{"A-1"})

	worker := &symphony.Worker{
		Bus:    bus,
		Logger: slog.New(slog.DiscardHandler),
		Limits: symphony.Limits{Idle: 50 * time.Millisecond},
	}
	fmt.Println(worker.Run(ctx))
	// Output:
	// attempt 2 ships A-1
	// <nil>
}

// Queues share the handlers of a worker by weight; one queue or type can be kept to a few of them.
func ExampleWorker_queues() {
	bus := &symphony.Bus{Transport: new(memory.Transport)}
	symphony.Handle(bus, func(ctx context.Context, m OrderPaid) error {
		env, _ := symphony.EnvelopeFrom(ctx)
		fmt.Println(env.Queue, m.OrderID)
		return nil
	})
	ctx := context.Background()
	for _, queue := range []string{"orders", "reports"} {
		for n := range 4 {
			_, _ = bus.Dispatch(ctx, OrderPaid{fmt.Sprint(n)}, symphony.Queue(queue))
		}
	}

	worker := &symphony.Worker{
		Bus:         bus,
		Concurrency: 1,
		Queues: []symphony.WorkerQueue{
			{Name: "orders", Weight: 3},
			{Name: "reports", Concurrency: 1},
		},
		Logger: slog.New(slog.DiscardHandler),
		Limits: symphony.Limits{Messages: 5},
	}
	fmt.Println(worker.Run(ctx))
	// Output:
	// orders 0
	// reports 0
	// orders 1
	// orders 2
	// orders 3
	// <nil>
}

// counted counts what became of messages.
type counted struct{ outcomes chan symphony.Outcome }

func (c counted) Observe(_ context.Context, e symphony.Event) {
	if e.Kind == symphony.EventSettled {
		c.outcomes <- e.Outcome
	}
}

// An observer sees each step of each message: for metrics, traces and tests.
func ExampleObserver() {
	bus := &symphony.Bus{Transport: new(memory.Transport)}
	symphony.Handle(bus, func(_ context.Context, m OrderPaid) error {
		if m.OrderID == "" {
			return symphony.Permanent(errors.New("an order without a number"))
		}
		return nil
	})
	ctx := context.Background()
	_, _ = bus.DispatchAll(ctx, []symphony.Message{OrderPaid{"A-1"}, OrderPaid{""}})

	c := counted{make(chan symphony.Outcome, 2)}
	worker := &symphony.Worker{
		Bus: bus, Concurrency: 1, Observer: c,
		Logger: slog.New(slog.DiscardHandler),
		Limits: symphony.Limits{Messages: 2},
	}
	_ = worker.Run(ctx)
	fmt.Println(<-c.outcomes, <-c.outcomes)
	// Output: completed failed
}
