package postgres

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
)

// A wireProxy stands between a transport and the server, and understands as much of the protocol as it needs to know which
// statement is on its way.
type wireProxy struct {
	target   string
	listener net.Listener
	all      sync.WaitGroup

	// hook is asked about each statement before it is forwarded; it may wait. True: the answer is swallowed, and the connection cut
	// when all of it has come.
	hook     atomic.Pointer[func(statement string) (lose bool)]
	refuse   atomic.Bool // cut what connects from now on
	readOnly atomic.Bool // sessions that begin from now on are read-only, whatever they ask for

	mu    sync.Mutex
	links map[*wireLink]bool
}

type wireLink struct {
	client, server net.Conn
	losing         atomic.Bool
	listening      atomic.Bool
	frozen         chan struct{} // closed: nothing passes any more
	freeze         sync.Once
	gone           chan struct{}
	once           sync.Once
}

func (l *wireLink) cut() {
	l.once.Do(func() {
		close(l.gone)
		_ = l.client.Close()
		_ = l.server.Close()
	})
}

// throughProxy returns a proxy and the DSN that leads through it.
func throughProxy(t *testing.T, dsn string) (*wireProxy, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &wireProxy{target: u.Host, listener: l, links: make(map[*wireLink]bool)}
	p.all.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.cutAll()
		p.all.Wait()
	})
	u.Host = l.Addr().String()
	return p, u.String()
}

func (p *wireProxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.refuse.Load() {
			_ = client.Close()
			continue
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		link := &wireLink{client: client, server: server, frozen: make(chan struct{}), gone: make(chan struct{})}
		p.mu.Lock()
		p.links[link] = true
		p.mu.Unlock()
		var both sync.WaitGroup
		both.Go(func() { defer link.cut(); p.forth(link) })
		both.Go(func() { defer link.cut(); p.back(link) })
		p.all.Go(func() {
			both.Wait()
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.links, link)
		})
	}
}

func (p *wireProxy) each(do func(*wireLink)) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		do(l)
		n++
	}
	return n
}

func (p *wireProxy) cutAll() { p.each((*wireLink).cut) }

// freezeListen stops to forward on connections that have sent LISTEN, without a sign to either end.
func (p *wireProxy) freezeListen() (n int) {
	p.each(func(l *wireLink) {
		if l.listening.Load() {
			l.freeze.Do(func() { close(l.frozen) })
			n++
		}
	})
	return n
}

// on sets the hook.
func (p *wireProxy) on(hook func(statement string) (lose bool)) { p.hook.Store(&hook) }

// forth forwards what the client sends, message by message.
func (p *wireProxy) forth(l *wireLink) {
	known := make(map[string]string) // prepared statements by their names
	for first := true; ; {
		head := 5
		if first {
			head = 4
		}
		message := make([]byte, head, 4096)
		if _, err := io.ReadFull(l.client, message); err != nil {
			return
		}
		rest := int(binary.BigEndian.Uint32(message[head-4:])) - 4
		message = append(message, make([]byte, rest)...)
		if _, err := io.ReadFull(l.client, message[head:]); err != nil {
			return
		}
		body := message[head:]
		if first && binary.BigEndian.Uint32(body) == 3<<16 {
			first = false
			if p.readOnly.Load() {
				message = makeReadOnly(message)
			}
		} else if !first {
			statement := ""
			switch message[0] {
			case 'P':
				name, text, _ := bytes.Cut(body, []byte{0})
				text, _, _ = bytes.Cut(text, []byte{0})
				known[string(name)] = string(text)
			case 'B':
				_, text, _ := bytes.Cut(body, []byte{0})
				name, _, _ := bytes.Cut(text, []byte{0})
				statement = known[string(name)]
			case 'Q':
				statement = string(body[:len(body)-1])
			}
			if strings.HasPrefix(statement, "listen ") {
				l.listening.Store(true)
			}
			if hook := p.hook.Load(); hook != nil && statement != "" && (*hook)(statement) {
				l.losing.Store(true)
			}
		}
		select {
		case <-l.frozen:
			<-l.gone
			return
		default:
		}
		if _, err := l.server.Write(message); err != nil {
			return
		}
	}
}

// makeReadOnly changes what a startup message says about the session.
func makeReadOnly(startup []byte) []byte {
	const name = "default_transaction_read_only\x00"
	out := bytes.Replace(startup, []byte(name+"off\x00"), []byte(name+"on\x00"), 1)
	binary.BigEndian.PutUint32(out, uint32(len(out)))
	return out
}

// back forwards what the server sends.
func (p *wireProxy) back(l *wireLink) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := l.server.Read(buffer)
		select {
		case <-l.frozen:
			<-l.gone
			return
		default:
		}
		if l.losing.Load() {
			// An answer ends with ReadyForQuery, whose last byte is the state of the transaction.
			if n >= 6 && bytes.HasPrefix(buffer[n-6:n], []byte{'Z', 0, 0, 0, 5}) {
				return
			}
			n = 0
		}
		if n > 0 {
			if _, err := l.client.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// What follows serves the tests of this package that break things.

func anEnvelope(typ string, change ...func(*symphony.Envelope)) *symphony.Envelope {
	env := &symphony.Envelope{
		ID: symphony.NewID(), Type: typ, Queue: "default", Priority: 5, ContentType: "application/json", Body: []byte(`{}`),
	}
	for _, f := range change {
		f(env)
	}
	return env
}

func withKey(key string, window time.Duration) func(*symphony.Envelope) {
	return func(e *symphony.Envelope) { e.Key, e.Window = key, window }
}

func inGroup(group string) func(*symphony.Envelope) {
	return func(e *symphony.Envelope) { e.Group = group }
}

func claimFor(worker string, most int) symphony.Claim {
	return symphony.Claim{Worker: worker, Queues: []symphony.QueueClaim{{Name: "default"}}, Max: most, Lease: 30 * time.Second}
}

// longest is how long what must happen may take: a test that works does not need it, however busy the machine is.
const longest = time.Minute

// eventually waits for a state that others reach.
func eventually(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for end := time.Now().Add(longest); !reached(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", longest, what)
		}
	}
}

// late reports whether something took longer than it takes without a wait, d at most: on a busy machine longer by what sends take there now.
func late(t *testing.T, store *Transport, took, d time.Duration) bool {
	t.Helper()
	if took <= d {
		return false
	}
	var slowest time.Duration
	for range 5 {
		begun := time.Now()
		if _, err := store.Send(t.Context(), []*symphony.Envelope{anEnvelope("pace", func(e *symphony.Envelope) { e.Queue = "pace" })}); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(begun))
	}
	t.Logf("%v where %v are enough; a send takes %v", took, d, slowest)
	return took > d+10*slowest
}

// scalar asks the store's database for one value, on a connection of upkeep.
func scalar[T any](t *testing.T, store *Transport, text string, args ...any) (v T) {
	t.Helper()
	if err := store.upkeep.QueryRow(t.Context(), store.sql.in(text), args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// copiesOf is how often a message is in the store, in whatever state.
func copiesOf(t *testing.T, store *Transport, id symphony.ID) int {
	t.Helper()
	return scalar[int](t, store, `select (select count(*) from symphony.messenger_messages where id = $1)
  + (select count(*) from symphony.messenger_failed_messages where id = $1) + (select count(*) from symphony.messenger_history where id = $1)`, [16]byte(id))
}

// countsAreExact compares the counters with the rows that they count.
func countsAreExact(t *testing.T, store *Transport) {
	t.Helper()
	rows, err := store.upkeep.Query(t.Context(), store.sql.in(`
with there as (
  select queue_name q, message_type m, count(*) filter (where status = 'pending') a, count(*) filter (where status = 'scheduled') b,
    count(*) filter (where status = 'processing') c, 0::bigint d from symphony.messenger_messages group by 1, 2
  union all select queue_name, message_type, 0, 0, 0, count(*) from symphony.messenger_failed_messages group by 1, 2),
sums as (select q, m, sum(a) a, sum(b) b, sum(c) c, sum(d) d from there group by 1, 2)
select coalesce(q, queue_name) || ' ' || coalesce(m, message_type) || ': there are ' || row(a, b, c, d)::text || ', counted are ' ||
  row(pending, scheduled, processing, failed)::text
from sums full join symphony.messenger_counts on q = queue_name and m = message_type
where (coalesce(a, 0), coalesce(b, 0), coalesce(c, 0), coalesce(d, 0)) is distinct from
  (coalesce(pending, 0), coalesce(scheduled, 0), coalesce(processing, 0), coalesce(failed, 0))`))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		t.Error("counters:", line)
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
}
