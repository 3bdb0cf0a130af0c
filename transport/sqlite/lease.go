package sqlite

import (
	"context"
	"database/sql"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// Renew implements [symphony.Transport].
func (t *Transport) Renew(ctx context.Context, worker string, held []symphony.Token) (symphony.Renewal, error) {
	var r symphony.Renewal
	err := t.write(ctx, func(q *queries) error {
		r = symphony.Renewal{}
		now := t.clock()
		known, err := q.affected("update messenger_workers set alive_until = max(alive_until, ?1 + lease) where identity = ?2", now, worker)
		if err != nil {
			return err
		}
		if known == 0 { // it was taken for dead while it had nothing
			t.workers.Delete(worker)
		}
		mine, err := owned(q, worker)
		if err != nil {
			return err
		}
		for _, token := range held {
			l, ok := mine[token]
			switch {
			case !ok:
				r.Lost = append(r.Lost, token)
			case l.cancelled:
				r.Cancelled = append(r.Cancelled, token)
			}
			delete(mine, token)
		}
		return t.orphans(q, mine, now)
	})
	if err != nil {
		return symphony.Renewal{}, t.fail("renew leases in", err)
	}
	return r, nil
}

// An ownedLease is a message that the store has leased to a worker.
type ownedLease struct {
	lockedAt, lease int64
	cancelled       bool
}

func owned(q *queries, worker string) (map[symphony.Token]ownedLease, error) {
	mine := make(map[symphony.Token]ownedLease)
	return mine, q.each(`select m.seq, m.fence, m.locked_at, w.lease, m.cancel_requested
from messenger_workers w join messenger_messages m on m.locked_by = w.worker and m.status = 'processing' where w.identity = ?`, []any{worker},
		func(rows *sql.Rows) error {
			l := leased{env: new(symphony.Envelope)}
			var o ownedLease
			err := rows.Scan(&l.seq, &l.env.Fence, &o.lockedAt, &o.lease, &o.cancelled)
			mine[l.token()] = o
			return err
		})
}

// orphans puts back what was leased to a worker that does not know of it: the answer to its claim was
// lost. What was claimed within the last lease may still be on its way.
func (t *Transport) orphans(q *queries, unknown map[symphony.Token]ownedLease, now int64) error {
	var back []symphony.Verdict
	for token, l := range unknown {
		if l.lockedAt+l.lease <= now {
			back = append(back, symphony.Verdict{Token: token, Outcome: symphony.Released})
		}
	}
	_, err := t.settle(q, back, now)
	return err
}

// Leave implements [symphony.Leaver].
func (t *Transport) Leave(ctx context.Context, worker string) error {
	err := t.write(ctx, func(q *queries) error {
		return q.exec(`delete from messenger_workers where identity = ?1
and not exists (select 1 from messenger_messages m where m.locked_by = messenger_workers.worker and m.status = 'processing')`, worker)
	})
	if err != nil {
		return t.fail("forget a worker of", err)
	}
	t.workers.Delete(worker)
	return nil
}

// sweep takes back what workers held whose leases ran out, and counts a crash of each message. It
// looks at few rows: there is one for each worker.
func (t *Transport) sweep(q *queries, now int64) error {
	var dead []int64
	err := q.each("select worker from messenger_workers where alive_until <= ?", []any{now}, func(rows *sql.Rows) error {
		var worker int64
		err := rows.Scan(&worker)
		dead = append(dead, worker)
		return err
	})
	if err != nil {
		return err
	}
	for _, worker := range dead {
		var cancelled []int64
		err := q.each(sqlSweep, []any{worker}, func(rows *sql.Rows) error {
			var seq int64
			var queue, typ string
			var cancel bool
			if err := rows.Scan(&seq, &queue, &typ, &cancel); err != nil {
				return err
			}
			if cancel {
				cancelled = append(cancelled, seq)
			}
			q.move(queue, typ, monitor.Processing, monitor.Pending)
			q.ready = true
			return nil
		})
		if err != nil {
			return err
		}
		for _, seq := range cancelled {
			if err := t.cancelWaiting(q, seq, now); err != nil {
				return err
			}
		}
		if err := q.exec("delete from messenger_workers where worker = ?", worker); err != nil {
			return err
		}
	}
	return nil
}

// cancelWaiting ends a message that nobody has leased as cancelled.
func (t *Transport) cancelWaiting(q *queries, seq, now int64) error {
	s := settling{t: t, q: q, now: now}
	if err := s.read([]int64{seq}); err != nil {
		return err
	}
	h := s.held[seq]
	if h == nil {
		return nil
	}
	return s.ended(h, monitor.Cancelled, nil)
}
