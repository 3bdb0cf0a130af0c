package postgres

import (
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
)

// TestHistoryNamesTheWorker: each ended message has the name of the worker of its last attempt, whoever else's verdicts came with it.
func TestHistoryNamesTheWorker(t *testing.T) {
	store := openTest(t, nil)
	workers := []string{"a", "b", "c"}
	var verdicts []symphony.Verdict
	handled := make(map[symphony.ID]string)
	for _, worker := range workers {
		env := sendOne(t, store, func(*symphony.Envelope) {})
		ds, err := store.Receive(t.Context(), symphony.Claim{Worker: worker, Queues: []symphony.QueueClaim{{Name: env.Queue}}, Max: 10, Lease: time.Minute})
		if err != nil || len(ds) != 1 {
			t.Fatal(ds, err)
		}
		handled[env.ID] = worker
		verdicts = append(verdicts, symphony.Verdict{Token: ds[0].Token, Outcome: symphony.Completed})
	}
	if err := store.Settle(t.Context(), verdicts); err != nil {
		t.Fatal(err)
	}
	for id, worker := range handled {
		var got string
		err := store.work.QueryRow(t.Context(), store.sql.in("select locked_by from symphony.messenger_history where id = $1"), [16]byte(id)).Scan(&got)
		if err != nil || got != worker {
			t.Errorf("history says %q, %v, want %q", got, err, worker)
		}
	}
}
