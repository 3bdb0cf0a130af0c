package schedule_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/symphony-messenger/symphony/schedule"
)

func TestJSON(t *testing.T) {
	retries := 2
	s := schedule.Schedule{
		Name: "nightly", Owner: "shop", Kind: schedule.KindCron, Expression: "0 3 * * *", Timezone: "Europe/Berlin",
		Message: schedule.Message{Type: "report", Body: []byte(`{"days":30}`), Queue: "slow", Priority: 7, Expires: time.Hour, MaxRetries: &retries, Tags: []string{"a"}},
		Missed:  schedule.MissedAll, Window: 90 * time.Minute, Overlap: schedule.OverlapSkip, Jitter: 30 * time.Second, MaxRuns: 5,
		Until: at("2030-01-01T00:00:00Z"),
	}
	b, err := json.Marshal(s)
	want := `{"name":"nightly","owner":"shop","kind":"cron","expression":"0 3 * * *","timezone":"Europe/Berlin",` +
		`"message":{"type":"report","body":{"days":30},"queue":"slow","priority":7,"expires":"1h","max_retries":2,"tags":["a"]},` +
		`"missed":"all","window":"1h30m","overlap":"skip","jitter":"30s","until":"2030-01-01T00:00:00Z","max_runs":5}`
	if err != nil || string(b) != want {
		t.Fatal(err, cmp.Diff(want, string(b)))
	}
	var back schedule.Schedule
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, back, cmpopts.IgnoreUnexported(schedule.Schedule{})); diff != "" {
		t.Error(diff)
	}
}

func TestReadJSON(t *testing.T) {
	for _, c := range []struct{ text, kind, expression, wrong string }{
		{`{"name":"a","every":"15m","message":{"type":"t"}}`, "interval", "15m", ""},
		{`{"name":"a","cron":"@daily","message":{"type":"t"}}`, "cron", "@daily", ""},
		{`{"name":"a","once":"2026-01-01T00:00:00Z","message":{"type":"t"}}`, "once", "2026-01-01T00:00:00Z", ""},
		{`{"name":"a","message":{"type":"t"}}`, "", "", "schedule a: it must have one of cron, every and once"},
		{`{"name":"a","cron":"@daily","every":"1h","message":{"type":"t"}}`, "", "", "one of cron, every and once"},
		{`{"name":"a","cron":"@daily"}`, "", "", "schedule a: its message has no type"},
		{`{"name":"a","cron":"@daily","jiter":"1s","message":{"type":"t"}}`, "", "", `schedule a: json: unknown field "jiter"`},
		{`{"name":"a","cron":"@daily","jitter":"1 s","message":{"type":"t"}}`, "", "", `invalid duration "1 s"`},
		{`{"name":"a","cron":"@daily","message":{"type":"t","body":1,"body_base64":"AA=="}}`, "", "", "body and body_base64"},
	} {
		var s schedule.Schedule
		err := json.Unmarshal([]byte(c.text), &s)
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%s: %v, want an error that says %s", c.text, err, c.wrong)
			}
			continue
		}
		if err != nil || string(s.Kind) != c.kind || s.Expression != c.expression || string(s.Message.Body) != "{}" {
			t.Errorf("%s: %+v %v", c.text, s, err)
		}
	}
}
