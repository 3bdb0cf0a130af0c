package middleware_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/middleware"
)

type job struct{ Secret string }

func (job) MessageType() string { return "test.job" }

type slowJob struct{}

func (slowJob) MessageType() string { return "test.slow" }

// handling returns a bus that answers each job with fn.
func handling(fn func(context.Context) error, mw ...symphony.Middleware) *symphony.Bus {
	bus := &symphony.Bus{Handling: mw}
	symphony.Handle(bus, func(ctx context.Context, _ job) error { return fn(ctx) })
	symphony.Handle(bus, func(ctx context.Context, _ slowJob) error { return fn(ctx) })
	return bus
}

func hang(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func TestTimeout(t *testing.T) {
	byType := map[string]time.Duration{"test.slow": time.Hour}
	mw := middleware.Timeout(time.Minute, byType)
	byType["test.slow"] = time.Nanosecond // the map was copied
	for m, want := range map[symphony.Message]time.Duration{job{}: time.Minute, slowJob{}: time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			var cause error
			bus := handling(func(ctx context.Context) error { <-ctx.Done(); cause = context.Cause(ctx); return ctx.Err() }, mw)
			start := time.Now()
			_, err := bus.Dispatch(t.Context(), m)
			if took := time.Since(start); took != want || cause != symphony.ErrTimeout {
				t.Errorf("%s ended after %v with the cause %v", m.MessageType(), took, cause)
			}
			if !errors.Is(err, symphony.ErrTimeout) || !strings.Contains(err.Error(), fmt.Sprintf("timed out after %v: context deadline exceeded", want)) {
				t.Error(err)
			}
		})
	}
}

func TestTimeoutOfNothing(t *testing.T) {
	for name, mw := range map[string]symphony.Middleware{
		"none":     middleware.Timeout(0, nil),
		"negative": middleware.Timeout(-1, nil),
		"by type":  middleware.Timeout(time.Minute, map[string]time.Duration{"test.job": 0}),
	} {
		bus := handling(func(ctx context.Context) error {
			if _, ok := ctx.Deadline(); ok {
				t.Errorf("%s: there is a deadline", name)
			}
			return nil
		}, mw)
		if _, err := bus.Dispatch(t.Context(), job{}); err != nil {
			t.Error(err)
		}
	}
}

func TestTimeoutAndThatOfTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &symphony.Bus{Handling: []symphony.Middleware{middleware.Timeout(time.Minute, nil)}}
		symphony.Handle(bus, func(ctx context.Context, _ job) error { return hang(ctx) }, symphony.Timeout(time.Second))
		_, err := bus.Dispatch(t.Context(), job{})
		if !errors.Is(err, symphony.ErrTimeout) || strings.Count(err.Error(), "timed out") != 1 || !strings.Contains(err.Error(), "after 1s") {
			t.Error(err)
		}
	})
}

// records runs one attempt and returns what Log wrote.
func records(t *testing.T, fn func(context.Context) error) []map[string]any {
	t.Helper()
	var out bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	bus := handling(fn, middleware.Log(logger))
	func() {
		defer func() { _ = recover() }()
		_, _ = bus.Dispatch(t.Context(), job{Secret: "hunter2"}, symphony.Queue("q"), symphony.Header("token", "hunter2"))
	}()
	if strings.Contains(out.String(), "hunter2") {
		t.Errorf("a body or header was logged: %s", &out)
	}
	var all []map[string]any
	for decoder := json.NewDecoder(&out); ; {
		var record map[string]any
		if err := decoder.Decode(&record); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, record)
	}
}

func TestLog(t *testing.T) {
	no := errors.New("no")
	for _, tt := range []struct {
		name                   string
		answer                 func(context.Context) error
		level, message, errors string
		outcome                string
		after                  time.Duration
	}{
		{"nil", func(context.Context) error { return nil }, "INFO", "message handled", "", "completed", 0},
		{"snooze", func(context.Context) error { return symphony.Snooze(time.Hour) }, "INFO", "message handled", "snoozed for 1h0m0s", "snoozed", time.Hour},
		{"cancel", func(context.Context) error { return symphony.Cancel(no) }, "INFO", "message handled", "no", "cancelled", 0},
		{"error", func(context.Context) error { return no }, "WARN", "attempt failed", "no", "retried", 0},
		{"retry in", func(context.Context) error { return symphony.RetryIn(time.Minute, no) }, "WARN", "attempt failed", "no", "retried", time.Minute},
		{"permanent", func(context.Context) error { return symphony.Permanent(no) }, "ERROR", "message failed", "no", "failed", 0},
		{"panic", func(context.Context) error { panic("boom") }, "ERROR", "handler panicked", "", "retried", 0},
	} {
		got := records(t, tt.answer)
		if len(got) != 1 {
			t.Errorf("%s: %d records", tt.name, len(got))
			continue
		}
		if id, err := symphony.ParseID(fmt.Sprint(got[0]["id"])); err != nil || id.IsZero() {
			t.Errorf("%s: id %v", tt.name, err)
		}
		if took, ok := got[0]["duration"].(float64); !ok || took < 0 {
			t.Errorf("%s: duration %v", tt.name, got[0]["duration"])
		}
		want := map[string]any{
			"level": tt.level, "msg": tt.message, "type": "test.job", "queue": "q", "attempt": 1.0, "outcome": tt.outcome,
			"id": got[0]["id"], "duration": got[0]["duration"], "time": got[0]["time"],
		}
		if tt.errors != "" {
			want["error"] = tt.errors
		}
		if tt.after != 0 {
			want["after"] = float64(tt.after)
		}
		if diff := cmp.Diff(want, got[0]); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func TestLogMeasuresTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := records(t, func(context.Context) error { time.Sleep(3 * time.Second); return nil })
		if got[0]["duration"] != float64(3*time.Second) {
			t.Errorf("duration %v", got[0]["duration"])
		}
	})
}

func TestLogNamesTheSubscriber(t *testing.T) {
	var out bytes.Buffer
	bus := &symphony.Bus{Handling: []symphony.Middleware{middleware.Log(slog.New(slog.NewTextHandler(&out, nil)))}}
	symphony.On(bus, "crm", func(context.Context, job) error { return nil })
	if _, err := bus.Dispatch(t.Context(), job{}); err != nil || !strings.Contains(out.String(), " subscriber=crm ") {
		t.Error(err, out.String())
	}
}

func TestLogLetsPanicsPass(t *testing.T) {
	bus := handling(func(context.Context) error { panic("boom") }, middleware.Log(slog.New(slog.DiscardHandler)))
	defer func() {
		if v := recover(); v != "boom" {
			t.Errorf("panic %v", v)
		}
	}()
	_, err := bus.Dispatch(t.Context(), job{})
	t.Errorf("no panic: %v", err)
}

func TestClassify(t *testing.T) {
	busy, other := errors.New("busy"), errors.New("other")
	missing := &fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}
	asked := 0
	classify := middleware.Classify(
		func(error) error { asked++; return nil },
		middleware.Is(fs.ErrNotExist, symphony.Permanent),
		middleware.Is(busy, func(err error) error { return symphony.RetryIn(time.Minute, err) }),
		middleware.As(func(e *fs.PathError, err error) error {
			if e.Op == "chmod" {
				return nil
			}
			return symphony.Cancel(err)
		}),
		middleware.As(func(e *fs.PathError, err error) error { return symphony.Snooze(time.Hour) }),
	)
	for _, tt := range []struct {
		name    string
		err     error
		want    symphony.Outcome
		after   time.Duration
		decided bool
		asked   int
	}{
		{"no error", nil, symphony.Completed, 0, true, 0},
		{"the handler has decided", symphony.Snooze(time.Second), symphony.Snoozed, time.Second, true, 0},
		{"the handler has decided about a known error", symphony.Cancel(missing), symphony.Cancelled, 0, true, 0},
		{"the first rule that matches", fmt.Errorf("read: %w", missing), symphony.Failed, 0, true, 1},
		{"by value", fmt.Errorf("read: %w", busy), symphony.Retried, time.Minute, true, 1},
		{"by type", fmt.Errorf("read: %w", &fs.PathError{Op: "read", Err: other}), symphony.Cancelled, 0, true, 1},
		{"a rule without an opinion", &fs.PathError{Op: "chmod", Err: other}, symphony.Snoozed, time.Hour, true, 1},
		{"unknown", other, symphony.Retried, 0, false, 1},
	} {
		asked = 0
		_, err := handling(func(context.Context) error { return tt.err }, classify).Dispatch(t.Context(), job{})
		o, after, decided := symphony.OutcomeOf(err)
		if o != tt.want || after != tt.after || decided != tt.decided || asked != tt.asked {
			t.Errorf("%s: %s after %v (%v), the rules were asked %d times", tt.name, o, after, decided, asked)
		}
		if tt.err != nil && o != symphony.Snoozed && !strings.HasSuffix(err.Error(), tt.err.Error()) {
			t.Errorf("%s: the text became %v", tt.name, err)
		}
	}
}

// in handles a job with headers and returns those of what its handler dispatches.
func in(t *testing.T, names []string, parent, own map[string]string) map[string]string {
	t.Helper()
	stamps := func(headers map[string]string) (all []symphony.Stamp) {
		for name, value := range headers {
			all = append(all, symphony.Header(name, value))
		}
		return all
	}
	var got map[string]string
	bus := &symphony.Bus{Sending: []symphony.Middleware{middleware.Propagate(names...)}}
	symphony.Handle(bus, func(ctx context.Context, _ job) error {
		_, err := bus.Dispatch(ctx, slowJob{}, stamps(own)...)
		return err
	})
	symphony.Handle(bus, func(ctx context.Context, _ slowJob) error {
		env, _ := symphony.EnvelopeFrom(ctx)
		got = env.Headers
		return nil
	})
	if _, err := bus.Dispatch(t.Context(), job{}, stamps(parent)...); err != nil {
		t.Fatal(err)
	}
	delete(got, symphony.HeaderCorrelation)
	delete(got, symphony.HeaderCausation)
	return got
}

func TestPropagate(t *testing.T) {
	parent := map[string]string{"tenant": "acme", "traceparent": "00-1", "private": "x"}
	for _, tt := range []struct {
		name              string
		names             []string
		parent, own, want map[string]string
	}{
		{"what is named", []string{"tenant", "traceparent"}, parent, nil, map[string]string{"tenant": "acme", "traceparent": "00-1"}},
		{"the dispatch wins", []string{"tenant"}, parent, map[string]string{"tenant": "other"}, map[string]string{"tenant": "other"}},
		{"beside its own", []string{"tenant"}, parent, map[string]string{"own": "1"}, map[string]string{"tenant": "acme", "own": "1"}},
		{"what is not there", []string{"absent"}, parent, nil, map[string]string{}},
		{"nothing", nil, parent, map[string]string{"own": "1"}, map[string]string{"own": "1"}},
		{"empty is a value", []string{"tenant"}, map[string]string{"tenant": ""}, nil, map[string]string{"tenant": ""}},
	} {
		if diff := cmp.Diff(tt.want, in(t, tt.names, tt.parent, tt.own)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func TestPropagateOutsideAHandler(t *testing.T) {
	bus := handling(func(ctx context.Context) error {
		if env, _ := symphony.EnvelopeFrom(ctx); env.Headers != nil {
			t.Errorf("headers from nowhere: %v", env.Headers)
		}
		return nil
	})
	bus.Sending = []symphony.Middleware{middleware.Propagate("tenant")}
	if _, err := bus.Dispatch(t.Context(), job{}); err != nil {
		t.Error(err)
	}
}

func TestPropagateRefusesNames(t *testing.T) {
	for _, name := range []string{"", "Tenant", "symphony-correlation-id"} {
		func() {
			defer func() {
				if text, ok := recover().(string); !ok || !strings.HasPrefix(text, "middleware: propagate: invalid header name ") {
					t.Errorf("%q: panic %q", name, text)
				}
			}()
			middleware.Propagate(name)
		}()
	}
}
