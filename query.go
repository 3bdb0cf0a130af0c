package symphony

import (
	"context"
	"fmt"
)

// A Query is a message with an answer of type R. To make one, embed [Returns]:
//
//	type GetUser struct {
//		symphony.Returns[User]
//		ID int64
//	}
type Query[R any] interface {
	Message
	returns(R)
}

// Returns makes the struct that embeds it a [Query] with answers of type R.
type Returns[R any] struct{}

//lint:ignore U1000 it is what makes the struct a Query
func (Returns[R]) returns(R) {}

// Answer makes fn the handler of queries of type Q. It panics where [Handle] does.
func Answer[Q Query[R], R any](b *Bus, fn func(context.Context, Q) (R, error), opts ...HandlerOption) {
	Handle(b, func(ctx context.Context, q Q) error {
		r, err := fn(ctx, q)
		env, _ := EnvelopeFrom(ctx)
		if a, ok := ctx.Value(answerKey{}).(*answer[R]); ok && err == nil && a.to == env.ID {
			a.value, a.given = r, true
		}
		return err
	}, opts...)
}

// Ask handles q in place, whatever transport b has, through both middleware chains of b, and returns
// the answer. R is inferred from q. It returns an error that matches [ErrNoHandler] when nobody
// answers, and else that of the handler; R is zero beside an error.
func Ask[R any](ctx context.Context, b *Bus, q Query[R]) (R, error) {
	var none R
	out, err := b.prepare(ctx, q, nil)
	if err != nil {
		return none, fmt.Errorf("ask %s: %w", describe(q, 0, 1), err)
	}
	a := &answer[R]{to: out.env.ID}
	err = chain(b.handleInPlace, b.Sending)(context.WithValue(ctx, answerKey{}, a), out.env)
	if err == nil && !a.given {
		err = fmt.Errorf("%w that answers", ErrNoHandler)
	}
	if err != nil {
		return none, fmt.Errorf("ask %s: %w", out.env.Type, err)
	}
	return a.value, nil
}

// An answer is where Answer leaves what Ask returns. It belongs to one question: a handler may ask others.
type answer[R any] struct {
	to    ID
	value R
	given bool
}

type answerKey struct{}
