package postgres

import (
	"context"
	"time"

	"github.com/symphony-messenger/symphony"
)

// Renew implements [symphony.Transport].
func (t *Transport) Renew(ctx context.Context, worker string, held []symphony.Token) (symphony.Renewal, error) {
	r, err := t.renew(ctx, worker, held)
	if err != nil {
		return symphony.Renewal{}, t.fail("renew leases in", ended(ctx, err))
	}
	return r, nil
}

func (t *Transport) renew(ctx context.Context, worker string, held []symphony.Token) (r symphony.Renewal, err error) {
	if err := t.check(ctx); err != nil {
		return r, err
	}
	ids, tokens, names := make([][16]byte, 0, len(held)), make([]int64, 0, len(held)), make([]symphony.Token, 0, len(held))
	for _, token := range held {
		l, ok := parseToken(token)
		if !ok { // none of ours
			r.Lost = append(r.Lost, token)
			continue
		}
		ids, tokens, names = append(ids, l.id), append(tokens, l.token), append(names, token)
	}
	var lost, cancelled []int32
	var now time.Time
	var lease *int64 // milliseconds
	err = t.retry(ctx, func(ctx context.Context) error {
		return t.work.QueryRow(ctx, t.sql.renew, worker, ids, tokens).Scan(&lost, &cancelled, &now, &lease)
	})
	if err != nil {
		return r, err
	}
	for _, n := range lost {
		r.Lost = append(r.Lost, names[n-1])
	}
	for _, n := range cancelled {
		r.Cancelled = append(r.Cancelled, names[n-1])
	}
	if lease == nil { // it was taken for dead while it had nothing
		t.sight(worker).met.Store(false)
	}
	if o := &t.sight(worker).orphans; lease != nil && o.due(now, time.Duration(*lease)*time.Millisecond) {
		begun := time.Now()
		if err := t.putBackOrphans(ctx, worker, ids, tokens); err != nil { // the leases are renewed all the same
			o.ask()
			t.service.complain("put back what never arrived", err)
		}
		o.took(time.Since(begun))
	}
	return r, nil
}

// putBackOrphans puts back what is leased to worker besides the messages ids with the tokens, for longer than a lease: the answer to its claim was lost.
// While some transaction is long, that reads all that the worker has had since.
func (t *Transport) putBackOrphans(ctx context.Context, worker string, ids [][16]byte, tokens []int64) error {
	var back []symphony.Verdict
	err := t.retry(ctx, func(ctx context.Context) error {
		back = back[:0]
		return native{t.work}.query(ctx, t.sql.orphans, []any{worker, ids, tokens}, func(scan scanner) error {
			var id [16]byte
			l := leaseName{special: true}
			if err := scan(&id, &l.token); err != nil {
				return err
			}
			l.id = id
			back = append(back, symphony.Verdict{Token: l.written(), Outcome: symphony.Released})
			return nil
		})
	})
	if err != nil || len(back) == 0 {
		return err
	}
	_, err = t.settle(ctx, native{t.work}, back)
	t.floors.back()
	t.stir()
	return err
}

// Leave implements [symphony.Leaver]. A claim whose answer was lost may not have been committed yet: what it leases must have a worker whose lease runs out.
func (t *Transport) Leave(ctx context.Context, worker string) error {
	if t.sight(worker).orphans.open() {
		return nil
	}
	err := t.retry(ctx, func(ctx context.Context) error {
		_, err := t.work.Exec(ctx, t.sql.leave, worker)
		return err
	})
	if err != nil {
		return t.fail("forget a worker of", ended(ctx, err))
	}
	t.sights.Delete(worker)
	return nil
}
