package symphony

import (
	"cmp"
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony/retry"
)

// start runs js: each in a goroutine of its own, or together with those for the same batch handler.
func (r *run) start(js []*job) {
	var batches map[*registration][]*job
	for i, j := range js {
		reg := j.Value.reg
		if reg.batch == 0 {
			r.engine.Go(js[i:i+1:i+1], func() { r.handle(j) })
			continue
		}
		if batches == nil {
			batches = make(map[*registration][]*job)
		}
		batches[reg] = append(batches[reg], j)
	}
	for reg, all := range batches {
		for batch := range slices.Chunk(all, reg.batch) {
			r.engine.Go(batch, func() { r.handleBatch(reg, batch) })
		}
	}
}

// attempt calls f and gives its error to then, also when f panics or ends its goroutine.
func attempt(f func() error, then func(error)) {
	var err error
	returned := false
	defer func() {
		if !returned {
			err = &PanicError{Value: recover(), Stack: debug.Stack()}
		}
		then(err)
	}()
	err = f()
	returned = true
}

func (r *run) handle(j *job) {
	t := &j.Value
	ctx := context.WithValue(j.Context, deliveryKey{}, &t.Delivery)
	began := time.Now()
	attempt(func() error {
		r.observe(ctx, Event{Kind: EventStarted, Envelope: t.Envelope})
		if err := t.reg.open(r.Bus, t.Envelope); err != nil {
			return err
		}
		return r.Bus.invoke(ctx, t.reg, t.Envelope)
	}, func(err error) { r.finish(j, err, began) })
}

// handleBatch opens each message by itself: one that cannot be decoded must not harm the others.
func (r *run) handleBatch(reg *registration, js []*job) {
	ctx := js[0].Context
	errs := make([]error, len(js))
	began := time.Now()
	attempt(func() error {
		var opened []int
		var envs []*Envelope
		for i, j := range js {
			env := j.Value.Envelope
			r.observe(ctx, Event{Kind: EventStarted, Envelope: env})
			attempt(func() error { return reg.open(r.Bus, env) }, func(err error) {
				if errs[i] = err; err == nil {
					opened, envs = append(opened, i), append(envs, env)
				}
			})
		}
		if len(envs) > 0 {
			for n, err := range r.Bus.invokeBatch(ctx, reg, envs) {
				errs[opened[n]] = err
			}
		}
		return nil
	}, func(err error) {
		for i, j := range js {
			r.finish(j, cmp.Or(errs[i], err), began)
		}
	})
}

// finish makes the verdict on a job that ran, and gives it back to the engine.
func (r *run) finish(j *job, err error, began time.Time) {
	t := &j.Value
	t.err, t.took = err, time.Since(began)
	cause := context.Cause(j.Context)
	attempt(func() error {
		t.verdict = t.judge(err, cause, r.policy(t))
		return nil
	}, func(bad error) {
		if bad != nil { // an Error method or a policy panicked: the user's code as much as the handler
			t.err = bad
			t.verdict = t.judge(bad, cause, retry.Exponential{})
		}
		j.Failed = !t.verdict.InTx && t.verdict.failure()
		r.engine.Finish(j)
	})
}

// policy returns what decides about the retries of t: the handler's goes before the queue's, and that
// before the worker's.
func (r *run) policy(t *task) RetryPolicy {
	if t.reg.retry != nil {
		return t.reg.retry
	}
	for _, q := range r.Queues {
		if q.Name == t.Envelope.Queue && q.Retry != nil {
			return q.Retry
		}
	}
	return r.Retry
}

// failure reports whether v counts as a failed attempt.
func (v *Verdict) failure() bool { return v.Outcome == Retried || v.Outcome == Failed }

// judge makes a verdict of what the handler returned; cause is that with which its context has ended.
func (t *task) judge(err, cause error, policy RetryPolicy) Verdict {
	v := Verdict{Token: t.Token, Outcome: Completed, InTx: t.completedInTx(), Attempt: &t.Delivery, Took: t.took}
	if err == nil {
		if !v.InTx {
			return v
		}
		err = ErrNotCommitted // if that is so; else the store has no use for the verdict
	}
	f, decided := errors.AsType[*fate](err)
	switch {
	case decided && f.outcome != Retried:
		v.Outcome, v.After, v.Reason = f.outcome, f.after, f.reason
	case !decided && (cause == ErrStopping || cause == ErrLeaseLost):
		v.Outcome = Released // it was told to stop, and no failure of its own
	default:
		wait, again := policy.Next(t.Envelope.Attempt, err)
		if most := t.Envelope.MaxRetries; most != nil {
			again = t.Envelope.Attempt <= *most
		}
		if decided {
			wait = f.after
		}
		v.Outcome, v.After = Retried, max(wait, 0)
		if !again {
			v.Outcome, v.After, v.Reason = Failed, 0, ReasonExhausted
		}
	}
	if v.Outcome == Retried || v.Outcome == Failed || v.Outcome == Cancelled {
		v.Failure = NewFailure(err)
	}
	return v
}
