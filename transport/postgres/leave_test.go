package postgres

import (
	"testing"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
)

// TestLeaveWithAClaimUnderWay: a claim that was given up may be committed after its worker has left. If the worker's row were gone then, only the rare search
// for what workers have that nobody knows would find the message.
func TestLeaveWithAClaimUnderWay(t *testing.T) {
	t.Parallel()
	store := openDSN(t, pgtest.DSN(t), nil)
	ctx := t.Context()
	send := func() {
		t.Helper()
		if _, err := store.Send(ctx, []*symphony.Envelope{anEnvelope("a")}); err != nil {
			t.Fatal(err)
		}
	}
	send()
	if err := handleAll(ctx, store, 1); err != nil {
		t.Fatal(err)
	}
	worker := scalar[string](t, store, "select identity from symphony.messenger_workers")
	send()
	conn, err := store.Pool().Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	claim, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := claim.Exec(ctx, store.sql.in(`update symphony.messenger_messages set status = 'processing', token = 1, fence = 1, locked_at = symphony.clock(),
		locked_by = (select worker from symphony.messenger_workers)`)); err != nil {
		t.Fatal(err)
	}
	store.sight(worker).orphans.ask() // as a claim does that has no answer
	if err := store.Leave(ctx, worker); err != nil {
		t.Fatal(err)
	}
	if err := claim.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if n := scalar[int](t, store, "select count(*) from symphony.messenger_messages m join symphony.messenger_workers w on w.worker = m.locked_by"); n != 1 {
		t.Errorf("%d messages have a worker whose lease runs out, want 1", n)
	}
}
