// Package postgres keeps messages in PostgreSQL, 14 or later: the reference transport.
//
// What Send has accepted survives a crash of the process and of the server, as far as the server's fsync and
// synchronous_commit say so (they do by default). Messages can be sent and completed in the caller's own transaction, see
// [Transport.InTx] and [HandleTx]; from SQL they are sent with symphony.dispatch. Everything is in a schema of its
// own. The store's clock is the server's.
//
// A transport has pools of connections, each opened as far as it is used: four for workers, so that heartbeats and
// verdicts never wait for anybody else, two for upkeep, six for sends, and those of the option pool (10) for the caller's
// transactions. One more is told of new messages.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/coalesce"
	"github.com/symphony-messenger/symphony/internal/recent"
	"github.com/symphony-messenger/symphony/internal/tally"
	"github.com/symphony-messenger/symphony/internal/wake"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/schedule"
)

// A HistoryMode says what is kept of completed messages. Cancelled and expired ones are always kept.
type HistoryMode string

// The history modes.
const (
	HistoryFull HistoryMode = "full" // the whole message
	HistoryMeta HistoryMode = "meta" // all but the body
	HistoryOff  HistoryMode = "off"
)

// Options of a transport. The zero value is the default.
type Options struct {
	History   HistoryMode   // "": full
	Retention time.Duration // of history, at least an hour; 0: 24 h. Of several processes the shortest counts
	Name      string        // of this transport, beside its dead letters
	Logger    *slog.Logger  // nil: slog.Default()
}

// A Transport keeps messages in a PostgreSQL database. It is safe for concurrent use.
type Transport struct {
	config  config
	options Options
	sql     *dialect
	work    *conns // claims, verdicts, heartbeats, monitoring
	upkeep  *conns // what takes longer
	sending *conns
	users   *pgxpool.Pool // for the caller's transactions

	sends   coalesce.Sends // single dispatches on their way
	keyed   coalesce.Sends // those with idempotency keys, which may have to wait for somebody else's transaction
	wake    wake.Broadcast // there may be something to claim
	schema  recent.Finding // that the schema is one that this release can use
	subs    subscriptions
	sights  sync.Map      // of those that have called Receive, by identity: *sight
	stirs   atomic.Uint64 // see stir
	floors  floors
	strays  seldom // what workers have that nobody knows
	ticking scheduleFloor
	tally   tally.Tally // what workers here did, not written yet
	service service

	closing chan struct{} // ends waiting Receives
	once    sync.Once
}

var (
	_ symphony.Transport         = (*Transport)(nil)
	_ symphony.SubscriptionStore = (*Transport)(nil)
	_ symphony.Maintainer        = (*Transport)(nil)
	_ symphony.Leaver            = (*Transport)(nil)
	_ monitor.Migrator           = (*Transport)(nil)
	_ monitor.Scripter           = (*Transport)(nil)
	_ monitor.Finder             = (*Transport)(nil)
	_ monitor.DeadLetters        = (*Transport)(nil)
	_ monitor.Canceller          = (*Transport)(nil)
	_ monitor.Counter            = (*Transport)(nil)
	_ monitor.Examiner           = (*Transport)(nil)
	_ schedule.Store             = (*Transport)(nil)
	_ monitor.Lister             = (*Transport)(nil)
	_ monitor.Grouper            = (*Transport)(nil)
	_ monitor.Changer            = (*Transport)(nil)
	_ monitor.Editor             = (*Transport)(nil)
	_ monitor.Pauser             = (*Transport)(nil)
	_ monitor.Crew               = (*Transport)(nil)
	_ monitor.Subscriptions      = (*Transport)(nil)
	_ monitor.Figures            = (*Transport)(nil)
	_ monitor.BulkStore          = (*Transport)(nil)
)

// Open returns a transport for a DSN: postgres://user:password@host:port/database with the options of libpq and these:
//
//	schema=symphony     where the tables are
//	pool=10             connections for the caller's transactions
//	pgbouncer=true      a pooler in transaction mode stands in between: no LISTEN, no prepared statements. Also
//	                    without it, at port 6543, which Supabase's has, unless it is false
//	listen_dsn=…        a way around it for the connection that is told of new messages, percent-encoded
//
// opts may be nil. Open neither connects nor migrates, see [Transport.Migrate]; until then the methods return
// errors that match symphony.ErrNotMigrated. Errors never show the password. The caller closes the transport.
func Open(ctx context.Context, dsn string, opts *Options) (*Transport, error) {
	c, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	return open(ctx, c, opts)
}

// New returns a transport on the database and as the user of pool, in the schema symphony. The caller's transactions, those of
// [Transport.Tx] and [HandleTx] too, come from pool, which stays the caller's; for all else the transport has connections
// of its own, made as pool makes them.
func New(ctx context.Context, pool *pgxpool.Pool, opts *Options) (*Transport, error) {
	conn := pool.Config().ConnConfig
	c := config{schema: defaultSchema, pool: defaultPool, conn: conn.Copy(), listen: conn.Copy()}
	c.recognise(false)
	if conn.DefaultQueryExecMode != pgx.QueryExecModeCacheStatement { // somebody avoids named statements: there is a pooler, it seems
		c.pooled, c.sign = true, "the pool's query mode "+conn.DefaultQueryExecMode.String()
	}
	if c.pooled {
		c.listen = nil
	}
	t, err := open(ctx, c, opts)
	if err != nil {
		return nil, err
	}
	t.users.Close()
	t.users = pool
	t.service.borrowed = true
	return t, nil
}

func open(ctx context.Context, c config, opts *Options) (t *Transport, err error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	switch o.History {
	case "":
		o.History = HistoryFull
	case HistoryFull, HistoryMeta, HistoryOff:
	default:
		return nil, fmt.Errorf("open %s: history %q: must be full, meta or off", c.where(), o.History)
	}
	if o.Retention == 0 {
		o.Retention = 24 * time.Hour
	}
	if o.Retention < time.Hour {
		return nil, fmt.Errorf("open %s: retention %v: must be an hour or more", c.where(), o.Retention)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	t = &Transport{config: c, options: o, closing: make(chan struct{})}
	if t.sql, err = newDialect(c.schema); err != nil {
		return nil, fmt.Errorf("open %s: %w", c.where(), err)
	}
	if t.users, err = c.newPool(ctx, c.pool, false); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", c.where(), err), t.Close())
	}
	for _, p := range []struct {
		into **conns
		size int
	}{{&t.work, workConns}, {&t.upkeep, upkeepConns}, {&t.sending, sendConns}} {
		if *p.into, err = c.ownPool(ctx, p.size); err != nil {
			return nil, errors.Join(fmt.Errorf("open %s: %w", c.where(), err), t.Close())
		}
	}
	t.sends.Write, t.sends.IsData, t.sends.Parallel, t.sends.Patience = t.store, isData, flushes, patience
	t.keyed.Write, t.keyed.IsData, t.keyed.Parallel = t.store, isOwn, flushes
	t.service.init(t)
	t.sayPooler(ctx, slog.LevelDebug)
	return t, nil
}

// Pool returns the pool of the caller's transactions, for his own tables. It belongs to the transport.
func (t *Transport) Pool() *pgxpool.Pool { return t.users }

// Close ends waiting Receives and what goes on in the background, and closes all connections. It does not wait for
// deliveries, but up to 10 s for transactions of the caller's on [Transport.Pool] that are still open: its error says that there are some,
// whose connections are closed when they end. Calling it again does nothing.
func (t *Transport) Close() error {
	var err error
	t.once.Do(func() {
		close(t.closing)
		t.service.stop()
		var own sync.WaitGroup
		for _, p := range []*conns{t.work, t.upkeep, t.sending} {
			if p != nil {
				// Connections on which a statement was interrupted stay open for 15 s if no answer comes: nobody waits for that.
				own.Go(func() { _ = closeWithin(p.Pool, 2*time.Second) })
			}
		}
		own.Wait()
		if t.users != nil && !t.service.borrowed {
			err = closeWithin(t.users, 10*time.Second)
		}
	})
	if err != nil {
		return fmt.Errorf("close %s: %w", t.config.where(), err)
	}
	return nil
}

// closeWithin closes a pool, which waits for its connections to be given back.
func closeWithin(p *pgxpool.Pool, d time.Duration) error {
	closed := make(chan struct{})
	go func() {
		p.Close()
		close(closed)
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-closed:
		return nil
	case <-timer.C:
		return fmt.Errorf("%d connections are in use by transactions that have not ended", p.Stat().AcquiredConns())
	}
}

// Capabilities says that all wishes are honoured.
func (t *Transport) Capabilities() symphony.Capabilities {
	return symphony.Capabilities{
		MaxDelay: 1<<63 - 1,
		MaxBody:  16 << 20,
		Priority: true, Expiry: true, Idempotency: true, Replace: true, Group: true, InTx: true,
	}
}

// fail says in an error which store it was.
func (t *Transport) fail(what string, err error) error {
	t.moved(err)
	err = explain(err)
	if errors.Is(err, symphony.ErrNotMigrated) { // or has a later release taken something away?
		t.schema.Forget()
	}
	return fmt.Errorf("%s %s: %w", what, t.config.where(), err)
}
