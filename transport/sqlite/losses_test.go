package sqlite

import (
	"context"
	"database/sql"
	"flag"
	"testing"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/transport/transporttest"
)

var losses = flag.Int("losses", 200, "leases that are taken away in TestLeaseLosses, for each way of giving a verdict")

func TestLeaseLosses(t *testing.T) {
	way := func(name string, handle func(*symphony.Bus, *Transport)) transporttest.TxWay {
		return transporttest.TxWay{Name: name, Open: func(tb testing.TB) (transporttest.Store, func(*symphony.Bus), func() int) {
			s := openStore(tb)
			store, _ := s.Transport.(*Transport)
			if _, err := store.DB().ExecContext(tb.Context(), "create table effects (n integer not null)"); err != nil {
				tb.Fatal(err)
			}
			return s, func(b *symphony.Bus) { handle(b, store) }, func() (n int) {
				if err := store.DB().QueryRowContext(tb.Context(), "select count(*) from effects").Scan(&n); err != nil {
					tb.Error(err)
				}
				return n
			}
		}}
	}
	effect := func(ctx context.Context, tx *sql.Tx, m transporttest.Loss) error {
		_, err := tx.ExecContext(ctx, "insert into effects (n) values (?)", m.N)
		return err
	}
	transporttest.Losses(
		t, openStore, *losses,
		way("HandleTx", func(b *symphony.Bus, store *Transport) { HandleTx(b, store, effect) }),
		way("Complete", func(b *symphony.Bus, store *Transport) {
			symphony.Handle(b, func(ctx context.Context, m transporttest.Loss) error {
				return store.Tx(ctx, b, func(tx *sql.Tx, _ symphony.Dispatcher) error {
					if err := effect(ctx, tx, m); err != nil {
						return err
					}
					return store.Complete(ctx, tx)
				})
			})
		}),
	)
}
