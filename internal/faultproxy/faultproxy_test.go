package faultproxy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/symphony-messenger/symphony/internal/faultproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An echo answers each line with the same line, and remembers it.
type echo struct {
	net.Listener
	all  sync.WaitGroup
	mu   sync.Mutex
	got  []string
	ends int // of connections
}

func listen(t *testing.T) (*echo, *faultproxy.Proxy) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{Listener: l}
	e.all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			e.all.Go(func() { e.serve(c) })
		}
	})
	p, err := faultproxy.Listen(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
		_ = l.Close() // a test may have closed it
		e.all.Wait()
	})
	return e, p
}

func (e *echo) serve(c net.Conn) {
	defer c.Close()
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		e.mu.Lock()
		e.got = append(e.got, lines.Text())
		e.mu.Unlock()
		if _, err := io.WriteString(c, lines.Text()+"\n"); err != nil {
			break
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ends++
}

func (e *echo) has(line string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.got {
		if l == line {
			return true
		}
	}
	return false
}

func (e *echo) ended() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ends
}

type client struct {
	net.Conn
	lines *bufio.Reader
}

func dial(t *testing.T, p *faultproxy.Proxy) client {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return client{c, bufio.NewReader(c)}
}

// ask sends a line and returns the answer to it within a time.
func (c client) ask(line string, within time.Duration) (string, error) {
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return "", err
	}
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return "", err
	}
	return c.lines.ReadString('\n')
}

// works fails the test unless the connection forwards.
func (c client) works(t *testing.T) {
	t.Helper()
	if got, err := c.ask("works", 5*time.Second); err != nil || got != "works\n" {
		t.Fatalf("answered %q, %v", got, err)
	}
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

func says(text string) func([]byte) bool {
	return func(b []byte) bool { return bytes.Contains(b, []byte(text)) }
}

// TestCut: the server has carried out the request, the client sees nothing of the answer, others go on.
func TestCut(t *testing.T) {
	for name, answered := range map[string]func([]byte) bool{"answered": says("commit"), "at once": nil, "never answered": says("nothing like it")} {
		t.Run(name, func(t *testing.T) {
			e, p := listen(t)
			a, b := dial(t, p), dial(t, p)
			a.works(t)
			b.works(t)
			cut := make(chan error, 1)
			go func() { cut <- p.Cut(t.Context(), faultproxy.Cut{Request: says("commit"), Answered: answered}) }()
			eventually(t, "no cut was ever made", func() bool {
				a.works(t)
				got, err := b.ask("commit", 10*time.Second)
				if err == nil && got == "commit\n" { // it was asked too early
					return false
				}
				if got != "" {
					t.Errorf("the client has seen %q of the answer", got)
				}
				return true
			})
			if err := <-cut; err != nil {
				t.Error(err)
			}
			if answered != nil && !e.has("commit") {
				t.Error("the server has not seen the request")
			}
			a.works(t)
			eventually(t, "the server's end is still open", func() bool { return e.ended() == 1 })
		})
	}
}

// TestCutNothing: nobody sends such a request.
func TestCutNothing(t *testing.T) {
	_, p := listen(t)
	a := dial(t, p)
	a.works(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := p.Cut(ctx, faultproxy.Cut{Request: says("commit")}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if got, err := a.ask("commit", 5*time.Second); err != nil || got != "commit\n" {
		t.Errorf("after that: %q, %v", got, err)
	}
}

// TestHang: both ends of a chosen connection wait, and hear nothing, not even that the other one is closed, until the end.
func TestHang(t *testing.T) {
	e, p := listen(t)
	var clients [3]client
	for i := range clients { // the proxy connects to its target for several at once: who works is known to it
		clients[i] = dial(t, p)
		clients[i].works(t)
	}
	a, b, c := clients[0], clients[1], clients[2]
	asked := 0
	n, end := p.Hang(func() bool { asked++; return asked != 1 })
	if n != 2 || asked != 3 || p.Conns() != 1 {
		t.Errorf("%d of %d hang, %d do not, want 2 of 3, and 1", n, asked, p.Conns())
	}
	a.works(t)
	dial(t, p).works(t)
	if got, err := b.ask("hello", 50*time.Millisecond); got != "" || !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
		t.Errorf("a connection that hangs: %q, %v, want a timeout", got, err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if e.has("hello") || e.ended() > 0 {
		t.Error("the server has heard of it")
	}
	end()
	if got, err := b.ask("again", 5*time.Second); err == nil || isTimeout(err) {
		t.Errorf("after the end: %q, %v, want that it is cut", got, err)
	}
	eventually(t, "the server's ends are still open", func() bool { return e.ended() == 2 })
	if e.has("hello") || e.has("again") {
		t.Error("what was sent meanwhile has come through")
	}
	a.works(t)
}

func isTimeout(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
}

// TestCloseWhileItHangs: Close does not wait for anybody.
func TestCloseWhileItHangs(t *testing.T) {
	_, p := listen(t)
	a := dial(t, p)
	a.works(t)
	p.Hang(func() bool { return true })
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if got, err := a.ask("hello", 5*time.Second); err == nil || isTimeout(err) {
		t.Errorf("got %q, %v, want that it is cut", got, err)
	}
}

// TestNobodyListens: whoever comes is cut, and the next one is served when the target is back.
func TestNobodyListens(t *testing.T) {
	e, p := listen(t)
	at := e.Addr().String()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", p.Addr()); err == nil { // it may be cut as soon as it is there
		defer c.Close()
		if got, err := (client{c, bufio.NewReader(c)}).ask("hello", 5*time.Second); err == nil || isTimeout(err) {
			t.Errorf("got %q, %v, want that it is cut", got, err)
		}
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	e.all.Go(func() {
		if c, err := l.Accept(); err == nil {
			e.serve(c)
		}
	})
	dial(t, p).works(t)
}
