// Package sqlite keeps messages in an SQLite file: the embedded default, which needs no server.
//
// Any number of processes on one machine may use the file at once; it must be on a local disk.
// What Send has accepted survives a crash of the process and, with synchronous=full (the default),
// a loss of power. Messages can be sent and completed in the caller's own transaction on the same
// file, see [Transport.InSQLTx] and [HandleTx].
//
// The store's clock is the machine's. SQLite has one writer at a time: a transaction of the caller's
// that writes holds up all queues in the file, and a Dispatch outside it waits for busy_timeout.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/coalesce"
	"github.com/symphony-messenger/symphony/internal/recent"
	"github.com/symphony-messenger/symphony/internal/tally"
	"github.com/symphony-messenger/symphony/internal/wake"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/schedule"

	driver "modernc.org/sqlite" // registers "sqlite"
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
	Retention time.Duration // of history; 0: 24 h
	Name      string        // of this transport, beside its dead letters
	Logger    *slog.Logger  // nil: slog.Default()
}

// A Transport keeps messages in an SQLite file. It is safe for concurrent use.
type Transport struct {
	config  config
	options Options
	db      *sql.DB        // for reads, and for the caller's own transactions
	pooled  statementPool  // of db, for the caller's transactions
	writes  *writer        // the only connection that the transport writes with
	sends   coalesce.Sends // single dispatches on their way
	wake    wake.Broadcast // there may be something to claim
	workers sync.Map       // of those that have called Receive, by identity
	tally   tally.Tally    // what workers here did, not written yet
	clock   func() int64   // the store's clock, in milliseconds since 1970
	release release
	schema  recent.Finding // that the schema is one that this release can use
	closing chan struct{}  // ends waiting Receives
	once    sync.Once
}

var (
	_ symphony.Transport         = (*Transport)(nil)
	_ symphony.Exchanger         = (*Transport)(nil)
	_ symphony.SubscriptionStore = (*Transport)(nil)
	_ symphony.Maintainer        = (*Transport)(nil)
	_ symphony.Leaver            = (*Transport)(nil)
	_ monitor.Migrator           = (*Transport)(nil)
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

// Open returns a transport for a DSN: sqlite:///abs/file.db or sqlite://relative.db, with the options
// synchronous=full|normal|extra and busy_timeout=5s. opts may be nil. It neither creates nor migrates
// the file, see [Transport.Migrate]; until then the methods return errors that match
// symphony.ErrNotMigrated. The caller closes the transport.
func Open(ctx context.Context, dsn string, opts *Options) (*Transport, error) {
	c, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	return open(ctx, c, opts)
}

// New returns a transport on the file that db has open. db must use the driver modernc.org/sqlite and
// a file; it stays the caller's and is used for nothing else: the transport has connections of its own.
func New(ctx context.Context, db *sql.DB, opts *Options) (*Transport, error) {
	if _, ok := db.Driver().(*driver.Driver); !ok {
		return nil, fmt.Errorf("sqlite transport on a *sql.DB: its driver is %T, must be that of modernc.org/sqlite", db.Driver())
	}
	var path string
	if err := db.QueryRowContext(ctx, sqlFile).Scan(&path); err != nil {
		return nil, fmt.Errorf("sqlite transport on a *sql.DB: ask for its file: %w", explain(err))
	}
	if path == "" {
		return nil, errors.New("sqlite transport on a *sql.DB: it has no file")
	}
	return open(ctx, config{path: path, synchronous: "FULL", busyTimeout: 5 * time.Second}, opts)
}

func open(ctx context.Context, c config, opts *Options) (*Transport, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	switch o.History {
	case "":
		o.History = HistoryFull
	case HistoryFull, HistoryMeta, HistoryOff:
	default:
		return nil, fmt.Errorf("open %s: history %q: must be full, meta or off", c.path, o.History)
	}
	if o.Retention == 0 {
		o.Retention = 24 * time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	db, err := sql.Open("sqlite", c.driverDSN())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", c.path, err)
	}
	if err := checkVersion(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", c.path, err), db.Close())
	}
	t := &Transport{
		config: c, options: o, db: db, release: release{schemaFiles, oldestCompatible},
		clock:   func() int64 { return time.Now().UnixMilli() },
		closing: make(chan struct{}),
	}
	t.writes = newWriter(c)
	t.sends.Write, t.sends.IsData = t.store, isData
	return t, nil
}

// DB returns a pool on the same file for the caller's own tables. Its transactions are BEGIN
// IMMEDIATE: they hold the file's only write lock from the start. It belongs to the transport.
func (t *Transport) DB() *sql.DB { return t.db }

// Close releases the file. It ends waiting Receives and waits for the write in progress; what it has
// not returned for is lost to its caller. It does not wait for deliveries. Calling it again does nothing.
func (t *Transport) Close() error {
	var err error
	t.once.Do(func() {
		t.writeMinutes(context.Background(), true)
		close(t.closing)
		t.pooled.close()
		err = errors.Join(t.writes.close(), t.db.Close())
	})
	if err != nil {
		return fmt.Errorf("close %s: %w", t.config.path, err)
	}
	return nil
}

// Capabilities says that all wishes are honoured. Delays reach to the year 9999.
func (t *Transport) Capabilities() symphony.Capabilities {
	return symphony.Capabilities{
		MaxDelay: 1<<63 - 1,
		MaxBody:  16 << 20,
		Priority: true, Expiry: true, Idempotency: true, Replace: true, Group: true, InTx: true,
	}
}

// Wake tells the workers of this process that there may be something new, after the commit of a
// transaction that sent messages. Those of other processes find them with their next poll, within
// 100 ms.
func (t *Transport) Wake() { t.wake.Send() }

// write runs fn in a transaction of the transport's own, and wakes those who wait when it made
// something claimable.
func (t *Transport) write(ctx context.Context, fn func(q *queries) error) error {
	if !t.schema.Known() { // the file may not even be there
		if err := t.check(ctx); err != nil {
			return err
		}
	}
	ready := false
	err := t.writes.do(ctx, func(q *queries) error {
		if err := t.checkIn(q); err != nil {
			return err
		}
		err := fn(q)
		ready = q.ready
		return err
	})
	if err != nil {
		return err
	}
	if ready {
		t.wake.Send()
	}
	return nil
}

// fail says in an error which store it was.
func (t *Transport) fail(what string, err error) error {
	if errors.Is(err, symphony.ErrNotMigrated) { // or has a later release taken something away?
		t.schema.Forget()
	}
	return fmt.Errorf("%s %s: %w", what, t.config.path, err)
}
