package main

import (
	"bytes"
	"context"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony/examples/emailqueue/mailserver"
)

func startMail(t *testing.T) *mailserver.Server {
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

func letterTo(to string) letter {
	return letter{row: 7, to: to, subject: "Grüße", html: "<p>żółć</p>\r\n.\r\n", fromName: "Söhne", fromEmail: "box@example.test", crashes: 3}
}

func TestSend(t *testing.T) {
	server := startMail(t)
	m := &mailer{addr: server.Addr(), name: "tester", timeout: 10 * time.Second}
	for _, c := range []struct {
		to, reason string
		forGood    bool
	}{
		{"ok.1@example.test", "", false},
		{"busy.2@example.test", "451", false},
		{"gone.3@example.test", "550", true},
		{"new\r\nline@example.test", "line must not contain CR or LF", false},
	} {
		err := m.send(t.Context(), letterTo(c.to))
		if c.reason == "" && err != nil || c.reason != "" && (err == nil || !strings.Contains(err.Error(), c.reason)) {
			t.Errorf("%s: %v, must say %q", c.to, err, c.reason)
		}
		if forGood(err) != c.forGood {
			t.Errorf("%s: %v is for good: %v", c.to, err, !c.forGood)
		}
	}
	taken := server.Taken()
	if len(taken) != 1 || taken[0].MessageID != messageID(7) || taken[0].SentBy != "tester" || taken[0].Crashes != 3 {
		t.Errorf("taken: %+v", taken)
	}
}

func TestSendEndsInTime(t *testing.T) {
	server := startMail(t)
	m := &mailer{addr: server.Addr(), name: "tester", timeout: 50 * time.Millisecond}
	err := m.send(t.Context(), letterTo("silent.1@example.test"))
	if err == nil || !strings.Contains(err.Error(), "no answer within 50ms") || forGood(err) {
		t.Errorf("without an answer: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m.timeout = time.Minute
	if err := m.send(ctx, letterTo("ok.2@example.test")); err == nil {
		t.Error("sent although the context had ended")
	}
	if n := server.Count(); n != 0 {
		t.Errorf("%d mails taken", n)
	}
}

func TestSendWithoutServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	m := &mailer{addr: addr, name: "tester", timeout: time.Second}
	if err := m.send(t.Context(), letterTo("ok.1@example.test")); err == nil || forGood(err) {
		t.Errorf("error %v, must be one that can be tried again", err)
	}
}

func TestCompose(t *testing.T) {
	l := letterTo("ok.1@example.test")
	l.subject = "Hello\r\nBcc: everybody@example.test"
	got, err := mail.ReadMessage(bytes.NewReader((&mailer{name: "tester"}).compose(l)))
	if err != nil {
		t.Fatal(err)
	}
	if got.Header.Get("Bcc") != "" {
		t.Error("a line end in the subject makes a header")
	}
	if s, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject")); err != nil || s != l.subject {
		t.Errorf("subject %q, %v; must be %q", s, err, l.subject)
	}
	from, err := mail.ParseAddress(got.Header.Get("From"))
	if err != nil || from.Name != l.fromName || from.Address != l.fromEmail {
		t.Errorf("from %v, %v", from, err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(got.Body))
	if err != nil || string(body) != l.html {
		t.Errorf("body %q, %v; must be %q", body, err, l.html)
	}
}
