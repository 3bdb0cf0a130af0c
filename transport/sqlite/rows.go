package sqlite

import (
	"strings"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// rowsPerInsert is how many rows one statement inserts: the driver's cost is per statement more than
// per row, and beyond some twenty there is nothing left to gain.
const rowsPerInsert = 20

// rows are messages on their way into one statement.
type rows struct {
	envs []*symphony.Envelope
	rows []row
}

// add takes a row for the next statement, and writes that when it is full.
func (in *inserting) add(env *symphony.Envelope, r row) error {
	in.rows.envs, in.rows.rows = append(in.rows.envs, env), append(in.rows.rows, r)
	if len(in.rows.rows) < rowsPerInsert {
		return nil
	}
	return in.flush()
}

// flush writes the rows that were added. A full statement is tried as a whole; when SQLite refuses it,
// and has undone it, the rows are written one by one: one of them may be there already.
func (in *inserting) flush() error {
	envs, all := in.rows.envs, in.rows.rows
	in.rows = rows{envs: envs[:0], rows: all[:0]}
	if len(all) == rowsPerInsert {
		args := make([]any, 0, rowsPerInsert*insertColumns)
		for i := range all {
			args = append(args, in.args(envs[i], &all[i])...)
		}
		err := in.q.exec(insertMany(), args...)
		if err == nil {
			for i := range all {
				in.counted(envs[i], all[i])
			}
			return nil
		}
		if !isData(err) {
			return err
		}
	}
	for i := range all {
		if _, err := in.insert(envs[i], all[i]); err != nil {
			return err
		}
	}
	return nil
}

// insert writes one row, unless the very message is there already.
func (in *inserting) insert(env *symphony.Envelope, r row) (stored bool, err error) {
	n, err := in.q.affected(sqlInsert+insertRow+" on conflict (id) do nothing", in.args(env, &r)...)
	if err != nil || n == 0 {
		return false, err
	}
	in.counted(env, r)
	return true, nil
}

func (in *inserting) counted(env *symphony.Envelope, r row) {
	in.q.count(env.Queue, env.Type, r.status, 1)
	in.q.ready = true
}

const (
	insertColumns = 18
	insertRow     = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

// insertMany is the statement for rowsPerInsert rows.
func insertMany() string {
	return sqlInsert + strings.Repeat(insertRow+", ", rowsPerInsert-1) + insertRow
}

func (in *inserting) args(env *symphony.Envelope, r *row) []any {
	return []any{
		env.ID[:], env.Queue, env.Type, env.Subscriber, string(r.status), env.Priority, in.now, r.scheduled, r.available,
		r.expires, env.MaxRetries, null(env.Key), null(env.Group), r.headers, r.tags, env.Version, env.ContentType, r.body,
	}
}

// A row is what of an envelope must be turned into columns.
type row struct {
	status                            monitor.Status
	scheduled, expires, headers, tags any // nil: null
	available                         int64
	body                              []byte
}

func (in *inserting) row(env *symphony.Envelope) (r row, err error) {
	r = row{status: monitor.Pending, available: in.now, body: env.Body}
	if r.body == nil {
		r.body = []byte{}
	}
	switch {
	case env.Delay > 0:
		r.available = addTime(in.now, env.Delay)
		r.scheduled = r.available
	case !env.At.IsZero():
		at := env.At.UnixMilli()
		if env.At.After(time.UnixMilli(at)) {
			at++
		}
		r.scheduled, r.available = at, max(at, in.now)
	}
	if r.available > in.now {
		r.status = monitor.Scheduled
	}
	if env.Expires > 0 {
		r.expires = addTime(in.now, env.Expires)
	}
	if r.headers, err = encode(len(env.Headers), env.Headers); err != nil {
		return r, err
	}
	r.tags, err = encode(len(env.Tags), env.Tags)
	return r, err
}
