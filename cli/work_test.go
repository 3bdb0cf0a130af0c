package cli

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"testing"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/app/config"
	"github.com/symphony-messenger/symphony/transport/memory"
)

// A lingering store says when a worker asks it for messages, and makes one that ends wait.
type lingering struct {
	*memory.Transport
	asked, leaving func()
	leave          chan struct{}
}

func (l *lingering) Receive(ctx context.Context, c symphony.Claim) ([]symphony.Delivery, error) {
	l.asked()
	return l.Transport.Receive(ctx, c)
}

func (l *lingering) Leave(context.Context, string) error {
	l.leaving()
	<-l.leave
	return nil
}

// A listener calls a function when something was written.
type listener struct{ wrote func(text string) }

func (l listener) Write(p []byte) (int, error) {
	l.wrote(string(p))
	return len(p), nil
}

// TestSecondSignalWithNothingInFlight: it is no failure, and was one, as when timeout(1) signals the process and then its group.
func TestSecondSignalWithNothingInFlight(t *testing.T) {
	signals := make(chan os.Signal, 8) // so that none ends the test
	signal.Notify(signals, os.Interrupt)
	defer signal.Stop(signals)
	interrupt := func() {
		if err := self(t).Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
	}
	a, err := app.New(t.Context(), app.Options{Config: &config.Config{Transport: "m", Transports: []config.Transport{{Name: "m", DSN: "memory://"}}}})
	if err != nil {
		t.Fatal(err)
	}
	leave := make(chan struct{})
	a.Worker.Transport = &lingering{new(memory.Transport), sync.OnceFunc(interrupt), interrupt, leave}
	var text strings.Builder // work writes it, which has returned when it is read
	s := &session{log: slog.New(slog.DiscardHandler), std: Streams{Out: io.Discard, Err: listener{func(line string) {
		text.WriteString(line)
		if strings.HasPrefix(line, "stopping now: ") {
			close(leave)
		}
	}}}}
	if err := s.work(t.Context(), a, func(context.Context) error { return nil }); err != nil {
		t.Errorf("it failed: %v", err)
	}
	want := "stopping: 0 messages in flight; press Ctrl-C again to stop now\nstopping now: 0 messages in flight\nstopped: there was nothing to handle\n"
	if text.String() != want {
		t.Errorf("it says\n%swant\n%s", text.String(), want)
	}
}

// TestGaugeKnowsWhoWasStopped: also one that began after the second signal, or between the two.
func TestGaugeKnowsWhoWasStopped(t *testing.T) {
	for _, cause := range []error{nil, context.Canceled, symphony.ErrStopping} {
		var g gauge
		ctx, cancel := context.WithCancelCause(t.Context())
		g.cut() // nothing runs
		handler := g.middleware()(func(context.Context, *symphony.Envelope) error {
			if cause != nil {
				cancel(cause)
			}
			return nil
		})
		if err := handler(ctx, nil); err != nil {
			t.Error(err)
		}
		if got, want := g.stopped.Load(), cause == symphony.ErrStopping; got != want {
			t.Errorf("its context ended with %v: stopped is %v", cause, got)
		}
		cancel(nil)
	}
	var g gauge
	_ = g.middleware()(func(context.Context, *symphony.Envelope) error { g.cut(); return nil })(t.Context(), nil)
	if !g.stopped.Load() {
		t.Error("one that ran at the second signal is not known")
	}
}

func self(t *testing.T) *os.Process {
	p, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	return p
}
