package faultproxy

import (
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A link is one connection of a client, and the one to the target for it.
type link struct {
	client, server *net.TCPConn
	hung           chan struct{} // closed: nothing is forwarded any more
	gone           chan struct{} // closed: both are closed
	once           sync.Once
	losing         atomic.Pointer[cut] // the answer to what was sent last is to be lost
}

// dialTime bounds the wait for a target that does not answer at all.
const dialTime = 5 * time.Second

// serve forwards a connection until one of its ends is closed.
func (p *Proxy) serve(client *net.TCPConn) {
	server, err := net.DialTimeout("tcp", p.target, dialTime)
	if err != nil { // nobody listens
		_ = client.SetLinger(0)
		_ = client.Close()
		return
	}
	l := &link{client: client, server: server.(*net.TCPConn), hung: make(chan struct{}), gone: make(chan struct{})}
	if !p.add(l) {
		l.cut()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.pump(l.server, l.client, l.answer) })
	both.Go(func() { l.pump(l.client, l.server, func(sent []byte) bool { p.request(l, sent); return true }) })
	both.Wait()
	p.remove(l)
	if c := l.losing.Load(); c != nil {
		close(c.done)
	}
}

func (p *Proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.conns = append(p.conns, l)
	}
	return !p.closed
}

func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.conns, l)
	p.conns = slices.Delete(p.conns, i, i+1)
}

func (l *link) hangs() bool {
	select {
	case <-l.hung:
		return true
	default:
		return false
	}
}

// cut closes both ends. They hear of it as of a peer that is gone, with whatever was on its way.
func (l *link) cut() {
	l.once.Do(func() {
		close(l.gone)
		for _, c := range []*net.TCPConn{l.client, l.server} {
			_ = c.SetLinger(0)
			_ = c.Close()
		}
	})
}

// end closes both ends after all that was sent. An end that hangs does not learn that the other one is closed.
func (l *link) end() {
	if l.hangs() {
		<-l.gone
		return
	}
	l.once.Do(func() {
		close(l.gone)
		_ = l.client.Close()
		_ = l.server.Close()
	})
}

// pump forwards what forward returns true for, until either end is closed.
func (l *link) pump(from, to *net.TCPConn, forward func([]byte) bool) {
	defer l.end()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if l.hangs() {
			return
		}
		if n > 0 && forward(buffer[:n]) {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
			if c := l.losing.Load(); c != nil && from == l.client {
				l.lose(c)
			}
		}
		if err != nil {
			return
		}
	}
}

// request is told what the client sends. If its answer is to be lost, that is known before it is forwarded: not
// a byte of the answer may get through.
func (p *Proxy) request(l *link, sent []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, c := range p.cuts {
		if l.losing.Load() == nil && c.Request(sent) {
			l.losing.Store(c)
			p.cuts = slices.Delete(p.cuts, i, i+1)
			return
		}
	}
}

// lose is called when the request has been forwarded. It closes the link at once, or when the answer comes or has
// not come in time.
func (l *link) lose(c *cut) {
	if c.Answered != nil {
		late := time.NewTimer(answerTime)
		defer late.Stop()
		select {
		case <-l.gone: // by the one who saw the answer, or because an end was closed
		case <-late.C:
		}
	}
	l.cut()
}

// answer is told what the server sends, and drops it if it is to be lost.
func (l *link) answer(answer []byte) (forward bool) {
	c := l.losing.Load()
	if c == nil {
		return true
	}
	if c.Answered != nil && c.Answered(answer) {
		l.cut()
	}
	return false
}
