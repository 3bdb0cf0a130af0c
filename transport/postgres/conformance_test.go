package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
	"github.com/symphony-messenger/symphony/transport/transporttest"
)

// openStore returns a store whose clock the suite can move.
func openStore(tb testing.TB) transporttest.Store {
	dsn := pgtest.DSN(tb)
	store := openDSN(tb, dsn, nil)
	clock := &testClock{store: store}
	return transporttest.Store{
		Transport: store,
		Reopen:    func(tb testing.TB) symphony.Transport { return openDSN(tb, dsn, nil) },
		Advance:   func(d time.Duration) { clock.advance(tb, d) },
		Begin: func(tb testing.TB) transporttest.Tx {
			tx, err := store.Pool().Begin(tb.Context())
			if err != nil {
				tb.Fatal(err)
			}
			return transporttest.Tx{
				Stamp:    store.InTx(tx),
				Complete: func(ctx context.Context) error { return store.Complete(ctx, tx) },
				Commit:   func() error { return tx.Commit(tb.Context()) },
				Rollback: func() error { return tx.Rollback(tb.Context()) },
			}
		},
	}
}

func TestConformance(t *testing.T) { transporttest.Run(t, openStore) }

func BenchmarkTransport(b *testing.B) { transporttest.Benchmark(b, openStore) }
