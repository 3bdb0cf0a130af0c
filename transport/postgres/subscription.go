package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/symphony-messenger/symphony"
)

// Subscriptions are what the transport knows of messenger_subscriptions. Its number says whether that is still so: a send with an old
// one stores nothing, and is repeated with the new.
type subscriptions struct {
	mu   sync.Mutex
	last *subscribed // nil: not read yet
}

// A subscribed is all subscriptions at one moment; it does not change.
type subscribed struct {
	number int64
	byType map[string][]symphony.Subscription // in the order of the subscribers
}

func (s *subscriptions) known() *subscribed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// read reads the subscriptions as the transaction of ex sees them. One that is old sees old ones, and must use them.
func (s *subscriptions) read(ctx context.Context, ex executor, text string) (*subscribed, error) {
	all := &subscribed{byType: make(map[string][]symphony.Subscription)}
	err := ex.query(ctx, text, nil, func(scan scanner) error {
		var typ, stamps *string
		if err := scan(&all.number, &typ, &stamps); err != nil || typ == nil {
			return err
		}
		var sub symphony.Subscription
		if err := json.Unmarshal([]byte(*stamps), &sub); err != nil {
			return fmt.Errorf("subscription of %s: %w", *typ, err)
		}
		all.byType[*typ] = append(all.byType[*typ], sub)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the subscriptions: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil || s.last.number < all.number {
		s.last = all
	}
	return all, nil
}

// A fan is one envelope as it is stored: the copy for the handler, if the type has one or nobody else, and one for each
// subscriber.
type fan struct {
	first  int // of its copies among all
	copies int
	subs   []symphony.Subscription // of the copies; none: the envelope itself
}

// fanOut returns what is stored of envs.
func (all *subscribed) fanOut(envs []*symphony.Envelope) (copies []*symphony.Envelope, fans []fan) {
	if len(all.byType) == 0 {
		return envs, nil
	}
	for _, env := range envs {
		var subs []symphony.Subscription
		if env.Subscriber == "" { // else it is a copy already
			subs = all.byType[env.Type]
		}
		f := fan{first: len(copies), copies: max(len(subs), 1), subs: subs}
		if len(subs) == 0 {
			copies = append(copies, env)
		}
		for i := range subs {
			copies = append(copies, subs[i].Copy(env))
		}
		fans = append(fans, f)
	}
	return copies, fans
}

// receipts says what became of envs. taken are those copies whose keys others had, replaced those that have been given their content.
func receipts(copies []*symphony.Envelope, fans []fan, taken map[int]symphony.ID, replaced map[int]bool) []symphony.Receipt {
	one := func(i int) (symphony.ID, bool) {
		if holder, ok := taken[i]; ok {
			return holder, true
		}
		return copies[i].ID, false
	}
	if fans == nil {
		rs := make([]symphony.Receipt, len(copies))
		for i := range copies {
			rs[i].ID, rs[i].Duplicate = one(i)
			rs[i].Replaced = replaced[i]
		}
		return rs
	}
	rs := make([]symphony.Receipt, len(fans))
	for n, f := range fans {
		rs[n].Duplicate = true
		for i := range f.copies {
			id, duplicate := one(f.first + i)
			if i == 0 {
				rs[n].ID = id
			}
			rs[n].Duplicate = rs[n].Duplicate && duplicate
			rs[n].Replaced = rs[n].Replaced || replaced[f.first+i]
			if len(f.subs) > 0 && f.subs[i].Subscriber != "" {
				rs[n].Copies = append(rs[n].Copies, id)
			}
		}
	}
	return rs
}

// Subscribe implements [symphony.SubscriptionStore].
func (t *Transport) Subscribe(ctx context.Context, subs []symphony.Subscription) error {
	if len(subs) == 0 {
		return nil
	}
	var types, names, stamps, owners []string
	var queues []*string
	for _, s := range subs {
		text, err := json.Marshal(s)
		if err != nil {
			return t.fail("subscribe in", err)
		}
		types, names, stamps = append(types, s.Type), append(names, s.Subscriber), append(stamps, string(text))
		owners, queues = append(owners, s.Owner), append(queues, null(s.Queue))
	}
	err := t.check(ctx)
	if err == nil {
		err = t.retry(ctx, func(ctx context.Context) error {
			_, err := t.work.Exec(ctx, t.sql.subscribe, types, names, queues, stamps, owners)
			return err
		})
	}
	if err != nil {
		return t.fail("subscribe in", err)
	}
	return nil
}
