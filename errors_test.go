package symphony_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/symphony-messenger/symphony"
)

func TestOutcomeOf(t *testing.T) {
	cause := io.ErrUnexpectedEOF
	for _, tt := range []struct {
		err     error
		want    symphony.Outcome
		after   time.Duration
		decided bool
		text    string
	}{
		{nil, symphony.Completed, 0, true, ""},
		{cause, symphony.Retried, 0, false, "unexpected EOF"},
		{symphony.Permanent(cause), symphony.Failed, 0, true, "unexpected EOF"},
		{symphony.RetryIn(time.Minute, cause), symphony.Retried, time.Minute, true, "unexpected EOF"},
		{symphony.RetryIn(-time.Minute, cause), symphony.Retried, 0, true, "unexpected EOF"},
		{symphony.Snooze(time.Minute), symphony.Snoozed, time.Minute, true, "snoozed for 1m0s"},
		{symphony.Snooze(-1), symphony.Snoozed, 0, true, "snoozed for 0s"},
		{symphony.Cancel(cause), symphony.Cancelled, 0, true, "unexpected EOF"},
		{fmt.Errorf("call: %w", symphony.Permanent(cause)), symphony.Failed, 0, true, "call: unexpected EOF"},
		{symphony.Permanent(symphony.Snooze(time.Hour)), symphony.Failed, 0, true, "snoozed for 1h0m0s"},
		{errors.Join(cause, symphony.Cancel(cause), symphony.Permanent(cause)), symphony.Cancelled, 0, true, "unexpected EOF\nunexpected EOF\nunexpected EOF"},
	} {
		o, after, decided := symphony.OutcomeOf(tt.err)
		if o != tt.want || after != tt.after || decided != tt.decided {
			t.Errorf("OutcomeOf(%v) = %s, %v, %v, want %s, %v, %v", tt.err, o, after, decided, tt.want, tt.after, tt.decided)
		}
		if tt.err != nil && tt.err.Error() != tt.text {
			t.Errorf("text %q, want %q", tt.err, tt.text)
		}
	}
	for name, err := range map[string]error{
		"Permanent": symphony.Permanent(cause), "RetryIn": symphony.RetryIn(1, cause), "Cancel": symphony.Cancel(cause),
	} {
		if !errors.Is(err, cause) {
			t.Errorf("%s hides its error", name)
		}
	}
}

// So that a handler can end with return symphony.Permanent(f()).
func TestDecisionsAboutNothing(t *testing.T) {
	for name, err := range map[string]error{
		"Permanent": symphony.Permanent(nil), "RetryIn": symphony.RetryIn(time.Hour, nil), "Cancel": symphony.Cancel(nil),
	} {
		if err != nil {
			t.Errorf("%s(nil) = %v", name, err)
		}
	}
}

func TestLostVerdicts(t *testing.T) {
	var lost error = &symphony.LostError{Tokens: []symphony.Token{"1"}}
	var rolledBack error = &symphony.NotCommittedError{Tokens: []symphony.Token{"1"}}
	if !errors.Is(fmt.Errorf("settle: %w", lost), symphony.ErrLeaseLost) || errors.Is(lost, symphony.ErrNotCommitted) {
		t.Error(lost)
	}
	if !errors.Is(fmt.Errorf("settle: %w", rolledBack), symphony.ErrNotCommitted) || errors.Is(rolledBack, symphony.ErrLeaseLost) {
		t.Error(rolledBack)
	}
	if lost.Error() != symphony.ErrLeaseLost.Error() || rolledBack.Error() != symphony.ErrNotCommitted.Error() {
		t.Error(lost, rolledBack)
	}
}

func TestPanicError(t *testing.T) {
	if err := (&symphony.PanicError{Value: 7}); err.Error() != "panic: 7" || errors.Unwrap(err) != nil {
		t.Error(err)
	}
	if err := (&symphony.PanicError{Value: io.EOF}); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if err := new(symphony.PanicError); !strings.Contains(err.Error(), "runtime.Goexit") || errors.Unwrap(err) != nil {
		t.Error(err)
	}
}

type rateLimited struct{ error }

func (rateLimited) ErrorClass() string { return "rate_limited" }

// S21.
func TestFailureClass(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{io.EOF, "error"},
		{symphony.Permanent(io.EOF), "error"},
		{symphony.Snooze(1), "error"},
		{&symphony.InvalidError{}, "*symphony.InvalidError"},
		{symphony.Permanent(fmt.Errorf("x: %w", &symphony.InvalidError{})), "*symphony.InvalidError"},
		{symphony.RetryIn(1, rateLimited{&symphony.InvalidError{}}), "rate_limited"},
		{fmt.Errorf("%w: %w", symphony.ErrTimeout, context.DeadlineExceeded), "context.deadlineExceededError"},
		{&symphony.PanicError{Value: "boom"}, "*symphony.PanicError"},
		{&symphony.PanicError{Value: boundsError()}, "runtime.boundsError"},
	} {
		if got := symphony.NewFailure(tt.err).Class; got != tt.want {
			t.Errorf("class of %v: %q, want %q", tt.err, got, tt.want)
		}
	}
}

func boundsError() (err error) {
	defer func() { err = recover().(runtime.Error) }()
	var none []int
	_ = none[len(none)]
	return nil
}

type text string

func (s text) Error() string      { return string(s) }
func (s text) ErrorClass() string { return string(s) }

// Whatever an error says can be kept by any store.
func TestFailureIsFitForAStore(t *testing.T) {
	noise := make([]byte, 100<<10)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	for name, s := range map[string]string{
		"random bytes":  string(noise),
		"10 MB":         strings.Repeat("0123456789", 1<<20),
		"NUL bytes":     strings.Repeat("\x00", 20<<10),
		"surrogates":    strings.Repeat("\xed\xa0\x80", 20<<10),
		"wide":          strings.Repeat("世", 20<<10),
		"nothing":       "",
		"just too long": strings.Repeat("x", 16<<10+1),
	} {
		f := symphony.NewFailure(&symphony.PanicError{Value: text(s), Stack: []byte(s)})
		for part, got := range map[string]string{"error": f.Error, "class": f.Class, "trace": f.Trace} {
			limit := 16 << 10
			if part == "class" {
				limit = 128
			}
			if len(got) > limit || !utf8.ValidString(got) || strings.Contains(got, "\x00") {
				t.Errorf("%s of %s: %d bytes, %.100q", part, name, len(got), got)
			}
			if len(s) > limit && !strings.Contains(got, " bytes in all)") {
				t.Errorf("%s of %s was cut in silence", part, name)
			}
		}
	}
}

func TestFailureKeepsTheTraceOfPanicsOnly(t *testing.T) {
	f := symphony.NewFailure(fmt.Errorf("handle: %w", &symphony.PanicError{Value: "boom", Stack: []byte("goroutine 1 [running]")}))
	if f.Error != "handle: panic: boom" || f.Trace != "goroutine 1 [running]" {
		t.Errorf("%+v", f)
	}
	if f := symphony.NewFailure(io.EOF); f.Trace != "" || f.Error != "EOF" {
		t.Errorf("%+v", f)
	}
}

type nilPointer struct{ s string }

func (n *nilPointer) Error() string { return n.s }

func TestFailureOfABrokenError(t *testing.T) {
	if f := symphony.NewFailure((*nilPointer)(nil)); !strings.Contains(f.Error, "*symphony_test.nilPointer") || f.Class != "*symphony_test.nilPointer" {
		t.Errorf("%+v", f)
	}
}

func TestFingerprint(t *testing.T) {
	of := func(typ string, err error) string { return symphony.NewFailure(err).Fingerprint(typ) }
	if of("a", errors.New("user 1")) != of("a", errors.New("user 22")) {
		t.Error("a number makes a difference")
	}
	for name, other := range map[string]string{
		"type":  of("b", errors.New("user 1")),
		"class": of("a", rateLimited{errors.New("user 1")}),
		"text":  of("a", errors.New("group 1")),
	} {
		if other == of("a", errors.New("user 1")) {
			t.Errorf("the %s makes no difference", name)
		}
	}
	long := strings.Repeat("x", 20<<10)
	if of("a", errors.New(long+"1")) != of("a", errors.New(long+"22")) {
		t.Error("what was cut makes a difference")
	}
}
