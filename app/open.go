package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/transport/memory"
	"github.com/symphony-messenger/symphony/transport/postgres"
	"github.com/symphony-messenger/symphony/transport/sqlite"
)

// ErrDSN is matched by the errors of [Open] for a DSN that is wrong, whatever the state of the store.
var ErrDSN = errors.New("wrong DSN")

// A Store says how a transport is opened. Zero fields but DSN are the transport's own defaults; memory:// and
// sync:// have only those.
type Store struct {
	DSN       string        // see [Open]
	Name      string        // of the transport, beside its dead letters
	History   string        // full, meta or off: what is kept of completed messages
	Retention time.Duration // of history
	Logger    *slog.Logger
}

// An opener opens the transport of one scheme.
type opener func(ctx context.Context, s Store) (symphony.Transport, error)

// openers is every scheme that Open knows.
func openers() map[string]opener {
	server := func(ctx context.Context, s Store) (symphony.Transport, error) {
		return postgres.Open(ctx, s.DSN, &postgres.Options{
			Name: s.Name, History: postgres.HistoryMode(s.History), Retention: s.Retention, Logger: s.Logger,
		})
	}
	return map[string]opener{
		"postgres":   server,
		"postgresql": server, // the scheme that PostgreSQL's own tools write
		"sqlite": func(ctx context.Context, s Store) (symphony.Transport, error) {
			return sqlite.Open(ctx, s.DSN, &sqlite.Options{
				Name: s.Name, History: sqlite.HistoryMode(s.History), Retention: s.Retention, Logger: s.Logger,
			})
		},
		"memory": func(_ context.Context, s Store) (symphony.Transport, error) {
			return &memory.Transport{}, nothingBehind(s.DSN)
		},
		"sync": func(_ context.Context, s Store) (symphony.Transport, error) {
			return nil, nothingBehind(s.DSN)
		},
	}
}

// nothingBehind refuses names and options of a transport that has none.
func nothingBehind(dsn string) error {
	if _, rest, _ := strings.Cut(dsn, "://"); rest != "" {
		return errors.New("nothing may follow the ://")
	}
	return nil
}

// Open opens the transport that dsn names:
//
//	sqlite:///abs/file.db, sqlite://relative.db   options ?synchronous=full|normal|extra&busy_timeout=5s
//	postgres://user:password@host:5432/database   PostgreSQL, 14 or later; also postgresql://
//	memory://                                     in this process
//	sync://                                       no transport: nil, messages are handled in place
//
// The options of PostgreSQL are those of libpq, such as sslmode=verify-full, and
//
//	schema=symphony     where the tables are
//	pool=10             connections for the caller's transactions
//	pgbouncer=true      a pooler in transaction mode stands in between: no LISTEN, no prepared statements; also
//	                    without it at port 6543
//	listen_dsn=…        a way around it for the connection that is told of new messages, percent-encoded
//
// Open neither connects to a store nor creates or migrates one. The caller closes the transport with
// [Close]. Errors match [ErrDSN] and never show what may be a password.
func Open(ctx context.Context, dsn string, logger *slog.Logger) (symphony.Transport, error) {
	return Store{DSN: dsn, Logger: logger}.Open(ctx)
}

// Open is as the function [Open].
func (s Store) Open(ctx context.Context) (symphony.Transport, error) {
	known := openers()
	scheme, _, ok := strings.Cut(s.DSN, "://")
	open := known[scheme]
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: it has no scheme, %s", ErrDSN, list(known))
	case open == nil:
		return nil, fmt.Errorf("%w: unknown scheme %.30q, %s", ErrDSN, scheme, list(known))
	}
	t, err := open(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("%w: %s://: %w", ErrDSN, scheme, err)
	}
	return t, nil
}

func list(known map[string]opener) string {
	return "known are " + strings.Join(slices.Sorted(maps.Keys(known)), "://, ") + "://"
}

// Close closes t and what it wraps, if they hold anything. t may be nil.
func Close(t symphony.Transport) error {
	if c, ok := symphony.As[io.Closer](t); ok {
		return c.Close()
	}
	return nil
}
