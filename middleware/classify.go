package middleware

import (
	"context"
	"errors"
	"slices"

	"github.com/symphony-messenger/symphony"
)

// A Rule decides about an error of a handler: it returns the error with a decision, such as
// symphony.Permanent(err), or nil when it has no opinion. It must be safe for concurrent use.
type Rule func(err error) error

// Classify asks rules, in order, what the errors of handlers mean for their messages, so that not every
// handler has to know it. It is for Handling. The first decision counts. An error about which the
// handler has decided itself, and one that no rule knows, are passed on as they are.
func Classify(rules ...Rule) symphony.Middleware {
	rules = slices.Clone(rules)
	return func(next symphony.Handler) symphony.Handler {
		return func(ctx context.Context, env *symphony.Envelope) error {
			err := next(ctx, env)
			if _, _, decided := symphony.OutcomeOf(err); decided {
				return err
			}
			for _, rule := range rules {
				if decision := rule(err); decision != nil {
					return decision
				}
			}
			return err
		}
	}
}

// Is decides about errors that match target, as errors.Is does. decide is [symphony.Permanent],
// [symphony.Cancel], or a function of yours that gets the whole error:
//
//	middleware.Is(ErrBusy, func(err error) error { return symphony.RetryIn(time.Minute, err) })
func Is(target error, decide func(error) error) Rule {
	return func(err error) error {
		if !errors.Is(err, target) {
			return nil
		}
		return decide(err)
	}
}

// As decides about errors that have an E in their chain, as errors.As finds it. decide gets both, and
// should wrap the whole error, so that nothing of its text is lost; nil means no opinion:
//
//	middleware.As(func(e *textproto.Error, err error) error {
//		if e.Code >= 500 {
//			return symphony.Permanent(err)
//		}
//		return nil
//	})
func As[E error](decide func(e E, err error) error) Rule {
	return func(err error) error {
		e, ok := errors.AsType[E](err)
		if !ok {
			return nil
		}
		return decide(e, err)
	}
}
