package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app"
)

// work runs the workers of a until they end, of themselves or because of signals, and stops a. prepare adds
// to the bus first; its ctx ends when the worker is told to.
func (s *session) work(ctx context.Context, a *app.App, prepare func(context.Context) error) error {
	ctx, drain := context.WithCancel(ctx)
	defer drain()
	if err := prepare(ctx); err != nil {
		return errors.Join(err, a.Stop())
	}
	stopNow := make(chan struct{})
	var running gauge
	a.Bus.Handling = slices.Insert(a.Bus.Handling, 0, running.middleware())
	sums := tally{next: a.Worker.Observer, log: s.log}
	for _, w := range a.Workers() {
		w.Hurry, w.Observer, w.Logger = stopNow, &sums, s.log
	}

	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	a.Start(ctx)
	for stops := 0; ; {
		select {
		case <-signals:
			switch stops++; stops {
			case 1:
				drain()
				s.note("stopping: %s; press Ctrl-C again to stop now", running.text())
			case 2:
				running.cut()
				close(stopNow)
				s.note("stopping now: %s", running.text())
			}
		case <-a.Done():
			drain()
			err := a.Stop()
			if err == nil || sums.any() {
				s.note("%s", sums.text())
			}
			if stops > 1 && running.stopped.Load() {
				return &failure{ExitInterrupted, "", errors.Join(errors.New("stopped before all handlers had finished"), err)}
			}
			return err
		}
	}
}

// A gauge counts the handlers that are running now.
type gauge struct {
	n       atomic.Int64
	stopped atomic.Bool // one of them was told to stop
}

func (g *gauge) middleware() symphony.Middleware {
	return func(next symphony.Handler) symphony.Handler {
		return func(ctx context.Context, env *symphony.Envelope) error {
			g.n.Add(1)
			defer func() {
				if errors.Is(context.Cause(ctx), symphony.ErrStopping) {
					g.stopped.Store(true)
				}
				g.n.Add(-1)
			}()
			return next(ctx, env)
		}
	}
}

// cut notes that those which are running now are told to stop.
func (g *gauge) cut() {
	if g.n.Load() > 0 {
		g.stopped.Store(true)
	}
}

func (g *gauge) text() string {
	n := int(g.n.Load())
	return fmt.Sprintf("%d message%s in flight", n, plural(n))
}

// A tally counts what became of the deliveries of one worker, and logs their steps.
type tally struct {
	next symphony.Observer // nil: none
	log  *slog.Logger      // gets every step, at debug level

	mu       sync.Mutex
	outcomes map[symphony.Outcome]int
}

// Observe implements symphony.Observer.
func (t *tally) Observe(ctx context.Context, e symphony.Event) {
	if t.next != nil {
		t.next.Observe(ctx, e)
	}
	t.log.DebugContext(ctx, "message "+string(e.Kind), "type", e.Envelope.Type, "id", e.Envelope.ID,
		"attempt", e.Envelope.Attempt, "outcome", e.Outcome, "took", e.Took)
	if e.Kind != symphony.EventSettled {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.outcomes == nil {
		t.outcomes = make(map[symphony.Outcome]int)
	}
	t.outcomes[e.Outcome]++
}

func (t *tally) any() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.outcomes) > 0
}

// text sums up: "stopped: 12 completed, 1 retried".
func (t *tally) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var parts []string
	for _, o := range []symphony.Outcome{
		symphony.Completed, symphony.Retried, symphony.Snoozed, symphony.Failed, symphony.Cancelled, symphony.Expired, symphony.Unhandled,
		symphony.Released,
	} {
		if n := t.outcomes[o]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, o))
		}
	}
	if len(parts) == 0 {
		return "stopped: there was nothing to handle"
	}
	return "stopped: " + strings.Join(parts, ", ")
}
