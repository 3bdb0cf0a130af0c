package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/transport/sqlite"
)

// TestMain makes the test binary the program as well: the demonstration starts its executable again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "worker" || os.Args[1] == "cron") {
		if err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// TestKills is the main job: every row ends as it must though ten workers are killed meanwhile, and no
// mail is sent twice without a kill being the reason.
//
// The processes are the program as users build it: with the race detector SQLite is some ten times
// slower, and 5,000 rows would take minutes. TestProgram runs processes that have it. SQLite need not
// survive a loss of power here.
func TestKills(t *testing.T) {
	program := filepath.Join(t.TempDir(), "emailqueue")
	if built, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, built)
	}
	var out bytes.Buffer
	d := demonstration{rows: 5000, kills: 10, workers: 3, perSecond: 250, sync: "normal", dir: t.TempDir(), executable: program}
	d.out = io.MultiWriter(&out, os.Stdout) // as it is, so that the last line of a test that passes is the report
	r, err := d.run(t.Context())
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(d.dir, logName))
		t.Fatalf("%v\nthe end of %s:\n%s", err, logName, log[max(0, len(log)-20_000):])
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var last report
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last != r {
		t.Errorf("last line %s (%v), must be the report %+v", lines[len(lines)-1], err, r)
	}
	if r.Rows != 5000 || r.Kills != 10 || r.Left != 0 || r.Sent+r.Dead != r.Rows || r.Twice != r.TwiceExplained {
		t.Errorf("%+v", r)
	}
	want := 0
	for n := range int64(5000) {
		end, err := expect(sample(n+1, time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		if end.status == failed {
			want++
		}
	}
	if r.Dead != want {
		t.Errorf("%d rows failed, must be %d", r.Dead, want)
	}
	byCron := 0
	for _, m := range d.mail.Taken() {
		if m.SentBy == "cron" {
			byCron++
		}
	}
	if byCron == 0 || byCron == len(d.mail.Taken()) {
		t.Errorf("the cron job sent %d of %d mails: nothing was shared", byCron, len(d.mail.Taken()))
	}
}

// TestProgram runs the program as a user does.
func TestProgram(t *testing.T) {
	dir := t.TempDir()
	var out, errs bytes.Buffer
	args := []string{"-rows", "60", "-workers", "1", "-dir", dir}
	if err := run(t.Context(), args, &out, &errs); err != nil || errs.Len() > 0 {
		t.Fatalf("%v\n%s%s", err, &out, &errs)
	}
	// Of 60 rows, numbers 7 and 57 have no mailbox and 13 is always busy.
	last := `{"rows":60,"sent":57,"retried":6,"dead":3,"kills":0,"twice":0,"twice_explained":0,"left":0}`
	if !strings.HasSuffix(out.String(), "\n"+last+"\n") {
		t.Errorf("the last line must be %s\n%s", last, &out)
	}
	if _, err := os.Stat(filepath.Join(dir, databaseName)); err != nil {
		t.Errorf("the database is not kept: %v", err)
	}
	if err := run(t.Context(), args, &out, &errs); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("second run in the same folder: %v, must refuse it", err)
	}
}

func TestProgramRefusesArguments(t *testing.T) {
	for _, args := range [][]string{
		{"-rows", "0"}, {"-workers", "0"}, {"-kills", "-1"}, {"-rate", "0"}, {"-sync", "off"}, {"more"}, {"-unknown"}, {"worker"}, {"cron", "-smtp", "x", "name"},
	} {
		var out, errs bytes.Buffer
		if err := run(t.Context(), args, &out, &errs); !errors.Is(err, flag.ErrHelp) || !strings.Contains(errs.String(), "Usage of emailqueue") {
			t.Errorf("arguments %q: %v, must show the usage", args, err)
		}
	}
}

// openStore returns a migrated store whose file has the application's tables, and a bus that sends to it.
func openStore(t *testing.T) (*sqlite.Transport, *symphony.Bus) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "test.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := createTables(t.Context(), store.DB()); err != nil {
		t.Fatal(err)
	}
	return store, &symphony.Bus{Transport: store}
}

// insert adds rows as they are.
func insert(t *testing.T, store *sqlite.Transport, rows ...row) {
	t.Helper()
	for _, r := range rows {
		if _, err := store.DB().ExecContext(t.Context(), insertSQL, r.ID, r.UserID, r.MailboxID, r.ToEmail, r.Subject, r.HTML,
			r.FromName, r.FromEmail, r.Type, r.Priority, nullable(r.ScheduledAt), r.MaxRetries); err != nil {
			t.Fatal(err)
		}
		if r.Status == "" {
			continue
		}
		if _, err := store.DB().ExecContext(t.Context(), `update email_queue set status = ?, retry_count = ?, last_error = ? where id = ?`,
			r.Status, r.RetryCount, nullable(r.LastError), r.ID); err != nil {
			t.Fatal(err)
		}
	}
}

// rowTo returns a queued row for an address.
func rowTo(id int64, address string) row {
	r := sample(id, time.Now())
	r.ToEmail, r.ScheduledAt, r.MaxRetries, r.Priority, r.Status = address, "", 3, "normal", queued
	return r
}

func readRow(t *testing.T, store *sqlite.Transport, id int64) row {
	t.Helper()
	rows, err := selectRows(t.Context(), store.DB(), `select `+columns+` from email_queue where id = ?`, id)
	if err != nil || len(rows) != 1 {
		t.Fatalf("row %d: %d rows, %v", id, len(rows), err)
	}
	return rows[0]
}

func change(t *testing.T, store *sqlite.Transport, query string, args ...any) {
	t.Helper()
	if _, err := store.DB().ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// receive claims up to most messages as a worker does.
func receive(t *testing.T, store *sqlite.Transport, most int) []symphony.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ds, err := store.Receive(ctx, symphony.Claim{
		Worker: "tester", Queues: []symphony.QueueClaim{{Name: "default"}}, Max: most, Lease: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

func settle(t *testing.T, store *sqlite.Transport, v symphony.Verdict) {
	t.Helper()
	if err := store.Settle(t.Context(), []symphony.Verdict{v}); err != nil {
		t.Fatal(err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
