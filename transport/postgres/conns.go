package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Conns are the connections of a pool on which our own statements run. Behind a pooler the next transaction may run in any session, with
// whatever a role or another client has set: there each statement brings its settings along, in the same round trip and for its own
// transaction only. Above all that is the search path: one of the role's could find functions and operators of somebody else's first.
type conns struct {
	*pgxpool.Pool
	prelude string // "": the sessions are ours, and have the settings
	locals  string // the same for a transaction of several statements
}

// plannerSettings are what our statements need.
func plannerSettings() map[string]string {
	return map[string]string{
		// The statistics of a queue say nothing: it was empty when they were taken, or full. The plans for any of
		// it are those that use the indexes.
		"plan_cache_mode":   "force_generic_plan",
		"enable_seqscan":    "off",
		"enable_bitmapscan": "off",
		"jit":               "off",
		// A message or a key that somebody has in an open transaction is not waited for.
		"lock_timeout": "2s",
	}
}

// pinned makes the statements on a pool bring their settings along.
func (c *conns) pin() {
	settings := plannerSettings()
	settings["search_path"] = "pg_catalog, pg_temp"
	var calls, sets []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		calls = append(calls, fmt.Sprintf("pg_catalog.set_config('%s', '%s', true)", name, settings[name]))
		value := "'" + settings[name] + "'"
		if name == "search_path" {
			value = settings[name]
		}
		sets = append(sets, fmt.Sprintf("set local %s = %s", name, value))
	}
	c.prelude, c.locals = "select "+strings.Join(calls, ", "), strings.Join(sets, "; ")
}

// Query is that of the pool.
func (c *conns) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if c.prelude == "" {
		return c.Pool.Query(ctx, sql, args...)
	}
	conn, err := c.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	// One trip, and one transaction: it ends with the batch.
	var b pgx.Batch
	b.Queue(c.prelude)
	b.Queue(sql, args...)
	r := &pinnedRows{conn: conn, batch: conn.SendBatch(ctx, &b)}
	if _, err := r.batch.Exec(); err != nil {
		r.end()
		return nil, err
	}
	if r.Rows, err = r.batch.Query(); err != nil {
		r.end()
		return nil, err
	}
	return r, nil
}

// QueryRow is that of the pool.
func (c *conns) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if c.prelude == "" {
		return c.Pool.QueryRow(ctx, sql, args...)
	}
	rows, err := c.Query(ctx, sql, args...)
	return pinnedRow{rows, err}
}

// Exec is that of the pool.
func (c *conns) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if c.prelude == "" {
		return c.Pool.Exec(ctx, sql, args...)
	}
	rows, err := c.Query(ctx, sql, args...)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	rows.Close()
	return rows.CommandTag(), rows.Err()
}

// Begin is that of the pool.
func (c *conns) Begin(ctx context.Context) (pgx.Tx, error) { return c.BeginTx(ctx, pgx.TxOptions{}) }

// BeginTx is that of the pool.
func (c *conns) BeginTx(ctx context.Context, o pgx.TxOptions) (pgx.Tx, error) {
	if c.prelude != "" {
		begin := []string{"begin"}
		if o.IsoLevel != "" {
			begin = append(begin, "isolation level", string(o.IsoLevel))
		}
		o.BeginQuery = strings.Join(append(begin, string(o.AccessMode)), " ") + "; " + c.locals
	}
	return c.Pool.BeginTx(ctx, o)
}

// PinnedRows are those of the last statement of a batch.
type pinnedRows struct {
	pgx.Rows
	conn  *pgxpool.Conn
	batch pgx.BatchResults
	err   error // of the end of the batch, at which the transaction is committed
}

func (r *pinnedRows) end() {
	if r.conn == nil {
		return
	}
	r.err = r.batch.Close()
	r.conn.Release()
	r.conn = nil
}

func (r *pinnedRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.end()
	return false
}

func (r *pinnedRows) Close() {
	r.Rows.Close()
	r.end()
}

func (r *pinnedRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return err
	}
	return r.err
}

type pinnedRow struct {
	rows pgx.Rows
	err  error
}

func (r pinnedRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}
