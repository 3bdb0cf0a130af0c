package sqlite

import (
	"slices"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// TestBatchWithARowThatIsThere: a batch is written by the twenty; one of them that is stored already
// must not keep the others out, nor count twice.
func TestBatchWithARowThatIsThere(t *testing.T) {
	store := openTest(t, nil)
	var envs []*symphony.Envelope
	for range 3*rowsPerInsert + 7 {
		envs = append(envs, newEnvelope("a"))
	}
	for _, first := range []int{5, rowsPerInsert + 3, 3*rowsPerInsert + 1} {
		if err := send(t.Context(), store, envs[first]); err != nil {
			t.Fatal(err)
		}
	}
	rs, err := store.Send(t.Context(), envs)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rs {
		if r.Duplicate || r.ID != envs[i].ID {
			t.Errorf("receipt %d is %+v", i, r)
		}
	}
	var n int64
	if err := store.db.QueryRowContext(t.Context(), "select count(*) from messenger_messages").Scan(&n); err != nil || n != int64(len(envs)) {
		t.Fatal(n, err)
	}
	if counted := count(t, store, monitor.Pending); counted != n {
		t.Errorf("%d are counted, %d are there", counted, n)
	}
}

// TestBatchWithARefusedRow: all or none, also across the statements of a batch.
func TestBatchWithARefusedRow(t *testing.T) {
	store := openTest(t, nil)
	var envs []*symphony.Envelope
	for i := range 2*rowsPerInsert + 5 {
		envs = append(envs, newEnvelope("a", func(e *symphony.Envelope) {
			if i == rowsPerInsert+2 {
				e.Priority = 11 // a bus refuses it before; the table's CHECK does here
			}
		}))
	}
	if _, err := store.Send(t.Context(), envs); err == nil {
		t.Fatal("a row that breaks a CHECK was accepted")
	}
	if n := count(t, store, monitor.Pending); n != 0 {
		t.Fatalf("%d messages of a batch that failed are there", n)
	}
}

// TestRepeatedSendOfAnEndedMessage: a key names its message beyond its end, so that a send whose
// outcome was unknown can be repeated late.
func TestRepeatedSendOfAnEndedMessage(t *testing.T) {
	store := openTest(t, nil)
	env := newEnvelope("a", func(e *symphony.Envelope) { e.Key, e.Window = "k", time.Hour })
	for range 2 {
		if err := send(t.Context(), store, env); err != nil {
			t.Fatal(err)
		}
	}
	ds, err := store.Receive(t.Context(), claimOf("w", 9))
	if err != nil || len(ds) != 1 {
		t.Fatal(len(ds), err)
	}
	if err := store.Settle(t.Context(), []symphony.Verdict{{Token: ds[0].Token, Outcome: symphony.Completed}}); err != nil {
		t.Fatal(err)
	}
	rs, err := store.Send(t.Context(), []*symphony.Envelope{env})
	if err != nil || rs[0].Duplicate || rs[0].ID != env.ID {
		t.Fatal(rs, err)
	}
	if n := count(t, store, monitor.Pending); n != 0 {
		t.Fatal("an ended message was stored again")
	}
}

// TestOrderWithinABatch: keys and groups are written apart from the rest, in their places.
func TestOrderWithinABatch(t *testing.T) {
	store := openTest(t, nil)
	var envs []*symphony.Envelope
	for i := range 50 {
		envs = append(envs, newEnvelope("a", func(e *symphony.Envelope) {
			switch {
			case i%7 == 3:
				e.Key = string(rune('a' + i))
			case i%11 == 5:
				e.Group = string(rune('a' + i))
			}
		}))
	}
	if _, err := store.Send(t.Context(), envs); err != nil {
		t.Fatal(err)
	}
	ds, err := store.Receive(t.Context(), claimOf("w", 100))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(ds, envs, func(d symphony.Delivery, e *symphony.Envelope) bool { return d.Envelope.ID == e.ID }) {
		t.Error("the batch is claimed in another order than it was sent in")
	}
}
