//go:build unix

package main

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/transport/sqlite"
)

// sabotages are what a run must find.
func sabotages() map[string]func(symphony.Transport) symphony.Transport {
	return map[string]func(symphony.Transport) symphony.Transport{
		"deaf":   func(t symphony.Transport) symphony.Transport { return &broken{Transport: t, answer: deaf} },
		"eraser": func(t symphony.Transport) symphony.Transport { return &broken{Transport: t, got: eraser(t)} },
		"thief":  func(t symphony.Transport) symphony.Transport { return &broken{Transport: t, got: thief(t)} },
		"hasty":  func(t symphony.Transport) symphony.Transport { return &broken{Transport: t, settle: hasty} },
		"liar":   func(t symphony.Transport) symphony.Transport { return liar{t} },
	}
}

// A liar answers that messages are stored although it has lost the connection.
type liar struct{ symphony.Transport }

func (l liar) Unwrap() symphony.Transport { return l.Transport }

func (l liar) Send(ctx context.Context, envs []*symphony.Envelope) ([]symphony.Receipt, error) {
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond) // the transport itself would wait for the server
	defer cancel()
	rs, err := l.Transport.Send(short, envs)
	if err == nil || ctx.Err() != nil {
		return rs, err
	}
	rs = make([]symphony.Receipt, len(envs))
	for i, env := range envs {
		rs[i].ID = env.ID
	}
	return rs, nil
}

// deaf takes a verdict for accepted that came too late, and does not hear of it before either.
func deaf(err error) error {
	if errors.Is(err, symphony.ErrLeaseLost) {
		return nil
	}
	return err
}

// tenth calls f with every tenth delivery and keeps it from the worker.
func tenth(f func(symphony.Delivery)) func([]symphony.Delivery) []symphony.Delivery {
	var n atomic.Int64
	return func(ds []symphony.Delivery) (left []symphony.Delivery) {
		for _, d := range ds {
			if n.Add(1)%10 == 0 {
				f(d)
			} else {
				left = append(left, d)
			}
		}
		return left
	}
}

// eraser deletes messages behind the store's back.
func eraser(t symphony.Transport) func([]symphony.Delivery) []symphony.Delivery {
	return tenth(func(d symphony.Delivery) {
		if _, err := t.(*sqlite.Transport).DB().Exec("delete from messenger_messages where id = ?", d.Envelope.ID[:]); err != nil {
			panic(err)
		}
	})
}

// thief settles messages that no handler has seen.
func thief(t symphony.Transport) func([]symphony.Delivery) []symphony.Delivery {
	return tenth(func(d symphony.Delivery) {
		err := t.Settle(context.Background(), []symphony.Verdict{{Token: d.Token, Outcome: symphony.Completed}})
		if err != nil && !errors.Is(err, symphony.ErrLeaseLost) {
			panic(err)
		}
	})
}

// hasty forgets how long a message is to wait for its next attempt.
func hasty(vs []symphony.Verdict) []symphony.Verdict {
	vs = slices.Clone(vs)
	for i := range vs {
		vs[i].After = 0
	}
	return vs
}

// A broken transport does what its functions do beside what the one within does.
type broken struct {
	symphony.Transport
	settle func([]symphony.Verdict) []symphony.Verdict
	got    func([]symphony.Delivery) []symphony.Delivery
	answer func(error) error
}

func (b *broken) Unwrap() symphony.Transport { return b.Transport }

func (b *broken) Receive(ctx context.Context, c symphony.Claim) ([]symphony.Delivery, error) {
	for {
		ds, err := b.Transport.Receive(ctx, c)
		if b.got != nil {
			ds = b.got(ds)
		}
		if len(ds) > 0 || err != nil {
			return ds, err
		}
	}
}

func (b *broken) Settle(ctx context.Context, vs []symphony.Verdict) error {
	if b.settle != nil {
		vs = b.settle(vs)
	}
	err := b.Transport.Settle(ctx, vs)
	if b.answer != nil {
		err = b.answer(err)
	}
	return err
}

func (b *broken) Renew(ctx context.Context, worker string, held []symphony.Token) (symphony.Renewal, error) {
	r, err := b.Transport.Renew(ctx, worker, held)
	if b.answer != nil {
		r.Lost = nil
	}
	return r, err
}

func (b *broken) Exchange(ctx context.Context, vs []symphony.Verdict, c symphony.Claim) ([]symphony.Delivery, error) {
	ex, _ := symphony.As[symphony.Exchanger](b.Transport)
	if b.settle != nil {
		vs = b.settle(vs)
	}
	ds, err := ex.Exchange(ctx, vs, c)
	if b.got != nil {
		ds = b.got(ds)
	}
	if b.answer != nil {
		err = b.answer(err)
	}
	return ds, err
}
