package sqlite

import (
	"database/sql"
	"encoding/json"

	"github.com/symphony-messenger/symphony/monitor"
)

// leave lets the next member of a group run after its holder has ended. Nothing happens when seq did
// not hold it.
func (q *queries) leave(queue, group string, seq int64) error {
	var next int64
	found, err := q.one(`select seq from messenger_messages
where queue_name = ? and group_key = ? and waiting_for = 'group' and seq <> ? order by available_at, seq limit 1`,
		[]any{queue, group, seq}, &next)
	if err != nil {
		return err
	}
	if !found {
		return q.exec("delete from messenger_groups where queue_name = ? and group_key = ? and holder = ?", queue, group, seq)
	}
	passed, err := q.affected("update messenger_groups set holder = ? where queue_name = ? and group_key = ? and holder = ?",
		next, queue, group, seq)
	if err != nil || passed == 0 {
		return err
	}
	q.ready = true
	return q.exec("update messenger_messages set waiting_for = null where seq = ?", next)
}

// promote makes messages claimable that have become due. Members of a group that another one holds
// go on waiting for that.
func (t *Transport) promote(q *queries, now int64) error {
	for {
		n, err := promoteSome(q, now, promoteRows)
		if err != nil || n < promoteRows {
			return err
		}
	}
}

// promoteRows is how many messages one statement makes claimable.
const promoteRows = 1000

func promoteSome(q *queries, now int64, most int) (n int, err error) {
	var seqs []int64
	var members []member
	err = q.each(sqlDue, []any{now, most}, func(rows *sql.Rows) error {
		var m member
		var typ string
		var group sql.NullString
		var unhandled bool
		if err := rows.Scan(&m.seq, &m.queue, &typ, &group, &unhandled); err != nil {
			return err
		}
		if unhandled {
			q.count(m.queue, typ, noHandler, -1)
		}
		seqs = append(seqs, m.seq)
		if group.Valid {
			m.group = group.String
			members = append(members, m)
		}
		q.move(m.queue, typ, monitor.Scheduled, monitor.Pending)
		return nil
	})
	if err != nil || len(seqs) == 0 {
		return 0, err
	}
	q.ready = true
	if err := q.exec(sqlPromote, array(seqs)); err != nil {
		return 0, err
	}
	for _, m := range members { // in the order in which they became due
		if err := q.hold(m); err != nil {
			return 0, err
		}
	}
	return len(seqs), nil
}

// A member is a message of a group.
type member struct {
	seq          int64
	queue, group string
}

// hold lets m wait unless it holds its group, now or already.
func (q *queries) hold(m member) error {
	err := q.exec("insert into messenger_groups (queue_name, group_key, holder) values (?, ?, ?) on conflict do nothing", m.queue, m.group, m.seq)
	if err != nil {
		return err
	}
	return q.exec(`update messenger_messages set waiting_for = 'group' where seq = ?1
and not exists (select 1 from messenger_groups where queue_name = ?2 and group_key = ?3 and holder = ?1)`, m.seq, m.queue, m.group)
}

// array returns numbers as a JSON array, for json_each: one statement for any number of them.
func array[T any](values []T) string {
	text, _ := json.Marshal(values) // numbers and strings
	return string(text)
}
