package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// Send implements [symphony.Sender]. A single envelope may share its transaction with those of
// concurrent calls. When ctx ends after that transaction was begun for it, the error matches
// symphony.ErrOutcomeUnknown.
func (t *Transport) Send(ctx context.Context, envs []*symphony.Envelope) ([]symphony.Receipt, error) {
	var rs []symphony.Receipt
	var err error
	if len(envs) == 1 {
		rs = make([]symphony.Receipt, 1)
		rs[0], err = t.sends.Send(ctx, envs[0])
	} else {
		rs, err = t.store(ctx, envs)
	}
	if err != nil {
		return nil, t.fail("send to", err)
	}
	return rs, nil
}

// store writes envs in a transaction of their own.
func (t *Transport) store(ctx context.Context, envs []*symphony.Envelope) (rs []symphony.Receipt, err error) {
	err = t.write(ctx, func(q *queries) error {
		rs, err = t.insert(q, envs)
		return err
	})
	return rs, err
}

// insert stores envs in q's transaction, one copy for each subscription.
func (t *Transport) insert(q *queries, envs []*symphony.Envelope) ([]symphony.Receipt, error) {
	in := inserting{t: t, q: q, now: t.clock(), subs: make(map[string][]symphony.Subscription)}
	rs := make([]symphony.Receipt, len(envs))
	for i, env := range envs {
		var err error
		if rs[i], err = in.fanOut(env); err != nil {
			return nil, fmt.Errorf("message %s of type %s: %w", env.ID, env.Type, err)
		}
	}
	return rs, in.flush()
}

type inserting struct {
	t    *Transport
	q    *queries
	now  int64
	subs map[string][]symphony.Subscription // by type, as far as they were asked for
	rows rows                               // accepted, not yet written

	replaced bool // since somebody has reset it, a message that waits was given other content
}

// fanOut stores the copy for the handler, if the type has one or nobody else, and one for each
// subscriber.
func (in *inserting) fanOut(env *symphony.Envelope) (r symphony.Receipt, err error) {
	var subs []symphony.Subscription
	if env.Subscriber == "" { // else it is a copy already
		if subs, err = in.subscriptions(env.Type); err != nil {
			return r, err
		}
	}
	if len(subs) == 0 {
		in.replaced = false
		id, stored, err := in.store(env)
		return symphony.Receipt{ID: id, Duplicate: !stored, Replaced: in.replaced}, err
	}
	stored := false
	in.replaced = false
	for i := range subs {
		id, ok, err := in.store(subs[i].Copy(env))
		if err != nil {
			return r, err
		}
		if stored = stored || ok; i == 0 {
			r.ID = id
		}
		if subs[i].Subscriber != "" {
			r.Copies = append(r.Copies, id)
		}
	}
	r.Duplicate, r.Replaced = !stored, in.replaced
	return r, nil
}

func (in *inserting) subscriptions(typ string) ([]symphony.Subscription, error) {
	subs, ok := in.subs[typ]
	if ok {
		return subs, nil
	}
	err := in.q.each("select stamps from messenger_subscriptions where message_type = ? order by subscriber", []any{typ},
		func(rows *sql.Rows) error {
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			var s symphony.Subscription
			if err := json.Unmarshal([]byte(text), &s); err != nil {
				return fmt.Errorf("subscription of %s: %w", typ, err)
			}
			subs = append(subs, s)
			return nil
		})
	in.subs[typ] = subs
	return subs, err
}

// store inserts one row. It returns the ID under which the message is stored and whether it was
// stored now; false: another message has its key.
func (in *inserting) store(env *symphony.Envelope) (id symphony.ID, stored bool, err error) {
	if env.Key != "" {
		// Whoever looks at a key must find the message that holds it.
		if err := in.flush(); err != nil {
			return env.ID, false, err
		}
		holder, taken, err := in.takeKey(env)
		if err == nil && !taken && holder != env.ID && env.WhenTaken != symphony.KeepFirst {
			taken, err = in.replace(env, holder)
		}
		if err != nil || !taken { // a repeated send finds itself, perhaps ended meanwhile
			return holder, holder == env.ID, err
		}
	}
	r, err := in.row(env)
	if err != nil {
		return env.ID, false, err
	}
	if env.Group == "" && env.Key == "" {
		return env.ID, true, in.add(env, r)
	}
	if err := in.flush(); err != nil {
		return env.ID, false, err
	}
	if env.Group != "" && r.status == monitor.Pending {
		// Those of the group that have become due meanwhile were there first.
		if err := in.t.promote(in.q, in.now); err != nil {
			return env.ID, false, err
		}
		// Nor before those that wait, should the machine's clock have been set back.
		if _, err := in.q.one("select max(available_at, ?) from messenger_messages where queue_name = ? and group_key = ? and waiting_for = 'group' order by available_at desc limit 1",
			[]any{in.now, env.Queue, env.Group}, &r.available); err != nil {
			return env.ID, false, err
		}
	}
	stored, err = in.insert(env, r)
	if err != nil || !stored || env.Group == "" || r.status != monitor.Pending {
		return env.ID, true, err // not stored: this very message is there already, the send is a repeated one
	}
	m := member{queue: env.Queue, group: env.Group}
	if _, err := in.q.one("select seq from messenger_messages where id = ?", []any{env.ID[:]}, &m.seq); err != nil {
		return env.ID, false, err
	}
	return env.ID, true, in.q.hold(m)
}

// takeKey takes env's key. It returns the ID of the message that has it now, and whether it was taken
// just now.
func (in *inserting) takeKey(env *symphony.Envelope) (holder symphony.ID, taken bool, err error) {
	hash := sha256.Sum256(env.Body)
	n, err := in.q.affected(sqlKey, env.Type, env.Subscriber, env.Key, env.ID[:], hash[:], addTime(in.now, env.Window), in.now)
	if err != nil || n > 0 {
		return env.ID, true, err
	}
	var id []byte
	_, err = in.q.one("select message_id from messenger_keys where message_type = ? and subscriber = ? and key = ?",
		[]any{env.Type, env.Subscriber, env.Key}, &id)
	copy(holder[:], id)
	return holder, false, err
}

// encode returns v as JSON text, nil when it is empty.
func encode(n int, v any) (any, error) {
	if n == 0 {
		return nil, nil
	}
	text, err := json.Marshal(v)
	return string(text), err
}

// lastTime is the end of the year 9999: later times cannot be shown as text.
const lastTime = 253402300799999

// addTime adds d to a time in milliseconds, rounding up, and stops at the end of the year 9999.
func addTime(ms int64, d time.Duration) int64 {
	n := int64(d / time.Millisecond)
	if d%time.Millisecond > 0 {
		n++
	}
	return min(ms+n, lastTime)
}

func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// Subscribe implements [symphony.SubscriptionStore].
func (t *Transport) Subscribe(ctx context.Context, subs []symphony.Subscription) error {
	err := t.write(ctx, func(q *queries) error {
		now := t.clock()
		for _, s := range subs {
			stamps, err := json.Marshal(s)
			if err != nil {
				return err
			}
			if err := q.exec(sqlSubscribe, s.Type, s.Subscriber, null(s.Queue), string(stamps), s.Owner, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return t.fail("subscribe in", err)
	}
	return nil
}
