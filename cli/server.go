package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/symphony-messenger/symphony"
)

// serverHint says what to check when the server that keeps the store is out of reach or refuses to work; ok
// is false for any other error. It is asked only about stores that are servers: with sync:// an error of
// the network is the handler's.
func serverHint(err error) (hint string, ok bool) {
	if e, ok := errors.AsType[interface {
		error
		SQLState() string // as the errors of drivers for PostgreSQL have it
	}](err); ok {
		return stateHint(e.SQLState())
	}
	is := func(target error) bool { return errors.Is(err, target) }
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "check the name of the host in the DSN", true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "name the authority that has signed the server's certificate with sslrootcert=FILE in the DSN", true
	}
	switch {
	case is(syscall.ECONNREFUSED), is(syscall.ENOENT): // the latter of a socket
		return "nothing listens there: check that the server runs, and host and port in the DSN", true
	case is(os.ErrDeadlineExceeded), is(context.DeadlineExceeded):
		return "the server does not answer: check host and port in the DSN, and what is between here and there", true
	}
	// The driver has no type or value for those that remain, such as a refusal of TLS.
	if _, ok := errors.AsType[*net.OpError](err); ok || strings.Contains(err.Error(), "failed to connect to `") {
		return "check host, port and sslmode in the DSN", true
	}
	return "", false
}

// stateHint is serverHint for what a server answered, by its SQLSTATE.
func stateHint(state string) (hint string, ok bool) {
	switch state {
	case "28P01":
		return "check user and password in the DSN, where characters such as / ? # @ of a password are percent-encoded", true
	case "28000":
		return "the role must exist, and the server's pg_hba.conf let it in: to this database, from this host, perhaps only with TLS (sslmode)", true
	case "3D000":
		return "create the database first, or name another in the DSN", true
	case "57P01", "57P02", "57P03", "57P05":
		return "the server is starting or stopping: try again in a moment", true
	case "53300":
		return "the server has no connection left: raise its max_connections, or put a pooler in between, with ?pgbouncer=true in the DSN", true
	case "42501":
		return "the user of the DSN lacks a right: CREATE on the database to migrate, the rights of the tables' owner to work", true
	case "25006":
		return "the server takes no writes: name the primary in the DSN, or all hosts and ?target_session_attrs=read-write", true
	case "55P03":
		return "another transaction holds a lock that is needed; pg_stat_activity shows which", true
	}
	return "", strings.HasPrefix(state, "08") || strings.HasPrefix(state, "53") // connection; no resources
}

// judgeServer is judge for the errors of a store that is a server.
func (s *session) judgeServer(err error) (code int, hint string, ok bool) {
	if !s.onServer() {
		return 0, "", false
	}
	hint, ok = serverHint(err)
	if ok && hint != "" && s.dsnFrom != "" && !errors.Is(err, symphony.ErrStoreBusy) {
		hint += "; the DSN is that of " + s.dsnFrom + " in the environment"
	}
	return ExitUnavailable, hint, ok
}

// onServer reports whether a store of this session is a server.
func (s *session) onServer() bool {
	dsns := []string{s.store}
	if s.config != nil {
		for _, t := range s.config.Transports { // a route may lead to any of them
			dsns = append(dsns, t.DSN)
		}
	}
	return slices.ContainsFunc(dsns, func(dsn string) bool {
		return strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
	})
}
