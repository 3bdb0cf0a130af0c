package symphony_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/retry"
)

type OrderPaid struct{ OrderID string }

func (OrderPaid) MessageType() string { return "order.paid" }

// Options say how often and how long one handler may try.
func ExampleHandle() {
	bus := new(symphony.Bus)
	symphony.Handle(bus, func(_ context.Context, m OrderPaid) error {
		fmt.Println("ship", m.OrderID)
		return nil
	},
		symphony.Timeout(30*time.Second),
		symphony.Retry(retry.Exponential{Max: 8, Delay: 5 * time.Second, Cap: time.Hour}),
		symphony.AtMost(4),
		symphony.Alias("order.settled")) // what the type was called before

	ctx := context.Background()
	_, _ = bus.Dispatch(ctx, OrderPaid{"A-1"})
	_, _ = bus.Dispatch(ctx, symphony.Raw{Type: "order.settled", Body: []byte(`{"OrderID":"A-2"}`)})
	// Output:
	// ship A-1
	// ship A-2
}

// Any number of subscribers see an event. Stored, each has its own copy, retries and queue.
func ExampleOn() {
	bus := new(symphony.Bus)
	symphony.On(bus, "ledger", func(_ context.Context, m OrderPaid) error {
		fmt.Println("book", m.OrderID)
		return nil
	}, symphony.MaxRetries(20))
	symphony.On(bus, "crm", func(ctx context.Context, m OrderPaid) error {
		env, _ := symphony.EnvelopeFrom(ctx)
		fmt.Println("note", m.OrderID, "from queue", env.Queue)
		return nil
	}, symphony.Queue("crm"), symphony.AtMost(2))

	_, err := bus.Dispatch(context.Background(), OrderPaid{"A-1"})
	fmt.Println(err)
	// Output:
	// note A-1 from queue crm
	// book A-1
	// <nil>
}

type Audit struct{ What string }

func (Audit) MessageType() string { return "audit" }

// A batch handler gets what a worker has claimed together, and answers for each message.
func ExampleHandleBatch() {
	bus := new(symphony.Bus)
	symphony.HandleBatch(bus, 100, func(_ context.Context, ms []Audit) []error {
		errs := make([]error, len(ms))
		for i, m := range ms {
			if m.What == "" {
				errs[i] = symphony.Permanent(errors.New("nothing to note"))
			}
		}
		fmt.Println("insert", len(ms))
		return errs
	})

	_, err := bus.Dispatch(context.Background(), Audit{"signed in"}) // in place: a batch of one
	fmt.Println(err)
	// Output:
	// insert 1
	// <nil>
}

// What a handler returns decides what becomes of the message.
func ExamplePermanent() {
	var (
		errNoSuchUser = errors.New("no such user")
		errBusy       = errors.New("server is busy")
	)
	for _, err := range []error{
		nil,
		errBusy, // the retry policy decides
		symphony.Permanent(errNoSuchUser),
		symphony.RetryIn(time.Minute, errBusy),
		symphony.Snooze(time.Hour),
		symphony.Cancel(errors.New("the user has left")),
	} {
		outcome, after, decided := symphony.OutcomeOf(err)
		fmt.Println(outcome, after, decided)
	}
	// Output:
	// completed 0s true
	// retried 0s false
	// failed 0s true
	// retried 1m0s true
	// snoozed 1h0m0s true
	// cancelled 0s true
}
