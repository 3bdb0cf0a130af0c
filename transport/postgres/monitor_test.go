package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// TestExamineFigures: what keeps dead rows is found and named, and tables are measured with their partitions.
func TestExamineFigures(t *testing.T) {
	t.Parallel()
	store := openTest(t, nil)
	conn := adminConn(t, store.config.conn.ConnString())
	mustExec(t, conn, "set application_name = 'a long report'; begin isolation level repeatable read; select count(*) from pg_class")
	var got map[string]monitor.Check
	eventually(t, "the long transaction is found", func() bool {
		got = found(t, store.Examine(t.Context()))
		for _, held := range got["transactions"].Holders {
			if held.Kind == "transaction" && held.Name == "a long report" && held.Age >= time.Second && held.PID > 0 && !held.Ours {
				return true
			}
		}
		return false
	})
	sizes := make(map[string]monitor.Table)
	for _, table := range got["bloat"].Tables {
		sizes[table.Name] = table
	}
	if m := sizes["messenger_messages"]; m.Bytes == 0 || m.Parts != 0 {
		t.Errorf("messages: %+v", m)
	}
	if m := sizes["messenger_history"]; m.Bytes == 0 || m.Parts < 2 {
		t.Errorf("history: %+v", m)
	}
	if _, listed := sizes["messenger_history_default"]; listed {
		t.Error("a partition is listed as a table")
	}
}

// TestPausedTypesAreSetAside: workers move what is paused out of the index that claims walk, also what was more than one step, and
// bring it back; those that were claimed or expire meanwhile are not disturbed.
func TestPausedTypesAreSetAside(t *testing.T) {
	t.Parallel()
	store := openTest(t, nil)
	const n = 3*asideRows + 10
	for from := 0; from < n; from += 1000 {
		var envs []*symphony.Envelope
		for range min(1000, n-from) {
			envs = append(envs, anEnvelope("paused"))
		}
		if _, err := store.Send(t.Context(), envs); err != nil {
			t.Fatal(err)
		}
	}
	p := monitor.Pause{Kind: monitor.PausedType, Name: "paused"}
	if err := store.Pause(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	aside := func() int {
		return scalar[int](t, store, store.sql.in("select count(*) from symphony.messenger_messages where waiting_for = 'paused'"))
	}
	store.service.start()
	eventually(t, "all are set aside", func() bool { return aside() == n })
	if _, err := store.Send(t.Context(), []*symphony.Envelope{anEnvelope("paused")}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one that was sent later is, too", func() bool { return aside() == n+1 })
	countsAreExact(t, store)
	if err := store.Resume(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all are back", func() bool { return aside() == 0 })
	countsAreExact(t, store)
	if ps, err := store.Pauses(t.Context()); err != nil || len(ps) > 1 || len(ps) == 1 && !ps[0].Resuming {
		t.Errorf("pauses %+v, %v", ps, err)
	}
	mustExec(t, store.work, store.sql.in("update symphony.messenger_pauses set resumed_at = resumed_at - interval '1 hour'"))
	eventually(t, "the pause is forgotten", func() bool {
		ps, err := store.Pauses(t.Context())
		return err == nil && len(ps) == 0
	})
}

// TestSearchWhileBusy: neither the search nor what it looks at waits for the other, and what is in a transaction is not seen.
func TestSearchWhileBusy(t *testing.T) {
	t.Parallel()
	store := openTest(t, nil)
	env := anEnvelope("busy")
	if _, err := store.Send(t.Context(), []*symphony.Envelope{env}); err != nil {
		t.Fatal(err)
	}
	tx, err := store.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), store.sql.in("update symphony.messenger_messages set priority = 9")); err != nil {
		t.Fatal(err)
	}
	page, err := store.Messages(t.Context(), monitor.Search{Type: "busy"})
	if err != nil || len(page.Records) != 1 || page.Records[0].Priority == 9 {
		t.Errorf("%+v, %v", page, err)
	}
	// A change waits 2 s for the lock, and then says so.
	if _, err := store.Prioritize(t.Context(), []symphony.ID{env.ID}, 3); err == nil {
		t.Error("changed although somebody has it locked")
	}
}
