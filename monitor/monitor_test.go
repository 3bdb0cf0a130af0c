package monitor_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func numbers(as []monitor.Attempt) (ns []int) {
	for _, a := range as {
		ns = append(ns, a.Number)
	}
	return ns
}

func TestAppendAttemptKeepsTheFirstAndTheLast(t *testing.T) {
	var kept []monitor.Attempt
	for n := 1; n <= 100; n++ {
		kept = monitor.AppendAttempt(kept, monitor.Attempt{Number: n})
		var want []int
		for i := 1; i <= n; i++ {
			if i <= 2 || i > n-8 {
				want = append(want, i)
			}
		}
		if diff := cmp.Diff(want, numbers(kept)); diff != "" {
			t.Fatalf("after %d: %s", n, diff)
		}
	}
}

// Whoever has been given the attempts of a record keeps them as they are.
func TestAppendAttemptLeavesItsArgumentAlone(t *testing.T) {
	for _, n := range []int{1, 5, 9, 10, 11} {
		kept := make([]monitor.Attempt, 0, 64)
		for i := range n {
			kept = append(kept, monitor.Attempt{Number: i + 1})
		}
		before, spare := slices.Clone(kept), kept[:n+1]
		a := monitor.AppendAttempt(kept, monitor.Attempt{Number: 100})
		b := monitor.AppendAttempt(kept, monitor.Attempt{Number: 200})
		if diff := cmp.Diff(before, kept); diff != "" || spare[n].Number != 0 {
			t.Errorf("%d attempts have changed: %s", n, diff)
		}
		if a[len(a)-1].Number != 100 || b[len(b)-1].Number != 200 {
			t.Errorf("%d attempts: two appends share an array", n)
		}
	}
}

// The names are those of SQL, HTTP and the command line: changing one breaks programs.
func TestRecordInJSON(t *testing.T) {
	id, err := symphony.ParseID("0191d2c8-5b1f-7c3a-9a77-2f6f0b6f6a01")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b, err := json.Marshal(monitor.Record{
		ID: id, Type: "send_welcome", Queue: "default", Status: monitor.Failed, Priority: 5, Body: []byte("secret"), ContentType: "text/plain",
		CreatedAt: at, Reason: symphony.ReasonExhausted, Attempts: []monitor.Attempt{{Number: 1, At: at, Error: "x", Class: "error"}},
	})
	want := `{"id":"0191d2c8-5b1f-7c3a-9a77-2f6f0b6f6a01","type":"send_welcome","queue":"default","status":"failed","priority":5,` +
		`"content_type":"text/plain","created_at":"2026-01-02T03:04:05Z","retry_count":0,"crash_count":0,"snooze_count":0,"fence":0,` +
		`"reason":"exhausted","attempts":[{"attempt":1,"at":"2026-01-02T03:04:05Z","error":"x","class":"error"}]}`
	if diff := cmp.Diff(want, string(b)); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestStatuses(t *testing.T) {
	want := "[pending scheduled processing completed failed cancelled expired]"
	if got := fmt.Sprint(monitor.Statuses()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestKeyTakenError(t *testing.T) {
	id := symphony.NewID()
	err := &monitor.KeyTakenError{Key: "welcome\n42", Holder: id}
	if got, want := err.Error(), `idempotency key "welcome\n42" is taken by message `+id.String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
