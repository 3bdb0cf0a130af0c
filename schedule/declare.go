package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
)

// An Option sets something of a schedule that is declared with [Scheduler.Add]. Any function that sets fields is
// one.
type Option func(*Schedule)

// WithMissed says which missed runs are made up, and how late they may be; 0: any time, see [Schedule.Window].
func WithMissed(policy Missed, window time.Duration) Option {
	return func(s *Schedule) { s.Missed, s.Window = policy, window }
}

// WithOverlap says what happens while the message of a tick before lives.
func WithOverlap(policy Overlap) Option { return func(s *Schedule) { s.Overlap = policy } }

// WithJitter spreads messages: each is due up to most after its tick.
func WithJitter(most time.Duration) Option { return func(s *Schedule) { s.Jitter = most } }

// WithBounds lets a schedule tick only from a time on, and before another; zero: no bound.
func WithBounds(from, until time.Time) Option {
	return func(s *Schedule) { s.From, s.Until = from, until }
}

// WithExclusion lets a schedule not tick from a time on until another; there may be several.
func WithExclusion(from, until time.Time) Option {
	return func(s *Schedule) { s.Exclude = append(s.Exclude, Period{from, until}) }
}

// WithMaxRuns ends a schedule after n ticks have fired.
func WithMaxRuns(n int64) Option { return func(s *Schedule) { s.MaxRuns = n } }

// WithStamps puts stamps on the messages. A time, a delay or an idempotency key is refused: they would be the same at
// each tick.
func WithStamps(stamps ...symphony.Stamp) Option {
	return func(s *Schedule) { s.stamps = append(s.stamps, stamps...) }
}

// A capture is a transport that keeps what a bus would store.
type capture struct {
	symphony.Transport
	env *symphony.Envelope
	err error // nothing may be sent by it
}

// Send implements [symphony.Sender].
func (c *capture) Send(_ context.Context, envs []*symphony.Envelope) ([]symphony.Receipt, error) {
	if c.err != nil {
		return nil, c.err
	}
	env := *envs[0]
	c.env = &env
	return []symphony.Receipt{{ID: env.ID}}, nil
}

// capturing returns a bus that does with a message what b does, but keeps it in place of storing it.
func capturing(b *symphony.Bus) (*symphony.Bus, *capture, error) {
	store, err := storeOf(b)
	if err != nil {
		return nil, nil, err
	}
	into := &capture{Transport: b.Transport}
	elsewhere := &capture{Transport: b.Transport, err: errors.New("its route leads elsewhere than to the transport of the bus, which keeps the schedule")}
	own := &symphony.Bus{Transport: into, Codec: b.Codec, Sending: b.Sending, MaxBody: b.MaxBody, Logger: b.Logger}
	for _, r := range b.Routes {
		other, ok := symphony.As[Store](r.Transport)
		if r.InPlace || r.Transport != nil && (!ok || other != store) {
			r.Transport = elsewhere
		} else {
			r.Transport = nil
		}
		r.InPlace = false
		own.Routes = append(own.Routes, r)
	}
	return own, into, nil
}

// prepare makes of m what a schedule stores, as a dispatch by b would: by its routes, its sending middleware and its codec, within
// all bounds.
func prepare(ctx context.Context, b *symphony.Bus, m symphony.Message, stamps []symphony.Stamp) (Message, error) {
	bus, into, err := capturing(b)
	if err != nil {
		return Message{}, err
	}
	if _, err := bus.Dispatch(ctx, m, stamps...); err != nil {
		return Message{}, err
	}
	env := into.env
	switch {
	case env == nil:
		return Message{}, fmt.Errorf("a sending middleware kept the message back")
	case env.Key != "":
		return Message{}, invalid("idempotency key of a schedule", env.Key, "absent: it would be the same at each tick; an overlap policy may be what is meant")
	case env.Delay != 0:
		return Message{}, invalid("delay of a schedule's message", env.Delay.String(), "absent: the tick says when")
	case !env.At.IsZero():
		return Message{}, invalid("time of a schedule's message", show(env.At), "absent: the tick says when")
	}
	return Message{
		Type: env.Type, Version: env.Version, ContentType: env.ContentType, Body: env.Body, Queue: env.Queue, Priority: env.Priority,
		Group: env.Group, Expires: roundUp(env.Expires), MaxRetries: env.MaxRetries, Headers: env.Headers, Tags: env.Tags,
	}, nil
}

// prepareData is prepare for a message that is data: its body is sent as it is.
func (m *Message) prepareData(ctx context.Context, b *symphony.Bus) error {
	if m.Body == nil && (m.ContentType == "" || m.ContentType == jsonType) {
		m.Body = []byte("{}")
	}
	plain := &symphony.Bus{Transport: b.Transport, Routes: b.Routes, MaxBody: b.MaxBody, Logger: b.Logger}
	ready, err := prepare(ctx, plain, symphony.Raw{Type: m.Type, ContentType: m.ContentType, Body: m.Body}, m.stamps())
	if err == nil && (m.Version < 0 || m.Version > 1<<31-1) {
		err = invalid("version of a message", fmt.Sprint(m.Version), "between 0 and 2147483647")
	}
	ready.Version = m.Version
	*m = ready
	return err
}

func (m *Message) stamps() (all []symphony.Stamp) {
	add := func(set bool, stamp func() symphony.Stamp) {
		if set {
			all = append(all, stamp())
		}
	}
	add(m.Queue != "", func() symphony.Stamp { return symphony.Queue(m.Queue) })
	add(m.Priority != 0, func() symphony.Stamp { return symphony.Priority(m.Priority) })
	add(m.Group != "", func() symphony.Stamp { return symphony.Group(m.Group) })
	add(m.Expires != 0, func() symphony.Stamp { return symphony.Expires(m.Expires) })
	add(m.MaxRetries != nil, func() symphony.Stamp { return symphony.MaxRetries(*m.MaxRetries) })
	for name, value := range m.Headers {
		all = append(all, symphony.Header(name, value))
	}
	add(len(m.Tags) > 0, func() symphony.Stamp { return symphony.Tag(m.Tags...) })
	return all
}

// storeOf returns the store of schedules of a bus.
func storeOf(b *symphony.Bus) (Store, error) {
	if b == nil || b.Transport == nil {
		return nil, fmt.Errorf("%w: schedules, the bus has no transport", symphony.ErrUnsupported)
	}
	store, ok := symphony.As[Store](b.Transport)
	if !ok {
		return nil, fmt.Errorf("%w: schedules", symphony.ErrUnsupported)
	}
	return store, nil
}
