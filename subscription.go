package symphony

import (
	"context"
	"maps"
	"slices"
	"time"
)

// A Subscription is kept in the store for each handler of a worker's program, so that whoever
// dispatches, in Go or in SQL, need not know them. The zero fields say nothing about the copies.
type Subscription struct {
	Type       string `json:"type"`
	Subscriber string `json:"subscriber,omitempty"` // "": the handler of the type
	Owner      string `json:"owner,omitempty"`      // the program, for people

	Queue      string            `json:"queue,omitempty"`
	Group      string            `json:"group,omitempty"`
	Priority   int               `json:"priority,omitempty"`
	Delay      time.Duration     `json:"delay,omitempty"`
	Expires    time.Duration     `json:"expires,omitempty"`
	MaxRetries *int              `json:"max_retries,omitempty"`
	Headers    map[string]string `json:"headers,omitempty"`
	Tags       []string          `json:"tags,omitempty"`
}

// A SubscriptionStore is a transport that keeps subscriptions. Its Send stores one envelope for the
// handler of a type, if that is known or nobody else is, and one for each subscriber; see
// [Subscription.Copy].
type SubscriptionStore interface {
	// Subscribe adds or replaces subs and notes that they were seen now.
	Subscribe(ctx context.Context, subs []Subscription) error
}

// Copy returns the copy of env that belongs to s: with its own ID, and with what the subscription
// says in place of what env says. Headers merge, tags add up. env is not changed.
func (s *Subscription) Copy(env *Envelope) *Envelope {
	own := *env
	if s.Subscriber == "" {
		return &own
	}
	own.ID, own.Subscriber = env.ID.For(s.Subscriber), s.Subscriber
	if s.Queue != "" {
		own.Queue = s.Queue
	}
	if s.Group != "" {
		own.Group = s.Group
	}
	if s.Priority != 0 {
		own.Priority = s.Priority
	}
	if s.Delay != 0 {
		own.Delay, own.At = s.Delay, time.Time{}
	}
	if s.Expires != 0 {
		own.Expires = s.Expires
	}
	if s.MaxRetries != nil {
		own.MaxRetries = s.MaxRetries
	}
	if len(s.Headers) > 0 {
		own.Headers = maps.Clone(env.Headers)
		if own.Headers == nil {
			own.Headers = make(map[string]string, len(s.Headers))
		}
		maps.Copy(own.Headers, s.Headers)
	}
	own.Tags = append(slices.Clip(env.Tags), s.Tags...)
	return &own
}

// subscription turns the stamps of [On] into what the store keeps of them. A stamp for one message
// only, such as a key or a time, is refused.
func (r *registration) subscription(typ string) (Subscription, error) {
	s := Subscription{Type: typ, Subscriber: r.subscriber}
	var env Envelope
	for _, stamp := range r.stamps {
		if err := stamp(&env); err != nil {
			return s, err
		}
	}
	if err := env.checkLabels(); err != nil {
		return s, err
	}
	if env.Key != "" || !env.At.IsZero() || env.via != nil {
		return s, invalid("stamp of a subscriber", r.subscriber, "one that fits every message: no key, time or transaction")
	}
	s.Queue, s.Group, s.Priority, s.Delay = env.Queue, env.Group, env.Priority, env.Delay
	s.Expires, s.MaxRetries, s.Headers, s.Tags = env.Expires, env.MaxRetries, env.Headers, env.Tags
	return s, nil
}

// subscriptions lists what the handlers of b are, for the store.
func (b *Bus) subscriptions() []Subscription {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var all []Subscription
	for _, typ := range slices.Sorted(maps.Keys(b.handlers)) {
		for _, r := range b.handlers[typ] {
			s, _ := r.subscription(typ) // checked when it was registered
			s.Owner = b.Owner
			all = append(all, s)
		}
	}
	return all
}
