package middleware

import (
	"context"
	"log/slog"
	"time"

	"github.com/symphony-messenger/symphony"
)

// Log writes one record for each attempt of a handler, when it has ended; nil is slog.Default(). It is
// for Handling.
//
// The record has type, id, queue, attempt, outcome and duration, the subscriber if there is one, and
// the error. The outcome is what the handler asked for: "retried" is a failure, and whether a retry is
// left is for the worker to say. Levels: Info for completed, snoozed and cancelled, Warn for retried,
// Error for failed and for a panic, which Log lets pass. Bodies and headers are never logged.
func Log(logger *slog.Logger) symphony.Middleware {
	if logger == nil {
		logger = slog.Default()
	}
	return func(next symphony.Handler) symphony.Handler {
		return func(ctx context.Context, env *symphony.Envelope) (err error) {
			start, returned := time.Now(), false
			defer func() {
				attrs := []slog.Attr{
					slog.String("type", env.Type), slog.String("id", env.ID.String()),
					slog.String("queue", env.Queue), slog.Int("attempt", env.Attempt),
				}
				if env.Subscriber != "" {
					attrs = append(attrs, slog.String("subscriber", env.Subscriber))
				}
				outcome, after, decided := symphony.OutcomeOf(err)
				level, text := slog.LevelInfo, "message handled"
				switch {
				case !returned: // without recover, which would cost the panic its stack
					level, text, outcome = slog.LevelError, "handler panicked", symphony.Retried
				case outcome == symphony.Failed:
					level, text = slog.LevelError, "message failed"
				case outcome == symphony.Retried:
					level, text = slog.LevelWarn, "attempt failed"
				}
				attrs = append(attrs, slog.String("outcome", string(outcome)), slog.Duration("duration", time.Since(start)))
				if decided && after > 0 {
					attrs = append(attrs, slog.Duration("after", after))
				}
				if err != nil {
					attrs = append(attrs, slog.Any("error", err))
				}
				logger.LogAttrs(ctx, level, text, attrs...)
			}()
			err = next(ctx, env)
			returned = true
			return err
		}
	}
}
