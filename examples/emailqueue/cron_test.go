package main

import (
	"strings"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
)

func TestCronJob(t *testing.T) {
	eachStore(t, func(t *testing.T, store backend, _ *symphony.Bus) {
		server := startMail(t)
		db := store.database()
		c := &cronJob{db: db, mail: &mailer{addr: server.Addr(), name: "cron", timeout: 10 * time.Second}, batch: 10, every: time.Millisecond, log: quiet()}

		later := rowTo(4, "ok.4@example.test")
		later.ScheduledAt = time.Now().Add(time.Hour).UTC().Format(timeLayout)
		moved := rowTo(5, "ok.5@example.test")
		moved.Status = processing
		insert(t, store, rowTo(1, "ok.1@example.test"), rowTo(2, "gone.2@example.test"), rowTo(3, "busy.3@example.test"), later, moved)
		for deadline := time.Now().Add(20 * time.Second); readRow(t, store, 3).Status != failed && time.Now().Before(deadline); {
			if err := c.tick(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for id, want := range map[int64]struct {
			status, reason string
			retries        int
		}{
			1: {sent, "", 0},
			2: {failed, "550", 0},
			3: {failed, "451", 3},
			4: {queued, "", 0},     // not due
			5: {processing, "", 0}, // not its own
		} {
			r := readRow(t, store, id)
			if r.Status != want.status || r.RetryCount != want.retries || !strings.Contains(r.LastError, want.reason) {
				t.Errorf("row %d is %s after %d retries, %q; must be %s after %d, %q", id, r.Status, r.RetryCount, r.LastError, want.status, want.retries, want.reason)
			}
		}
		if n := server.Count(); n != 1 {
			t.Errorf("%d mails taken, must be 1", n)
		}
	})
}
