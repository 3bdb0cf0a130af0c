package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/monitor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestExitCodes(t *testing.T) {
	s := &session{opts: app.Options{Name: "shop"}}
	for _, tt := range []struct {
		err  error
		code int
		hint string
	}{
		{errors.New("anything"), ExitFailure, ""},
		{s.usage("do this", "wrong"), ExitUsage, "do this"},
		{symphony.CheckName("queue", "UP"), ExitUsage, ""},
		{symphony.ErrTooLarge, ExitUsage, ""},
		{symphony.ErrUnsupported, ExitUsage, ""},
		{app.ErrDSN, ExitUsage, ""},
		{monitor.ErrNotFound, ExitNotFound, ""},
		{&monitor.KeyTakenError{Key: "k"}, ExitConflict, "shop messages show 00000000-"},
		{symphony.ErrNotMigrated, ExitUnavailable, "shop migrate up"},
		{symphony.ErrSchemaTooNew, ExitUnavailable, "release"},
		{symphony.ErrStoreBusy, ExitUnavailable, "busy_timeout"},
		{symphony.ErrStoreFull, ExitUnavailable, ""},
		{symphony.ErrStoreReadOnly, ExitUnavailable, "writable"},
		{symphony.ErrOutcomeUnknown, ExitUnavailable, "--key"},
		{context.Canceled, ExitInterrupted, ""},
	} {
		code, hint := s.judge(fmt.Errorf("while testing: %w", tt.err))
		if code != tt.code || !strings.Contains(hint, tt.hint) || hint != "" && tt.hint == "" {
			t.Errorf("%v: code %d, hint %q; want %d, %q", tt.err, code, hint, tt.code, tt.hint)
		}
	}
}

// TestExitCodesAreDocumented: the help names every exit code.
func TestExitCodesAreDocumented(t *testing.T) {
	help := exitCodes().Long
	for _, code := range []int{
		ExitOK, ExitFailure, ExitUsage, ExitPartial, ExitNotFound, ExitConflict, ExitUnavailable, ExitUnhealthy, ExitInterrupted,
	} {
		if !strings.Contains(help, fmt.Sprintf("\n%5s  ", strconv.Itoa(code))) {
			t.Errorf("the help lacks exit code %d", code)
		}
	}
}

// TestReport: an error is one line, whatever its text, and cannot control the terminal.
func TestReport(t *testing.T) {
	var out strings.Builder
	s := &session{std: Streams{Err: &out}}
	s.report(&failure{ExitFailure, "try\nagain", errors.New("symphony: first\nsecond \x1b[31mred\x00")})
	want := "error: first second �[31mred�\nhint: try\nagain\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// TestOutcome: the exit code of a bulk.
func TestOutcome(t *testing.T) {
	s := &session{}
	missing, taken := error(monitor.ErrNotFound), error(&monitor.KeyTakenError{Key: "k"})
	for _, tt := range []struct {
		name string
		errs []error
		want int
	}{
		{"none", nil, ExitOK},
		{"all well", []error{nil, nil}, ExitOK},
		{"one missing", []error{missing}, ExitNotFound},
		{"some", []error{nil, missing, nil}, ExitPartial},
		{"all missing", []error{missing, missing}, ExitNotFound},
		{"all for various reasons", []error{missing, taken}, ExitFailure},
	} {
		code := ExitOK
		if err := s.outcome("retried", tt.errs); err != nil {
			code, _ = s.judge(err)
		}
		if code != tt.want {
			t.Errorf("%s: exit code %d, want %d", tt.name, code, tt.want)
		}
	}
}
