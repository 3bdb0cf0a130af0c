package postgres

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
	"github.com/symphony-messenger/symphony/monitor"
)

// exact compares the counters of the walk's queue with its rows.
func (w *pathWalk) exact(ctx context.Context) {
	counts, err := w.store.Counts(ctx)
	if err != nil {
		w.Fatal("Counts:", err)
	}
	got := make(map[monitor.Status]int64)
	for _, c := range counts.Counts {
		if c.Queue == w.queue {
			got[c.Status] += c.N
		}
	}
	conn, err := pgx.Connect(ctx, w.store.config.adminDSN(w.T))
	if err != nil {
		w.Fatal(err)
	}
	defer conn.Close(ctx)
	want := make(map[monitor.Status]int64)
	rows, err := conn.Query(ctx, `select status::text, count(*) from symphony.messenger_messages where queue_name = $1 group by 1
union all select 'failed', count(*) from symphony.messenger_failed_messages where queue_name = $1 having count(*) > 0
union all select status::text, count(*) from symphony.messenger_history where queue_name = $1 group by 1`, w.queue)
	if err != nil {
		w.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var status string
		var n int64
		if err := rows.Scan(&status, &n); err != nil {
			w.Fatal(err)
		}
		want[monitor.Status(status)] = n
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.Error("counts (- there, + counted):", diff)
	}
}

// adminDSN is the same database, as the superuser.
func (c *config) adminDSN(t *testing.T) string {
	return pgtest.Server(t).DSN(c.conn.Database)
}

// TestHostilePathLosesNothing: a receipt of a send in a transaction of the caller's is a promise, whatever his search_path finds.
func TestHostilePathLosesNothing(t *testing.T) {
	t.Parallel()
	dsn := roleDSN(t, roleSettings["hostile path"])
	store := openDSN(t, dsn, nil)
	for name, change := range map[string]func(*symphony.Envelope){"plain": func(*symphony.Envelope) {}, "group": inGroup("g")} {
		env := anEnvelope("a", change)
		tx, err := store.Pool().Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = txSender{store, inTx(tx)}.Send(t.Context(), []*symphony.Envelope{env})
		if err != nil {
			_ = tx.Rollback(t.Context())
			continue // refused is not lost
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := copiesOf(t, store, env.ID); n != 1 {
			t.Errorf("%s: there is a receipt and a commit, and the message is there %d times", name, n)
		}
	}
}

// TestInTxInEveryMode: the transaction is on a pool of the caller's that sends statements in its own way.
func TestInTxInEveryMode(t *testing.T) {
	t.Parallel()
	dsn := roleDSN(t, nil)
	store := openDSN(t, dsn, nil)
	for mode, how := range map[string]pgx.QueryExecMode{
		"simple": pgx.QueryExecModeSimpleProtocol, "exec": pgx.QueryExecModeExec, "describe": pgx.QueryExecModeDescribeExec,
		"cache describe": pgx.QueryExecModeCacheDescribe, "cache statement": pgx.QueryExecModeCacheStatement,
	} {
		t.Run(mode, func(t *testing.T) {
			c, err := pgxpool.ParseConfig(dsn)
			if err != nil {
				t.Fatal(err)
			}
			c.ConnConfig.DefaultQueryExecMode = how
			pool, err := pgxpool.NewWithConfig(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			for name, change := range map[string]func(*symphony.Envelope){
				"plain": func(e *symphony.Envelope) {
					e.Headers, e.Tags, e.At = map[string]string{"a": "b"}, []string{"x"}, time.Now().Add(-time.Hour)
				},
				"key": withKey("k"+mode, time.Hour),
			} {
				env := anEnvelope("a", change)
				env.Body = []byte("\x00\xff'\\")
				tx, err := pool.Begin(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := (txSender{store, inTx(tx)}).Send(t.Context(), []*symphony.Envelope{env}); err != nil {
					t.Errorf("%s: %v", name, err)
					_ = tx.Rollback(t.Context())
					continue
				}
				if err := tx.Commit(t.Context()); err != nil {
					t.Fatal(err)
				}
				d, err := store.Receive(t.Context(), claimFor("w", 1))
				if err != nil || !bytes.Equal(d[0].Envelope.Body, env.Body) {
					t.Fatal(d, err)
				}
				if tx, err = pool.Begin(t.Context()); err != nil {
					t.Fatal(err)
				}
				refused, err := store.settle(t.Context(), inTx(tx), []symphony.Verdict{{Token: d[0].Token, Outcome: symphony.Completed}})
				if refused != nil || err != nil {
					t.Errorf("%s: completed in a transaction: %v, %v", name, refused, err)
				}
				if err := tx.Commit(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
