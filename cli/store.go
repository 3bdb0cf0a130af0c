package cli

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app"
)

// findDSN returns the DSN of the flag or the environment; fallback, when there is none.
func (s *session) findDSN(fallback string) (dsn string, err error) {
	defer func() { s.store = dsn }()
	if s.dsn != "" {
		return s.dsn, nil
	}
	for _, name := range []string{"SYMPHONY_DSN", "DATABASE_URL"} {
		if dsn := os.Getenv(name); dsn != "" {
			s.dsnFrom = name
			return dsn, nil
		}
	}
	if fallback != "" {
		return fallback, nil
	}
	return "", s.usage("give `--dsn sqlite://queue.db` or `--dsn postgres://user@host/database`, or set SYMPHONY_DSN or DATABASE_URL", "which store? There is no DSN")
}

// sharedDSN is findDSN for commands that make no sense on what only this process sees.
func (s *session) sharedDSN() (string, error) {
	dsn, err := s.findDSN("")
	if err != nil {
		return "", err
	}
	if scheme, _, _ := strings.Cut(dsn, "://"); scheme == "memory" || scheme == "sync" {
		return "", s.usage("use sqlite:// with a file, or postgres://; `"+s.opts.Name+" dev` runs on memory://",
			"%s:// keeps nothing that another process could see", scheme)
	}
	return dsn, nil
}

// withStore opens the store, runs fn and closes the store.
func (s *session) withStore(ctx context.Context, fn func(symphony.Transport) error) (err error) {
	dsn, err := s.sharedDSN()
	if err != nil {
		return err
	}
	t, err := app.Open(ctx, dsn, s.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, app.Close(t)) }()
	return fn(t)
}

// withPower is withStore for an optional interface of transports.
func withPower[T any](ctx context.Context, s *session, what string, fn func(T) error) error {
	return s.withStore(ctx, func(t symphony.Transport) error {
		power, ok := symphony.As[T](t)
		if !ok {
			return s.usage("", "this store cannot %s: %w", what, symphony.ErrUnsupported)
		}
		return fn(power)
	})
}
