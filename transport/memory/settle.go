package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// Settle implements [symphony.Transport]. It refuses a verdict with no known outcome, and the whole
// call with it.
func (t *Transport) Settle(ctx context.Context, verdicts []symphony.Verdict) error {
	if err := checkVerdicts(verdicts); err != nil {
		return err
	}
	now, err := t.begin(ctx)
	if err != nil {
		return err
	}
	defer t.mu.Unlock()
	return t.settle(verdicts, now)
}

// Exchange implements [symphony.Exchanger].
func (t *Transport) Exchange(ctx context.Context, verdicts []symphony.Verdict, c symphony.Claim) ([]symphony.Delivery, error) {
	if err := checkVerdicts(verdicts); err != nil {
		return nil, err
	}
	if c.Max > 0 {
		if err := checkClaim(c); err != nil {
			return nil, fmt.Errorf("exchange: %w", err)
		}
	}
	now, err := t.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer t.mu.Unlock()
	err = t.settle(verdicts, now)
	return t.claim(c, now), err
}

func checkVerdicts(verdicts []symphony.Verdict) error {
	known := []symphony.Outcome{
		symphony.Completed, symphony.Retried, symphony.Snoozed, symphony.Released,
		symphony.Unhandled, symphony.Failed, symphony.Cancelled, symphony.Expired,
	}
	for i, v := range verdicts {
		if !slices.Contains(known, v.Outcome) {
			return fmt.Errorf("settle verdict %d of %d: %w", i+1, len(verdicts),
				&symphony.InvalidError{What: "outcome", Value: string(v.Outcome), Rule: fmt.Sprintf("one of %s", known)})
		}
	}
	return nil
}

func (t *Transport) settle(verdicts []symphony.Verdict, now time.Time) error {
	var lost, uncommitted []symphony.Token
	for _, v := range verdicts {
		m := t.messageOf(v.Token)
		if m == nil || m.lease.token != v.Token {
			lost = append(lost, v.Token)
			continue
		}
		if v.InTx { // there are no transactions here: what the handler thinks it did, it did not
			uncommitted = append(uncommitted, v.Token)
		}
		t.apply(m, v, now)
	}
	var errs []error
	if lost != nil {
		errs = append(errs, &symphony.LostError{Tokens: lost})
	}
	if uncommitted != nil {
		errs = append(errs, &symphony.NotCommittedError{Tokens: uncommitted})
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// apply does what v says to m, whose lease it carries.
func (t *Transport) apply(m *message, v symphony.Verdict, now time.Time) {
	by := t.unlease(m)
	if v.Outcome == symphony.Failed && v.Failure == nil {
		v.Failure = &symphony.Failure{Error: string(v.Reason), Class: "error"}
	}
	if v.Failure != nil {
		m.failed(v, monitor.Attempt{Number: m.retries + 1, At: timeOf(now.UnixMilli()), Worker: by.name})
	}
	outcome := v.Outcome
	if m.cancelled && outcome != symphony.Completed {
		outcome = symphony.Cancelled
	}
	switch outcome {
	case symphony.Completed:
		t.finish(m, monitor.Completed, now)
	case symphony.Cancelled:
		t.finish(m, monitor.Cancelled, now)
	case symphony.Expired:
		t.expire(m, now)
	case symphony.Failed:
		t.bury(m, v.Reason, now)
	case symphony.Retried:
		if m.lateAt(roundUp(now.Add(v.After))) {
			t.bury(m, symphony.ReasonDeadline, now)
			return
		}
		m.retries++
		t.putBack(m, v.After, now)
	case symphony.Snoozed:
		m.snoozes++
		t.putBack(m, v.After, now)
	case symphony.Unhandled:
		m.unhandled++
		t.putBack(m, v.After, now)
		if m.status == monitor.Scheduled {
			m.waitFor(monitor.WaitingForHandler)
		}
	case symphony.Released:
		t.putBack(m, 0, now)
	}
}

// failed keeps the error of v. It is one of an attempt, unless the message was not run.
func (m *message) failed(v symphony.Verdict, a monitor.Attempt) {
	m.lastError, m.lastClass = v.Failure.Error, v.Failure.Class
	if v.Reason != symphony.ReasonCrashLoop && v.Reason != symphony.ReasonUnknownType {
		a.Error, a.Class, a.Trace = v.Failure.Error, v.Failure.Class, v.Failure.Trace
		m.attempts = monitor.AppendAttempt(m.attempts, a)
	}
}

// expire ends m because no attempt may start any more: as a dead letter when it has failed before.
func (t *Transport) expire(m *message, now time.Time) {
	if m.retries > 0 {
		t.bury(m, symphony.ReasonDeadline, now)
		return
	}
	t.finish(m, monitor.Expired, now)
}

// bury makes m a dead letter.
func (t *Transport) bury(m *message, why symphony.Reason, now time.Time) {
	m.reason, m.print = why, ""
	t.end(m, monitor.Failed, now)
	t.buried++
	m.buried, m.letter = t.buried, t.dead.PushBack(m)
}

// finish ends m for good; it is history.
func (t *Transport) finish(m *message, as monitor.Status, now time.Time) {
	t.end(m, as, now)
	for _, old := range t.history.add(m) {
		delete(t.messages, old.env.ID)
	}
}

func (t *Transport) end(m *message, as monitor.Status, now time.Time) {
	m.leave()
	m.become(as)
	m.finished = now.UnixMilli()
	m.waitFor("")
	m.cancelled = false
	t.endKey(m, m.finished)
	t.leaveGroup(m)
}
