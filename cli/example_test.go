package cli_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/cli"
)

type SendInvoice struct{ Number int }

func (SendInvoice) MessageType() string { return "send_invoice" }

// shop has what is different from the program symphony: handlers in Go.
func shop() app.Options {
	return app.Options{Name: "shop", Version: "1.0.0", Register: func(bus *symphony.Bus) error {
		symphony.Handle(bus, func(_ context.Context, m SendInvoice) error {
			fmt.Println("sending invoice", m.Number)
			return nil
		})
		return nil
	}}
}

// The main of a program of one's own: "shop consume", "shop dispatch", "shop failed list" and all others.
func ExampleMain() {
	main := func() { cli.Main(shop()) }
	_ = main
}

// Without a store the message is handled in place, which is how to try a handler.
func ExampleRun() {
	args := []string{"dispatch", "send_invoice", `{"Number": 7}`, "--dsn", "sync://"}
	std := cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: os.Stderr}
	code := cli.Run(context.Background(), args, std, shop())
	fmt.Println("exit code", code)
	// Output:
	// sending invoice 7
	// exit code 0
}
