// Package faultproxy is a TCP proxy that does to connections what networks do: it cuts one when the answer
// to a request is on its way, so that the client cannot know what became of that, and it lets connections
// hang, half open, without telling either end.
//
// Whatever it does not break it forwards as it comes. A client that comes while nobody listens at the target
// is accepted and cut.
package faultproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// A Proxy forwards connections. Its methods may be called concurrently.
type Proxy struct {
	target   string
	listener net.Listener
	all      sync.WaitGroup // the listener's goroutine and those of the connections

	mu     sync.Mutex
	conns  []*link // in the order in which the target has accepted them
	cuts   []*cut  // that wait for their requests
	closed bool
}

// A Cut says which answer is lost.
type Cut struct {
	// Request reports whether what a client sends is the request whose answer is lost. It is asked about each
	// part of a stream as it is read: where a protocol sends a request at once, that is a request. It is not
	// called concurrently, and must not block.
	Request func(sent []byte) bool
	// Answered reports whether a part of the server's answer shows that the request has been carried out: then
	// both ends are closed, and the client has seen nothing of it. Nil: they are closed once the request
	// is forwarded, whatever the server makes of it.
	Answered func(answer []byte) bool
}

// answerTime is how long an answer may take before the connection is cut without it.
const answerTime = 2 * time.Second

type cut struct {
	Cut
	done chan struct{} // closed when it has been made
}

// Listen starts a proxy at a free port of the loopback interface. The caller closes it.
func Listen(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for connections to %s: %w", target, err)
	}
	p := &Proxy{target: target, listener: l}
	p.all.Go(p.accept)
	return p, nil
}

// Addr is the host and port at which it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close cuts all connections and waits for everything that the proxy has started. A second call does nothing.
func (p *Proxy) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	for _, l := range p.conns {
		l.cut()
	}
	p.mu.Unlock()
	err := p.listener.Close()
	p.all.Wait()
	return err
}

// Cut loses the answer to the next request that fits, of whatever connection, and closes that connection. It returns
// when that has happened, or with why ctx ended.
func (p *Proxy) Cut(ctx context.Context, what Cut) error {
	c := &cut{Cut: what, done: make(chan struct{})}
	p.mu.Lock()
	p.cuts = append(p.cuts, c)
	p.mu.Unlock()
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.cuts, c)
	if i < 0 {
		return nil // it is being made
	}
	p.cuts = slices.Delete(p.cuts, i, i+1)
	return fmt.Errorf("no request came whose answer was to be lost: %w", context.Cause(ctx))
}

// Hang stops to forward, in both directions, on those connections that choose returns true for, without a
// sign to either end, and returns how many they are. It asks about each in the order in which the target has
// accepted them.
// The caller ends it: the connections are cut then.
func (p *Proxy) Hang(choose func() bool) (n int, end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var chosen []*link
	for _, l := range p.conns {
		if !l.hangs() && l.losing.Load() == nil && choose() {
			close(l.hung)
			chosen = append(chosen, l)
		}
	}
	return len(chosen), func() {
		for _, l := range chosen {
			l.cut()
		}
	}
}

// Conns is how many connections there are that do not hang.
func (p *Proxy) Conns() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, l := range p.conns {
		if !l.hangs() {
			n++
		}
	}
	return n
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // it was gone before it was accepted
		}
		p.all.Go(func() { p.serve(client.(*net.TCPConn)) })
	}
}
