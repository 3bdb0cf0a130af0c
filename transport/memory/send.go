package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
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
		id, stored := t.accept(env, now)
		return symphony.Receipt{ID: id, Duplicate: !stored}
	}
	var r symphony.Receipt
	r.Duplicate = true
	for i := range subs {
		id, stored := t.accept(subs[i].Copy(env), now)
		if i == 0 {
			r.ID = id
		}
		if subs[i].Subscriber != "" {
			r.Copies = append(r.Copies, id)
		}
		r.Duplicate = r.Duplicate && !stored
	}
	return r
}

// accept stores env, unless it has done so before or another message has its key. It returns the ID
// of the message that there is now, and false when that is another one.
func (t *Transport) accept(env *symphony.Envelope, now time.Time) (id symphony.ID, own bool) {
	if t.messages[env.ID] != nil {
		return env.ID, true
	}
	if holder, taken := t.take(env, now); taken {
		return holder, holder == env.ID
	}
	ms := now.UnixMilli()
	t.accepted++
	m := &message{env: clone(env), seq: t.accepted, created: ms, available: ms, kind: t.kind(env.Queue, env.Type)}
	if env.Delay > 0 {
		m.scheduled = roundUp(now.Add(env.Delay))
	} else if !env.At.IsZero() {
		m.scheduled = roundUp(env.At)
	}
	m.available = max(m.available, m.scheduled)
	if env.Expires > 0 {
		m.expires = roundUp(now.Add(env.Expires))
	}
	if env.Group != "" {
		m.grp = m.kind.queue.group(env.Group)
	}
	t.messages[env.ID] = m
	t.enqueue(m, now)
	return env.ID, true
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
