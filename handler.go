package symphony

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Handler does something with an envelope: run user code, or send it.
type Handler func(ctx context.Context, env *Envelope) error

// A Middleware wraps a Handler. It is also an option of one handler. When it handles, env.Message is
// decoded already; when it sends, env.Body is not encoded yet.
type Middleware func(next Handler) Handler

func chain(h Handler, mw []Middleware) Handler {
	for _, m := range slices.Backward(mw) {
		h = m(h)
	}
	return h
}

// Handle makes fn the handler of messages of type M on b. There is exactly one: like http.Handle, it
// panics when the type has a handler already, or is no valid name. M may be a struct or a pointer to
// one; it need not be the one that was dispatched.
//
// The error of fn decides: nil is done; [Permanent], [RetryIn], [Snooze] and [Cancel] say what they do;
// anything else asks the retry policy. A panic is a failure. fn may be called concurrently, and must
// return soon after ctx ends; context.Cause tells why it did.
func Handle[M Message](b *Bus, fn func(context.Context, M) error, opts ...HandlerOption) {
	b.register(newRegistration(fn), opts)
}

// On makes fn one of any number of subscribers of messages of type M; subscriber is a name,
// [a-z0-9][a-z0-9_.-]{0,62}. Every subscriber gets its own stored copy with its own retries, so that
// one that fails never runs the others again. Subscriptions are kept in the store when a worker
// starts: whoever dispatches, in Go or in SQL, need not know them. Stamps among opts apply to its
// copies and win over those of the dispatch. It panics where [Handle] does.
func On[M Message](b *Bus, subscriber string, fn func(context.Context, M) error, opts ...SubscriberOption) {
	r := newRegistration(fn)
	r.subscriber = subscriber
	for _, o := range opts {
		o.applySubscriber(r)
	}
	if err := CheckName("subscriber", subscriber); err != nil {
		panic("symphony: " + err.Error())
	}
	if _, err := r.subscription(r.typ); err != nil {
		panic(fmt.Sprintf("symphony: subscriber %s of %s: %v", subscriber, r.typ, err))
	}
	b.register(r, nil)
}

// HandleBatch handles up to size messages of type M in one call: those that a worker has claimed
// together, so that its Concurrency must be at least size. fn returns one error for each, in order; a
// nil slice means that all are done. In place, batches have one message. Else as [Handle].
func HandleBatch[M Message](b *Bus, size int, fn func(context.Context, []M) []error, opts ...HandlerOption) {
	r := newRegistration(func(ctx context.Context, m M) error {
		return oneEach(fn(ctx, []M{m}), 1)[0]
	})
	r.batch = max(size, 1)
	r.callBatch = func(ctx context.Context, envs []*Envelope) []error {
		ms := make([]M, len(envs))
		for i, env := range envs {
			ms[i] = env.Message.(M)
		}
		return oneEach(fn(ctx, ms), len(ms))
	}
	b.register(r, opts)
}

func oneEach(errs []error, n int) []error {
	if errs == nil || len(errs) == n {
		return append(errs, make([]error, n-len(errs))...)
	}
	wrong := fmt.Errorf("batch handler returned %d errors for %d messages", len(errs), n)
	return slices.Repeat([]error{wrong}, n)
}

// HandleRaw makes fn the handler of messages of a type that is known only at run time. env.Message is
// a [Raw]. Else as [Handle].
func HandleRaw(b *Bus, messageType string, fn Handler, opts ...HandlerOption) {
	r := newRegistration(func(context.Context, Raw) error { return nil })
	r.typ, r.call, r.decode = messageType, fn, decodeRaw
	b.register(r, opts)
}

// A HandlerOption configures one handler: a Middleware, [Timeout], [Retry], [AtMost] or [Alias].
type HandlerOption interface {
	SubscriberOption
	applyHandler(*registration)
}

// A SubscriberOption configures one subscriber: a HandlerOption, or a Stamp for its copies.
type SubscriberOption interface{ applySubscriber(*registration) }

// Timeout ends the context of each attempt after d, with the cause [ErrTimeout]. 0: never.
func Timeout(d time.Duration) HandlerOption { return option(func(r *registration) { r.timeout = d }) }

// Retry replaces the retry policies of queue and worker for this handler.
func Retry(p RetryPolicy) HandlerOption { return option(func(r *registration) { r.retry = p }) }

// AtMost lets at most n messages of this handler run at once in one worker; 0: as many as the worker
// runs. While n run, the worker claims no more of the type, so that a type with a long backlog should
// have a queue of its own: the store passes over it at every claim.
func AtMost(n int) HandlerOption { return option(func(r *registration) { r.atMost = n }) }

// Alias makes the handler take messages that are stored under older names of its type as well.
func Alias(messageTypes ...string) HandlerOption {
	return option(func(r *registration) { r.aliases = append(r.aliases, messageTypes...) })
}

type option func(*registration)

func (o option) applyHandler(r *registration)        { o(r) }
func (o option) applySubscriber(r *registration)     { o(r) }
func (m Middleware) applyHandler(r *registration)    { r.middleware = append(r.middleware, m) }
func (m Middleware) applySubscriber(r *registration) { r.middleware = append(r.middleware, m) }
func (s Stamp) applySubscriber(r *registration)      { r.stamps = append(r.stamps, s) }

// A registration is one handler of one type, without its type parameter.
type registration struct {
	typ, subscriber string
	aliases         []string
	decode          func(Codec, *Envelope) error // makes env.Message an M
	call            Handler
	callBatch       func(context.Context, []*Envelope) []error // nil unless batch > 0
	middleware      []Middleware
	stamps          []Stamp
	retry           RetryPolicy
	timeout         time.Duration
	atMost, batch   int

	once sync.Once
	full Handler // call within all middleware
}

func newRegistration[M Message](fn func(context.Context, M) error) *registration {
	of := reflect.TypeFor[M]()
	if of.Kind() == reflect.Interface {
		panic(fmt.Sprintf("symphony: a handler of %v: it needs a concrete message type", of))
	}
	if fn == nil {
		panic(fmt.Sprintf("symphony: a handler of %v: it needs a function", of))
	}
	return &registration{
		typ: zero[M]().MessageType(),
		decode: func(codec Codec, env *Envelope) error {
			if _, ok := env.Message.(M); ok {
				return nil
			}
			if env.Body == nil && env.Message != nil { // in place, dispatched as *T to a handler of T, or the reverse
				if err := codec.Encode(env); err != nil {
					return err
				}
			}
			m := zero[M]()
			into, isPointer := any(m).(Message), of.Kind() == reflect.Pointer
			if !isPointer {
				into = any(&m).(Message)
			}
			if err := codec.Decode(env, into); err != nil {
				return err
			}
			env.Message = m
			return nil
		},
		call: func(ctx context.Context, env *Envelope) error { return fn(ctx, env.Message.(M)) },
	}
}

// decodeRaw leaves the body alone: the codec of a bus need not know [Raw].
func decodeRaw(codec Codec, env *Envelope) error {
	if _, ok := env.Message.(Raw); ok { // in place: it has met no codec, and is checked as it would be when it is sent
		codec = JSON{}
	}
	if env.Body == nil && env.Message != nil {
		if err := codec.Encode(env); err != nil {
			return err
		}
	}
	env.Message = Raw{Type: env.Type, ContentType: env.ContentType, Body: env.Body}
	return nil
}

// zero returns a value of M whose methods can be called: for a pointer type a new one, not nil.
func zero[M Message]() (m M) {
	if t := reflect.TypeFor[M](); t.Kind() == reflect.Pointer {
		return reflect.New(t.Elem()).Interface().(M)
	}
	return m
}

func (b *Bus) register(r *registration, opts []HandlerOption) {
	for _, o := range opts {
		o.applyHandler(r)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, typ := range append([]string{r.typ}, r.aliases...) {
		if err := CheckType(typ); err != nil {
			panic("symphony: " + err.Error())
		}
		rs := b.handlers[typ]
		i, taken := slices.BinarySearchFunc(rs, r.subscriber, func(r *registration, s string) int {
			return strings.Compare(r.subscriber, s)
		})
		if taken {
			panic(fmt.Sprintf("symphony: type %s has a second handler for subscriber %q", typ, r.subscriber))
		}
		if b.handlers == nil {
			b.handlers = make(map[string][]*registration)
		}
		b.handlers[typ] = slices.Insert(slices.Clone(rs), i, r)
	}
}

// lookup returns the handler of a stored message, nil when b has none.
func (b *Bus) lookup(typ, subscriber string) *registration {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, r := range b.handlers[typ] {
		if r.subscriber == subscriber {
			return r
		}
	}
	return nil
}
