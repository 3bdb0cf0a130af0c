package symphony_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/symphony-messenger/symphony"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// greet is a message that is a value.
type greet struct {
	Name string `json:"name"`
}

func (greet) MessageType() string { return "test.greet" }

// created is a message that is a pointer, with stamps and a rule of its own.
type created struct {
	ID int64 `json:"id"`
}

func (*created) MessageType() string { return "test.created" }

func (*created) Stamps() []symphony.Stamp {
	return []symphony.Stamp{
		symphony.Queue("of-message"), symphony.Priority(2), symphony.MaxRetries(2),
		symphony.Header("from", "message"), symphony.Header("only-message", "1"), symphony.Tag("message"),
	}
}

var errNegative = errors.New("id must not be negative")

func (m *created) Validate() error {
	if m.ID < 0 {
		return errNegative
	}
	return nil
}

// named is a message whose name is chosen by the test.
type named struct{ name string }

func (m named) MessageType() string { return m.name }

// everything is what a transport says that can do all that an envelope may ask for.
var everything = symphony.Capabilities{
	MaxDelay: math.MaxInt64, Priority: true, Expiry: true, Idempotency: true, Group: true, InTx: true,
}

// recorder is a transport that keeps what it is sent. Nobody receives from it.
type recorder struct {
	caps symphony.Capabilities
	fail func(call int) error // nil: never

	mu    sync.Mutex
	calls [][]symphony.Envelope
}

func newRecorder() *recorder { return &recorder{caps: everything} }

func (r *recorder) Send(_ context.Context, envs []*symphony.Envelope) ([]symphony.Receipt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	call := make([]symphony.Envelope, len(envs))
	rs := make([]symphony.Receipt, len(envs))
	for i, env := range envs {
		call[i], rs[i] = *env, symphony.Receipt{ID: env.ID}
	}
	r.calls = append(r.calls, call)
	if r.fail != nil {
		if err := r.fail(len(r.calls)); err != nil {
			return nil, err
		}
	}
	return rs, nil
}

func (r *recorder) Receive(ctx context.Context, _ symphony.Claim) ([]symphony.Delivery, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (r *recorder) Settle(context.Context, []symphony.Verdict) error { return errors.ErrUnsupported }

func (r *recorder) Renew(context.Context, string, []symphony.Token) (symphony.Renewal, error) {
	return symphony.Renewal{}, errors.ErrUnsupported
}
func (r *recorder) Capabilities() symphony.Capabilities { return r.caps }

// sent returns what all calls of Send were given, in order.
func (r *recorder) sent() []symphony.Envelope {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Concat(r.calls...)
}

// one returns the only envelope that was sent.
func (r *recorder) one(t *testing.T) symphony.Envelope {
	t.Helper()
	sent := r.sent()
	if len(sent) != 1 {
		t.Fatalf("%d messages were sent, want 1", len(sent))
	}
	return sent[0]
}

// stored dispatches m and returns the envelope as the transport gets it.
func stored(t *testing.T, m symphony.Message, stamps ...symphony.Stamp) symphony.Envelope {
	t.Helper()
	r := newRecorder()
	if _, err := (&symphony.Bus{Transport: r}).Dispatch(t.Context(), m, stamps...); err != nil {
		t.Fatal(err)
	}
	return r.one(t)
}

// refused dispatches m, checks that nothing was sent, and returns the error.
func refused(t *testing.T, m symphony.Message, stamps ...symphony.Stamp) error {
	t.Helper()
	r := newRecorder()
	receipt, err := (&symphony.Bus{Transport: r}).Dispatch(t.Context(), m, stamps...)
	if err == nil || !receipt.ID.IsZero() || len(r.sent()) > 0 {
		t.Fatalf("receipt %v, error %v, %d sent; want a refusal", receipt, err, len(r.sent()))
	}
	return err
}

// invalidly checks that err is an *InvalidError about what.
func invalidly(t *testing.T, err error, what string) {
	t.Helper()
	if e, ok := errors.AsType[*symphony.InvalidError](err); !ok || e.What != what {
		t.Errorf("error %v, want an InvalidError about %q", err, what)
	}
}

// panics returns what fn panics with, as text.
func panics(t *testing.T, fn func()) (text string) {
	t.Helper()
	defer func() {
		t.Helper()
		var ok bool
		if text, ok = recover().(string); !ok {
			t.Errorf("no panic with a text")
		}
	}()
	fn()
	return ""
}

const aDay = 24 * time.Hour
