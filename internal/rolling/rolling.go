// Package rolling is what every store must prove of deploys in which programs of two releases use it side by side. Of a release only the
// steps of its schema differ here: its code is that of this one.
package rolling

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/sleep"
	"github.com/symphony-messenger/symphony/monitor"
)

// An Order is the message of the tests; in a store its type is "order", and its body such as {"n":1}.
type Order struct {
	N int `json:"n"`
}

// MessageType implements [symphony.Message].
func (Order) MessageType() string { return "order" }

// held is an order whose handler goes on until it is let go.
const held = -1

const (
	short   = 4 * time.Second // of a lease that is to run out
	long    = time.Minute     // of one that is not, on a machine that does other things too
	patient = time.Minute
)

// Steps returns the steps of a made-up release: the first n of ours, and more of them.
func Steps(tb testing.TB, ours fs.FS, n int, more map[string]string) fs.FS {
	tb.Helper()
	files, err := fs.Glob(ours, "schema/*.sql")
	if err != nil || n > len(files) {
		tb.Fatalf("%d steps of %d: %v", n, len(files), err)
	}
	steps := make(fstest.MapFS)
	for _, file := range files[:n] {
		text, err := fs.ReadFile(ours, file)
		if err != nil {
			tb.Fatal(err)
		}
		steps[file] = &fstest.MapFile{Data: text}
	}
	for file, text := range more {
		steps[file] = &fstest.MapFile{Data: []byte(text)}
	}
	return steps
}

// Handle runs a worker until it has handled n orders, and fails the test unless the store then has none that waits.
func Handle(t *testing.T, store symphony.Transport, n int) {
	t.Helper()
	p := begin(t, store, long)
	p.until("all orders are handled", func() bool { return p.handled() == n })
	p.end()
	p.nothingWaits()
}

// KeepWorking lets a worker and dispatchers work on a store during a migration that they are compatible with: no dispatch fails, every
// order is handled once, and the worker has nothing to say.
func KeepWorking(t *testing.T, store symphony.Transport, migrate func()) {
	p := begin(t, store, long)
	var all sync.WaitGroup
	stop := make(chan struct{})
	var mu sync.Mutex
	sent := 0
	for range 3 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				mu.Lock()
				sent++
				n := sent
				mu.Unlock()
				if _, err := p.bus.Dispatch(t.Context(), Order{n}); err != nil {
					t.Errorf("dispatch order %d: %v", n, err)
				}
			}
		})
	}
	p.until("orders are handled", func() bool { return p.handled() > 50 })
	migrate()
	before := p.handled()
	p.until("orders are handled after the migration", func() bool { return p.handled() > before+50 })
	close(stop)
	all.Wait()
	p.until("all orders are handled", func() bool { return p.handled() == sent })
	p.end()
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, times := range p.orders {
		if times != 1 {
			t.Errorf("order %d was handled %d times", n, times)
		}
	}
	if p.log.Len() > 0 {
		t.Errorf("the worker said:\n%s", p.log.String())
	}
	p.nothingWaits()
}

// StopWorking lets a worker work on a store that later's release makes unusable for it: within most it says so and takes nothing more,
// and what it had taken is handled by a worker of later's.
func StopWorking(t *testing.T, store, later symphony.Transport, most time.Duration, migrate func()) {
	p := begin(t, store, short)
	for n := range 10 {
		p.dispatch(n)
	}
	p.dispatch(held)
	p.until("all orders are taken", func() bool { return p.handled() == 10 && p.holds() })
	migrate()
	began := time.Now()
	p.until("the worker says that its release is too old", func() bool { return p.said(symphony.ErrSchemaTooNew.Error()) })
	if took := time.Since(began); took > 2*most+10*time.Second { // the machine may do other things too
		t.Errorf("the worker stopped after %v, want within %v", took, most)
	}
	if _, err := p.bus.Dispatch(t.Context(), Order{99}); !errors.Is(err, symphony.ErrSchemaTooNew) {
		t.Errorf("dispatch by the old release: %v", err)
	}
	if c, ok := symphony.As[monitor.Counter](store); ok {
		if _, err := c.Counts(t.Context()); !errors.Is(err, symphony.ErrSchemaTooNew) {
			t.Errorf("counts by the old release: %v", err)
		}
	}
	p.letGo() // its verdict is refused
	next := begin(t, later, long)
	for n := range 10 {
		next.dispatch(10 + n)
	}
	next.letGo()
	next.until("the later release handles what is new, and what the old one had", func() bool { return next.handled() == 11 })
	if n := p.handled(); n != 11 {
		t.Errorf("the old worker handled %d orders, want the 11 that it had", n)
	}
	p.end()
	next.end()
	next.nothingWaits()
}

// A program is a bus and a worker of one release.
type program struct {
	t     *testing.T
	bus   *symphony.Bus
	store symphony.Transport
	end   func() // stops the worker, which must not fail
	free  chan struct{}

	mu      sync.Mutex
	orders  map[int]int
	holding bool
	log     strings.Builder
}

func begin(t *testing.T, store symphony.Transport, lease time.Duration) *program {
	t.Helper()
	p := &program{t: t, store: store, bus: &symphony.Bus{Transport: store}, free: make(chan struct{}), orders: make(map[int]int)}
	symphony.Handle(p.bus, p.handle)
	w := &symphony.Worker{Bus: p.bus, Lease: lease, Logger: slog.New(slog.NewTextHandler(p, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	p.end = sync.OnceFunc(func() {
		cancel()
		select {
		case <-p.free:
		default:
			close(p.free)
		}
		if err := <-ended; err != nil {
			t.Errorf("the worker ended with %v", err)
		}
	})
	t.Cleanup(p.end)
	return p
}

func (p *program) handle(_ context.Context, o Order) error {
	if o.N == held {
		p.mu.Lock()
		p.holding = true
		p.mu.Unlock()
		<-p.free
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.orders[o.N]++
	return nil
}

func (p *program) letGo() { close(p.free) }

func (p *program) holds() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.holding
}

func (p *program) handled() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, times := range p.orders {
		n += times
	}
	return n
}

// Write takes the lines of the worker's log.
func (p *program) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(line)
}

func (p *program) said(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Contains(p.log.String(), text)
}

func (p *program) dispatch(n int) {
	p.t.Helper()
	if _, err := p.bus.Dispatch(p.t.Context(), Order{n}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *program) until(what string, reached func() bool) {
	p.t.Helper()
	for end := time.Now().Add(patient); !reached(); {
		if time.Now().After(end) || sleep.For(p.t.Context(), 2*time.Millisecond) != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.t.Fatalf("not within %v: %s; the worker said:\n%s", patient, what, p.log.String())
		}
	}
}

// nothingWaits compares what was handled with what the store has counted.
func (p *program) nothingWaits() {
	p.t.Helper()
	counter, ok := symphony.As[monitor.Counter](p.store)
	if !ok {
		return
	}
	c, err := counter.Counts(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	for _, n := range c.Counts {
		if n.Status != monitor.Completed && n.N != 0 {
			p.t.Errorf("%d orders are %s", n.N, n.Status)
		}
	}
}
