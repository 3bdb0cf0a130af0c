package symphony

import "context"

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

func (Returns[R]) returns(R) {}

// Answer makes fn the handler of queries of type Q. It panics where [Handle] does.
func Answer[Q Query[R], R any](b *Bus, fn func(context.Context, Q) (R, error), opts ...HandlerOption) {
	Handle(b, func(ctx context.Context, q Q) error {
		r, err := fn(ctx, q)
		if into, ok := ctx.Value(answerKey{}).(*R); ok && err == nil {
			*into = r
		}
		return err
	}, opts...)
}

// Ask handles q in place, whatever transport b has, through both middleware chains of b, and returns
// the answer. R is inferred from q. It returns an error that matches [ErrNoHandler] when nobody
// answers, and else that of the handler.
func Ask[R any](ctx context.Context, b *Bus, q Query[R]) (answer R, err error) {
	p, err := b.prepare(ctx, q, nil)
	if err != nil {
		return answer, err
	}
	return answer, chain(b.handleInPlace, b.Sending)(context.WithValue(ctx, answerKey{}, &answer), p.env)
}

type answerKey struct{}
