package symphony

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// open decodes env for r and validates the message, which may have met no Go code yet. Its errors end
// the message.
func (r *registration) open(b *Bus, env *Envelope) error {
	if err := r.decode(b.codec(), env); err != nil {
		return &fate{outcome: Failed, reason: ReasonUndecodable, err: fmt.Errorf("decode %s: %w", env.Type, err)}
	}
	if v, ok := env.Message.(Validator); ok {
		if err := v.Validate(); err != nil {
			return &fate{outcome: Failed, reason: ReasonInvalid, err: fmt.Errorf("validate %s: %w", env.Type, err)}
		}
	}
	return nil
}

// handler returns r's call within its own middleware within that of the bus.
func (r *registration) handler(b *Bus) Handler {
	r.once.Do(func() { r.full = chain(chain(r.call, r.middleware), b.Handling) })
	return r.full
}

// invoke runs the handler of an opened envelope. It does not recover panics: in place they belong to
// the caller, and the worker recovers them itself.
func (b *Bus) invoke(ctx context.Context, r *registration, env *Envelope) error {
	limited, cancel := r.limit(context.WithValue(ctx, envelopeKey{}, env))
	defer cancel()
	return r.explain(ctx, limited, r.handler(b)(limited, env))
}

// invokeBatch runs the batch handler of opened envelopes: the middleware of each one around that of
// the next, the handler within all. A middleware that does not call next keeps its message out.
func (b *Bus) invokeBatch(ctx context.Context, r *registration, envs []*Envelope) []error {
	outer := ctx
	ctx, cancel := r.limit(ctx)
	defer cancel()
	errs, envs := make([]error, len(envs)), slices.Clone(envs)
	var in []int
	var from func(ctx context.Context, i int)
	from = func(ctx context.Context, i int) {
		if i == len(envs) {
			batch := make([]*Envelope, len(in))
			for n, i := range in {
				batch[n] = envs[i]
			}
			if len(batch) == 0 {
				return
			}
			for n, err := range r.callBatch(ctx, batch) {
				errs[in[n]] = err
			}
			return
		}
		passed := false
		last := func(ctx context.Context, env *Envelope) error {
			if !passed { // once: the others cannot run again because one of them wants to
				passed, envs[i] = true, env
				in = append(in, i)
				from(ctx, i+1)
			}
			return errs[i]
		}
		full := chain(chain(last, r.middleware), b.Handling)
		errs[i] = r.explain(outer, ctx, full(context.WithValue(ctx, envelopeKey{}, envs[i]), envs[i]))
		if !passed {
			from(ctx, i+1)
		}
	}
	from(ctx, 0)
	return errs
}

func (r *registration) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if r.timeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, r.timeout, ErrTimeout)
}

// explain names the timeout in an error that came after it; that of the context says "deadline" only.
// A deadline of the context outside is not r's, nor one that the handler has set itself.
func (r *registration) explain(outer, ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && outer.Err() == nil && ctx.Err() != nil && !errors.Is(err, ErrTimeout) {
		return fmt.Errorf("%w after %v: %w", ErrTimeout, r.timeout, err)
	}
	return err
}
