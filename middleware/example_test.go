package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/middleware"
)

type ReadFile struct{ Name string }

func (ReadFile) MessageType() string { return "read_file" }

// What does not differ between two runs of the example.
var stable = &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
	switch a.Key {
	case slog.TimeKey, "id", "duration":
		return slog.Attr{}
	}
	return a
}}

// A bus whose handlers are logged, end after a minute, and leave it to rules what an error means.
func Example() {
	errBusy := errors.New("disk is busy")
	bus := &symphony.Bus{Handling: []symphony.Middleware{
		middleware.Log(slog.New(slog.NewTextHandler(os.Stdout, stable))),
		middleware.Classify(
			middleware.Is(fs.ErrNotExist, symphony.Permanent),
			middleware.Is(errBusy, func(err error) error { return symphony.RetryIn(time.Minute, err) }),
		),
		middleware.Timeout(time.Minute, map[string]time.Duration{"export": time.Hour}),
	}}
	symphony.Handle(bus, func(_ context.Context, m ReadFile) error {
		switch m.Name {
		case "gone":
			return fmt.Errorf("read: %w", fs.ErrNotExist)
		case "busy":
			return errBusy
		}
		return nil
	})

	ctx := context.Background()
	for _, name := range []string{"fine", "gone", "busy"} {
		_, _ = bus.Dispatch(ctx, ReadFile{name})
	}
	// Output:
	// level=INFO msg="message handled" type=read_file queue=default attempt=1 outcome=completed
	// level=ERROR msg="message failed" type=read_file queue=default attempt=1 outcome=failed error="read: file does not exist"
	// level=WARN msg="attempt failed" type=read_file queue=default attempt=1 outcome=retried after=1m0s error="disk is busy"
}

type Invoice struct{}

func (Invoice) MessageType() string { return "invoice" }

// A tenant that came with one message goes on with those that its handler dispatches.
func ExamplePropagate() {
	bus := &symphony.Bus{Sending: []symphony.Middleware{middleware.Propagate("tenant")}}
	symphony.Handle(bus, func(ctx context.Context, _ ReadFile) error {
		_, err := bus.Dispatch(ctx, Invoice{})
		return err
	})
	symphony.Handle(bus, func(ctx context.Context, _ Invoice) error {
		env, _ := symphony.EnvelopeFrom(ctx)
		fmt.Println("invoice for", env.Headers["tenant"])
		return nil
	})

	_, err := bus.Dispatch(context.Background(), ReadFile{}, symphony.Header("tenant", "acme"))
	fmt.Println(err)
	// Output:
	// invoice for acme
	// <nil>
}
