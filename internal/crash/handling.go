//go:build unix

package main

import (
	"context"
	"errors"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/history"
)

// A completion is that of one message in its handler's transaction.
type completion struct {
	call    int64 // 0: not asked for
	token   symphony.Token
	journal journal
}

type completionKey struct{}

// asked is to be called just before the transport is asked.
func (c *completion) asked() {
	c.call = c.journal.write(history.Event{
		Kind: history.Verdict, Phase: history.Call, Token: string(c.token), Outcome: history.Completed, InTx: true,
	})
}

// became is to be called once the transaction has ended.
func (c *completion) became(phase history.Phase) {
	if c.call != 0 {
		c.journal.answer(c.call, history.Event{Kind: history.Verdict, Phase: phase, Token: string(c.token), Outcome: history.Completed, InTx: true})
	}
}

// starts writes down that a handler begins. It gives one that completes its message in a transaction
// what it needs to write that down.
func (j journal) starts(next symphony.Handler) symphony.Handler {
	return func(ctx context.Context, env *symphony.Envelope) error {
		d, ok := symphony.DeliveryFrom(ctx)
		if !ok {
			return errors.New("crash: a message is handled in place")
		}
		inTx := env.Type != task{}.MessageType()
		j.write(history.Event{Kind: history.Start, Message: env.ID.String(), Token: string(d.Token), InTx: inTx})
		if inTx {
			ctx = context.WithValue(ctx, completionKey{}, &completion{token: d.Token, journal: j})
		}
		return next(ctx, env)
	}
}

// effect writes down the effect of a handler that leaves nothing else behind.
func (j journal) effect(ctx context.Context) {
	if d, ok := symphony.DeliveryFrom(ctx); ok {
		j.write(history.Event{Kind: history.Effect, Message: d.Envelope.ID.String(), Token: string(d.Token)})
	}
}
