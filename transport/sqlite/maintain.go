package sqlite

import (
	"context"
	"database/sql"

	"github.com/symphony-messenger/symphony/monitor"
)

// maintainRows bounds one call of Maintain: it holds the write lock.
const maintainRows = 1000

// Maintain implements [symphony.Maintainer]: it drops history that is older than the retention,
// old figures and bulks, and keys whose windows are over, and ends messages that expired while they waited.
func (t *Transport) Maintain(ctx context.Context) (more bool, err error) {
	err = t.write(ctx, func(q *queries) error {
		now := t.clock()
		// History is in the order of its ends: no index is needed to find the old part.
		old, err := q.affected(`delete from messenger_history where seq in (
select seq from (select seq, finished_at from messenger_history order by seq limit ?1) where finished_at <= ?2)`,
			maintainRows, now-t.options.Retention.Milliseconds())
		if err != nil {
			return err
		}
		keys, err := q.affected(`delete from messenger_keys where (message_type, subscriber, key) in (
select message_type, subscriber, key from messenger_keys k where expires_at <= ?2
and not exists (select 1 from messenger_messages m where m.id = k.message_id) limit ?1)`, maintainRows, now)
		if err != nil {
			return err
		}
		if err := q.exec(`delete from messenger_minutes where at < ?`, now-monitor.KeepMinutes.Milliseconds()); err != nil {
			return err
		}
		if err := q.exec(`delete from messenger_bulks where finished_at < ?`, now-monitor.KeepBulks.Milliseconds()); err != nil {
			return err
		}
		expired, err := t.expire(q, now)
		more = old == maintainRows || keys == maintainRows || expired == maintainRows
		return err
	})
	if err != nil {
		return false, t.fail("maintain", err)
	}
	return more, nil
}

// expire ends messages whose time is over and that no claim has come upon.
func (t *Transport) expire(q *queries, now int64) (int, error) {
	// First: to end a member of a group makes others claimable, which are read below.
	if err := t.promote(q, now); err != nil {
		return 0, err
	}
	var seqs []int64
	err := q.each(`select seq from messenger_messages
where expires_at is not null and status in ('pending', 'scheduled') and expires_at <= ? order by expires_at limit ?`,
		[]any{now, maintainRows}, func(rows *sql.Rows) error {
			var seq int64
			err := rows.Scan(&seq)
			seqs = append(seqs, seq)
			return err
		})
	if err != nil || len(seqs) == 0 {
		return 0, err
	}
	s := settling{t: t, q: q, now: now}
	if err := s.read(seqs); err != nil {
		return 0, err
	}
	for _, seq := range seqs {
		h := s.held[seq]
		if h.retries > 0 {
			err = s.deadline(h)
		} else {
			err = s.ended(h, monitor.Expired, nil)
		}
		if err != nil {
			return 0, err
		}
	}
	return len(seqs), nil
}
