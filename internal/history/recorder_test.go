package history_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony/internal/history"
)

func open(t *testing.T, dir, proc string) *history.Recorder {
	t.Helper()
	rec, err := history.Open(filepath.Join(dir, proc+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rec.Close() }) // again, if the test has
	return rec
}

func write(t *testing.T, rec *history.Recorder, e history.Event) int64 {
	t.Helper()
	seq, err := rec.Write(e)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func TestEventsComeBackAsWritten(t *testing.T) {
	dir := t.TempDir()
	rec := open(t, dir, "one")
	retries := 0
	want := []history.Event{
		{
			Kind: history.Enqueue, Phase: history.Call, Worker: "w", Message: "m", Type: "mail", Subscriber: "s", Queue: "q",
			Group: "g", Key: "k\n\"\u2028", Window: 1, Due: 2, Delay: 3, Expires: 4, MaxRetries: &retries, SHA256: history.Sum(nil), Tx: "t",
		},
		{Kind: history.Enqueue, Phase: history.Duplicate, Op: 1, Holder: "h"},
		{Kind: history.Claim, Message: "m", Token: "t", Fence: 1, Attempt: 2, Crashes: 3, Store: 4, Since: 5, LeaseEnd: 6},
		{Kind: history.Verdict, Phase: history.Call, Token: "t", Outcome: history.Retried, After: 7, InTx: true},
		{Kind: history.Injected, Fault: history.Stop, Target: "two"},
	}
	for i := range want {
		seq := write(t, rec, want[i])
		want[i].Proc, want[i].Seq = "one", seq
	}
	if rec.Proc() != "one" {
		t.Errorf("Proc() = %q", rec.Proc())
	}
	got, err := history.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if got[i].Wall == 0 {
			t.Errorf("event %d has no wall time", i)
		}
		got[i].Wall = 0
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadMergesByTime(t *testing.T) {
	dir := t.TempDir()
	one, two := open(t, dir, "one"), open(t, dir, "two")
	for range 3 {
		write(t, two, history.Event{Kind: history.Tick})
		write(t, one, history.Event{Kind: history.Tick})
	}
	events, err := history.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, e := range events {
		order = append(order, e.Proc)
	}
	if got := strings.Join(order, " "); got != "two one two one two one" {
		t.Errorf("order: %s", got)
	}
}

func TestReadTornAndBrokenLines(t *testing.T) {
	line := func(seq string) string { return `{"proc":"w1","seq":` + seq + `,"wall":1,"kind":"tick"}` + "\n" }
	killed := `{"proc":"harness","seq":1,"wall":2,"kind":"fault","fault":"kill","target":"w1"}` + "\n"
	for _, c := range []struct {
		name, w1, harness string
		events            int
		err               string
	}{
		{"whole", line("1") + line("2"), "", 2, ""},
		{"empty", "", "", 0, ""},
		{"last line of a killed process torn", line("1") + line("2")[:20], killed, 2, ""},
		{"only its end is missing", line("1") + strings.TrimSpace(line("2")), killed, 2, ""},
		{"torn, but nobody killed it", line("1") + line("2")[:20], "", 1, "w1.jsonl: last line is torn, but no fault killed w1"},
		{"torn in the middle", line("1") + line("2")[:20] + "\n" + line("3"), killed, 2, "w1.jsonl: line 2: "},
		{"run into the next one", line("1") + line("2")[:20] + line("3"), killed, 2, "w1.jsonl: line 2: "},
		{"line missing", line("1") + line("3"), killed, 2, "w1.jsonl: line 2: is event 3"},
		{"line twice", line("1") + line("1"), killed, 2, "w1.jsonl: line 2: is event 1"},
		{"line of another process", strings.ReplaceAll(line("1"), "w1", "w2"), killed, 1, `line 1: is event 1 of "w2"`},
		{"empty line", line("1") + "\n" + line("2"), killed, 2, "w1.jsonl: line 2: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{"w1.jsonl": c.w1, "harness.jsonl": c.harness, "notes.txt": "not a history"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			events, err := history.Read(dir)
			if len(events) != c.events {
				t.Errorf("%d events, want %d", len(events), c.events)
			}
			switch {
			case c.err == "" && err != nil:
				t.Error(err)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Errorf("error %v, want one with %q", err, c.err)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, "one")
	for _, path := range []string{
		filepath.Join(dir, "one.jsonl"), // exists: its last line may be torn
		filepath.Join(dir, "one.txt"),
		filepath.Join(dir, ".jsonl"),
		filepath.Join(dir, "none", "one.jsonl"),
	} {
		if rec, err := history.Open(path); err == nil {
			_ = rec.Close()
			t.Errorf("Open(%s) succeeded", path)
		}
	}
}

func TestClosedRecorder(t *testing.T) {
	rec := open(t, t.TempDir(), "one")
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := rec.Write(history.Event{Kind: history.Tick}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write after Close: %v, want %v", err, os.ErrClosed)
	}
}

func TestNilRecorder(t *testing.T) {
	var rec *history.Recorder
	if seq, err := rec.Write(history.Event{Kind: history.Tick}); seq != 0 || err != nil || rec.Proc() != "" || rec.Close() != nil {
		t.Errorf("nil recorder: %d, %v", seq, err)
	}
}
