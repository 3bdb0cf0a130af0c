package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/symphony-messenger/symphony"
)

// A writer is the one connection that a transport writes with. SQLite lets one transaction write at
// a time; within this process they queue here, fairly and without SQLite's sleeping, and its prepared
// statements are kept.
type writer struct {
	db       *sql.DB
	patience time.Duration // with others that write
	lock     chan struct{} // holds one element while nobody writes
	turn     chan struct{} // the same for the callers' transactions: one of them at a time queues for lock
	conn     *sql.Conn     // nil: not open
	stmts    map[string]*sql.Stmt
}

func newWriter(c config) *writer {
	db, err := sql.Open("sqlite", c.driverDSN())
	if err != nil { // the driver is registered: open checked it
		panic(err)
	}
	db.SetMaxOpenConns(1)
	w := &writer{db: db, patience: c.busyTimeout, lock: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
	w.lock <- struct{}{}
	w.turn <- struct{}{}
	return w
}

var errClosed = errors.New("the transport is closed")

// acquire waits until nobody in this process writes, until ctx ends or the time has come.
func (w *writer) acquire(ctx context.Context, until time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var open bool
	select {
	case _, open = <-w.lock:
	default:
		most := time.Until(until)
		timer := time.NewTimer(most)
		defer timer.Stop()
		select {
		case _, open = <-w.lock:
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return fmt.Errorf("%w: this process has been writing for %v", symphony.ErrStoreBusy, most.Round(time.Millisecond))
		}
	}
	if !open {
		return errClosed
	}
	return nil
}

// acquireTurn waits, until ctx ends, for the lock on behalf of a transaction of the caller's. Many
// handlers with such transactions are no reason for one of them to fail, nor for heartbeats and
// verdicts to wait for more than one of them.
func (w *writer) acquireTurn(ctx context.Context) (release func(), err error) {
	select {
	case <-w.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := w.acquire(ctx, time.Now().Add(forever)); err != nil {
		w.turn <- struct{}{}
		return nil, err
	}
	return func() {
		w.release()
		w.turn <- struct{}{}
	}, nil
}

const forever = 100 * 365 * 24 * time.Hour

func (w *writer) release() { w.lock <- struct{}{} }

// do runs fn in a transaction that holds the write lock from its start. ctx counts until the lock is
// had: after that the statements run to their end, because an interrupted commit has an unknown
// outcome. fn's error rolls back.
func (w *writer) do(ctx context.Context, fn func(q *queries) error) error {
	return w.doBefore(ctx, time.Now().Add(w.patience), fn)
}

// doBefore is do for who has another patience.
func (w *writer) doBefore(ctx context.Context, until time.Time, fn func(q *queries) error) error {
	if err := w.acquire(ctx, until); err != nil {
		return err
	}
	defer w.release()
	on := context.WithoutCancel(ctx)
	q := &queries{ctx: on, prepare: w.prepare}
	if err := w.begin(ctx, q, until); err != nil {
		return err
	}
	ctx = on
	committed := false
	defer func() {
		if !committed { // also when fn panics
			if _, err := w.conn.ExecContext(ctx, "rollback"); err != nil {
				w.reset() // SQLite rolled back itself, or the connection is broken: a new one is in a known state
			}
		}
	}()
	if err := fn(q); err != nil {
		return err
	}
	if err := q.flush(); err != nil {
		return err
	}
	if err := q.exec("commit"); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	committed = true
	return nil
}

// begin takes the lock of the file, which other processes have now and then. SQLite's own way of
// waiting sleeps up to 100 ms between two looks and lets whoever looks more often go first; transactions
// here take a few milliseconds. The first of all connections changes the journal of a new file, for which
// SQLite does not wait at all.
func (w *writer) begin(ctx context.Context, q *queries, until time.Time) error {
	const first, last = 200 * time.Microsecond, 5 * time.Millisecond
	pause := first
	var timer *time.Timer
	for ; ; pause = min(2*pause, last) {
		err := explain(w.open(q.ctx))
		if err == nil {
			err = q.exec("begin immediate")
		}
		if !errors.Is(err, symphony.ErrStoreBusy) || !time.Now().Before(until) {
			return err
		}
		if timer == nil {
			timer = time.NewTimer(pause)
			defer timer.Stop()
		} else {
			timer.Reset(pause/2 + rand.N(pause))
		}
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *writer) open(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	conn, err := w.db.Conn(ctx)
	if err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, "pragma busy_timeout = 0"); err != nil { // begin waits itself
		return errors.Join(err, conn.Close())
	}
	w.conn, w.stmts = conn, make(map[string]*sql.Stmt)
	return nil
}

func (w *writer) prepare(ctx context.Context, query string) (statement, error) {
	if s, ok := w.stmts[query]; ok {
		return s, nil
	}
	s, err := w.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	w.stmts[query] = s
	return s, nil
}

// reset closes the connection; the next transaction opens another one.
func (w *writer) reset() {
	for _, s := range w.stmts {
		_ = s.Close()
	}
	if w.conn != nil {
		_ = w.conn.Raw(func(any) error { return sqldriver.ErrBadConn }) // so that the pool does not keep it
		_ = w.conn.Close()
	}
	w.conn, w.stmts = nil, nil
}

// close waits for the transaction in progress.
func (w *writer) close() error {
	<-w.lock
	close(w.lock)
	w.reset()
	return w.db.Close()
}
