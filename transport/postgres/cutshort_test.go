package postgres

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
	"github.com/symphony-messenger/symphony/internal/sleep"
)

// TestCutShort: a statement that the server ends, because it takes longer than the role's may, is tried again.
func TestCutShort(t *testing.T) {
	t.Parallel()
	const most = 200 * time.Millisecond
	dsn := pgtest.DSN(t)
	owner := openDSN(t, dsn, nil)
	admin := adminConn(t, owner.config.conn.ConnString())
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("statement_timeout", fmt.Sprint(most.Milliseconds()))
	u.RawQuery = q.Encode()
	store := openDSNOnly(t, u.String(), nil)
	var ds []symphony.Delivery
	for _, call := range []struct {
		name string
		do   func() error
	}{
		{"Send", func() error {
			_, err := store.Send(t.Context(), []*symphony.Envelope{anEnvelope("a")})
			return err
		}},
		{"Receive", func() (err error) {
			ds, err = store.Receive(t.Context(), claimFor("w", 1))
			return err
		}},
		{"Settle", func() error {
			return store.Settle(t.Context(), []symphony.Verdict{{Token: ds[0].Token, Outcome: symphony.Completed}})
		}},
	} {
		mustExec(t, admin, store.sql.in("begin; lock table symphony.messenger_stats_deltas, symphony.messenger_messages in access exclusive mode"))
		done := make(chan error, 1)
		go func() { done <- call.do() }()
		_ = sleep.For(t.Context(), 2*most) // the time is what the test is about
		select {
		case err := <-done:
			t.Fatalf("%s ended with %v while the tables were locked", call.name, err)
		default:
		}
		mustExec(t, admin, "rollback")
		if err := <-done; err != nil {
			t.Fatalf("%s: %v", call.name, err)
		}
	}
}
