package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/cli"
	"github.com/symphony-messenger/symphony/internal/pgtest"
)

func TestMain(m *testing.M) {
	testscript.Main(pgtest.M{M: m}, map[string]func(){"symphony": main, "shop": shop})
}

type invoice struct {
	Number int `json:"number"`
}

func (invoice) MessageType() string { return "invoice" }

func (i invoice) Validate() error {
	if i.Number <= 0 {
		return errors.New("an invoice needs a number")
	}
	return nil
}

// shop is a user's own program: the command line with handlers in Go.
func shop() {
	cli.Main(app.Options{Name: "shop", Version: "1.2.3", Register: func(bus *symphony.Bus) error {
		symphony.Handle(bus, func(_ context.Context, i invoice) error {
			if i.Number == 13 {
				return symphony.Permanent(errors.New("nobody pays invoice 13"))
			}
			fmt.Println("invoice", i.Number)
			return nil
		})
		symphony.On(bus, "ledger", func(_ context.Context, i invoice) error {
			fmt.Println("booked", i.Number)
			return nil
		})
		return nil
	}})
}

// TestScript runs the sessions of testdata/script, each on every store: $STORE is the DSN of one that is
// not there yet. Those in the folder of a store run on that one only. Beside the commands of testscript they have
//
//	exits N PROGRAM ARG…      run PROGRAM, which must end with exit code N
//	capture NAME              set $NAME to the standard output of the command before
//	waitfor REGEXP PROGRAM …  repeat PROGRAM until its standard output matches; on PostgreSQL also waitfor REGEXP sql QUERY
//	signal TERM|INT           send a signal to the program in the background
//
//	sql QUERY                 run QUERY in another program; on PostgreSQL it prints the first column of its rows
//
// and the condition [sqlite]. On PostgreSQL there are $SERVER, the DSN without the option schema, and $SCHEMA.
func TestScript(t *testing.T) {
	const dir = "testdata/script"
	for name, setup := range map[string]func(*testscript.Env){
		"sqlite":   func(env *testscript.Env) { env.Setenv("STORE", storeSQLite) },
		"postgres": setupPostgres,
	} {
		t.Run(name, func(t *testing.T) {
			files, err := filepath.Glob(dir + "/*.txtar")
			if err != nil {
				t.Fatal(err)
			}
			own, err := filepath.Glob(dir + "/" + name + "/*.txtar")
			if err != nil || len(files) == 0 || len(own) == 0 {
				t.Fatalf("%d scripts and %d for %s alone, %v: some are missing", len(files), len(own), name, err)
			}
			testscript.Run(t, params(append(files, own...), name, setup))
		})
	}
}

func params(files []string, store string, setup func(*testscript.Env)) testscript.Params {
	return testscript.Params{
		Files:               files,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else each of some hundred programs waits a second
			setup(env)
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "sqlite" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			return store == name, nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits, "capture": capture, "waitfor": waitFor, "signal": sendSignal, "sql": runSQL,
		},
	}
}

// runSQL is the command sql: psql is not everywhere.
func runSQL(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: sql query")
	}
	query := firstColumn
	if ts.Getenv("STORE") == storeSQLite {
		query = changeSQLite
	}
	rows, err := query(ts, args[0])
	fmt.Fprint(ts.Stdout(), rows)
	switch {
	case err == nil && neg:
		ts.Fatalf("the query has succeeded")
	case err != nil && !neg:
		ts.Fatalf("%v", err)
	case err != nil:
		fmt.Fprintln(ts.Stderr(), err)
	}
}

// storeSQLite is a file in the directory of the session.
const storeSQLite = "sqlite://queue.db"

// changeSQLite runs a query that has no rows.
func changeSQLite(ts *testscript.TestScript, query string) (string, error) {
	db, err := sql.Open("sqlite", "file:"+ts.MkAbs("queue.db")+"?mode=rw")
	if err != nil {
		return "", err
	}
	defer db.Close()
	_, err = db.ExecContext(context.Background(), query)
	return "", err
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits N program [arg…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		ended, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = ended.ExitCode()
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

func capture(ts *testscript.TestScript, neg bool, args []string) {
	text := strings.TrimSpace(ts.ReadFile("stdout"))
	if neg || len(args) != 1 || text == "" || strings.Contains(text, "\n") {
		ts.Fatalf("usage: capture NAME, after a command that printed one line; it printed %q", text)
	}
	ts.Setenv(args[0], text)
}

func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: waitfor regexp program [arg…]")
	}
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	deadline := time.Now().Add(30 * time.Second)
	for {
		var out string
		var err error
		if args[1] == "sql" {
			out, err = firstColumn(ts, strings.Join(args[2:], " "))
		} else if err = ts.Exec(args[1], args[2:]...); err == nil {
			out = ts.ReadFile("stdout")
		}
		if err == nil && re.MatchString(out) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no match for %#q in 30 s (%v)", args[0], err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": os.Interrupt}
	if neg || len(args) != 1 || signals[args[0]] == nil {
		ts.Fatalf("usage: signal TERM|INT")
	}
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(signals[args[0]]))
	}
}
