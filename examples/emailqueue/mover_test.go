package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func newMover(store backend, bus *symphony.Bus) *mover {
	return &mover{store: store, bus: bus, batch: 10, every: time.Millisecond, log: quiet()}
}

// messageOf returns the message that a row belongs to.
func messageOf(t *testing.T, store backend, id int64) monitor.Record {
	t.Helper()
	_, message, err := owner(t.Context(), store.database(), id)
	if err != nil {
		t.Fatal(err)
	}
	r, err := store.transport().(monitor.Finder).Find(t.Context(), message)
	if err != nil {
		t.Fatalf("message %s of row %d: %v", message, id, err)
	}
	return r
}

func live(t *testing.T, store backend) int {
	t.Helper()
	return number(t, store, on(store, `select count(*) from messenger_messages`))
}

// on names Symphony's tables in a query as the database of store does.
func on(store backend, query string) string {
	if store.database().dialect() == onPostgres {
		return strings.ReplaceAll(query, "messenger_", "symphony.messenger_")
	}
	return query
}

func TestMoveKeepsWhatTheRowAsksFor(t *testing.T) {
	eachStore(t, func(t *testing.T, store backend, bus *symphony.Bus) {
		later := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
		urgent := rowTo(1, "ok.1@example.test")
		urgent.Priority, urgent.ScheduledAt, urgent.MaxRetries = "urgent", later.Format(timeLayout), 7
		tried := rowTo(2, "ok.2@example.test")
		tried.RetryCount, tried.LastError = 2, "the cron job's"
		tired := rowTo(3, "ok.3@example.test")
		tired.RetryCount = 9
		insert(t, store, urgent, tried, tired)

		if n, err := newMover(store, bus).move(t.Context(), 10); n != 3 || err != nil {
			t.Fatalf("moved %d rows, %v", n, err)
		}
		m := messageOf(t, store, 1)
		if m.Priority != 10 || !m.ScheduledAt.Equal(later) || m.MaxRetries == nil || *m.MaxRetries != 7 || m.Key != "email_queue/1" {
			t.Errorf("priority %d, at %v, max retries %v, key %q", m.Priority, m.ScheduledAt, m.MaxRetries, m.Key)
		}
		var got EmailMessage
		if err := json.Unmarshal(m.Body, &got); err != nil {
			t.Fatal(err)
		}
		want := EmailMessage{
			ID: 1, UserID: urgent.UserID, MailboxID: urgent.MailboxID, ToEmail: urgent.ToEmail, Subject: urgent.Subject,
			HTML: urgent.HTML, FromName: urgent.FromName, FromEmail: urgent.FromEmail, Type: urgent.Type,
		}
		if got != want {
			t.Errorf("message %+v, must be %+v", got, want)
		}
		if m := messageOf(t, store, 2); m.Priority != 5 || !m.ScheduledAt.IsZero() || *m.MaxRetries != 1 {
			t.Errorf("the retries that the cron job left: %d, must be 1; priority %d, at %v", *m.MaxRetries, m.Priority, m.ScheduledAt)
		}
		if m := messageOf(t, store, 3); *m.MaxRetries != 0 {
			t.Errorf("a row without retries left has %d", *m.MaxRetries)
		}
		for id := range int64(3) {
			if r := readRow(t, store, id+1); r.Status != processing {
				t.Errorf("row %d is %s", r.ID, r.Status)
			}
		}
		if n, err := newMover(store, bus).move(t.Context(), 10); n != 0 || err != nil {
			t.Errorf("moved %d rows again, %v", n, err)
		}
	})
}

func TestPriorities(t *testing.T) {
	for word, want := range map[string]int{"low": 2, "normal": 5, "high": 8, "urgent": 10, "": 5, "unheard of": 5} {
		if got := (row{Priority: word}).priority(); got != want {
			t.Errorf("priority %q is %d, must be %d", word, got, want)
		}
	}
}

// A row that cannot become a message must neither stop the others nor vanish.
func TestMoveRefusesBadRows(t *testing.T) {
	eachStore(t, func(t *testing.T, store backend, bus *symphony.Bus) {
		large := rowTo(2, "ok.2@example.test")
		large.HTML = strings.Repeat("x", 300<<10)
		when := rowTo(3, "ok.3@example.test")
		when.ScheduledAt = "tomorrow"
		if store.database().dialect() == onPostgres {
			when.ScheduledAt = "infinity" // a column of times takes no worse
		}
		never := rowTo(4, "ok.4@example.test")
		never.ScheduledAt = "1969-01-01T00:00:00.000Z"
		nobody := rowTo(5, "")
		insert(t, store, rowTo(1, "ok.1@example.test"), large, when, never, nobody, rowTo(6, "ok.6@example.test"))

		if n, err := newMover(store, bus).move(t.Context(), 10); n != 6 || err != nil {
			t.Fatalf("dealt with %d rows, %v", n, err)
		}
		for id, reason := range map[int64]string{2: "too large", 3: "scheduled_at", 4: "time", 5: "invalid email"} {
			if r := readRow(t, store, id); r.Status != failed || !strings.Contains(r.LastError, reason) {
				t.Errorf("row %d is %s, %q; must be failed because of %q", id, r.Status, r.LastError, reason)
			}
		}
		for _, id := range []int64{1, 6} {
			if m := messageOf(t, store, id); m.Status != monitor.Pending {
				t.Errorf("message of row %d is %s", id, m.Status)
			}
		}
		if n := live(t, store); n != 2 {
			t.Errorf("%d messages, must be 2", n)
		}
	})
}

// What the transaction has claimed and dispatched is undone together.
func TestMoveIsAllOrNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, store backend, bus *symphony.Bus) {
		insert(t, store, rowTo(1, "ok.1@example.test"), rowTo(2, "ok.2@example.test"))
		breaks(t, store, "insert on email_queue_messages", "new.email_id = 2", "no link for row 2")
		if _, err := newMover(store, bus).move(t.Context(), 10); err == nil || !strings.Contains(err.Error(), "no link for row 2") {
			t.Fatalf("error %v", err)
		}
		if n := live(t, store); n != 0 {
			t.Errorf("%d messages of a transaction that was undone", n)
		}
		for _, id := range []int64{1, 2} {
			if r := readRow(t, store, id); r.Status != queued {
				t.Errorf("row %d is %s", id, r.Status)
			}
		}
		change(t, store, `delete from trouble`)
		if n, err := newMover(store, bus).move(t.Context(), 10); n != 2 || err != nil {
			t.Errorf("moved %d rows, %v", n, err)
		}
	})
}

func TestMoveOfRequeuedRows(t *testing.T) {
	eachStore(t, func(t *testing.T, store backend, bus *symphony.Bus) {
		insert(t, store, rowTo(1, "ok.1@example.test"))
		m := newMover(store, bus)
		move := func() symphony.ID {
			t.Helper()
			if n, err := m.move(t.Context(), 10); n != 1 || err != nil {
				t.Fatalf("moved %d rows, %v", n, err)
			}
			return messageOf(t, store, 1).ID
		}
		first := move()

		// A job that looks for rows that seem stuck sets it back while its message waits.
		change(t, store, `update email_queue set status = 'queued' where id = 1`)
		if _, message, err := owner(t.Context(), store.database(), 1); err != nil || !message.IsZero() {
			t.Errorf("a queued row belongs to %s, %v", message, err)
		}
		if again := move(); again != first || live(t, store) != 1 {
			t.Errorf("message %s and %d messages live, must still be %s alone", again, live(t, store), first)
		}

		// Somebody wants a mail that has failed to be sent again.
		d := receive(t, store, 1)[0]
		settle(t, store, symphony.Verdict{
			Token: d.Token, Outcome: symphony.Failed, Reason: symphony.ReasonPermanent,
			Failure: symphony.NewFailure(errors.New("550 gone")),
		})
		change(t, store, `update email_queue set status = 'queued' where id = 1`)
		if again := move(); again == first || live(t, store) != 1 {
			t.Errorf("message %s, %d live; must be a new one", again, live(t, store))
		}
	})
}

// Movers and the application at once: each row gets one message.
func TestMoversBesideEachOther(t *testing.T) {
	eachStore(t, func(t *testing.T, store backend, bus *symphony.Bus) {
		const rows = 300
		app := &application{db: store.database(), rows: rows, perSecond: 1000}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { newMover(store, bus).run(ctx) })
		}
		if err := app.run(ctx); err != nil {
			t.Fatal(err)
		}
		for ctx.Err() == nil && live(t, store) < rows {
			time.Sleep(time.Millisecond)
		}
		stop()
		wg.Wait()
		moved := number(t, store, on(store, `select count(*) from email_queue q
			join email_queue_messages l on l.email_id = q.id
			join messenger_messages m on m.id = l.message_id and m.idempotency_key = 'email_queue/' || q.id
			where q.status = 'processing'`))
		keys := number(t, store, on(store, `select count(distinct idempotency_key) from messenger_messages`))
		if moved != rows || keys != rows || live(t, store) != rows {
			t.Errorf("%d rows moved, %d messages with %d keys; must be %d each", moved, live(t, store), keys, rows)
		}
	})
}

func TestSamples(t *testing.T) {
	kinds := make(map[string]int)
	for n := range int64(1000) {
		r := sample(n+1, time.Now())
		end, err := expect(r)
		if err != nil {
			t.Fatal(err)
		}
		kinds[fmt.Sprint(end)]++
		if n == 248 && end.reason != "no answer" {
			t.Errorf("row 249: %+v", end)
		}
	}
	want := map[string]int{
		"{sent  0}": 1000 - 20 - 10 - 50 - 25 - 4 - 2, "{failed 550 0}": 20, "{failed 451 3}": 10,
		"{sent  1}": 50 + 4, "{sent  2}": 25, "{failed no answer 1}": 2,
	}
	for kind, n := range want {
		if kinds[kind] != n {
			t.Errorf("%d rows must end as %s, are %d", n, kind, kinds[kind])
		}
	}
}
