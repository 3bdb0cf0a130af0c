package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/symphony-messenger/symphony/internal/sleep"
)

// Sizes of the pools, and how many flushes of single sends are on their way at once.
const (
	workConns   = 5
	upkeepConns = 2
	sendConns   = 6
	flushes     = 2
)

// patience is how long a flush of single sends may take before a second one begins beside it.
const patience = 20 * time.Millisecond

// callTimeout is how long one call of the server may take: one that hangs, as on a dead connection, must not hold up its
// caller for ever. None of the statements needs a fraction of it.
const callTimeout = 15 * time.Second

// where names the database, without user and password.
func (c *config) where() string {
	return fmt.Sprintf("postgres://%s:%d/%s", c.conn.Host, c.conn.Port, c.conn.Database)
}

// ownPool makes a pool for our own statements: nothing in the settings of a role or a database changes what they mean.
func (c *config) ownPool(ctx context.Context, size int) (*conns, error) {
	p, err := c.newPool(ctx, size, true)
	if err != nil {
		return nil, err
	}
	own := &conns{Pool: p}
	if c.pooled {
		own.pin()
	}
	return own, nil
}

// newPool makes a pool; it connects when it is used.
func (c *config) newPool(ctx context.Context, size int, own bool) (*pgxpool.Pool, error) {
	p, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, err
	}
	p.ConnConfig = c.conn.Copy()
	p.MaxConns = int32(size)
	p.MinConns = 0
	p.MaxConnIdleTime = 5 * time.Minute
	p.MaxConnLifetimeJitter = 10 * time.Minute
	if c.pooled {
		// The descriptions stay valid on whatever server connection comes next; named statements would not.
		p.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	if own {
		c.prepareSession(p.ConnConfig)
	} else if !c.pooled {
		keepAlive(p.ConnConfig)
	}
	return pgxpool.NewWithConfig(ctx, p)
}

// prepareSession sets what our statements need. A pooler passes no settings on, and refuses some: there the statements bring them along.
func (c *config) prepareSession(conn *pgx.ConnConfig) {
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = 10 * time.Second
	}
	if c.pooled {
		return
	}
	settings := plannerSettings()
	maps.Copy(settings, map[string]string{
		"default_transaction_isolation": "read committed",
		"default_transaction_read_only": "off",
		"search_path":                   "pg_catalog",
		"client_encoding":               "UTF8",
	})
	maps.Copy(conn.RuntimeParams, settings)
	if conn.RuntimeParams["application_name"] == "" {
		conn.RuntimeParams["application_name"] = "symphony"
	}
	keepAlive(conn)
}

// keepAlive lets the server find out within a minute that our machine is gone. Until then it keeps the locks of our transactions;
// by default that takes two hours.
func keepAlive(conn *pgx.ConnConfig) {
	for name, value := range map[string]string{"tcp_keepalives_idle": "30", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3"} {
		if conn.RuntimeParams[name] == "" {
			conn.RuntimeParams[name] = value
		}
	}
}

// retry calls f again, a few times, while others' transactions make the server roll ours back, or a statement is too slow for its settings.
func (t *Transport) retry(ctx context.Context, f func(ctx context.Context) error) error {
	return t.retryFor(ctx, callTimeout, f)
}

// retryFor is retry for what may take as long as most.
func (t *Transport) retryFor(ctx context.Context, most time.Duration, f func(ctx context.Context) error) error {
	for try := 1; ; try++ {
		err := withinTime(ctx, most, f)
		if try == 4 || !conflicts(err) && !cutShort(err) {
			return err
		}
		if sleep.For(ctx, rand.N(time.Duration(try)*10*time.Millisecond)) != nil {
			return err
		}
	}
}

// within calls f with a ctx that ends after callTimeout.
func within(ctx context.Context, f func(ctx context.Context) error) error {
	return withinTime(ctx, callTimeout, f)
}

func withinTime(ctx context.Context, most time.Duration, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, most, errors.New("the server did not answer in time"))
	defer cancel()
	err := f(ctx)
	if err != nil && ctx.Err() != nil && !errors.Is(err, context.Cause(ctx)) {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}

// stopWithin is how long a statement may go on when its caller is to stop.
const stopWithin = 2 * time.Second
