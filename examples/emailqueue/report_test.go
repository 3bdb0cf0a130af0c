package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony/examples/emailqueue/mailserver"
)

func TestJudge(t *testing.T) {
	begun := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	after := func(s float64) time.Time { return begun.Add(time.Duration(s * float64(time.Second))) }
	mail := func(row int64, by string, crashes int, s float64) mailserver.Mail {
		return mailserver.Mail{MessageID: messageID(row), SentBy: by, Crashes: crashes, At: after(s)}
	}
	end := func(id int64, to string, o outcome) row {
		return row{ID: id, ToEmail: to, Status: o.status, RetryCount: o.retries, MaxRetries: 3, LastError: o.reason}
	}
	ok := end(1, "ok.1@x", outcome{sent, "", 0})
	killed := map[string]time.Time{"worker-1.1": after(2)}

	for name, c := range map[string]struct {
		evidence evidence
		report   report
		wrong    string // what the only complaint says; "": there must be none
	}{
		"all is well": {
			evidence{
				rows: []row{
					ok, end(2, "gone.2@x", outcome{failed, "550 no", 0}), end(3, "busy.3@x", outcome{failed, "451 no", 3}),
					end(4, "busy-2.4@x", outcome{sent, "", 2}), end(5, "silent.5@x", outcome{failed, "no answer", 3}), end(6, "silent-1.6@x", outcome{sent, "", 1}),
				},
				taken:       []mailserver.Mail{mail(1, "cron", 0, 1), mail(4, "w", 0, 1), mail(6, "w", 0, 1)},
				deadLetters: 2, deadRows: 2,
			},
			report{Rows: 6, Sent: 3, Dead: 3, Retried: 4},
			"",
		},
		"a kill explains a copy": {
			evidence{rows: []row{ok}, taken: []mailserver.Mail{mail(1, "worker-1.1", 0, 1), mail(1, "worker-2.1", 1, 7)}, deaths: killed},
			report{Rows: 1, Sent: 1, Kills: 1, Twice: 1, TwiceExplained: 1},
			"",
		},
		"two kills explain three": {
			evidence{
				rows: []row{ok},
				taken: []mailserver.Mail{
					mail(1, "worker-3.1", 2, 20), mail(1, "worker-1.1", 0, 1), mail(1, "worker-2.1", 1, 7),
				},
				deaths: map[string]time.Time{"worker-1.1": after(2), "worker-2.1": after(8)},
			},
			report{Rows: 1, Sent: 1, Kills: 2, Twice: 1, TwiceExplained: 1},
			"",
		},
		"one kill does not explain three": {
			evidence{
				rows:   []row{ok},
				taken:  []mailserver.Mail{mail(1, "worker-1.1", 0, 1), mail(1, "worker-2.1", 1, 7), mail(1, "worker-3.1", 2, 20)},
				deaths: killed,
			},
			report{Rows: 1, Sent: 1, Kills: 1, Twice: 1},
			"worker-2.1 had sent it, and was not killed",
		},
		"mover and cron job both": {
			evidence{rows: []row{ok}, taken: []mailserver.Mail{mail(1, "cron", 0, 1), mail(1, "worker-1.1", 0, 1.5)}, deaths: killed},
			report{Rows: 1, Sent: 1, Kills: 1, Twice: 1},
			"cron had sent it, and was not killed",
		},
		"a kill that came too late": {
			evidence{rows: []row{ok}, taken: []mailserver.Mail{mail(1, "worker-1.1", 0, 1), mail(1, "worker-2.1", 1, 1.5)}, deaths: killed},
			report{Rows: 1, Sent: 1, Kills: 1, Twice: 1},
			"only after it was sent again",
		},
		"sent again without a lost lease": {
			evidence{rows: []row{ok}, taken: []mailserver.Mail{mail(1, "worker-1.1", 0, 1), mail(1, "worker-2.1", 0, 7)}, deaths: killed},
			report{Rows: 1, Sent: 1, Kills: 1, Twice: 1},
			"no lease had run out",
		},
		"lost": {
			evidence{rows: []row{ok}},
			report{Rows: 1, Sent: 1},
			"never took the mail",
		},
		"left": {
			evidence{rows: []row{end(1, "ok.1@x", outcome{processing, "", 0})}},
			report{Rows: 1, Left: 1},
			"is processing (no error), must be sent",
		},
		"failed without reason": {
			evidence{rows: []row{end(1, "ok.1@x", outcome{failed, "lease lost", 0})}},
			report{Rows: 1, Dead: 1},
			"is failed (lease lost), must be sent",
		},
		"failed for another's reason": {
			evidence{rows: []row{end(1, "gone.1@x", outcome{failed, "crash loop", 0})}},
			report{Rows: 1, Dead: 1},
			`must contain "550"`,
		},
		"sent with an error": {
			evidence{rows: []row{end(1, "ok.1@x", outcome{sent, "451", 0})}, taken: []mailserver.Mail{mail(1, "w", 0, 1)}},
			report{Rows: 1, Sent: 1},
			"is sent and has last_error",
		},
		"failed and yet taken": {
			evidence{rows: []row{end(1, "gone.1@x", outcome{failed, "550", 0})}, taken: []mailserver.Mail{mail(1, "w", 0, 1)}},
			report{Rows: 1, Dead: 1},
			"failed, but the server took",
		},
		"given up early": {
			evidence{rows: []row{end(1, "busy.1@x", outcome{failed, "451", 2})}, deaths: killed},
			report{Rows: 1, Dead: 1, Retried: 1, Kills: 1},
			"has retry_count 2, must be 3",
		},
		"retried too often": {
			evidence{rows: []row{end(1, "busy-1.1@x", outcome{sent, "", 2})}, taken: []mailserver.Mail{mail(1, "w", 0, 1)}, deaths: killed},
			report{Rows: 1, Sent: 1, Retried: 1, Kills: 1},
			"must be at most 1",
		},
		"a failure not counted": {
			evidence{rows: []row{end(1, "busy-1.1@x", outcome{sent, "", 0})}, taken: []mailserver.Mail{mail(1, "w", 0, 1)}},
			report{Rows: 1, Sent: 1},
			"has retry_count 0, must be 1",
		},
		"a failure that died with its worker": {
			evidence{rows: []row{end(1, "busy-1.1@x", outcome{sent, "", 0})}, taken: []mailserver.Mail{mail(1, "w", 1, 1)}, deaths: killed},
			report{Rows: 1, Sent: 1, Kills: 1},
			"",
		},
		"too early": {
			evidence{
				rows:  []row{{ID: 1, ToEmail: "ok.1@x", Status: sent, MaxRetries: 3, ScheduledAt: after(2).Format(timeLayout)}},
				taken: []mailserver.Mail{mail(1, "w", 0, 1)},
			},
			report{Rows: 1, Sent: 1},
			"before its time",
		},
		"a mail from nowhere": {
			evidence{rows: []row{ok}, taken: []mailserver.Mail{mail(1, "w", 0, 1), mail(2, "w", 0, 1)}},
			report{Rows: 1, Sent: 1},
			"there is no such row",
		},
		"a message left": {
			evidence{rows: []row{ok}, taken: []mailserver.Mail{mail(1, "w", 0, 1)}, live: 1},
			report{Rows: 1, Sent: 1},
			"1 messages are still in the queue",
		},
		"a dead letter that nobody was told of": {
			evidence{rows: []row{ok}, taken: []mailserver.Mail{mail(1, "w", 0, 1)}, deadLetters: 1},
			report{Rows: 1, Sent: 1},
			"1 dead letters, but 0 failed rows",
		},
		"an address that says nothing": {
			evidence{rows: []row{end(1, "bob@x", outcome{sent, "", 0})}, taken: []mailserver.Mail{mail(1, "w", 0, 1)}},
			report{Rows: 1, Sent: 1},
			"must begin with ok,",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, wrong := judge(c.evidence)
			if r != c.report {
				t.Errorf("report %+v, must be %+v", r, c.report)
			}
			switch {
			case c.wrong == "" && len(wrong) > 0:
				t.Errorf("complains about %q", wrong)
			case c.wrong != "" && (len(wrong) != 1 || !strings.Contains(wrong[0], c.wrong)):
				t.Errorf("complains about %q, must be about %q only", wrong, c.wrong)
			}
		})
	}
}

func TestExpect(t *testing.T) {
	for _, c := range []struct {
		to      string
		retries int
		want    outcome
	}{
		{"ok.1@x", 0, outcome{sent, "", 0}},
		{"gone.1@x", 5, outcome{failed, "550", 0}},
		{"busy.1@x", 4, outcome{failed, "451", 4}},
		{"busy-2.1@x", 2, outcome{sent, "", 2}},
		{"busy-2.1@x", 1, outcome{failed, "451", 1}},
		{"silent.1@x", 1, outcome{failed, "no answer", 1}},
		{"silent-1.1@x", 1, outcome{sent, "", 1}},
		{"silent-1.1@x", 0, outcome{failed, "no answer", 0}},
	} {
		t.Run(fmt.Sprintf("%s max %d", c.to, c.retries), func(t *testing.T) {
			if got, err := expect(row{ToEmail: c.to, MaxRetries: c.retries}); err != nil || got != c.want {
				t.Errorf("%+v, %v; must be %+v", got, err, c.want)
			}
		})
	}
}
