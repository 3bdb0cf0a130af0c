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
	"github.com/symphony-messenger/symphony/internal/pgtest"
	"github.com/symphony-messenger/symphony/monitor"
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
	goleak.VerifyTestMain(pgtest.M{M: m})
}

// TestKills is the main job: every row ends as it must though workers are killed meanwhile, and no
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
	t.Run("sqlite", func(t *testing.T) {
		testKills(t, &demonstration{rows: 5000, kills: 10, workers: 3, perSecond: 250, sync: "normal", executable: program})
	})
	t.Run("postgres", func(t *testing.T) {
		testKills(t, &demonstration{rows: 3000, kills: 10, workers: 3, perSecond: 500, dsn: pgtest.Database(t), executable: program})
	})
}

func testKills(t *testing.T, d *demonstration) {
	var out bytes.Buffer
	d.dir = t.TempDir()
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
	if r.Rows != d.rows || r.Kills != d.kills || r.Left != 0 || r.Sent+r.Dead != r.Rows || r.Twice != r.TwiceExplained {
		t.Errorf("%+v", r)
	}
	want := 0
	for n := range int64(d.rows) {
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
	t.Run("sqlite", func(t *testing.T) {
		dir := t.TempDir()
		testProgram(t, "is there already", "-dir", dir)
		if _, err := os.Stat(filepath.Join(dir, databaseName)); err != nil {
			t.Errorf("the database is not kept: %v", err)
		}
	})
	t.Run("postgres", func(t *testing.T) {
		testProgram(t, "must name an empty one", "-dsn", pgtest.Database(t))
	})
}

// testProgram runs it twice: the second time it must say that the place is taken.
func testProgram(t *testing.T, taken string, place ...string) {
	var out, errs bytes.Buffer
	args := append([]string{"-rows", "60", "-workers", "1"}, place...)
	if err := run(t.Context(), args, &out, &errs); err != nil || errs.Len() > 0 {
		t.Fatalf("%v\n%s%s", err, &out, &errs)
	}
	// Of 60 rows, numbers 7 and 57 have no mailbox and 13 is always busy.
	last := `{"rows":60,"sent":57,"retried":6,"dead":3,"kills":0,"twice":0,"twice_explained":0,"left":0}`
	if !strings.HasSuffix(out.String(), "\n"+last+"\n") {
		t.Errorf("the last line must be %s\n%s", last, &out)
	}
	if err := run(t.Context(), args, &out, &errs); err == nil || !strings.Contains(err.Error(), taken) {
		t.Errorf("second run in the same place: %v, must refuse it", err)
	}
}

func TestProgramRefusesArguments(t *testing.T) {
	for _, args := range [][]string{
		{"-rows", "0"}, {"-workers", "0"}, {"-kills", "-1"}, {"-rate", "0"}, {"-sync", "off"}, {"-dsn", "postgres://h/db", "-sync", "normal"}, {"more"}, {"-unknown"}, {"worker"}, {"cron", "-smtp", "x", "name"},
	} {
		var out, errs bytes.Buffer
		if err := run(t.Context(), args, &out, &errs); !errors.Is(err, flag.ErrHelp) || !strings.Contains(errs.String(), "Usage of emailqueue") {
			t.Errorf("arguments %q: %v, must show the usage", args, err)
		}
	}
}

// eachStore runs a test on each database: empty but for the tables of Symphony and of the application.
func eachStore(t *testing.T, test func(t *testing.T, store backend, bus *symphony.Bus)) {
	t.Helper()
	for name, place := range places() {
		t.Run(name, func(t *testing.T) {
			store, bus := openStore(t, place(t))
			test(t, store, bus)
		})
	}
}

// places are new places for the tables of a test, by the name of the database.
func places() map[string]func(t *testing.T) options {
	return map[string]func(t *testing.T) options{
		"sqlite":   newFile,
		"postgres": func(t *testing.T) options { return options{dsn: pgtest.Database(t)} },
	}
}

func newFile(t *testing.T) options {
	return options{file: filepath.Join(t.TempDir(), "test.db"), sync: "full"}
}

// openStore makes the tables and returns a bus that sends to them.
func openStore(t *testing.T, o options) (backend, *symphony.Bus) {
	t.Helper()
	store, err := openBackend(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := store.transport().(monitor.Migrator).Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := createTables(t.Context(), store.database()); err != nil {
		t.Fatal(err)
	}
	return store, &symphony.Bus{Transport: store.transport()}
}

// breaks makes what (such as "insert on email_queue") fail while the table trouble has a row; when is a condition on new.
func breaks(t *testing.T, store backend, what, when, why string) {
	t.Helper()
	change(t, store, `create table trouble (id integer)`)
	change(t, store, `insert into trouble values (1)`)
	if store.database().dialect() == onSQLite {
		change(t, store, fmt.Sprintf(`create trigger broken before %s when %s and exists (select 1 from trouble)
			begin select raise(abort, '%s'); end`, what, when, why))
		return
	}
	change(t, store, fmt.Sprintf(`create function broken() returns trigger language plpgsql as $$
		begin if exists (select from trouble) then raise exception '%s'; end if; return new; end $$`, why))
	change(t, store, fmt.Sprintf(`create trigger broken before %s for each row when (%s) execute function broken()`, what, when))
}

// insert adds rows as they are.
func insert(t *testing.T, store backend, rows ...row) {
	t.Helper()
	for _, r := range rows {
		change(t, store, insertSQL, r.ID, r.UserID, r.MailboxID, r.ToEmail, r.Subject, r.HTML,
			r.FromName, r.FromEmail, r.Type, r.Priority, nullable(r.ScheduledAt), r.MaxRetries)
		if r.Status != "" {
			change(t, store, `update email_queue set status = $1, retry_count = $2, last_error = $3 where id = $4`,
				r.Status, r.RetryCount, nullable(r.LastError), r.ID)
		}
	}
}

// rowTo returns a queued row for an address.
func rowTo(id int64, address string) row {
	r := sample(id, time.Now())
	r.ToEmail, r.ScheduledAt, r.MaxRetries, r.Priority, r.Status = address, "", 3, "normal", queued
	return r
}

func readRow(t *testing.T, store backend, id int64) row {
	t.Helper()
	rows, err := selectRows(t.Context(), store.database(), `select `+columns+` from email_queue where id = $1`, id)
	if err != nil || len(rows) != 1 {
		t.Fatalf("row %d: %d rows, %v", id, len(rows), err)
	}
	return rows[0]
}

func change(t *testing.T, store backend, query string, args ...any) {
	t.Helper()
	if _, err := store.database().exec(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// number returns what a query counts.
func number(t *testing.T, store backend, query string) (n int) {
	t.Helper()
	if _, err := selectOne(t.Context(), store.database(), query, nil, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// receive claims up to most messages as a worker does.
func receive(t *testing.T, store backend, most int) []symphony.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ds, err := store.transport().Receive(ctx, symphony.Claim{
		Worker: "tester", Queues: []symphony.QueueClaim{{Name: "default"}}, Max: most, Lease: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

func settle(t *testing.T, store backend, v symphony.Verdict) {
	t.Helper()
	if err := store.transport().Settle(t.Context(), []symphony.Verdict{v}); err != nil {
		t.Fatal(err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
