package symphony

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/symphony-messenger/symphony/internal/uuid7"
)

// A Dispatcher accepts messages. Domain code should depend on this and not on Bus.
type Dispatcher interface {
	// Dispatch sends one message, or handles it in place. It blocks until the message is safe: when it
	// returns nil the message survives a crash. Concurrent calls may share one round trip to the store.
	// It returns an *InvalidError for what the rules refuse, an error that matches ErrTooLarge or
	// ErrUnsupported for what the transport cannot keep, and one that matches ErrOutcomeUnknown when
	// the message may or may not be stored. When it handles in place, its error is the handler's.
	Dispatch(ctx context.Context, m Message, stamps ...Stamp) (Receipt, error)
	// DispatchAll stores all messages or none, in one round trip, and returns a receipt for each, in
	// order: at most 10,000 messages and 64 MiB. All must be bound for the same transport. Use [Wrap]
	// for stamps of a single message. Without a transport it handles them one after another, and stops
	// at the first error.
	DispatchAll(ctx context.Context, ms []Message, stamps ...Stamp) ([]Receipt, error)
}

// A Receipt says under which ID a message is stored.
type Receipt struct {
	ID        ID   `json:"id"`                  // zero when a sending middleware kept the message back
	Duplicate bool `json:"duplicate,omitempty"` // nothing was stored: ID is that of the message that has the key
	Replaced  bool `json:"replaced,omitempty"`  // that message has been given this content, see [Replace]
	Copies    []ID `json:"copies,omitempty"`    // one for each subscriber of the type, in the order of their names
}

// A Route says where messages of some types go.
type Route struct {
	Type      string    // a type, or a prefix that ends in "*"; an exact match wins, then the longest prefix
	Transport Transport // nil: that of the bus
	Queue     string    // "": "default"
	InPlace   bool      // handle in the dispatching process, whatever transport the bus has
	Stamps    []Stamp   // over those of the message, below those of With and the call
}

// A Bus carries messages to their handlers. The zero Bus handles every message in place; with a
// Transport, messages travel through it and a Worker handles them. A Bus is safe for concurrent use;
// its fields must not change once it is in use, and it must not be copied.
//
// In place, stamps about when, where and how often have no effect: the message is handled at once,
// by its handler and all its subscribers, and their errors are returned, joined.
type Bus struct {
	Transport Transport
	Routes    []Route
	Codec     Codec        // nil: JSON
	Sending   []Middleware // around sending, first one outermost
	Handling  []Middleware // around handlers, first one outermost
	MaxBody   int          // bytes; 0: 256 KiB; at most 16 MiB
	Owner     string       // the program, beside the subscriptions it stores; for people
	Logger    *slog.Logger // nil: slog.Default()

	ids      uuid7.Maker
	mu       sync.RWMutex
	handlers map[string][]*registration // by type; the unnamed handler first, then subscribers by name
}

var _ Dispatcher = (*Bus)(nil)

// With returns a Dispatcher that puts stamps on every message, below those of the call:
//
//	outbox := bus.With(pg.InTx(tx))
func (b *Bus) With(stamps ...Stamp) Dispatcher { return with{b, slices.Clip(stamps)} }

type with struct {
	next   Dispatcher
	stamps []Stamp
}

func (w with) Dispatch(ctx context.Context, m Message, more ...Stamp) (Receipt, error) {
	return w.next.Dispatch(ctx, m, append(w.stamps, more...)...)
}

func (w with) DispatchAll(ctx context.Context, ms []Message, more ...Stamp) ([]Receipt, error) {
	return w.next.DispatchAll(ctx, ms, append(w.stamps, more...)...)
}

// route returns the route of a type, with the transport filled in.
func (b *Bus) route(typ string) Route {
	var best Route
	length := -1
	for _, r := range b.Routes {
		prefix, wild := strings.CutSuffix(r.Type, "*")
		n := len(prefix)
		switch {
		case r.Type == typ:
			n = len(typ) + 1
		case !wild || !strings.HasPrefix(typ, prefix):
			continue
		}
		if n > length {
			best, length = r, n
		}
	}
	if best.Transport == nil {
		best.Transport = b.Transport
	}
	if best.InPlace {
		best.Transport = nil
	}
	return best
}

func (b *Bus) codec() Codec {
	if b.Codec != nil {
		return b.Codec
	}
	return JSON{}
}

func (b *Bus) logger() *slog.Logger {
	if b.Logger != nil {
		return b.Logger
	}
	return slog.Default()
}

func (b *Bus) maxBody() (int, error) {
	if b.MaxBody < 0 || b.MaxBody > largestMaxBody {
		return 0, check(false, "limit of bodies", b.MaxBody, "at most 16 MiB")
	}
	if b.MaxBody == 0 {
		return defaultMaxBody, nil
	}
	return b.MaxBody, nil
}

// handleInPlace runs the handler of env's type and its subscribers, each with an envelope of its own.
func (b *Bus) handleInPlace(ctx context.Context, env *Envelope) error {
	if err := env.check(); err != nil {
		return err
	}
	b.mu.RLock()
	rs := b.handlers[env.Type]
	b.mu.RUnlock()
	if len(rs) == 0 {
		return fmt.Errorf("%w for type %s", ErrNoHandler, env.Type)
	}
	ctx = context.WithValue(ctx, deliveryKey{}, (*Delivery)(nil)) // one that is being handled further out is not this one
	if len(rs) == 1 {
		return b.handleOne(ctx, rs[0], env)
	}
	errs := make([]error, len(rs))
	for i, r := range rs {
		errs[i] = b.handleOne(ctx, r, env)
	}
	return errors.Join(errs...)
}

func (b *Bus) handleOne(ctx context.Context, r *registration, env *Envelope) error {
	s, _ := r.subscription(env.Type) // checked when it was registered
	own := s.Copy(env)
	own.Attempt = 1
	if err := r.open(b, own); err != nil {
		return err
	}
	return b.invoke(ctx, r, own)
}
