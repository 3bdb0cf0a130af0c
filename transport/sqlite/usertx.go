package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// A statementPool is statements of the transport's own pool, prepared once for each of its connections.
type statementPool struct {
	mu  sync.Mutex
	all map[string]*sql.Stmt
}

func (p *statementPool) get(ctx context.Context, db *sql.DB, query string) (*sql.Stmt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.all[query]; ok {
		return s, nil
	}
	s, err := db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if p.all == nil {
		p.all = make(map[string]*sql.Stmt)
	}
	p.all[query] = s
	return s, nil
}

func (p *statementPool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.all {
		_ = s.Close()
	}
	clear(p.all)
}

// inTx runs fn in the caller's transaction, after a check that it is one on this file.
func (t *Transport) inTx(ctx context.Context, tx *sql.Tx, fn func(q *queries) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// An interrupted write would end the whole transaction, and what its owner writes next would stay.
	ctx = context.WithoutCancel(ctx)
	q, path, err := t.queriesIn(ctx, tx)
	if err != nil {
		return fmt.Errorf("ask for the file of the transaction: %w", explain(err))
	}
	if !sameFile(path, t.config.path) {
		return fmt.Errorf("the transaction is one on another file, %s", path)
	}
	if err := t.checkIn(q); err != nil {
		return err
	}
	if err := q.exec("savepoint symphony"); err != nil {
		return err
	}
	if err = fn(q); err == nil {
		err = q.flush()
	}
	if err != nil { // nothing of ours stays in a transaction that its owner commits all the same
		return errors.Join(err, q.exec("rollback to symphony"), q.exec("release symphony"))
	}
	return q.exec("release symphony")
}

const sqlFile = "select file from pragma_database_list where name = 'main'"

// queriesIn returns how to run statements in tx, and the file of tx. In a transaction of the
// transport's own pool the statements are prepared already; in one of another *sql.DB, which
// database/sql tells by an error only, each is prepared where it is used.
func (t *Transport) queriesIn(ctx context.Context, tx *sql.Tx) (q *queries, path string, err error) {
	if t.db.Stats().MaxOpenConnections == 1 { // tx has it: to prepare on the pool would wait for ever
		q = inTx(ctx, tx)
		_, err = q.one(sqlFile, nil, &path)
		return q, path, err
	}
	pooled := t.prepared(ctx, tx)
	_, err = pooled.one(sqlFile, nil, &path)
	if err == nil || !strings.Contains(err.Error(), "statement from different database") {
		return pooled, path, err
	}
	q = inTx(ctx, tx)
	_, err = q.one(sqlFile, nil, &path)
	return q, path, err
}

// prepared runs the pool's statements in a transaction of the pool.
func (t *Transport) prepared(ctx context.Context, tx *sql.Tx) *queries {
	return &queries{ctx: ctx, prepare: func(ctx context.Context, query string) (statement, error) {
		s, err := t.pooled.get(ctx, t.db, query)
		if err != nil {
			return nil, err
		}
		return tx.StmtContext(ctx, s), nil
	}}
}

// read runs fn on one snapshot of the file: a message may move between tables meanwhile.
func (t *Transport) read(ctx context.Context, fn func(q *queries) error) error {
	if err := t.check(ctx); err != nil {
		return err
	}
	tx, err := t.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return explain(err)
	}
	defer func() { _ = tx.Rollback() }()
	if t.db.Stats().MaxOpenConnections == 1 {
		return fn(inTx(ctx, tx))
	}
	return fn(t.prepared(ctx, tx))
}

// inTx runs statements in a transaction without the transport's prepared ones.
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
