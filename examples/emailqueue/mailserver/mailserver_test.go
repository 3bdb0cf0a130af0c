package mailserver_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"net/textproto"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/symphony-messenger/symphony/examples/emailqueue/mailserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAnswerTo(t *testing.T) {
	for address, want := range map[string]mailserver.Answer{
		"ok.17@example.test":       {Kind: mailserver.OK},
		"gone.17@example.test":     {Kind: mailserver.Gone},
		"busy.17@example.test":     {Kind: mailserver.Busy},
		"busy-2.17@example.test":   {Kind: mailserver.Busy, Times: 2},
		"silent.17@example.test":   {Kind: mailserver.Silent},
		"silent-1.17@example.test": {Kind: mailserver.Silent, Times: 1},
	} {
		if got, err := mailserver.AnswerTo(address); err != nil || got != want {
			t.Errorf("AnswerTo(%s) = %+v, %v, want %+v", address, got, err, want)
		}
		if got := want.Address("17@example.test"); got != address {
			t.Errorf("address of %+v = %s, want %s", want, got, address)
		}
	}
	for _, address := range []string{"", "ok@example.test", "nobody.1@example.test", "busy-0.1@x", "busy-x.1@x", "ok-1.1@x", "gone-1.1@x"} {
		if got, err := mailserver.AnswerTo(address); err == nil {
			t.Errorf("AnswerTo(%q) = %+v, want an error", address, got)
		}
	}
}

// send offers one mail and returns the first refusal. The server has taken the mail when it is nil.
func send(s *mailserver.Server, to string, timeout time.Duration) error {
	w, err := begin(s, to, timeout)
	if err != nil {
		return err
	}
	return w.Close()
}

// begin sends all of a mail but its end.
func begin(s *mailserver.Server, to string, timeout time.Duration) (io.WriteCloser, error) {
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	w, err := envelope(conn, to)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if _, err := fmt.Fprintf(w, "Message-ID: <%s>\r\nX-Sent-By: tester\r\nX-Crashes: 2\r\n\r\nHello", to); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return mailBody{w, conn}, nil
}

func envelope(conn net.Conn, to string) (io.WriteCloser, error) {
	c, err := smtp.NewClient(conn, "localhost")
	if err != nil {
		return nil, err
	}
	if err := c.Mail("from@example.test"); err != nil {
		return nil, err
	}
	if err := c.Rcpt(to); err != nil {
		return nil, err
	}
	return c.Data()
}

// A mailBody ends the mail and its connection with Close, and is cut off with conn.Close.
type mailBody struct {
	io.WriteCloser
	conn net.Conn
}

func (b mailBody) Close() error {
	err := b.WriteCloser.Close()
	_ = b.conn.Close()
	return err
}

func start(t *testing.T) *mailserver.Server {
	t.Helper()
	s, err := mailserver.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestAnswers(t *testing.T) {
	s := start(t)
	for _, c := range []struct {
		to    string
		codes []int // of one offer after the other; 0: taken
	}{
		{"ok.1@example.test", []int{0, 0}},
		{"gone.2@example.test", []int{550, 550}},
		{"busy.3@example.test", []int{451, 451, 451}},
		{"busy-2.4@example.test", []int{451, 451, 0}},
		{"who.5@example.test", []int{553}},
	} {
		for i, want := range c.codes {
			err := send(s, c.to, 10*time.Second)
			got := 0
			if refused, ok := errors.AsType[*textproto.Error](err); ok {
				got = refused.Code
			} else if err != nil {
				t.Fatalf("offer %d to %s: %v", i+1, c.to, err)
			}
			if got != want {
				t.Errorf("offer %d to %s: answer %d, want %d", i+1, c.to, got, want)
			}
		}
	}
	taken := s.Taken()
	if len(taken) != 3 || s.Count() != 3 {
		t.Fatalf("took %d mails, counted %d, want 3: %+v", len(taken), s.Count(), taken)
	}
	m := taken[2]
	if m.To != "busy-2.4@example.test" || m.MessageID != "<busy-2.4@example.test>" || m.SentBy != "tester" || m.Crashes != 2 || m.At.IsZero() {
		t.Errorf("remembered %+v", m)
	}
}

func TestSilenceTakesNothing(t *testing.T) {
	s := start(t)
	const to = "silent-1.1@example.test"
	mail, err := begin(s, to, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := mail.(mailBody).conn.SetDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	err = mail.Close()
	if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
		t.Errorf("first offer: %v, want a timeout", err)
	}
	if n := s.Count(); n != 0 {
		t.Errorf("took %d mails without an answer", n)
	}
	if err := send(s, to, 10*time.Second); err != nil {
		t.Errorf("second offer: %v", err)
	}
}

func TestHalfMailIsNotTaken(t *testing.T) {
	s, err := mailserver.Start()
	if err != nil {
		t.Fatal(err)
	}
	half, err := begin(s, "ok.1@example.test", 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	half.(mailBody).conn.Close() // as a killed process does
	if err := send(s, "ok.2@example.test", 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // returns when both connections are dealt with
		t.Fatal(err)
	}
	if taken := s.Taken(); len(taken) != 1 || taken[0].To != "ok.2@example.test" {
		t.Errorf("took %+v, want the second mail only", taken)
	}
}

func TestCloseEndsSilence(t *testing.T) {
	s, err := mailserver.Start()
	if err != nil {
		t.Fatal(err)
	}
	mail, err := begin(s, "silent.1@example.test", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var sent error
	wg.Go(func() { sent = mail.Close() })
	begun := time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if sent == nil {
		t.Error("a mail without an answer counts as sent")
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("closing took %v", took)
	}
}
