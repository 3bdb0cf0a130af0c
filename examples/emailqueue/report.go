package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/symphony-messenger/symphony/examples/emailqueue/mailserver"
)

// A report is the last line of the output.
type report struct {
	Rows           int `json:"rows"`
	Sent           int `json:"sent"`
	Retried        int `json:"retried"` // rows that needed more than one attempt
	Dead           int `json:"dead"`    // rows that failed for good
	Kills          int `json:"kills"`
	Twice          int `json:"twice"`           // rows whose mail the server took more than once
	TwiceExplained int `json:"twice_explained"` // those where a kill is why
	Left           int `json:"left"`            // rows that are neither sent nor failed
}

// Evidence is what there is at the end of a run.
type evidence struct {
	rows        []row
	taken       []mailserver.Mail    // by the mail server
	deaths      map[string]time.Time // of the workers that were killed
	deadLetters int
	live        int // messages
	deadRows    int // failed rows that were moved
}

// judge computes the report, and everything about the evidence that must not be.
func judge(e evidence) (report, []string) {
	r := report{Rows: len(e.rows), Kills: len(e.deaths)}
	var wrong []string
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }

	mails := make(map[string][]mailserver.Mail)
	for _, m := range e.taken {
		mails[m.MessageID] = append(mails[m.MessageID], m)
	}
	for _, row := range e.rows {
		own := mails[messageID(row.ID)]
		delete(mails, messageID(row.ID))
		switch row.Status {
		case sent:
			r.Sent++
		case failed:
			r.Dead++
		default:
			r.Left++
		}
		if row.RetryCount > 0 {
			r.Retried++
		}
		if len(own) > 1 {
			r.Twice++
			if why := unexplained(own, e.deaths); why == "" {
				r.TwiceExplained++
			} else {
				complain("row %d (%s): mail taken %d times: %s", row.ID, row.ToEmail, len(own), why)
			}
		}
		if why := row.wrong(own, len(e.deaths) > 0); why != "" {
			complain("row %d (%s): %s", row.ID, row.ToEmail, why)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(mails)) {
		complain("mail %s: there is no such row", id)
	}
	if e.live > 0 {
		complain("%d messages are still in the queue", e.live)
	}
	if e.deadLetters != e.deadRows {
		complain("%d dead letters, but %d failed rows among those that were moved", e.deadLetters, e.deadRows)
	}
	return r, wrong
}

// unexplained returns why a kill does not explain that a mail was taken more than once; "": it does.
// A worker that is killed after the server's 250 and before its commit leaves a message whose lease
// runs out, which is counted as a crash; then another worker sends the mail again.
func unexplained(mails []mailserver.Mail, deaths map[string]time.Time) string {
	slices.SortStableFunc(mails, func(a, b mailserver.Mail) int { return a.At.Compare(b.At) })
	for i, again := range mails[1:] {
		first := mails[i]
		death, killed := deaths[first.SentBy]
		switch {
		case !killed:
			return fmt.Sprintf("%s had sent it, and was not killed", first.SentBy)
		case !death.Before(again.At):
			return fmt.Sprintf("%s had sent it, and was killed only after it was sent again", first.SentBy)
		case again.Crashes <= first.Crashes:
			return fmt.Sprintf("no lease had run out when %s sent it again", again.SentBy)
		}
	}
	return ""
}

// wrong returns what is wrong about the end of a row; "": nothing.
func (r row) wrong(mails []mailserver.Mail, kills bool) string {
	want, err := expect(r)
	if err != nil {
		return err.Error()
	}
	switch {
	case r.Status != want.status:
		return fmt.Sprintf("is %s (%s), must be %s", r.Status, cmp.Or(r.LastError, "no error"), want.status)
	case !strings.Contains(r.LastError, want.reason):
		return fmt.Sprintf("last_error is %q, must contain %q", r.LastError, want.reason)
	case want.status == sent && r.LastError != "":
		return fmt.Sprintf("is sent and has last_error %q", r.LastError)
	case want.status == sent && len(mails) == 0:
		return "is sent, but the server never took the mail"
	case want.status == failed && len(mails) > 0:
		return "failed, but the server took the mail"
	case r.RetryCount > want.retries:
		return fmt.Sprintf("has retry_count %d, must be at most %d", r.RetryCount, want.retries)
	// A worker that is killed between an answer and the verdict leaves no failure behind, only a crash.
	case r.RetryCount < want.retries && !(kills && want.status == sent):
		return fmt.Sprintf("has retry_count %d, must be %d", r.RetryCount, want.retries)
	}
	due, _ := time.Parse(timeLayout, r.ScheduledAt) // the zero time is never too early
	for _, m := range mails {
		if m.At.Before(due) {
			return fmt.Sprintf("sent at %v, before its time %v", m.At, due)
		}
	}
	return ""
}

// An outcome is how a row must end.
type outcome struct {
	status  string
	reason  string // part of last_error
	retries int
}

// expect computes how a row must end, from its address and its max_retries alone.
func expect(r row) (outcome, error) {
	answer, err := mailserver.AnswerTo(r.ToEmail)
	if err != nil {
		return outcome{}, err
	}
	switch {
	case answer.Kind == mailserver.Gone:
		return outcome{failed, "550", 0}, nil
	case answer.Accepts(r.MaxRetries + 1):
		return outcome{sent, "", answer.Times}, nil
	case answer.Kind == mailserver.Silent:
		return outcome{failed, "no answer", r.MaxRetries}, nil
	default:
		return outcome{failed, "451", r.MaxRetries}, nil
	}
}
