//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/history"
	"github.com/symphony-messenger/symphony/internal/sleep"
	"github.com/symphony-messenger/symphony/monitor"
)

// senders is how many goroutines of a producer send at once, so that their calls are coalesced.
const senders = 8

// A producer sends its share of the messages, at an even pace.
type producer struct {
	sending
	store   store
	journal journal
	bus     *symphony.Bus
	cancel  monitor.Canceller
	log     *slog.Logger
}

func newProducer(st store, t symphony.Transport, j journal, s sending) *producer {
	p := &producer{sending: s, store: st, journal: j, log: slog.Default()}
	p.bus = &symphony.Bus{Transport: t, Sending: []symphony.Middleware{p.called}}
	p.cancel, _ = symphony.As[monitor.Canceller](t)
	return p
}

// A shipment is what one of the senders sends at once.
type shipment struct {
	way   way
	name  string // of its transaction
	items []drawn
}

// run sends all from p.From on. Before it begins with a shipment it prints the number of the first
// message after it, from which a producer that takes its place goes on.
func (p *producer) run(ctx context.Context, stdout io.Writer) error {
	if p.cancel == nil {
		return errors.New("the store cannot cancel messages")
	}
	ships := make(chan shipment)
	errs := make(chan error, senders)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for s := range ships {
				if err := p.ship(ctx, s); err != nil {
					errs <- err
					stop()
					return
				}
			}
		})
	}
	share := p.Jobs / producers
	for n := p.From; n < share && ctx.Err() == nil; {
		w, size := p.next(n)
		s := shipment{way: w, name: fmt.Sprint("tx-", n)}
		for i := range size {
			s.items = append(s.items, p.draw(n+i, fmt.Sprintf("%s/%d", p.journal.rec.Proc(), n+i)))
		}
		due := p.Start.Add(time.Duration(float64(p.Span) * float64(n) / float64(share)))
		_ = sleep.For(ctx, time.Until(due))
		n += size
		fmt.Fprintln(stdout, n)
		select {
		case ships <- s:
		case <-ctx.Done():
		}
	}
	close(ships)
	all.Wait()
	close(errs)
	return errors.Join(<-errs, context.Cause(ctx))
}

// ship sends s, and then cancels what is to be cancelled.
func (p *producer) ship(ctx context.Context, s shipment) error {
	ids, err := p.send(ctx, s)
	if err != nil {
		p.log.Warn("not sent", "error", err) // and recorded
	}
	for i, id := range ids {
		if wait := s.items[i].cancel; wait > 0 && !id.IsZero() {
			if err := sleep.For(ctx, wait); err != nil {
				return err
			}
			p.callOff(ctx, id)
		}
	}
	return nil
}

// send returns the ids of what is stored for sure.
func (p *producer) send(ctx context.Context, s shipment) (ids []symphony.ID, err error) {
	messages := make([]symphony.Message, len(s.items))
	for i, item := range s.items {
		messages[i] = item.message
	}
	if s.way == inTx || s.way == inTxRolledBack {
		return p.sendInTx(ctx, s, messages)
	}
	return p.dispatch(ctx, p.bus, messages, new(calls))
}

var errRollback = errors.New("the transaction is rolled back on purpose")

func (p *producer) sendInTx(ctx context.Context, s shipment, messages []symphony.Message) (ids []symphony.ID, err error) {
	var commit int64
	err = p.store.inTx(ctx, p.bus, func(tx userTx) error {
		var err error
		if ids, err = p.dispatch(ctx, tx.dispatcher(), messages, &calls{tx: s.name}); err != nil {
			return err
		}
		if s.way == inTxRolledBack {
			p.journal.write(history.Event{Kind: history.Tx, Phase: history.Rollback, Tx: s.name})
			return errRollback
		}
		commit = p.journal.write(history.Event{Kind: history.Tx, Phase: history.Call, Tx: s.name})
		return nil
	})
	switch {
	case errors.Is(err, errRollback):
		return nil, nil
	case commit == 0:
		return nil, err // rolled back; the history takes a transaction without an end for that
	case err != nil:
		p.journal.answer(commit, history.Event{Kind: history.Tx, Phase: history.Unknown, Tx: s.name})
		return nil, err
	}
	p.journal.answer(commit, history.Event{Kind: history.Tx, Phase: history.OK, Tx: s.name})
	return ids, nil
}

// calls are the enqueues of one Dispatch or DispatchAll that have been written down, in order.
type calls struct {
	tx  string
	seq []int64
}

type callsKey struct{}

func (p *producer) dispatch(ctx context.Context, d symphony.Dispatcher, messages []symphony.Message, c *calls) ([]symphony.ID, error) {
	ctx = context.WithValue(ctx, callsKey{}, c)
	var receipts []symphony.Receipt
	var err error
	if len(messages) == 1 {
		receipts = make([]symphony.Receipt, 1)
		receipts[0], err = d.Dispatch(ctx, messages[0])
	} else {
		receipts, err = d.DispatchAll(ctx, messages)
	}
	ids := make([]symphony.ID, len(messages))
	for i, call := range c.seq {
		e := history.Event{Kind: history.Enqueue, Phase: history.OK}
		switch {
		case err != nil && (c.tx != "" || certain(err)): // within a transaction: that is rolled back
			e.Phase = history.Refused
		case err != nil:
			e.Phase = history.Unknown
		case receipts[i].Duplicate:
			e.Phase, e.Holder = history.Duplicate, receipts[i].ID.String()
		default:
			ids[i] = receipts[i].ID
		}
		p.journal.answer(call, e)
	}
	return ids, err
}

// certain reports whether nothing was stored in spite of an error.
func certain(err error) bool {
	_, invalid := errors.AsType[*symphony.InvalidError](err)
	return !errors.Is(err, symphony.ErrOutcomeUnknown) &&
		(invalid || errors.Is(err, symphony.ErrStoreBusy) || errors.Is(err, symphony.ErrTooLarge) || errors.Is(err, symphony.ErrUnsupported))
}

// called writes down that an envelope is about to be sent.
func (p *producer) called(next symphony.Handler) symphony.Handler {
	return func(ctx context.Context, env *symphony.Envelope) error {
		c, ok := ctx.Value(callsKey{}).(*calls)
		if !ok {
			return errors.New("a message is sent unrecorded")
		}
		encoded := *env
		if err := (symphony.JSON{}).Encode(&encoded); err != nil {
			return err
		}
		e := history.Event{
			Kind: history.Enqueue, Phase: history.Call, Message: env.ID.String(), Type: env.Type, Queue: env.Queue, Group: env.Group,
			Key: env.Key, Window: env.Window, Delay: env.Delay, Expires: env.Expires, MaxRetries: env.MaxRetries,
			SHA256: history.Sum(encoded.Body), Tx: c.tx,
		}
		if !env.At.IsZero() {
			e.Due = env.At.UnixNano()
		}
		c.seq = append(c.seq, p.journal.write(e))
		return next(ctx, env)
	}
}

// callOff cancels a message.
func (p *producer) callOff(ctx context.Context, id symphony.ID) {
	call := p.journal.write(history.Event{Kind: history.Cancel, Phase: history.Call, Message: id.String()})
	record, err := p.cancel.Cancel(ctx, id)
	e := history.Event{Kind: history.Cancel, Phase: history.OK, Message: id.String()}
	switch {
	case errors.Is(err, monitor.ErrNotFound):
		e.Phase = history.Refused
	case err != nil:
		e.Phase = history.Unknown
		p.log.Warn("not cancelled", "error", err)
	case record.Status == monitor.Cancelled && record.Fence == 0:
		// It was ended at once. Of one that was delivered before, the record does not say whether it waited for
		// another attempt, or was marked and then ended by its worker.
		e.Outcome = history.Cancelled
	}
	p.journal.answer(call, e)
}
