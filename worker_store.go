package symphony

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony/internal/engine"
)

func (r *run) claim(c engine.Claim) Claim {
	claim := Claim{Worker: r.id, Max: c.Max, Except: c.Except, Lease: r.Lease, Queues: make([]QueueClaim, len(c.Queues))}
	for i, part := range c.Queues {
		claim.Queues[i] = QueueClaim(part)
	}
	return claim
}

func (r *run) receive(ctx context.Context, c engine.Claim) ([]*job, error) {
	ds, err := r.Transport.Receive(ctx, r.claim(c))
	return r.take(ds), err
}

func (r *run) settle(ctx context.Context, js []*job) error {
	return r.settled(js, r.Transport.Settle(ctx, verdicts(js)))
}

func (r *run) exchange(ctx context.Context, js []*job, c engine.Claim) ([]*job, error) {
	ds, err := r.exchanger.Exchange(ctx, verdicts(js), r.claim(c))
	err = r.settled(js, err)
	return r.take(ds), err
}

// take makes jobs of deliveries, and decides about those that must not run.
func (r *run) take(ds []Delivery) []*job {
	r.taking.Lock()
	defer r.taking.Unlock()
	now := time.Now()
	js := make([]*job, len(ds))
	for i, d := range ds {
		env := d.Envelope
		r.observe(r.ctx, Event{Kind: EventClaimed, Envelope: env})
		j := &job{
			Value: task{Delivery: d, reg: r.Bus.lookup(env.Type, env.Subscriber), verdict: Verdict{Token: d.Token}},
			Queue: env.Queue, Alone: env.Crashes >= 2, Prompt: env.Group != "" || env.Key != "", Lease: d.Until, Deadline: d.Deadline, Decided: true,
		}
		js[i] = j
		switch t := &j.Value; {
		case !d.Deadline.IsZero() && !now.Before(d.Deadline):
			t.verdict.Outcome = Expired
		case env.Crashes >= r.MaxCrashes:
			t.fail(ReasonCrashLoop, fmt.Errorf("%d leases ran out without a verdict: the handler ends or blocks its process", env.Crashes))
		case t.reg == nil:
			r.unknown(t, now)
		default:
			j.Decided, j.Kind = false, r.kind(t.reg)
		}
	}
	return js
}

// fail decides about a message that is not run.
func (t *task) fail(why Reason, err error) {
	t.verdict.Outcome, t.verdict.Reason, t.verdict.Failure, t.err = Failed, why, NewFailure(err), err
}

// unknown puts back a message that has no handler here. There may be one elsewhere, or after a deploy.
func (r *run) unknown(t *task, now time.Time) {
	const most = 10 * time.Minute
	after, waited := 5*time.Second, time.Duration(0)
	for range t.Unhandled {
		if waited += after; waited >= r.Unknown {
			t.fail(ReasonUnknownType, fmt.Errorf("%w for type %s, after %v", ErrNoHandler, t.Envelope.Type, waited))
			return
		}
		after = min(2*after, most)
	}
	t.verdict.Outcome, t.verdict.After, t.err = Unhandled, after, ErrNoHandler
	if last, ok := r.warned[t.Envelope.Type]; !ok || now.Sub(last) >= time.Minute {
		r.warned[t.Envelope.Type] = now
		r.Logger.Warn("message was put back: the worker has no handler for it", "type", t.Envelope.Type,
			"subscriber", t.Envelope.Subscriber, "id", t.Envelope.ID, "wait", after)
	}
}

// kind returns what the jobs of a handler have in common, nil if that is nothing.
func (r *run) kind(reg *registration) *engine.Kind {
	if reg.atMost <= 0 {
		return nil
	}
	k := r.kinds[reg]
	if k == nil {
		k = &engine.Kind{Types: append([]string{reg.typ}, reg.aliases...), AtMost: reg.atMost}
		r.kinds[reg] = k
	}
	return k
}

// refuse makes the verdict on a job that is not started.
func refuse(j *job, why engine.Cause) {
	outcomes := [...]Outcome{engine.GivenBack: Released, engine.Cancelled: Cancelled, engine.Expired: Expired}
	j.Value.verdict.Outcome = outcomes[why]
}

func verdicts(js []*job) []Verdict {
	vs := make([]Verdict, len(js))
	for i, j := range js {
		if v := &j.Value.verdict; j.Cancelled && v.Outcome != Completed {
			v.Outcome, v.After, v.Reason = Cancelled, 0, ""
		}
		vs[i] = j.Value.verdict
	}
	return vs
}

// settled sorts out the store's answer to the verdicts of js: it tells observer and log what became of
// each, and returns err if that is nothing.
func (r *run) settled(js []*job, err error) error {
	lost, tooLate := errors.AsType[*LostError](err)
	undone, rolledBack := errors.AsType[*NotCommittedError](err)
	if err != nil && !tooLate && !rolledBack {
		return err
	}
	for _, j := range js {
		t := &j.Value
		if tooLate && slices.Contains(lost.Tokens, t.Token) {
			r.leaseLost([]*job{j})
			continue
		}
		if t.verdict.InTx {
			committed := !rolledBack || !slices.Contains(undone.Tokens, t.Token)
			j.Undone = !committed && t.verdict.failure()
			r.confirm(t, committed)
		}
		r.report(t)
	}
	return nil
}

// confirm notes whether the transaction in which the handler completed its message was committed.
func (r *run) confirm(t *task, committed bool) {
	switch {
	case !committed:
		t.err = cmp.Or(t.err, ErrNotCommitted)
		return
	case t.err != nil:
		r.log(slog.LevelWarn, "message was completed in a transaction, though its handler failed", t)
	}
	t.verdict = Verdict{Outcome: Completed}
}

func (r *run) report(t *task) {
	switch t.verdict.Outcome {
	case Failed:
		r.log(slog.LevelError, "message failed for good and is a dead letter", t)
	case Retried:
		r.log(slog.LevelWarn, "message failed and will be tried again", t)
	}
	r.observe(r.ctx, Event{
		Kind: EventSettled, Envelope: t.Envelope, Outcome: t.verdict.Outcome, Reason: t.verdict.Reason,
		After: t.verdict.After, Took: t.took, Err: t.err,
	})
}

func (r *run) log(level slog.Level, text string, t *task) {
	r.Logger.LogAttrs(r.ctx, level, text,
		slog.String("type", t.Envelope.Type), slog.String("subscriber", t.Envelope.Subscriber), slog.Any("id", t.Envelope.ID),
		slog.Int("attempt", t.Envelope.Attempt), slog.String("reason", string(t.verdict.Reason)),
		slog.Duration("wait", t.verdict.After), slog.Any("error", t.err))
}

func (r *run) renew(ctx context.Context, js []*job) (lost, cancelled []*job, err error) {
	tokens := make([]Token, len(js))
	for i, j := range js {
		tokens[i] = j.Value.Token
	}
	renewal, err := r.Transport.Renew(ctx, r.id, tokens)
	if err != nil {
		return nil, nil, err
	}
	for _, j := range js {
		if slices.Contains(renewal.Lost, j.Value.Token) {
			if j.Value.completedInTx() { // it is gone because its handler's transaction was committed
				continue
			}
			lost = append(lost, j)
		} else if slices.Contains(renewal.Cancelled, j.Value.Token) {
			cancelled = append(cancelled, j)
		}
	}
	return lost, cancelled, nil
}

// leaseLost tells observer and log.
func (r *run) leaseLost(js []*job) {
	for _, j := range js {
		env := j.Value.Envelope
		r.Logger.Warn("lease lost: another worker may have the message", "type", env.Type, "id", env.ID)
		r.observe(r.ctx, Event{Kind: EventLeaseLost, Envelope: env})
	}
}

// observe tells the observer, if there is one.
func (r *run) observe(ctx context.Context, e Event) {
	if r.Observer == nil {
		return
	}
	attempt(func() error {
		r.Observer.Observe(ctx, e)
		return nil
	}, func(err error) {
		if err != nil {
			r.Logger.Error("observer failed", "event", e.Kind, "error", err)
		}
	})
}
