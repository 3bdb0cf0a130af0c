package postgres

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/symphony-messenger/symphony"
)

// A leased is a row that was claimed.
type leased struct {
	place                pgtype.TID
	seq, token           int64
	env                  *symphony.Envelope
	locked, created, due time.Time
	expires              *time.Time
	unhandled            int
	begun                time.Time // by this process's clock
}

// A claimedRow is where the rows of one claim are read, one after another: they come by tens of thousands a second, and places of
// their own for the values of each were a tenth of the worker's time.
type claimedRow struct {
	leased
	env                          symphony.Envelope
	retries                      int
	most                         *int
	queue, typ, subscriber, kind repeated
	key, group                   *string
	headers                      []byte
	dest                         []any
}

func newClaimedRow() *claimedRow {
	r := new(claimedRow)
	env := &r.env
	r.dest = []any{
		&r.place, &r.seq, (*[16]byte)(&env.ID), &env.Fence, &r.created, &r.locked, &r.due, &r.expires, &env.Priority, &r.retries, &env.Crashes, &r.unhandled,
		&env.Version, &r.most, &r.queue, &r.typ, &r.subscriber, &r.kind, &r.key, &r.group, &r.headers, &env.Tags, &env.Body,
	}
	return r
}

// scan returns the row at which rows is.
func (r *claimedRow) scan(rows pgx.Rows) (*leased, error) {
	if err := rows.Scan(r.dest...); err != nil {
		return nil, err
	}
	l, env := r.leased, r.env
	l.env = &env
	env.Queue, env.Type, env.Subscriber, env.ContentType = string(r.queue), string(r.typ), string(r.subscriber), string(r.kind)
	env.CreatedAt = l.created.UTC()
	env.Attempt = r.retries + 1
	env.Key, env.Group, env.MaxRetries = text(r.key), text(r.group), r.most
	if r.headers != nil {
		if err := json.Unmarshal(r.headers, &env.Headers); err != nil {
			return nil, fmt.Errorf("headers of message %s: %w", env.ID, err)
		}
	}
	return &l, nil
}

// A repeated is a text that is mostly the same as that of the row before, and then is not made again.
type repeated string

// ScanBytes implements [pgtype.BytesScanner].
func (t *repeated) ScanBytes(b []byte) error {
	if string(b) != string(*t) {
		*t = repeated(b)
	}
	return nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (l *leased) delivery(lease time.Duration) symphony.Delivery {
	d := symphony.Delivery{Envelope: l.env, Token: l.name(), DueAt: l.due.UTC(), ClaimedAt: l.locked.UTC(), Until: l.begun.Add(lease), Unhandled: l.unhandled}
	if l.expires != nil {
		d.Deadline = l.begun.Add(l.expires.Sub(l.locked))
		l.env.Expires = l.expires.Sub(l.created)
	}
	return d
}

func (l *leased) name() symphony.Token {
	return leaseName{id: l.env.ID, token: l.token, place: l.place, special: l.env.Key != "" || l.env.Group != ""}.written()
}
