//go:build unix

package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/history"
	"github.com/symphony-messenger/symphony/transport/memory"
)

// A store is the transport under test, with what a run needs of it beyond the interfaces of all.
type store interface {
	// bare is the transport; whoever opened the store closes it. It is a monitor.Counter and a monitor.Canceller.
	bare() symphony.Transport
	// setup makes the schema, and the table of the handlers' effects.
	setup(ctx context.Context) error
	// handleTx registers a handler that the transport runs in a transaction and completes there.
	handleTx(b *symphony.Bus, fn func(context.Context, userTx, txTask) error, opts ...symphony.HandlerOption)
	// inTx runs fn in a transaction and commits it, or rolls back if fn fails.
	inTx(ctx context.Context, b *symphony.Bus, fn func(userTx) error) error
	// final is what the store holds when nobody uses it any more: IDs and Effects. Its error also
	// says what of the store's own order is broken.
	final(ctx context.Context) (history.Final, error)
}

// A userTx is a transaction of the user's own, in the store.
type userTx interface {
	dispatcher() symphony.Dispatcher
	effect(ctx context.Context, id symphony.ID) error
	complete(ctx context.Context) error
}

// stores are the names of what there is.
func stores() []string { return []string{"sqlite", "postgres", "memory"} }

// isShared reports whether processes can share the store.
func isShared(name string) bool { return name != "memory" }

// isServer reports whether a store is a server: more can happen to it.
func isServer(name string) bool { return name == "postgres" }

// A place is where the store of a run is.
type place struct {
	dsn     string  // for the run itself
	crewDSN string  // for its processes
	server  *server // nil: the store is none
}

// newPlace makes an empty store for a run in dir. The caller closes it.
func newPlace(ctx context.Context, name, dir string) (place, error) {
	switch name {
	case "memory":
		return place{dsn: filepath.Join(dir, "history")}, nil
	case "sqlite":
		return place{dsn: sqliteDSN(dir), crewDSN: sqliteDSN(dir)}, nil
	case "postgres":
		s, err := startServer(ctx, dir)
		if err != nil {
			return place{}, err
		}
		return place{dsn: s.direct(), crewDSN: s.proxied(), server: s}, nil
	}
	return place{}, fmt.Errorf("unknown store %q", name)
}

// close ends the place. What a server has said is kept in the run's directory if keep.
func (p place) close(keep bool) error {
	if p.server == nil {
		return nil
	}
	return p.server.close(keep)
}

func openStore(ctx context.Context, name, dsn string) (store, error) {
	switch name {
	case "memory":
		return memoryStore{new(memory.Transport), dsn}, nil
	case "sqlite":
		return openSQLite(ctx, dsn)
	case "postgres":
		return openPostgres(ctx, dsn)
	}
	return nil, fmt.Errorf("unknown store %q", name)
}
