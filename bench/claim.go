package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/sleep"
	"github.com/symphony-messenger/symphony/transport/postgres"
)

// What claim works with: as many workers, each with so many handlers at once, so many messages a call, as many calls at once, and
// the last part of the time that is looked at.
const (
	claimWorkers = 4
	claimHandles = 100
	claimBatch   = 100
	claimCalls   = 8
	claimTail    = 6 // a sixth
)

// claim measures claims while a transaction of somebody else is open: nothing that the queue has done with can be removed, and
// claims must not walk over all of it. What counts is what a call that brought messages took without its waiting for them.
func claim(ctx context.Context, s system, n sizes) ([]value, error) {
	y, ok := s.(*symphonySystem)
	if !ok {
		return nil, fmt.Errorf("claim is measured for %s only", ours)
	}
	times := new(durations)
	if err := y.time(ctx, times); err != nil {
		return nil, err
	}
	held, err := hold(ctx, y.at.database)
	if err != nil {
		return nil, err
	}
	f := flow{system: s}
	var claims, calls []time.Duration
	var handled int64
	err = whileWorking(ctx, s, shift{handle: f.count, takes: n.Offered, do: func(ctx context.Context) error {
		if err := warmUp(ctx, s); err != nil {
			return err
		}
		offering, stop := context.WithCancel(ctx)
		sent := make(chan error, 1)
		go func() { sent <- f.offer(offering, ctx, n.Offer) }()
		err := sleep.For(ctx, n.Offered-n.Offered/claimTail)
		times.reset()
		if err == nil {
			err = sleep.For(ctx, n.Offered/claimTail)
		}
		claims, calls = times.sorted()
		handled = f.handled.Load()
		stop()
		// The transaction ends before the rest is handled: that is not measured.
		if err = errors.Join(err, <-sent, held.release(ctx)); err != nil {
			return err
		}
		if err := f.wait(ctx); err != nil {
			return err
		}
		return emptied(ctx, s)
	}})
	if err = errors.Join(err, held.close()); err != nil {
		return nil, err
	}
	if len(claims) == 0 {
		return nil, fmt.Errorf("nothing was claimed in the last %v", n.Offered/claimTail)
	}
	return []value{
		{"claim_p50", "ms", quantile(claims, 0.50)},
		{"claim_p99", "ms", quantile(claims, 0.99)},
		{"claim_call_p50", "ms", quantile(calls, 0.50)},
		{"claim_call_p99", "ms", quantile(calls, 0.99)},
		{"claim_done", "msg", float64(handled)},
	}, nil
}

// time lets four workers work on a transport whose calls are measured.
func (y *symphonySystem) time(ctx context.Context, into *durations) error {
	config, err := pgxpool.ParseConfig(y.at.database)
	if err != nil {
		return fmt.Errorf("open a transport to measure: %w", err)
	}
	config.ConnConfig.Tracer = tracer{} // the transport makes its connections alike
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("open a transport to measure: %w", err)
	}
	y.closer.add(func() error { pool.Close(); return nil })
	t, err := postgres.New(ctx, pool, &postgres.Options{Logger: quiet()})
	if err != nil {
		return fmt.Errorf("open a transport to measure: %w", err)
	}
	y.closer.add(t.Close)
	y.transport = timed{t, into}
	if e, ok := symphony.As[symphony.Exchanger](t); ok {
		y.transport = timedExchanger{timed{t, into}, e}
	}
	y.bus.Transport = y.transport
	y.workers, y.settings = claimWorkers, symphonySettings{claimHandles}
	return nil
}

func (f *flow) count(j job) {
	if f.seen.add(j.N) {
		f.handled.Add(1)
	}
}

// offer sends rate messages a second until offering ends, or fewer when the store does not take them.
func (f *flow) offer(offering, ctx context.Context, rate int) error {
	var mu sync.Mutex
	var errs []error
	room := make(chan struct{}, claimCalls)
	var all sync.WaitGroup
	pace(offering, max(rate/claimBatch, 1), 1<<31, func(int) {
		select {
		case room <- struct{}{}:
		case <-offering.Done():
			return
		}
		first := int(f.sent.Add(claimBatch)) - claimBatch
		all.Go(func() {
			if err := f.system.insertMany(ctx, newJobs(first, claimBatch)); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
			<-room
		})
	})
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// timed measures the calls that bring messages. All else that the transport can do it can, too.
type timed struct {
	*postgres.Transport
	times *durations
}

func (t timed) Receive(ctx context.Context, c symphony.Claim) ([]symphony.Delivery, error) {
	return t.times.of(ctx, func(ctx context.Context) ([]symphony.Delivery, error) { return t.Transport.Receive(ctx, c) })
}

// A timedExchanger is for a transport that is an Exchanger.
type timedExchanger struct {
	timed
	exchanger symphony.Exchanger
}

func (t timedExchanger) Exchange(ctx context.Context, vs []symphony.Verdict, c symphony.Claim) ([]symphony.Delivery, error) {
	return t.times.of(ctx, func(ctx context.Context) ([]symphony.Delivery, error) { return t.exchanger.Exchange(ctx, vs, c) })
}

// durations are what calls took that brought messages: the calls, and of each its end, from when it had waited last. It is safe for
// concurrent use.
type durations struct {
	mu            sync.Mutex
	claims, calls []time.Duration
}

func (d *durations) of(ctx context.Context, do func(context.Context) ([]symphony.Delivery, error)) ([]symphony.Delivery, error) {
	began := time.Now()
	c := call{awake: began, asked: began}
	ds, err := do(context.WithValue(ctx, callKey{}, &c))
	if len(ds) > 0 {
		ended := time.Now()
		d.mu.Lock()
		defer d.mu.Unlock()
		d.calls = append(d.calls, ended.Sub(began))
		d.claims = append(d.claims, ended.Sub(c.awake))
	}
	return ds, err
}

func (d *durations) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.claims, d.calls = nil, nil
}

func (d *durations) sorted() (claims, calls []time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(slices.Values(d.claims)), slices.Sorted(slices.Values(d.calls))
}

// A call is one of the transport on its way. It is used by the goroutine that calls only.
type call struct {
	awake time.Time // it has not waited for messages since
	asked time.Time // when the last statement ended
}

type callKey struct{}

// A tracer notes when the statements of calls begin and end.
type tracer struct{}

// waiting is the shortest time between two statements that is taken for waiting: what is shorter counts as work.
const waiting = 2 * time.Millisecond

// TraceAcquireStart implements [pgxpool.AcquireTracer]: a statement begins when it begins to wait for a connection.
func (tracer) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		if now := time.Now(); now.Sub(c.asked) > waiting {
			c.awake = now
		}
	}
	return ctx
}

// TraceAcquireEnd implements [pgxpool.AcquireTracer].
func (tracer) TraceAcquireEnd(context.Context, *pgxpool.Pool, pgxpool.TraceAcquireEndData) {}

// TraceQueryStart implements [pgx.QueryTracer].
func (tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

// TraceQueryEnd implements [pgx.QueryTracer].
func (tracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		c.asked = time.Now()
	}
}

// A snapshot is an open transaction that sees the database as it was.
type snapshot struct{ conn *pgx.Conn }

func hold(ctx context.Context, database string) (*snapshot, error) {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return nil, fmt.Errorf("hold a snapshot: %w", err)
	}
	s := &snapshot{conn}
	// The snapshot is taken by the first query.
	for _, sql := range []string{"begin isolation level repeatable read", "select count(*) from symphony.messenger_messages"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return nil, errors.Join(fmt.Errorf("hold a snapshot: %w", err), s.close())
		}
	}
	return s, nil
}

// release ends the transaction, which must still see what it saw at first.
func (s *snapshot) release(ctx context.Context) error {
	var n int
	if err := s.conn.QueryRow(ctx, "select count(*) from symphony.messenger_messages").Scan(&n); err != nil {
		return fmt.Errorf("release the snapshot: %w", err)
	}
	if n > 0 {
		return fmt.Errorf("the snapshot of an empty table has %d messages: it held nothing", n)
	}
	_, err := s.conn.Exec(ctx, "rollback")
	return err
}

func (s *snapshot) close() error { return s.conn.Close(context.Background()) }
