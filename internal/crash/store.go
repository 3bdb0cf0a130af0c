//go:build unix

package main

import (
	"context"
	"fmt"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/history"
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
func stores() []string { return []string{"sqlite"} }

// newDSN returns the DSN of an empty store for a run in dir.
func newDSN(name, dir string) (string, error) {
	switch name {
	case "sqlite":
		return sqliteDSN(dir), nil
	}
	return "", fmt.Errorf("unknown store %q", name)
}

func openStore(ctx context.Context, name, dsn string) (store, error) {
	switch name {
	case "sqlite":
		return openSQLite(ctx, dsn)
	}
	return nil, fmt.Errorf("unknown store %q", name)
}
