//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/history"
	"github.com/symphony-messenger/symphony/internal/sleep"
)

// work runs a worker until ctx ends.
func work(ctx context.Context, st store, t recorded, s spec, stdout io.Writer) error {
	logger := slog.New(slog.NewTextHandler(s.log, nil))
	h := handlers{store: st, journal: t.journal}
	h.bus = &symphony.Bus{Transport: t.Transport, Logger: logger, Handling: []symphony.Middleware{t.journal.starts}}
	symphony.Handle(h.bus, h.task)
	symphony.Handle(h.bus, h.ownTx)
	st.handleTx(h.bus, h.inTx, symphony.Middleware(h.afterTx))
	w := symphony.Worker{
		Bus: h.bus, Transport: t.worker(), Name: s.Name, Logger: logger,
		Queues:      []symphony.WorkerQueue{{Name: "default", Weight: 3}, {Name: spare}},
		Concurrency: concurrency, Lease: s.Lease, Grace: 10 * time.Second,
		MaxCrashes: maxCrashes, Retry: retryPolicy(),
	}
	fmt.Fprintln(stdout, ready)
	return w.Run(ctx)
}

type handlers struct {
	store   store
	bus     *symphony.Bus
	journal journal
}

var (
	errTask  = errors.New("the task fails")
	errUndo  = errors.New("the handler rolls its transaction back")
	errGives = errors.New("the task can never succeed")
)

// do behaves as t says, up to its effect.
func do(ctx context.Context, t task) error {
	if t.Does == stubborn {
		ctx = context.WithoutCancel(ctx)
	}
	if err := sleep.For(ctx, t.takes()); err != nil {
		return err
	}
	env, ok := symphony.EnvelopeFrom(ctx)
	if !ok {
		return errors.New("a handler has no envelope")
	}
	switch {
	case t.Does == failsTwice && env.Attempt <= 2, t.Does == exhausts:
		return errTask
	case t.Does == panics && env.Attempt == 1:
		panic("the task panics")
	case t.Does == waits && env.Attempt == 1:
		return symphony.RetryIn(retryIn, errTask)
	case t.Does == snoozes && env.Fence == 1:
		return symphony.Snooze(snooze)
	case t.Does == gives:
		return symphony.Permanent(errGives)
	}
	return nil
}

func (h *handlers) task(ctx context.Context, t task) error {
	if err := do(ctx, t); err != nil {
		return err
	}
	h.journal.effect(ctx)
	return nil
}

// inTx runs in the transport's transaction.
func (h *handlers) inTx(ctx context.Context, tx userTx, t txTask) error {
	if err := do(ctx, t.task); err != nil {
		return err
	}
	env, _ := symphony.EnvelopeFrom(ctx)
	if err := tx.effect(ctx, env.ID); err != nil {
		return err
	}
	c, _ := ctx.Value(completionKey{}).(*completion)
	c.asked()
	return nil
}

// afterTx writes down what became of that transaction.
func (h *handlers) afterTx(next symphony.Handler) symphony.Handler {
	return func(ctx context.Context, env *symphony.Envelope) error {
		err := next(ctx, env)
		c, _ := ctx.Value(completionKey{}).(*completion)
		switch {
		case err == nil:
			c.became(history.OK)
		case errors.Is(err, symphony.ErrLeaseLost): // of the transport: the handler had returned nil
			c.became(history.Lost)
		default:
			c.became(history.Unknown)
		}
		return err
	}
}

// ownTx makes its own transaction.
func (h *handlers) ownTx(ctx context.Context, t ownTxTask) error {
	if err := do(ctx, t.task); err != nil {
		return err
	}
	env, _ := symphony.EnvelopeFrom(ctx)
	c, _ := ctx.Value(completionKey{}).(*completion)
	var failed error // before the commit was asked for
	err := h.store.inTx(ctx, h.bus, func(tx userTx) error {
		failed = func() error {
			if err := tx.effect(ctx, env.ID); err != nil {
				return err
			}
			c.asked()
			if err := tx.complete(ctx); err != nil {
				return err
			}
			if t.Does == forgets && env.Attempt == 1 {
				return errUndo
			}
			return nil
		}()
		return failed
	})
	switch {
	case err == nil:
		c.became(history.OK)
	case errors.Is(failed, symphony.ErrLeaseLost):
		c.became(history.Lost)
	case failed != nil:
		c.became(history.Refused)
	default:
		c.became(history.Unknown)
	}
	if errors.Is(err, errUndo) {
		return nil // the worker must find out
	}
	return err
}
