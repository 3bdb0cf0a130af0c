package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/transport/postgres"
)

// A Bench measures a store beside its messages: in a schema of its own on PostgreSQL, in a file beside its
// file with SQLite. Both are removed at the end, also when it fails or ctx ends.
type Bench struct {
	Store       Store
	Messages    int // in each of the measurements but that of latency
	Concurrency int // of dispatching and handling
	Body        int // bytes of each
}

// A Figure is what was measured.
type Figure struct {
	Name   string        `json:"name"`
	N      int           `json:"messages"`
	Took   time.Duration `json:"-"`
	Rate   float64       `json:"per_second,omitempty"`
	Median time.Duration `json:"-"` // of one message; 0: was not measured
	P99    time.Duration `json:"-"`
}

const (
	benchType  = "symphony.bench"
	benchBatch = 100
	// pings is how many messages go through an idle worker, one after another.
	pings = 100
	// cleanWithin bounds the removal of what was measured with.
	cleanWithin = 30 * time.Second
)

// Run measures, and tells each figure as soon as it has it. It blocks until the scratch store is removed. Its error matches
// symphony.ErrUnsupported for a store that has no room for another beside it.
func (b Bench) Run(ctx context.Context, tell func(Figure)) error {
	scratch, remove, err := b.scratch()
	if err != nil {
		return err
	}
	t, err := scratch.Open(ctx)
	if err != nil {
		return err
	}
	m, ok := symphony.As[monitor.Migrator](t)
	if !ok {
		return errors.Join(fmt.Errorf("measure: %w", symphony.ErrUnsupported), Close(t))
	}
	if _, err := m.Migrations(ctx); err != nil { // out of reach: there is nothing to remove either
		return errors.Join(err, Close(t))
	}
	r := benchRun{Bench: b, bus: &symphony.Bus{Transport: t, Logger: scratch.Logger, MaxBody: 16 << 20}, tell: tell}
	err = errors.Join(r.all(ctx, m), Close(t))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanWithin)
	defer cancel()
	if gone := remove(ctx); gone != nil {
		err = errors.Join(err, fmt.Errorf("remove what was measured with: %w", gone))
	}
	return err
}

// scratch returns a store beside that of b, and what removes it.
func (b Bench) scratch() (s Store, remove func(context.Context) error, err error) {
	name := "symphony_bench_" + strings.ToLower(rand.Text()[:12])
	s = b.Store
	scheme, rest, _ := strings.Cut(s.DSN, "://")
	where, query, _ := strings.Cut(rest, "?")
	switch scheme {
	case "sqlite":
		plain, err := url.PathUnescape(where)
		if err != nil {
			return s, nil, fmt.Errorf("%w: %w", ErrDSN, err)
		}
		file := filepath.Join(filepath.Dir(plain), name+".db")
		s.DSN = "sqlite://" + (&url.URL{Path: file}).EscapedPath() + "?" + query
		return s, func(context.Context) error { return removeFiles(file) }, nil
	case "postgres", "postgresql":
		options := slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool { return pair == "" || strings.HasPrefix(pair, "schema=") })
		s.DSN = scheme + "://" + where + "?" + strings.Join(append(options, "schema="+name), "&")
		return s, func(ctx context.Context) error { return dropSchema(ctx, s.DSN, name) }, nil
	}
	return s, nil, fmt.Errorf("measure %s://: %w", scheme, symphony.ErrUnsupported)
}

func removeFiles(file string) error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(file + suffix); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// dropSchema opens the store anew: the transport that used the schema is closed by now, with all that it did in the background.
func dropSchema(ctx context.Context, dsn, name string) error {
	t, err := postgres.Open(ctx, dsn, nil)
	if err != nil {
		return err
	}
	_, err = t.Pool().Exec(ctx, "drop schema if exists "+name+" cascade")
	return errors.Join(err, t.Close())
}

// A benchRun is one Run of a Bench, with its scratch store.
type benchRun struct {
	Bench
	bus  *symphony.Bus
	tell func(Figure)
}

// all makes the scratch store and measures.
func (r *benchRun) all(ctx context.Context, m monitor.Migrator) error {
	if _, err := m.Migrate(ctx); err != nil {
		return err
	}
	for _, measure := range []func(context.Context) error{r.dispatchEach, r.handle, r.dispatchBatches, r.handle, r.latency} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *benchRun) message() symphony.Raw {
	body := slices.Repeat([]byte("x"), max(r.Body, 2))
	body[0], body[len(body)-1] = '"', '"'
	return symphony.Raw{Type: benchType, Body: body}
}

// dispatchEach dispatches one message a call, from as many callers as there are to be at once.
func (r *benchRun) dispatchEach(ctx context.Context) error {
	m := r.message()
	var left atomic.Int64
	left.Store(int64(r.Messages))
	took := make([][]time.Duration, r.Concurrency)
	errs := make([]error, r.Concurrency)
	var callers sync.WaitGroup
	begun := time.Now()
	for i := range r.Concurrency {
		callers.Go(func() {
			for left.Add(-1) >= 0 {
				at := time.Now()
				if _, errs[i] = r.bus.Dispatch(ctx, m); errs[i] != nil {
					return
				}
				took[i] = append(took[i], time.Since(at))
			}
		})
	}
	callers.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	r.report("dispatch, one a call", r.Messages, time.Since(begun), slices.Concat(took...))
	return nil
}

func (r *benchRun) dispatchBatches(ctx context.Context) error {
	ms := make([]symphony.Message, benchBatch)
	for i := range ms {
		ms[i] = r.message()
	}
	begun := time.Now()
	for left := r.Messages; left > 0; left -= benchBatch {
		if _, err := r.bus.DispatchAll(ctx, ms[:min(left, benchBatch)]); err != nil {
			return err
		}
	}
	r.report(fmt.Sprintf("dispatch, %d a call", benchBatch), r.Messages, time.Since(begun), nil)
	return nil
}

// worker is one whose handler does nothing but call handled.
func (r *benchRun) worker(handled func()) *symphony.Worker {
	bus := &symphony.Bus{Transport: r.bus.Transport, Logger: r.bus.Logger}
	symphony.HandleRaw(bus, benchType, func(context.Context, *symphony.Envelope) error {
		handled()
		return nil
	})
	return &symphony.Worker{Bus: bus, Concurrency: r.Concurrency}
}

// handle lets a worker handle all that is there.
func (r *benchRun) handle(ctx context.Context) error {
	w := r.worker(func() {})
	w.Limits.Messages = r.Messages
	begun := time.Now()
	if err := w.Run(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	r.report("handle", r.Messages, time.Since(begun), nil)
	return nil
}

// latency is the time from the call of Dispatch to the handler, with a worker that has nothing else to do.
func (r *benchRun) latency(ctx context.Context) error {
	started := make(chan struct{}, 1)
	w := r.worker(func() { started <- struct{}{} })
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	took, err := r.ping(ctx, started, ended)
	stop()
	if err = errors.Join(err, <-ended); err == nil { // nobody may use the store when this returns
		r.report("dispatch to handler, idle", pings, 0, took)
	}
	return err
}

func (r *benchRun) ping(ctx context.Context, started <-chan struct{}, ended chan error) ([]time.Duration, error) {
	m := r.message()
	var took []time.Duration
	for i := range pings + 1 {
		at := time.Now()
		if _, err := r.bus.Dispatch(ctx, m); err != nil {
			return nil, err
		}
		select {
		case <-started:
		case err := <-ended:
			ended <- err
			return nil, errors.New("the worker has ended")
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if i > 0 { // the first one waits until the worker is up
			took = append(took, time.Since(at))
		}
	}
	return took, nil
}

func (r *benchRun) report(name string, n int, took time.Duration, each []time.Duration) {
	f := Figure{Name: name, N: n, Took: took}
	if took > 0 {
		f.Rate = float64(n) / took.Seconds()
	}
	if len(each) > 0 {
		slices.Sort(each)
		f.Median, f.P99 = each[len(each)/2], each[len(each)*99/100]
	}
	r.tell(f)
}
