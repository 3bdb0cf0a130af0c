package middleware

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/symphony-messenger/symphony"
)

// Timeout ends the context of every handler of a bus after d, with the cause [symphony.ErrTimeout];
// types in byType have a time of their own. 0 or less: never. It is for Handling, and is the floor that
// no new handler can forget: the option [symphony.Timeout] of one handler can only shorten it.
//
// Like every timeout it asks the handler to stop, and cannot make it: the handler must return when its
// context ends.
func Timeout(d time.Duration, byType map[string]time.Duration) symphony.Middleware {
	byType = maps.Clone(byType)
	return func(next symphony.Handler) symphony.Handler {
		return func(ctx context.Context, env *symphony.Envelope) error {
			limit, ok := byType[env.Type]
			if !ok {
				limit = d
			}
			if limit <= 0 {
				return next(ctx, env)
			}
			outer := ctx
			ctx, cancel := context.WithTimeoutCause(ctx, limit, symphony.ErrTimeout)
			defer cancel()
			err := next(ctx, env)
			if errors.Is(err, context.DeadlineExceeded) && outer.Err() == nil && ctx.Err() != nil && !errors.Is(err, symphony.ErrTimeout) {
				return fmt.Errorf("%w after %v: %w", symphony.ErrTimeout, limit, err)
			}
			return err
		}
	}
}
