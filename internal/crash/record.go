//go:build unix

package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/history"
)

// A recorded transport writes down what a worker asks of the one within, and what that answers.
type recorded struct {
	symphony.Transport
	journal journal
	lease   time.Duration // of the worker
	held    *holdings
}

func record(t symphony.Transport, j journal, lease time.Duration) recorded {
	return recorded{Transport: t, journal: j, lease: lease, held: &holdings{journal: j, claims: make(map[symphony.Token]holding)}}
}

// worker returns what a worker should use: a transport that cannot exchange must not look as if it could.
func (r recorded) worker() symphony.Transport {
	if ex, ok := symphony.As[symphony.Exchanger](r.Transport); ok {
		return exchanging{r, ex}
	}
	return r
}

// An exchanging transport is a recorded one that can settle and claim at once.
type exchanging struct {
	recorded
	ex symphony.Exchanger
}

// Unwrap lets [symphony.As] find the other powers of the transport.
func (r recorded) Unwrap() symphony.Transport { return r.Transport }

func (r recorded) Receive(ctx context.Context, c symphony.Claim) ([]symphony.Delivery, error) {
	ds, err := r.Transport.Receive(ctx, c)
	r.claimed(ds, c)
	return ds, err
}

func (r exchanging) Exchange(ctx context.Context, vs []symphony.Verdict, c symphony.Claim) ([]symphony.Delivery, error) {
	answer := r.asked(vs)
	ds, err := r.ex.Exchange(ctx, vs, c)
	r.claimed(ds, c)
	answer(err)
	return ds, err
}

func (r recorded) Settle(ctx context.Context, vs []symphony.Verdict) error {
	answer := r.asked(vs)
	err := r.Transport.Settle(ctx, vs)
	answer(err)
	return err
}

func (r recorded) claimed(ds []symphony.Delivery, c symphony.Claim) {
	r.held.mu.Lock()
	defer r.held.mu.Unlock()
	for i := range ds {
		d := &ds[i]
		r.journal.write(history.Event{
			Kind: history.Claim, Worker: c.Worker, Message: d.Envelope.ID.String(), Token: string(d.Token),
			Type: d.Envelope.Type, Queue: d.Envelope.Queue, Group: d.Envelope.Group, SHA256: history.Sum(d.Envelope.Body),
			Fence: d.Envelope.Fence, Attempt: d.Envelope.Attempt, Crashes: d.Envelope.Crashes,
			// The transport reads its clock after this moment, to the millisecond.
			Since: d.Until.Add(-c.Lease).UnixNano(), Store: d.ClaimedAt.UnixNano(), LeaseEnd: d.ClaimedAt.Add(c.Lease).UnixNano(),
		})
		r.held.took(d, c.Lease)
	}
}

// asked writes the calls of verdicts and returns what writes their answers.
func (r recorded) asked(vs []symphony.Verdict) (answer func(error)) {
	calls := make([]int64, len(vs))
	for i, v := range vs {
		calls[i] = r.journal.write(history.Event{
			Kind: history.Verdict, Phase: history.Call, Token: string(v.Token),
			Outcome: history.Outcome(v.Outcome), After: v.After,
		})
	}
	return func(err error) {
		for i, v := range vs {
			phase, undone := became(v, err)
			r.journal.answer(calls[i], history.Event{Kind: history.Verdict, Phase: phase, Token: string(v.Token)})
			if phase != history.Unknown {
				r.held.gone(v.Token)
			}
			if undone {
				r.journal.write(history.Event{
					Kind: history.Verdict, Phase: history.Refused, Token: string(v.Token), Outcome: history.Completed, InTx: true,
				})
			}
		}
	}
}

// became says what the answer of the store means for a verdict, and whether the completion in the
// handler's transaction is known not to have been committed.
//
// A verdict with InTx is asked for in case of that. If the store does not say so, the completion was
// committed or the lease was lost: either way this verdict has changed nothing.
func became(v symphony.Verdict, err error) (phase history.Phase, undone bool) {
	lost, someLost := errors.AsType[*symphony.LostError](err)
	not, someNot := errors.AsType[*symphony.NotCommittedError](err)
	switch {
	case err != nil && !someLost && !someNot:
		return history.Unknown, false
	case someLost && slices.Contains(lost.Tokens, v.Token):
		return history.Lost, false
	case v.InTx && someNot && slices.Contains(not.Tokens, v.Token):
		return history.OK, true
	case v.InTx:
		return history.Refused, false
	}
	return history.OK, false
}

func (r recorded) Renew(ctx context.Context, worker string, held []symphony.Token) (symphony.Renewal, error) {
	calls := make([]int64, len(held))
	for i, token := range held {
		calls[i] = r.journal.write(history.Event{Kind: history.Renew, Phase: history.Call, Worker: worker, Token: string(token)})
	}
	r.held.renewing(held)
	defer r.held.answered()
	begun := time.Now()
	renewal, err := r.Transport.Renew(ctx, worker, held)
	for i, token := range held {
		e := history.Event{Kind: history.Renew, Phase: history.OK, Token: string(token)}
		switch {
		case err != nil:
			e.Phase = history.Unknown
		case slices.Contains(renewal.Lost, token):
			e.Phase = history.Lost
			r.held.gone(token)
		default: // the store's clock is the machine's; Rules.SkewedClock must say so where it is not
			e.LeaseEnd = begun.Add(r.lease).UnixNano()
		}
		r.journal.answer(calls[i], e)
	}
	return renewal, err
}
