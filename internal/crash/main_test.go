//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestMain makes the test binary the program as well: a run starts its executable again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childCommand {
		os.Exit(program{sabotages: sabotages()}.main(os.Args[1:], os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

func TestFlags(t *testing.T) {
	const flags = "-jobs 7 -kills 1 -stops 2 -workers 3 -lease 1s -seed 9 -restarts 4 -terminates 5 -cuts 6 -hangs 8 -store "
	for store, want := range map[string]serverFaults{"sqlite": {}, "postgres": {4, 5, 6, 8}} {
		c, err := parseFlags(strings.Fields(flags+store), os.Stderr)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseFlags(strings.Fields(c.command())[3:], os.Stderr)
		if err != nil || again != c || c.serverFaults != want {
			t.Errorf("the command %s repeats %+v (%v), want %+v", c.command(), again, err, c)
		}
	}
	for _, args := range []string{"-jobs 0", "-workers 0", "-kills -1", "-stops -1", "-store postgres -hangs -1", "-lease 1ms", "-lease 2h", "-nosuch", "sqlite"} {
		var out bytes.Buffer
		if exit := (program{}).main(strings.Fields(args), &out, &out); exit != 2 {
			t.Errorf("%s: exit %d, want 2\n%s", args, exit, &out)
		}
	}
}

// TestUnknownStore: the last line is the figures even when there are none.
func TestUnknownStore(t *testing.T) {
	var out, log bytes.Buffer
	if exit := (program{}).main([]string{"-store", "paper", "-dir", t.TempDir()}, &out, &log); exit != 1 {
		t.Errorf("exit %d, want 1", exit)
	}
	if !strings.Contains(log.String(), `unknown store "paper"`) || !strings.Contains(log.String(), "repeat with: go run ./internal/crash -store paper") {
		t.Errorf("said: %s", &log)
	}
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in %s", err, &out)
	}
	want := []string{"doubled", "early", "jobs", "kills", "lost", "p99_rerun_s", "restarts", "stale_accepted", "store"}
	if keys := slices.Sorted(maps.Keys(line)); !slices.Equal(keys, want) {
		t.Errorf("the last line has %q, want %q", keys, want)
	}
}
