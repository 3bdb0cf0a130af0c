package postgres

import (
	"context"
	"database/sql"
	"flag"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/transport/transporttest"
)

var losses = flag.Int("losses", 200, "leases that are taken away in TestLeaseLosses, for each way of giving a verdict")

func TestLeaseLosses(t *testing.T) {
	way := func(name string, handle func(*symphony.Bus, *Transport, string)) transporttest.TxWay {
		return transporttest.TxWay{Name: name, Open: func(tb testing.TB) (transporttest.Store, func(*symphony.Bus), func() int) {
			s := openStore(tb)
			store, _ := symphony.As[exchanging](s.Transport)
			table := store.sql.in("symphony.effects")
			if _, err := store.Pool().Exec(tb.Context(), "create table "+table+" (n integer not null)"); err != nil {
				tb.Fatal(err)
			}
			insert := "insert into " + table + " (n) values ($1)"
			return s, func(b *symphony.Bus) { handle(b, store.Transport, insert) }, func() (n int) {
				if err := store.Pool().QueryRow(tb.Context(), "select count(*) from "+table).Scan(&n); err != nil {
					tb.Error(err)
				}
				return n
			}
		}}
	}
	transporttest.Losses(
		t, openStore, *losses,
		way("HandleTx", func(b *symphony.Bus, store *Transport, insert string) {
			HandleTx(b, store, func(ctx context.Context, tx pgx.Tx, m transporttest.Loss) error {
				_, err := tx.Exec(ctx, insert, m.N)
				return err
			})
		}),
		way("Complete", func(b *symphony.Bus, store *Transport, insert string) {
			symphony.Handle(b, func(ctx context.Context, m transporttest.Loss) error {
				return pgx.BeginFunc(ctx, store.Pool(), func(tx pgx.Tx) error {
					if _, err := tx.Exec(ctx, insert, m.N); err != nil {
						return err
					}
					return store.Complete(ctx, tx)
				})
			})
		}),
		way("CompleteSQL", func(b *symphony.Bus, store *Transport, insert string) {
			symphony.Handle(b, func(ctx context.Context, m transporttest.Loss) error {
				db := stdlib.OpenDBFromPool(store.Pool())
				defer db.Close()
				return completeSQL(ctx, store, db, insert, m.N)
			})
		}),
	)
}

func completeSQL(ctx context.Context, store *Transport, db *sql.DB, insert string, n int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if _, err := tx.ExecContext(ctx, insert, n); err != nil {
		return err
	}
	if err := store.CompleteSQL(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}
