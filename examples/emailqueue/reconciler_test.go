package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func TestReconcile(t *testing.T) {
	eachStore(t, func(t *testing.T, store backend, bus *symphony.Bus) {
		r := &reconciler{db: store.database(), every: time.Hour, log: quiet()}
		reconcile := func(want int) {
			t.Helper()
			if n, err := r.reconcile(t.Context()); n != want || err != nil {
				t.Fatalf("changed %d rows, %v; must be %d", n, err, want)
			}
		}
		const dead, cancelled, waiting, retried, cron, discarded = 1, 2, 3, 4, 5, 6
		for id := range int64(discarded) {
			insert(t, store, rowTo(id+1, "ok.1@example.test"))
		}
		if n, err := newMover(store, bus).move(t.Context(), 10); n != discarded || err != nil {
			t.Fatalf("moved %d rows, %v", n, err)
		}
		reconcile(0) // all are waiting

		verdicts := map[int64]symphony.Verdict{
			dead:      {Outcome: symphony.Failed, Reason: symphony.ReasonPermanent, Failure: symphony.NewFailure(errors.New("550 gone"))},
			cancelled: {Outcome: symphony.Cancelled, Failure: symphony.NewFailure(errors.New("not wanted"))},
			retried:   {Outcome: symphony.Retried, After: time.Hour, Failure: symphony.NewFailure(errors.New("451 busy"))},
			cron:      {Outcome: symphony.Failed, Reason: symphony.ReasonPermanent, Failure: symphony.NewFailure(errors.New("550 gone"))},
			discarded: {Outcome: symphony.Failed, Reason: symphony.ReasonPermanent, Failure: symphony.NewFailure(errors.New("550 gone"))},
		}
		ids := make(map[symphony.ID]int64)
		for id := range int64(discarded) {
			ids[messageOf(t, store, id+1).ID] = id + 1
		}
		for _, d := range receive(t, store, discarded) {
			v, ok := verdicts[ids[d.Envelope.ID]]
			if !ok {
				v = symphony.Verdict{Outcome: symphony.Released}
			}
			v.Token = d.Token
			settle(t, store, v)
		}
		// The cron job has taken a row that somebody had set back.
		change(t, store, `update email_queue set status = 'queued' where id = $1`, cron)
		change(t, store, `update email_queue set status = 'processing' where id = $1`, cron)
		// A person has discarded a dead letter before anybody looked.
		if errs, err := store.transport().(monitor.DeadLetters).DiscardFailed(t.Context(), []symphony.ID{messageOf(t, store, discarded).ID}); err != nil || errs[0] != nil {
			t.Fatal(errs, err)
		}

		reconcile(3)
		for id, want := range map[int64]struct{ status, reason string }{
			dead:      {failed, "550 gone"},
			cancelled: {failed, "cancelled or discarded"},
			discarded: {failed, "cancelled or discarded"},
			waiting:   {processing, ""},
			retried:   {processing, ""},
			cron:      {processing, ""},
		} {
			if got := readRow(t, store, id); got.Status != want.status || !strings.Contains(got.LastError, want.reason) {
				t.Errorf("row %d is %s, %q; must be %s, %q", id, got.Status, got.LastError, want.status, want.reason)
			}
		}
		reconcile(0)
	})
}

// Between the look and the change a person may retry the dead letter: the row must stay.
func TestReconcileAsksAgain(t *testing.T) {
	eachStore(t, func(t *testing.T, store backend, bus *symphony.Bus) {
		insert(t, store, rowTo(1, "ok.1@example.test"))
		if _, err := newMover(store, bus).move(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		id := messageOf(t, store, 1).ID
		db := store.database()
		n, err := db.exec(t.Context(), db.dialect().fail, "stale", 1, id[:])
		if err != nil {
			t.Fatal(err)
		}
		if n != 0 || readRow(t, store, 1).Status != processing {
			t.Errorf("changed %d rows whose message lives", n)
		}
	})
}
