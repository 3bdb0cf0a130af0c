package sqlite

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/transport/transporttest"
)

// openStore returns a store whose clock, the same for all handles on its file, the suite can move.
func openStore(tb testing.TB) transporttest.Store {
	return storeAt(tb, filepath.Join(tb.TempDir(), "test.db"))
}

func storeAt(tb testing.TB, path string) transporttest.Store {
	var ahead atomic.Int64
	reopen := func(tb testing.TB) *Transport {
		store := openFile(tb, path, nil)
		store.clock = func() int64 { return time.Now().Add(time.Duration(ahead.Load())).UnixMilli() }
		return store
	}
	store := reopen(tb)
	return transporttest.Store{
		Transport: store,
		Reopen:    func(tb testing.TB) symphony.Transport { return reopen(tb) },
		Advance:   func(d time.Duration) { ahead.Add(int64(d)) },
		Begin: func(tb testing.TB) transporttest.Tx {
			tx, err := store.DB().BeginTx(tb.Context(), nil)
			if err != nil {
				tb.Fatal(err)
			}
			return transporttest.Tx{
				Stamp:    store.InSQLTx(tx),
				Complete: func(ctx context.Context) error { return store.Complete(ctx, tx) },
				Commit:   tx.Commit,
				Rollback: tx.Rollback,
			}
		},
	}
}

func TestConformance(t *testing.T) { transporttest.Run(t, openStore) }

func BenchmarkTransport(b *testing.B) { transporttest.Benchmark(b, openStore) }

func BenchmarkMonitor(b *testing.B) { transporttest.BenchmarkMonitor(b, openStore) }
