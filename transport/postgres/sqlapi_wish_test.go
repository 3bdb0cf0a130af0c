package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
)

// A wish is one wish, said in Go and in SQL.
type wish struct {
	stamps []symphony.Stamp
	name   string // of the argument
	value  any
	cast   string
}

// A wished is one message, to be sent both ways.
type wished struct {
	typ     string // "": order
	body    string // "": {}
	content string // "": JSON, by symphony.dispatch; else by dispatch_bytes
	options []wish
	bytes   bool // dispatch_bytes, whatever the content type is
}

func wishPrio(n int) wish { return wish{[]symphony.Stamp{symphony.Priority(n)}, "priority", n, "int"} }

func wishDelay(d time.Duration) wish {
	return wish{[]symphony.Stamp{symphony.Delay(d)}, "delay", sqlInterval(d), "interval"}
}

func wishExpires(d time.Duration) wish {
	return wish{[]symphony.Stamp{symphony.Expires(d)}, "expires", sqlInterval(d), "interval"}
}

func wishAt(t time.Time) wish {
	return wish{[]symphony.Stamp{symphony.At(t)}, "at", t.UTC().Format("2006-01-02 15:04:05.999999999Z07:00"), "timestamptz"}
}

func wishInQueue(s string) wish { return wish{[]symphony.Stamp{symphony.Queue(s)}, "queue", s, "text"} }

func wishGroup(s string) wish {
	return wish{[]symphony.Stamp{symphony.Group(s)}, "group_key", s, "text"}
}

func wishKey(s string) wish {
	return wish{[]symphony.Stamp{symphony.IdempotencyKey(s, 24*time.Hour)}, "idempotency_key", s, "text"}
}

// wishTaken is what to do when the key of the wish before it is taken.
func wishTaken(action string, stamps ...symphony.Stamp) wish {
	return wish{stamps, "when_taken", action, "text"}
}

func wishRetries(n int) wish {
	return wish{[]symphony.Stamp{symphony.MaxRetries(n)}, "max_retries", int64(n), "bigint"}
}

func wishTags(ts ...string) wish {
	return wish{[]symphony.Stamp{symphony.Tag(ts...)}, "tags", ts, "text[]"}
}

func wishHeaders(h map[string]string) wish {
	var stamps []symphony.Stamp
	for _, name := range slices.Sorted(maps.Keys(h)) {
		stamps = append(stamps, symphony.Header(name, h[name]))
	}
	return wish{stamps, "headers", h, "jsonb"}
}

func sqlInterval(d time.Duration) string {
	return fmt.Sprintf("%.6f seconds", float64((d+time.Microsecond-1)/time.Microsecond)/1e6)
}

// inGo sends m by a bus.
func (m wished) inGo(ctx context.Context, store *Transport) (symphony.Receipt, error) {
	var stamps []symphony.Stamp
	for _, o := range m.options {
		stamps = append(stamps, o.stamps...)
	}
	bus := &symphony.Bus{Transport: store}
	return bus.Dispatch(ctx, symphony.Raw{Type: m.typ, Body: []byte(m.body), ContentType: m.content}, stamps...)
}

// inSQL sends m by the functions.
func (m wished) inSQL(ctx context.Context, store *Transport, conn querier) (r symphony.Receipt, err error) {
	text, args := "select id::text, duplicate, replaced, copies::text[] from symphony.dispatch(type => $1::text, payload => $2::text::json", []any{m.typ, m.body}
	if m.bytes || m.content != "" {
		text, args = "select id::text, duplicate, replaced, copies::text[] from symphony.dispatch_bytes(type => $1::text, body => $2::bytea", []any{m.typ, []byte(m.body)}
		if m.content != "" {
			args = append(args, m.content)
			text += ", content_type => $3::text"
		}
	}
	for _, o := range m.options {
		args = append(args, o.value)
		text += fmt.Sprintf(", %s => $%d::%s", o.name, len(args), o.cast)
	}
	rows, err := conn.Query(ctx, store.sql.in(text+")"), args...)
	if err != nil {
		return r, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var copies []string
		if err := rows.Scan(&id, &r.Duplicate, &r.Replaced, &copies); err != nil {
			return r, err
		}
		for _, c := range append([]string{id}, copies...) {
			parsed, err := symphony.ParseID(c)
			if err != nil {
				return r, err
			}
			r.Copies = append(r.Copies, parsed)
		}
		r.ID, r.Copies = r.Copies[0], r.Copies[1:]
	}
	if err := rows.Err(); err != nil {
		return r, err
	}
	_, err = store.number(ctx, store.sql.in("select symphony.messenger_advance(100)")) // as any worker does, and Send at once
	return r, err
}
