package main

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/examples/emailqueue/mailserver"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/retry"
)

// startWorker moves all rows and sends them until the test ends.
func startWorker(t *testing.T, store backend, bus *symphony.Bus, server *mailserver.Server) {
	t.Helper()
	if _, err := newMover(store, bus).move(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	work(t, bus, &sender{store: store, bus: bus, mail: mailerTo(server), log: quiet()})
}

func mailerTo(server *mailserver.Server) *mailer {
	return &mailer{addr: server.Addr(), name: "tester", timeout: 10 * time.Second}
}

// work runs a worker with s until the test ends.
func work(t *testing.T, bus *symphony.Bus, s *sender) {
	t.Helper()
	symphony.Handle(bus, s.handle, symphony.Retry(retry.Exponential{Delay: time.Millisecond}))
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := (&symphony.Worker{Bus: bus, Concurrency: 4, Logger: quiet()}).Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		stop()
		wg.Wait()
	})
}

// ends waits until the message of a row is in a state.
func ends(t *testing.T, store backend, id symphony.ID, want monitor.Status) {
	t.Helper()
	var got monitor.Record
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		var err error
		if got, err = store.transport().(monitor.Finder).Find(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if got.Status == want {
			return
		}
	}
	t.Fatalf("message %s is %s (%s), must be %s", id, got.Status, got.LastError, want)
}

// check compares how a row stands.
func check(t *testing.T, store backend, id int64, want outcome) {
	t.Helper()
	r := readRow(t, store, id)
	if r.Status != want.status || r.RetryCount != want.retries || !strings.Contains(r.LastError, want.reason) || want.reason == "" && r.LastError != "" {
		t.Errorf("row %d is %s after %d retries, %q; must be %+v", id, r.Status, r.RetryCount, r.LastError, want)
	}
}

func TestSenderWritesBack(t *testing.T) {
	eachStore(t, func(t *testing.T, store backend, bus *symphony.Bus) {
		server := startMail(t)
		tried := rowTo(4, "busy-1.4@example.test")
		tried.RetryCount = 2 // by the cron job
		insert(t, store, rowTo(1, "ok.1@example.test"), rowTo(2, "gone.2@example.test"), rowTo(3, "busy.3@example.test"), tried)
		startWorker(t, store, bus, server)
		for id, end := range map[int64]monitor.Status{1: monitor.Completed, 2: monitor.Failed, 3: monitor.Failed, 4: monitor.Completed} {
			ends(t, store, messageOf(t, store, id).ID, end)
		}
		check(t, store, 1, outcome{sent, "", 0})
		check(t, store, 2, outcome{processing, "550", 0}) // until the reconciler has looked
		check(t, store, 3, outcome{processing, "451", 3})
		check(t, store, 4, outcome{sent, "", 3})
		if n, err := (&reconciler{db: store.database(), log: quiet()}).reconcile(t.Context()); n != 2 || err != nil {
			t.Errorf("reconciled %d rows, %v", n, err)
		}
		check(t, store, 2, outcome{failed, "550", 0})
		check(t, store, 3, outcome{failed, "451", 3})
		if m := messageOf(t, store, 2); m.Reason != symphony.ReasonPermanent || len(m.Attempts) != 1 {
			t.Errorf("message of row 2: %s after %d attempts", m.Reason, len(m.Attempts))
		}
		if m := messageOf(t, store, 3); m.Reason != symphony.ReasonExhausted || len(m.Attempts) != 4 {
			t.Errorf("message of row 3: %s after %d attempts", m.Reason, len(m.Attempts))
		}
		if n := server.Count(); n != 2 {
			t.Errorf("%d mails taken, must be 2", n)
		}
	})
}

// A message whose row belongs to somebody else by now, or to nobody, sends nothing.
func TestSenderAsksTheRow(t *testing.T) {
	eachStore(t, func(t *testing.T, store backend, bus *symphony.Bus) {
		server := startMail(t)
		insert(t, store, rowTo(1, "ok.1@example.test"), rowTo(2, "ok.2@example.test"), rowTo(3, "ok.3@example.test"))
		if _, err := newMover(store, bus).move(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		want := map[symphony.ID]monitor.Status{
			messageOf(t, store, 1).ID: monitor.Completed, // sent already
			messageOf(t, store, 2).ID: monitor.Cancelled, // set back to queued
			messageOf(t, store, 3).ID: monitor.Cancelled, // deleted
		}
		change(t, store, `update email_queue set status = 'sent' where id = 1`)
		change(t, store, `update email_queue set status = 'queued' where id = 2`)
		change(t, store, `delete from email_queue where id = 3`)
		work(t, bus, &sender{store: store, bus: bus, mail: mailerTo(server), log: quiet()})
		for id, status := range want {
			ends(t, store, id, status)
		}
		if n := server.Count(); n != 0 {
			t.Errorf("%d mails sent", n)
		}
		check(t, store, 2, outcome{queued, "", 0})
	})
}

// Once the server has the mail, trouble with the database must not send it again.
func TestSenderInsists(t *testing.T) {
	eachStore(t, func(t *testing.T, store backend, bus *symphony.Bus) {
		server := startMail(t)
		insert(t, store, rowTo(1, "ok.1@example.test"))
		breaks(t, store, "update of status on email_queue", "new.status = 'sent'", "trouble")
		if _, err := newMover(store, bus).move(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		complaints := make(chan struct{}, 100)
		log := slog.New(slog.NewTextHandler(writer(func() { complaints <- struct{}{} }), nil))
		work(t, bus, &sender{store: store, bus: bus, mail: mailerTo(server), log: log})
		for range 3 {
			select {
			case <-complaints:
			case <-time.After(20 * time.Second):
				t.Fatal("it does not try again")
			}
		}
		check(t, store, 1, outcome{processing, "", 0})
		change(t, store, `delete from trouble`)
		ends(t, store, messageOf(t, store, 1).ID, monitor.Completed)
		check(t, store, 1, outcome{sent, "", 0})
		if n := server.Count(); n != 1 {
			t.Errorf("%d mails taken, must be 1", n)
		}
	})
}

// A writer is told of each line of a log.
type writer func()

func (w writer) Write(line []byte) (int, error) { w(); return len(line), nil }

// A person who retries a dead letter gets the row going again.
func TestSenderAfterRetryOfDeadLetter(t *testing.T) {
	eachStore(t, func(t *testing.T, store backend, bus *symphony.Bus) {
		server := startMail(t)
		r := rowTo(1, "busy-1.1@example.test")
		r.MaxRetries = 0
		insert(t, store, r)
		startWorker(t, store, bus, server)
		id := messageOf(t, store, 1).ID
		ends(t, store, id, monitor.Failed)
		if n, err := (&reconciler{db: store.database(), log: quiet()}).reconcile(t.Context()); n != 1 || err != nil {
			t.Errorf("reconciled %d rows, %v", n, err)
		}
		check(t, store, 1, outcome{failed, "451", 0})
		if errs, err := store.transport().(monitor.DeadLetters).RetryFailed(t.Context(), []symphony.ID{id}); err != nil || errs[0] != nil {
			t.Fatal(errs, err)
		}
		ends(t, store, id, monitor.Completed)
		check(t, store, 1, outcome{sent, "", 0})
	})
}
