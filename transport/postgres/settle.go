package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/errtext"
)

// Settle implements [symphony.Transport].
func (t *Transport) Settle(ctx context.Context, verdicts []symphony.Verdict) error {
	if len(verdicts) == 0 {
		return nil
	}
	if err := t.check(ctx); err != nil {
		return t.fail("settle in", ended(ctx, err))
	}
	refused, err := t.settleAll(ctx, verdicts)
	if err != nil {
		return t.fail("settle in", ended(ctx, err))
	}
	return refused
}

// settleAll settles those that were simply done by one statement, and all others by another, in one transaction.
func (t *Transport) settleAll(ctx context.Context, verdicts []symphony.Verdict) (refused, err error) {
	done, rest, err := sort(verdicts)
	if err != nil {
		return nil, err
	}
	var a, b refusals
	switch {
	case len(rest) == 0:
		err = t.retry(ctx, func(ctx context.Context) (err error) { a, err = t.done(ctx, native{t.work}, done); return err })
	case len(done) == 0:
		err = t.retry(ctx, func(ctx context.Context) (err error) { b, err = t.special(ctx, native{t.work}, rest); return err })
	default:
		err = t.retry(ctx, func(ctx context.Context) error {
			tx, err := t.work.Begin(ctx)
			if err != nil {
				return err
			}
			defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // does nothing after Commit
			if a, err = t.done(ctx, native{tx}, done); err != nil {
				return err
			}
			if b, err = t.special(ctx, native{tx}, rest); err != nil {
				return err
			}
			return tx.Commit(ctx)
		})
	}
	if err != nil {
		return nil, err
	}
	t.service.changed(len(verdicts))
	all := a.and(b)
	if all.woken {
		t.floors.back()
		t.stir()
	}
	refused = all.error()
	t.tally.Add(verdicts, refused)
	return refused, nil
}

// A named verdict is one whose token was read.
type named struct {
	*symphony.Verdict
	leaseName
}

// sort reads tokens, and tells those apart that were simply done. A second verdict under one token comes too late.
func sort(verdicts []symphony.Verdict) (done, rest []named, err error) {
	done = make([]named, 0, len(verdicts))
	seen := make(map[symphony.ID]struct{}, len(verdicts))
	for i := range verdicts {
		v := &verdicts[i]
		l, ok := parseToken(v.Token)
		n := named{v, l}
		switch v.Outcome {
		case symphony.Completed, symphony.Retried, symphony.Snoozed, symphony.Released, symphony.Unhandled, symphony.Failed, symphony.Cancelled, symphony.Expired:
		default:
			return nil, nil, fmt.Errorf("verdict on message %s: unknown outcome %q", l.id, v.Outcome)
		}
		if !ok {
			n.leaseName = leaseName{token: noToken}
		} else if _, again := seen[l.id]; again {
			same := func(n named) bool { return n.id == l.id && n.token == l.token }
			if slices.ContainsFunc(done, same) || slices.ContainsFunc(rest, same) {
				n.leaseName = leaseName{token: noToken}
			}
			n.special = true // those that are simply done differ from each other
		}
		seen[l.id] = struct{}{}
		if v.Outcome == symphony.Completed && !v.InTx && ok && !n.special {
			done = append(done, n)
		} else {
			rest = append(rest, n)
		}
	}
	return done, rest, nil
}

// noToken fits no lease: those of claims are not negative.
const noToken = -1

// Refusals are the verdicts of a call that were not applied as they stand, or not only.
type refusals struct {
	lost, undone []symphony.Token
	woken        bool // something may be claimable now: the next of a group, or what was put back
}

func (r refusals) and(o refusals) refusals {
	return refusals{lost: append(r.lost, o.lost...), undone: append(r.undone, o.undone...), woken: r.woken || o.woken}
}

func (r refusals) error() (err error) {
	if len(r.lost) > 0 {
		err = &symphony.LostError{Tokens: r.lost}
	}
	if len(r.undone) > 0 {
		err = errors.Join(err, &symphony.NotCommittedError{Tokens: r.undone})
	}
	return err
}

// done ends messages without keys and groups as completed. Those that are not where the claim put them are looked for by other means:
// somebody has cancelled them meanwhile, or their leases are lost.
func (t *Transport) done(ctx context.Context, ex executor, ns []named) (r refusals, err error) {
	ids, tokens, places := make([][16]byte, len(ns)), make([]int64, len(ns)), make([]pgtype.TID, len(ns))
	var claims []int64 // few: a claim gives all its messages one number
	for i, n := range ns {
		ids[i], tokens[i], places[i] = n.id, n.token, n.place
		places[i].Valid = true
		if (i == 0 || n.token != tokens[i-1]) && !slices.Contains(claims, n.token) {
			claims = append(claims, n.token)
		}
	}
	text, args := t.sql.done, []any{ids, tokens, places, claims}
	if mode := t.options.History; mode != HistoryOff {
		text, args = t.sql.doneHistory, append(args, mode == HistoryFull)
	}
	var missed []int32
	if err := ex.query(ctx, text, args, func(scan scanner) error { return scan(&missed) }); err != nil {
		return r, err
	}
	if len(missed) == 0 {
		return r, nil
	}
	rest := make([]named, len(missed))
	for i, n := range missed {
		rest[i] = ns[n-1]
	}
	return t.special(ctx, ex, rest)
}

// special applies any verdicts.
func (t *Transport) special(ctx context.Context, ex executor, ns []named) (r refusals, err error) {
	n := len(ns)
	ids, tokens, outcomes, afters := make([][16]byte, n), make([]int64, n), make([]string, n), make([]int64, n)
	reasons, texts, classes, traces, shapes := make([]string, n), make([]*string, n), make([]*string, n), make([]*string, n), make([]*string, n)
	for i, v := range ns {
		ids[i], tokens[i], outcomes[i], afters[i], reasons[i] = v.id, v.token, string(v.Outcome), milliseconds(v.After), string(v.Reason)
		f := v.Failure
		if f == nil && v.Outcome == symphony.Failed {
			f = &symphony.Failure{Error: string(v.Reason), Class: "error"}
		}
		if f != nil {
			shape := errtext.Shape(f.Error)
			texts[i], classes[i], traces[i], shapes[i] = &f.Error, &f.Class, &f.Trace, &shape
		}
	}
	applied := make([]bool, n)
	args := []any{ids, tokens, outcomes, afters, reasons, texts, classes, traces, shapes, string(t.options.History), t.options.Name}
	err = ex.query(ctx, t.sql.settle, args, func(scan scanner) error {
		var i int
		var fate string
		if err := scan(&i, &fate); err != nil {
			return err
		}
		applied[i-1] = true
		r.woken = r.woken || fate == "again" || ns[i-1].special
		return nil
	})
	if err != nil {
		return r, err
	}
	var open []named // completed in a transaction of the handler's, it seems
	for i, ok := range applied {
		switch v := ns[i]; {
		case ok && v.InTx:
			r.undone = append(r.undone, v.Token)
		case !ok && v.InTx:
			open = append(open, v)
		case !ok:
			r.lost = append(r.lost, v.Token)
		}
	}
	if len(open) == 0 {
		return r, nil
	}
	// Committed, if the message is gone. If it is there, somebody else has it.
	ids = ids[:0]
	for _, v := range open {
		ids = append(ids, v.id)
	}
	there, err := t.idsOf(ctx, ex, t.sql.there, ids)
	for _, v := range open {
		if there[v.id] {
			r.lost = append(r.lost, v.Token)
		} else {
			r.woken = r.woken || v.special // nobody was told of the commit
		}
	}
	return r, err
}

// settle is settleAll in the transaction of ex, for verdicts of which none is InTx.
func (t *Transport) settle(ctx context.Context, ex executor, verdicts []symphony.Verdict) (refused, err error) {
	if len(verdicts) == 0 {
		return nil, nil
	}
	done, rest, err := sort(verdicts)
	if err != nil {
		return nil, err
	}
	r, err := t.special(ctx, ex, append(rest, done...))
	return r.error(), err
}
