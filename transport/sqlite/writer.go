package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
)

// A writer is the one connection that a transport writes with. SQLite lets one transaction write at
// a time; within this process they queue here, fairly and without SQLite's sleeping, and its prepared
// statements are kept.
type writer struct {
	db    *sql.DB
	lock  chan struct{} // holds one element while nobody writes
	conn  *sql.Conn     // nil: not open
	stmts map[string]*sql.Stmt
}

func newWriter(c config) *writer {
	db, err := sql.Open("sqlite", c.driverDSN())
	if err != nil { // the driver is registered: open checked it
		panic(err)
	}
	db.SetMaxOpenConns(1)
	w := &writer{db: db, lock: make(chan struct{}, 1)}
	w.lock <- struct{}{}
	return w
}

var errClosed = errors.New("the transport is closed")

// do runs fn in a transaction that holds the write lock from its start. ctx counts until the lock of
// this process is had: after that the statements run to their end, because an interrupted commit has
// an unknown outcome. fn's error rolls back.
func (w *writer) do(ctx context.Context, fn func(q *queries) error) error {
	select {
	case _, ok := <-w.lock:
		if !ok {
			return errClosed
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { w.lock <- struct{}{} }()
	ctx = context.WithoutCancel(ctx)
	if err := w.open(ctx); err != nil {
		return err
	}
	q := &queries{ctx: ctx, prepare: w.prepare}
	if err := q.exec("begin immediate"); err != nil {
		return err
	}
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

func (w *writer) open(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	conn, err := w.db.Conn(ctx)
	if err != nil {
		return err
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

// A statement is what database/sql's statements have in common with text that is prepared each time.
type statement interface {
	ExecContext(ctx context.Context, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, args ...any) (*sql.Rows, error)
}

// queries runs statements in one transaction: the transport's own, or one of the caller's.
type queries struct {
	ctx     context.Context
	prepare func(ctx context.Context, query string) (statement, error)
	stats   map[statKey]int64 // changes to messenger_stats, not yet written
	ready   bool              // something may have become claimable
}

// inTx runs statements in the caller's transaction. Each is prepared where it is used: statements
// belong to a connection, and that is the caller's.
func inTx(ctx context.Context, tx *sql.Tx) *queries {
	return &queries{ctx: ctx, prepare: func(_ context.Context, query string) (statement, error) {
		return unprepared{tx, query}, nil
	}}
}

type unprepared struct {
	tx    *sql.Tx
	query string
}

func (u unprepared) ExecContext(ctx context.Context, args ...any) (sql.Result, error) {
	return u.tx.ExecContext(ctx, u.query, args...)
}

func (u unprepared) QueryContext(ctx context.Context, args ...any) (*sql.Rows, error) {
	return u.tx.QueryContext(ctx, u.query, args...)
}

func (q *queries) exec(query string, args ...any) error {
	s, err := q.prepare(q.ctx, query)
	if err != nil {
		return explain(err)
	}
	_, err = s.ExecContext(q.ctx, args...)
	return explain(err)
}

// affected is exec that says how many rows were changed.
func (q *queries) affected(query string, args ...any) (int64, error) {
	s, err := q.prepare(q.ctx, query)
	if err != nil {
		return 0, explain(err)
	}
	r, err := s.ExecContext(q.ctx, args...)
	if err != nil {
		return 0, explain(err)
	}
	return r.RowsAffected()
}

// each calls fn for every row.
func (q *queries) each(query string, args []any, fn func(rows *sql.Rows) error) error {
	s, err := q.prepare(q.ctx, query)
	if err != nil {
		return explain(err)
	}
	rows, err := s.QueryContext(q.ctx, args...)
	if err != nil {
		return explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return explain(rows.Err())
}

// one reads the first row into dest and says whether there was one.
func (q *queries) one(query string, args []any, dest ...any) (found bool, err error) {
	err = q.each(query, args, func(rows *sql.Rows) error {
		if found {
			return nil
		}
		found = true
		return rows.Scan(dest...)
	})
	return found, err
}
