package postgres

import (
	"cmp"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
	"github.com/symphony-messenger/symphony/transport/transporttest"
)

// An exchanging store is an Exchanger, for the cases that need one. Workers are faster without: their claims and their verdicts
// are on their way at the same time.
type exchanging struct{ *Transport }

func (t exchanging) Unwrap() symphony.Transport { return t.Transport }

func (t exchanging) Exchange(ctx context.Context, verdicts []symphony.Verdict, c symphony.Claim) ([]symphony.Delivery, error) {
	refused := t.Settle(ctx, verdicts)
	if refused != nil && !errors.Is(refused, symphony.ErrLeaseLost) && !errors.Is(refused, symphony.ErrNotCommitted) {
		return nil, refused
	}
	ds, err := t.tryReceive(ctx, c)
	return ds, errors.Join(refused, err)
}

// openStore returns a store whose clock the suite can move.
func openStore(tb testing.TB) transporttest.Store { return storeAt(tb, pgtest.DSN(tb), nil) }

// storeAt opens the store of a DSN; owner moves its clock, if that is not for the user of the DSN.
func storeAt(tb testing.TB, dsn string, owner *Transport) transporttest.Store {
	store := openDSN(tb, dsn, nil)
	clock := &testClock{store: cmp.Or(owner, store)}
	return transporttest.Store{
		Transport: exchanging{store},
		Reopen:    func(tb testing.TB) symphony.Transport { return openDSN(tb, dsn, nil) },
		Advance: func(d time.Duration) {
			clock.advance(tb, d)
			unseen(store)
		},
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

func BenchmarkMonitor(b *testing.B) { transporttest.BenchmarkMonitor(b, openStore) }
