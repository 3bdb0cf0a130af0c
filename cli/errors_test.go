package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
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

// A stateError is an error of a server, as drivers for PostgreSQL make them.
type stateError string

func (e stateError) Error() string    { return "refused (SQLSTATE " + string(e) + ")" }
func (e stateError) SQLState() string { return string(e) }

// TestServerHints: what a server says, and what its network says, in errors of a store that is one. With any
// other store they are those of a handler, about which the DSN says nothing.
func TestServerHints(t *testing.T) {
	const dsn = "postgres://u:hunter2@h/db"
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for _, tt := range []struct {
		store string
		err   error
		code  int
		hint  string
	}{
		{dsn, stateError("28P01"), ExitUnavailable, "user and password"},
		{dsn, stateError("28000"), ExitUnavailable, "pg_hba.conf"},
		{dsn, stateError("3D000"), ExitUnavailable, "create the database"},
		{dsn, stateError("57P03"), ExitUnavailable, "in a moment"},
		{dsn, stateError("53300"), ExitUnavailable, "max_connections"},
		{dsn, stateError("53200"), ExitUnavailable, ""},
		{dsn, stateError("08006"), ExitUnavailable, ""},
		{dsn, stateError("42501"), ExitUnavailable, "lacks a right"},
		{dsn, fmt.Errorf("%w: %w", symphony.ErrStoreReadOnly, stateError("25006")), ExitUnavailable, "target_session_attrs"},
		{dsn, fmt.Errorf("%w: %w", symphony.ErrStoreBusy, stateError("55P03")), ExitUnavailable, "pg_stat_activity"},
		{dsn, fmt.Errorf("%w: %w", symphony.ErrStoreFull, stateError("53100")), ExitUnavailable, ""},
		{dsn, fmt.Errorf("%w: %w", symphony.ErrNotMigrated, stateError("42P01")), ExitUnavailable, "migrate up"},
		{dsn, fmt.Errorf("%w: %w", symphony.ErrOutcomeUnknown, stateError("57P01")), ExitUnavailable, "--key"},
		{dsn, stateError("22003"), ExitFailure, ""},
		{dsn, refused, ExitUnavailable, "nothing listens there"},
		{"postgresql://h/db", refused, ExitUnavailable, "nothing listens there"},
		{dsn, &net.DNSError{Err: "no such host", Name: "h"}, ExitUnavailable, "name of the host"},
		{dsn, &tls.CertificateVerificationError{Err: errors.New("unknown authority")}, ExitUnavailable, "sslrootcert"},
		{dsn, context.DeadlineExceeded, ExitUnavailable, "does not answer"},
		{dsn, errors.New("failed to connect to `user=u database=db`: tls error: server refused TLS connection"), ExitUnavailable, "sslmode"},
		{dsn, errors.New("anything"), ExitFailure, ""},
		{"sync://", refused, ExitFailure, ""},
		{"sync://", stateError("28P01"), ExitFailure, ""},
	} {
		s := &session{store: tt.store}
		code, hint := s.judge(fmt.Errorf("while testing: %w", tt.err))
		if code != tt.code || !strings.Contains(hint, tt.hint) || hint != "" && tt.hint == "" {
			t.Errorf("%s: %v: code %d, hint %q; want %d, %q", tt.store, tt.err, code, hint, tt.code, tt.hint)
		}
	}
	s := &session{store: dsn, dsnFrom: "DATABASE_URL"}
	if _, hint := s.judge(refused); !strings.HasSuffix(hint, "; the DSN is that of DATABASE_URL in the environment") {
		t.Errorf("hint %q does not say where the DSN comes from", hint)
	}
}
