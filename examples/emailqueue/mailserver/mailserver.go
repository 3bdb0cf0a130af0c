// Package mailserver is an SMTP server for trying things out. It speaks real SMTP on a real socket;
// what it answers is written in the address, so that anybody can compute how each mail must end:
//
//	ok.17@example.test        taken
//	gone.17@example.test      refused for good, with 550
//	busy.17@example.test      refused for now, with 451, each time
//	busy-2.17@example.test    refused for now twice, then taken
//	silent.17@example.test    read, and never answered
//	silent-1.17@example.test  not answered the first time, then taken
//
// It takes one recipient per mail and remembers every mail that it took.
package mailserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/mail"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// Headers by which a mail says who sent it. They are evidence for the report; servers ignore them.
const (
	HeaderSentBy  = "X-Sent-By" // the name of the process
	HeaderCrashes = "X-Crashes" // leases of the message that had run out before
)

// A Mail is one that the server took: it answered 250 after this, and whoever saw that must not send
// the mail again.
type Mail struct {
	MessageID string
	To        string
	SentBy    string
	Crashes   int
	At        time.Time
}

// A Server takes mails until it is closed. It is safe for concurrent use.
type Server struct {
	smtp     *smtp.Server
	listener *listener
	running  sync.WaitGroup
	serveErr error

	mu      sync.Mutex
	offered map[string]int // how often, by address
	taken   []Mail
}

// Start listens on a free port of this machine. The caller closes the server.
func Start() (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start mail server: %w", err)
	}
	s := &Server{listener: &listener{Listener: l}, offered: make(map[string]int)}
	s.smtp = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &session{server: s, conn: c.Conn()}, nil
	}))
	s.smtp.Domain = "mail.example.test"
	s.smtp.MaxMessageBytes = 10 << 20
	s.smtp.MaxRecipients = 1
	s.smtp.ReadTimeout = time.Minute
	s.smtp.WriteTimeout = 10 * time.Second
	s.smtp.ErrorLog = log.New(io.Discard, "", 0) // connections of killed processes end in the middle
	s.running.Go(func() { s.serveErr = s.smtp.Serve(s.listener) })
	return s, nil
}

// Addr is where the server listens, host and port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close ends all connections and returns when the server has stopped. Clients should be gone before.
func (s *Server) Close() error {
	s.listener.hangUp()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := s.smtp.Shutdown(ctx)
	s.running.Wait()
	if err := errors.Join(s.serveErr, err); err != nil {
		return fmt.Errorf("close mail server: %w", err)
	}
	return nil
}

// Taken returns the mails that the server has taken, in order.
func (s *Server) Taken() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.taken)
}

// Count returns how many mails the server has taken.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taken)
}

// offer counts an offer to address and returns which one it is, 1 at first.
func (s *Server) offer(address string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offered[address]++
	return s.offered[address]
}

// A session is one connection.
type session struct {
	server *Server
	conn   net.Conn
	to     string
	silent bool
}

// Reset, Logout, Mail, Rcpt and Data implement smtp.Session.
func (s *session) Reset()                               { s.to, s.silent = "", false }
func (s *session) Logout() error                        { return nil }
func (s *session) Mail(string, *smtp.MailOptions) error { return nil }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	answer, err := AnswerTo(to)
	if err != nil {
		return &smtp.SMTPError{Code: 553, EnhancedCode: smtp.EnhancedCode{5, 1, 3}, Message: err.Error()}
	}
	nth := s.server.offer(to)
	s.to, s.silent = to, false
	switch {
	case answer.Accepts(nth):
		return nil
	case answer.Kind == Silent:
		s.silent = true
		return nil
	case answer.Kind == Busy:
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "Try again later"}
	default:
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such mailbox"}
	}
}

func (s *session) Data(r io.Reader) error {
	body, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if s.silent {
		return s.hang()
	}
	m, err := mail.ReadMessage(bytes.NewReader(body))
	if err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "Not a mail"}
	}
	crashes, _ := strconv.Atoi(m.Header.Get(HeaderCrashes)) // absent: 0
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.taken = append(s.server.taken, Mail{
		MessageID: m.Header.Get("Message-Id"),
		To:        s.to,
		SentBy:    m.Header.Get(HeaderSentBy),
		Crashes:   crashes,
		At:        time.Now(),
	})
	return nil
}

// hang returns when the client has given up or the server is closed.
func (s *session) hang() error {
	var b [1]byte
	_, err := s.conn.Read(b[:])
	return &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 4, 2}, Message: fmt.Sprintf("Too late: %v", err)}
}

// A listener knows its connections, so that they can be ended: the server's own Shutdown waits for
// them, and a silent one would wait for its client.
type listener struct {
	net.Listener
	mu    sync.Mutex
	ended bool
	conns []net.Conn
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	l.conns = append(l.conns, c)
	return c, nil
}

// hangUp ends all connections, those to come too.
func (l *listener) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for _, c := range l.conns {
		_ = c.Close() // most have ended long ago
	}
}
