package symphonytest

import (
	"bytes"
	"context"
	"maps"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/transport/memory"
)

// A Spy is a transport in memory that remembers every message that was sent through it, and a
// Dispatcher that sends through itself, for code that takes one. Messages pass the codec on their way,
// so that what does not survive it is missing in the test as it would be in production.
//
// What a bus handles in place never reaches it, and a duplicate, of which nothing is stored, is not
// remembered. The zero Spy is ready to use. It is safe for concurrent use and must not be copied.
type Spy struct {
	memory.Transport
	Codec symphony.Codec // that of the bus which the Spy is given to; nil: JSON

	once sync.Once
	bus  symphony.Bus

	mu   sync.Mutex
	sent []*symphony.Envelope
	seen map[symphony.ID]bool
}

var (
	_ symphony.Dispatcher = (*Spy)(nil)
	_ symphony.Transport  = (*Spy)(nil)
)

// Dispatch implements [symphony.Dispatcher].
func (s *Spy) Dispatch(ctx context.Context, m symphony.Message, stamps ...symphony.Stamp) (symphony.Receipt, error) {
	return s.dispatcher().Dispatch(ctx, m, stamps...)
}

// DispatchAll implements [symphony.Dispatcher].
func (s *Spy) DispatchAll(ctx context.Context, ms []symphony.Message, stamps ...symphony.Stamp) ([]symphony.Receipt, error) {
	return s.dispatcher().DispatchAll(ctx, ms, stamps...)
}

func (s *Spy) dispatcher() *symphony.Bus {
	s.once.Do(func() { s.bus.Transport, s.bus.Codec = s, s.Codec })
	return &s.bus
}

// Send implements [symphony.Transport].
func (s *Spy) Send(ctx context.Context, envs []*symphony.Envelope) ([]symphony.Receipt, error) {
	rs, err := s.Transport.Send(ctx, envs)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = make(map[symphony.ID]bool)
	}
	for i, env := range envs {
		if rs[i].Duplicate || s.seen[env.ID] { // seen: a middleware has repeated the send
			continue
		}
		s.seen[env.ID] = true
		s.sent = append(s.sent, asStored(env))
	}
	return rs, nil
}

// asStored copies env as a store keeps it: without the message, only its bytes.
func asStored(env *symphony.Envelope) *symphony.Envelope {
	own := *env
	own.Message = nil
	own.Body, own.Headers, own.Tags = bytes.Clone(env.Body), maps.Clone(env.Headers), slices.Clone(env.Tags)
	return &own
}

// All returns the envelopes of all messages that were dispatched, in order, as the store got them:
// with a Body and without a Message. They belong to the caller.
func (s *Spy) All() []*symphony.Envelope {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*symphony.Envelope, len(s.sent))
	for i, env := range s.sent {
		all[i] = asStored(env)
	}
	return all
}

// Envelopes returns the envelopes of the messages of type M, in the order in which they were
// dispatched, for a look at stamps. Each has its Message, an M that was decoded from the body. One
// that cannot be decoded ends the test.
func Envelopes[M symphony.Message](t testing.TB, s *Spy) []*symphony.Envelope {
	t.Helper()
	var found []*symphony.Envelope
	for _, env := range s.All() {
		if env.Type != typeOf[M]() {
			continue
		}
		m, err := decode[M](s.Codec, env)
		if err != nil {
			t.Fatalf("symphonytest: decode message %s of type %s: %v", env.ID, env.Type, err)
		}
		env.Message = m
		found = append(found, env)
	}
	return found
}

// Dispatched returns the messages of type M in the order in which they were dispatched, as a handler
// would get them. One that cannot be decoded ends the test.
func Dispatched[M symphony.Message](t testing.TB, s *Spy) []M {
	t.Helper()
	var ms []M
	for _, env := range Envelopes[M](t, s) {
		ms = append(ms, env.Message.(M))
	}
	return ms
}

// AssertDispatched fails the test unless the messages of type M that were dispatched are want, in this
// order; without want, unless there are none. Messages are compared as reflect.DeepEqual does, but what
// has an Equal method, such as time.Time, decides itself.
func AssertDispatched[M symphony.Message](t testing.TB, s *Spy, want ...M) {
	t.Helper()
	if got := Dispatched[M](t, s); !equalAll(want, got) {
		t.Errorf("symphonytest: messages of type %s that were dispatched (- wanted, + dispatched):\n%s%s", typeOf[M](), difference(want, got), others(s))
	}
}

func typeOf[M symphony.Message]() string { return fresh[M]().MessageType() }

// fresh returns an M that can be decoded into, or whose methods can be called: a pointer is not nil.
func fresh[M symphony.Message]() (m M) {
	if t := reflect.TypeFor[M](); t.Kind() == reflect.Pointer {
		return reflect.New(t.Elem()).Interface().(M)
	}
	return m
}

func decode[M symphony.Message](codec symphony.Codec, env *symphony.Envelope) (M, error) {
	if codec == nil {
		codec = symphony.JSON{}
	}
	m := fresh[M]()
	into := symphony.Message(m)
	if reflect.TypeFor[M]().Kind() != reflect.Pointer {
		into = any(&m).(symphony.Message)
	}
	err := codec.Decode(env, into)
	return m, err
}
