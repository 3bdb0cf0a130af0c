package postgres

import (
	"context"

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
	var orphans [][16]byte
	var orphanTokens []int64
	err = t.retry(ctx, func(ctx context.Context) error {
		return t.work.QueryRow(ctx, t.sql.renew, worker, ids, tokens).Scan(&lost, &cancelled, &orphans, &orphanTokens)
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
	var back []symphony.Verdict
	for i, id := range orphans { // the answer to their claim was lost
		back = append(back, symphony.Verdict{Token: leaseName{id: id, token: orphanTokens[i], special: true}.written(), Outcome: symphony.Released})
	}
	if len(back) > 0 {
		_, err = t.settle(ctx, native{t.work}, back)
		t.floors.back()
		t.stir()
	}
	return r, err
}
