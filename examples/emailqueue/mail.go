package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"strconv"
	"time"

	"github.com/symphony-messenger/symphony/examples/emailqueue/mailserver"
)

// A mailer gives mails to a mail server. It is safe for concurrent use.
type mailer struct {
	addr    string        // host:port
	name    string        // of this process, written into each mail
	timeout time.Duration // for one mail, from the connection to the server's last answer
}

// A letter is what the mailer needs of a row.
type letter struct {
	row                 int64
	to, subject, html   string
	fromName, fromEmail string
	crashes             int // leases of its message that ran out before
}

// send returns nil when the server has taken the mail. With any other answer it has not, and a
// *textproto.Error says which it was. Without an answer nobody knows: see the README.
func (m *mailer) send(ctx context.Context, l letter) error {
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", m.addr)
	if err != nil {
		return fmt.Errorf("send mail of row %d: %w", l.row, err)
	}
	defer conn.Close()
	// net/smtp knows no contexts: the end of ctx fails whatever waits on the connection.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := converse(conn, l, m.compose(l)); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer within %v: %w", m.timeout, context.Cause(ctx))
		}
		return fmt.Errorf("send mail of row %d: %w", l.row, err)
	}
	return nil
}

// converse returns nil as soon as the server has taken the mail. What happens to the connection after
// that does not matter: an error of QUIT must not send the mail again.
func converse(conn net.Conn, l letter, data []byte) error {
	c, err := smtp.NewClient(conn, "localhost")
	if err != nil {
		return err
	}
	if err := c.Mail(l.fromEmail); err != nil {
		return err
	}
	if err := c.Rcpt(l.to); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = c.Quit()
	return nil
}

// compose makes the mail. Its Message-ID is that of the row, however often it is sent, so that
// receivers can tell a copy.
func (m *mailer) compose(l letter) []byte {
	var b bytes.Buffer
	header := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, value) }
	header("From", (&mail.Address{Name: l.fromName, Address: l.fromEmail}).String())
	header("To", (&mail.Address{Address: l.to}).String())
	header("Subject", mime.QEncoding.Encode("utf-8", l.subject)) // encodes line ends too: no second header
	header("Date", time.Now().Format(time.RFC1123Z))
	header("Message-ID", messageID(l.row))
	header(mailserver.HeaderSentBy, m.name)
	header(mailserver.HeaderCrashes, strconv.Itoa(l.crashes))
	header("MIME-Version", "1.0")
	header("Content-Type", "text/html; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	_, err := w.Write([]byte(l.html))
	if err := errors.Join(err, w.Close()); err != nil {
		panic(err) // a bytes.Buffer takes everything
	}
	return b.Bytes()
}

const messageIDFormat = "<email-%d@queue.example.test>"

func messageID(row int64) string { return fmt.Sprintf(messageIDFormat, row) }

// forGood reports whether err is an answer with which no later attempt can succeed.
func forGood(err error) bool {
	answer, ok := errors.AsType[*textproto.Error](err)
	return ok && answer.Code >= 500
}
