package symphony

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// Dispatch implements [Dispatcher].
func (b *Bus) Dispatch(ctx context.Context, m Message, stamps ...Stamp) (Receipt, error) {
	rs, err := b.DispatchAll(ctx, []Message{m}, stamps...)
	if err != nil {
		return Receipt{}, err
	}
	return rs[0], nil
}

// DispatchAll implements [Dispatcher].
func (b *Bus) DispatchAll(ctx context.Context, ms []Message, stamps ...Stamp) ([]Receipt, error) {
	if len(ms) > maxBatch {
		return nil, fmt.Errorf("dispatch: %w", check(false, "number of messages", len(ms), "at most 10000 in one call"))
	}
	all := make([]outgoing, len(ms))
	for i, m := range ms {
		out, err := b.prepare(ctx, m, stamps)
		if err != nil {
			return nil, fmt.Errorf("dispatch %s: %w", describe(m, i, len(ms)), err)
		}
		if i > 0 && !(same(out.to, all[0].to) && same(out.env.via, all[0].env.via)) {
			return nil, fmt.Errorf("dispatch %s: it is bound for another transport than the first message of the call", describe(m, i, len(ms)))
		}
		all[i] = out
	}
	if len(all) == 0 {
		return nil, nil
	}
	rs, err := b.deliver(ctx, all)
	if err != nil {
		return nil, fmt.Errorf("dispatch %s: %w", describe(ms[0], 0, len(ms)), err)
	}
	return rs, nil
}

// describe names a message of a call for its error.
func describe(m Message, i, of int) string {
	name := "message"
	if m, _, err := unwrap(m); err == nil && CheckType(m.MessageType()) == nil {
		name = m.MessageType()
	}
	if of > 1 {
		return fmt.Sprintf("%d messages, number %d (%s)", of, i+1, name)
	}
	return name
}

// An outgoing is an envelope with where it goes.
type outgoing struct {
	env *Envelope
	to  Transport // nil: handled in place
}

// prepare puts m into an envelope and applies all stamps, lowest first.
func (b *Bus) prepare(ctx context.Context, m Message, stamps []Stamp) (outgoing, error) {
	m, own, err := unwrap(m)
	if err != nil {
		return outgoing{}, err
	}
	typ := m.MessageType()
	if err := CheckType(typ); err != nil {
		return outgoing{}, err
	}
	route := b.route(typ)
	env := &Envelope{ID: b.ids.Next(), Type: typ, Message: m, Queue: defaultQueue, Priority: defaultPriority}
	if v, ok := m.(Versioned); ok {
		env.Version = v.MessageVersion()
	}
	if parent, ok := EnvelopeFrom(ctx); ok {
		env.follow(parent)
	}
	if s, ok := m.(Stamped); ok {
		if err := env.stamp(s.Stamps()); err != nil {
			return outgoing{}, err
		}
	}
	if route.Queue != "" {
		env.Queue = route.Queue
	}
	for _, some := range [][]Stamp{route.Stamps, stamps, own} {
		if err := env.stamp(some); err != nil {
			return outgoing{}, err
		}
	}
	if v, ok := m.(Validator); ok {
		if err := v.Validate(); err != nil {
			return outgoing{}, err
		}
	}
	if env.via != nil && !leadsTo(route.Transport, env.viaOf) {
		return outgoing{}, fmt.Errorf("the transaction of the call belongs to another transport than the route of the message")
	}
	return outgoing{env, route.Transport}, nil
}

func (e *Envelope) stamp(stamps []Stamp) error {
	for _, s := range stamps {
		if err := s(e); err != nil {
			return err
		}
	}
	return nil
}

// follow makes e part of parent's conversation.
func (e *Envelope) follow(parent *Envelope) {
	root := parent.Headers[HeaderCorrelation]
	if root == "" {
		root = parent.ID.String()
	}
	e.Headers = map[string]string{HeaderCorrelation: root, HeaderCausation: parent.ID.String()}
}

// same compares what an interface may hold but == panics on: such transports differ.
func same(a, b any) bool {
	return a == nil && b == nil || reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

// leadsTo reports whether t is of, or wraps it.
func leadsTo(t, of Transport) bool {
	for ; t != nil; t = inner(t) {
		if same(t, of) {
			return true
		}
	}
	return false
}

// deliver runs the sending middleware around one Send of all envelopes, or around each handling in place.
func (b *Bus) deliver(ctx context.Context, all []outgoing) ([]Receipt, error) {
	rs := make([]Receipt, len(all))
	if all[0].to == nil {
		for i, out := range all {
			handle := func(ctx context.Context, env *Envelope) error {
				rs[i].ID = env.ID
				return b.handleInPlace(ctx, env)
			}
			if err := chain(handle, b.Sending)(ctx, out.env); err != nil {
				return nil, err
			}
		}
		return rs, nil
	}
	s := sending{bus: b, all: all, receipts: rs}
	return rs, s.from(ctx, 0)
}

// A sending is one call of DispatchAll on its way through the middleware.
type sending struct {
	bus      *Bus
	all      []outgoing
	reached  []int // indexes of those that no middleware kept back
	receipts []Receipt
}

// from runs the chain of envelope i, inside it that of i+1, and so on; the innermost sends. So every
// middleware sees the outcome of the send, and one error of any of them stops all.
func (s *sending) from(ctx context.Context, i int) error {
	if len(s.bus.Sending) == 0 {
		for ; i < len(s.all); i++ {
			s.reached = append(s.reached, i)
		}
	}
	if i == len(s.all) {
		return s.send(ctx)
	}
	reached := len(s.reached)
	passed := false
	next := func(ctx context.Context, env *Envelope) error {
		passed, s.all[i].env = true, env
		s.reached = append(s.reached[:reached], i) // a middleware that repeats begins again here
		return s.from(ctx, i+1)
	}
	err := chain(next, s.bus.Sending)(ctx, s.all[i].env)
	if err == nil && !passed {
		return s.from(ctx, i+1)
	}
	return err
}

func (s *sending) send(ctx context.Context) error {
	if len(s.reached) == 0 {
		return nil
	}
	first := s.all[s.reached[0]]
	caps, bytes := first.to.Capabilities(), 0
	envs := make([]*Envelope, len(s.reached))
	for n, i := range s.reached {
		env := s.all[i].env
		if err := s.bus.seal(env, caps); err != nil {
			return err
		}
		if bytes += len(env.Body); bytes > maxBatchBytes {
			return fmt.Errorf("%w: more than 64 MiB in one call", ErrTooLarge)
		}
		envs[n] = env
	}
	var by Sender = first.to
	if first.env.via != nil {
		by = first.env.via
	}
	sent, err := by.Send(ctx, envs)
	if err != nil {
		return err
	}
	for n, i := range s.reached {
		s.receipts[i] = sent[n]
	}
	return nil
}

// seal encodes env and refuses what the rules or the transport do not allow.
func (b *Bus) seal(env *Envelope, caps Capabilities) error {
	if err := b.codec().Encode(env); err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	most, err := b.maxBody()
	if err != nil {
		return err
	}
	if caps.MaxBody > 0 {
		most = min(most, caps.MaxBody)
	}
	if len(env.Body) > most {
		return fmt.Errorf("%w: a body of %d bytes, the limit is %d", ErrTooLarge, len(env.Body), most)
	}
	if err := env.check(); err != nil {
		return err
	}
	return env.allowedBy(caps)
}

// allowedBy refuses a wish that the transport would drop.
func (e *Envelope) allowedBy(caps Capabilities) error {
	var missing []string
	add := func(wished, can bool, what string) {
		if wished && !can {
			missing = append(missing, what)
		}
	}
	wait := max(e.Delay, time.Until(e.At).Truncate(time.Second)) // about: the store's clock decides when
	if wait > caps.MaxDelay {
		missing = append(missing, fmt.Sprintf("a delay of %v (at most %v)", wait, caps.MaxDelay)) // not formatted for each send
	}
	add(!e.At.IsZero(), caps.MaxDelay > 0, "a time")
	add(e.Priority != defaultPriority, caps.Priority, "priority")
	add(e.Expires != 0, caps.Expiry, "expiry")
	add(e.Key != "", caps.Idempotency, "idempotency key")
	add(e.WhenTaken != KeepFirst, caps.Replace, "to replace what waits under a key")
	add(e.Group != "", caps.Group, "group")
	add(e.via != nil, caps.InTx, "the caller's transaction")
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fmt.Errorf("%w: %v", ErrUnsupported, missing)
}
