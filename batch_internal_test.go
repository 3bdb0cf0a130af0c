package symphony

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

type item struct{ N int }

func (item) MessageType() string { return "test.item" }

// runBatch handles n items in one call, as a worker does.
func runBatch(ctx context.Context, b *Bus, n int) []error {
	envs := make([]*Envelope, n)
	for i := range envs {
		envs[i] = &Envelope{ID: NewID(), Type: "test.item", Message: item{i}}
	}
	return b.invokeBatch(ctx, b.lookup("test.item", ""), envs)
}

func TestBatchIsOneCall(t *testing.T) {
	b, calls, odd := new(Bus), 0, errors.New("odd")
	HandleBatch(b, 10, func(_ context.Context, ms []item) (errs []error) {
		calls++
		for _, m := range ms {
			if m.N%2 == 1 {
				errs = append(errs, odd)
			} else {
				errs = append(errs, nil)
			}
		}
		return errs
	})
	if errs := runBatch(t.Context(), b, 5); calls != 1 || !slices.Equal(errs, []error{nil, odd, nil, odd, nil}) {
		t.Error(calls, errs)
	}
}

func TestBatchOfAllDone(t *testing.T) {
	b := new(Bus)
	HandleBatch(b, 10, func(context.Context, []item) []error { return nil })
	if errs := runBatch(t.Context(), b, 3); !slices.Equal(errs, make([]error, 3)) {
		t.Error(errs)
	}
}

func TestBatchThatAnswersForTheWrongNumber(t *testing.T) {
	b := new(Bus)
	HandleBatch(b, 10, func(context.Context, []item) []error { return make([]error, 2) })
	for i, err := range runBatch(t.Context(), b, 3) {
		if fmt.Sprint(err) != "batch handler returned 2 errors for 3 messages" {
			t.Errorf("error %d: %v", i, err)
		}
	}
}

// A middleware may keep a message out, see its own error, and change the envelope, in a batch as well.
func TestBatchMiddleware(t *testing.T) {
	b, got := new(Bus), []item(nil)
	no := errors.New("no")
	var saw []string
	b.Handling = []Middleware{func(next Handler) Handler {
		return func(ctx context.Context, env *Envelope) error {
			if from, _ := EnvelopeFrom(ctx); from != env {
				t.Error("the context has another envelope")
			}
			switch m := env.Message.(item); m.N {
			case 0:
				return nil // done without the handler
			case 1:
				return no // failed without the handler
			case 2:
				own := *env
				own.Message = item{20}
				env = &own
			}
			err := next(ctx, env)
			saw = append(saw, fmt.Sprint(env.Message.(item).N, err))
			return err
		}
	}}
	HandleBatch(b, 10, func(_ context.Context, ms []item) []error {
		got = append(got, ms...)
		return []error{nil, no}
	})
	errs := runBatch(t.Context(), b, 4)
	if !slices.Equal(got, []item{{20}, {3}}) || !slices.Equal(errs, []error{nil, no, nil, no}) {
		t.Error(got, errs)
	}
	if !slices.Equal(saw, []string{"3 no", "20 <nil>"}) {
		t.Error(saw)
	}
}

// A middleware that calls next again gets the first answer: the others cannot run again for it.
func TestBatchRunsOnce(t *testing.T) {
	b, calls, no := new(Bus), 0, errors.New("no")
	again := func(next Handler) Handler {
		return func(ctx context.Context, env *Envelope) error {
			_ = next(ctx, env)
			return next(ctx, env)
		}
	}
	HandleBatch(b, 10, func(_ context.Context, ms []item) []error { calls++; return []error{no, nil} }, Middleware(again))
	if errs := runBatch(t.Context(), b, 2); calls != 1 || !slices.Equal(errs, []error{no, nil}) {
		t.Error(calls, errs)
	}
}

func TestBatchKeptOutAltogether(t *testing.T) {
	b := &Bus{Handling: []Middleware{func(Handler) Handler { return func(context.Context, *Envelope) error { return nil } }}}
	HandleBatch(b, 10, func(context.Context, []item) []error { t.Error("called"); return nil })
	if errs := runBatch(t.Context(), b, 2); !slices.Equal(errs, make([]error, 2)) {
		t.Error(errs)
	}
}

func TestBatchTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(Bus)
		HandleBatch(b, 10, func(ctx context.Context, ms []item) []error {
			<-ctx.Done()
			return slices.Repeat([]error{ctx.Err()}, len(ms))
		}, Timeout(time.Minute))
		for i, err := range runBatch(t.Context(), b, 3) {
			if !errors.Is(err, ErrTimeout) {
				t.Errorf("error %d: %v", i, err)
			}
		}
	})
}
