package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// Send implements [symphony.Transport]. It refuses an envelope that the rules of names, priorities
// and times do not allow with an error that matches *[symphony.InvalidError], and the whole call with it.
func (t *Transport) Send(ctx context.Context, envs []*symphony.Envelope) ([]symphony.Receipt, error) {
	for i, env := range envs {
		if err := check(env); err != nil {
			return nil, fmt.Errorf("send message %d of %d: %w", i+1, len(envs), err)
		}
	}
	now, err := t.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer t.mu.Unlock()
	receipts := make([]symphony.Receipt, len(envs))
	for i, env := range envs {
		receipts[i] = t.fanOut(env, now)
	}
	return receipts, nil
}

// check guards what the order and the clocks of the store rely on. The bus has refused it with more words.
func check(env *symphony.Envelope) error {
	if env.ID.IsZero() {
		return &symphony.InvalidError{What: "id", Value: env.ID.String(), Rule: "not zero"}
	}
	if err := symphony.CheckType(env.Type); err != nil {
		return err
	}
	if err := symphony.CheckName("queue", env.Queue); err != nil {
		return err
	}
	if env.Priority < 1 || env.Priority > 10 {
		return &symphony.InvalidError{What: "priority", Value: fmt.Sprint(env.Priority), Rule: "between 1 and 10"}
	}
	if shortest := min(env.Delay, env.Expires, env.Window); shortest < 0 {
		return &symphony.InvalidError{What: "delay, expiry or window", Value: shortest.String(), Rule: "zero or more"}
	}
	return nil
}

// fanOut stores one copy of env for each subscription of its type, and one for the type's handler if
// it has subscribed or nobody has.
func (t *Transport) fanOut(env *symphony.Envelope, now time.Time) symphony.Receipt {
	subs := t.subscriptions[env.Type]
	if env.Subscriber != "" || len(subs) == 0 {
		id, stored, replaced := t.accept(env, now)
		return symphony.Receipt{ID: id, Duplicate: !stored, Replaced: replaced}
	}
	var r symphony.Receipt
	r.Duplicate = true
	for i := range subs {
		id, stored, replaced := t.accept(subs[i].Copy(env), now)
		if i == 0 {
			r.ID = id
		}
		if subs[i].Subscriber != "" {
			r.Copies = append(r.Copies, id)
		}
		r.Duplicate = r.Duplicate && !stored
		r.Replaced = r.Replaced || replaced
	}
	return r
}

// accept stores env, unless it has done so before or another message has its key. It returns the ID
// of the message that there is now, whether that is its own, and else whether it has the content of env.
func (t *Transport) accept(env *symphony.Envelope, now time.Time) (id symphony.ID, own, replaced bool) {
	if t.messages[env.ID] != nil {
		return env.ID, true, false
	}
	if holder, taken := t.take(env, now); taken {
		m := t.messages[holder]
		switch {
		case holder == env.ID || env.WhenTaken == symphony.KeepFirst || m == nil || !live(m.status):
			return holder, holder == env.ID, false
		case m.status != monitor.Processing:
			t.replace(m, env, now)
			return holder, false, true
		}
		t.hold(env, now)
	}
	ms := now.UnixMilli()
	t.accepted++
	m := &message{env: clone(env), seq: t.accepted, created: ms, available: ms, kind: t.kind(env.Queue, env.Type)}
	m.scheduled = scheduled(env, now)
	m.available = max(m.available, m.scheduled)
	if env.Expires > 0 {
		m.expires = roundUp(now.Add(env.Expires))
	}
	if env.Group != "" {
		m.grp = m.kind.queue.group(env.Group)
	}
	t.messages[env.ID] = m
	t.enqueue(m, now)
	return env.ID, true, false
}

// replace gives m, which waits, the content of env, and its time if that is to be debounced.
func (t *Transport) replace(m *message, env *symphony.Envelope, now time.Time) {
	x := m.in[byOrder]
	if x != nil {
		x.remove(m)
	}
	own := clone(m.env)
	from := clone(env)
	own.Body, own.ContentType, own.Version, own.Headers, own.Tags = from.Body, from.ContentType, from.Version, from.Headers, from.Tags
	own.Priority, own.MaxRetries = from.Priority, from.MaxRetries
	m.env = own
	if x != nil {
		x.add(m)
	}
	if env.WhenTaken != symphony.DebounceWaiting {
		return
	}
	m.leave()
	m.waitFor("")
	m.scheduled = scheduled(env, now)
	m.available = max(now.UnixMilli(), m.scheduled)
	t.enqueue(m, now)
}

// scheduled returns the time that env asks for; zero: at once.
func scheduled(env *symphony.Envelope, now time.Time) int64 {
	switch {
	case env.Delay > 0:
		return roundUp(now.Add(env.Delay))
	case !env.At.IsZero():
		return roundUp(env.At)
	}
	return 0
}

// Subscribe implements [symphony.SubscriptionStore].
func (t *Transport) Subscribe(ctx context.Context, subs []symphony.Subscription) error {
	if _, err := t.begin(ctx); err != nil {
		return err
	}
	defer t.mu.Unlock()
	for _, s := range subs {
		s.Headers, s.Tags, s.MaxRetries = maps.Clone(s.Headers), slices.Clone(s.Tags), clonePointer(s.MaxRetries)
		list := t.subscriptions[s.Type]
		i, found := slices.BinarySearchFunc(list, s.Subscriber, func(s symphony.Subscription, name string) int {
			return cmp.Compare(s.Subscriber, name)
		})
		if found {
			list[i] = s
		} else {
			t.subscriptions[s.Type] = slices.Insert(list, i, s)
		}
	}
	return nil
}
