package sqlite

import (
	"context"
	"database/sql"
)

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
