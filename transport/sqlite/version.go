package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/symphony-messenger/symphony"
)

// checkEvery is how long a schema that was found usable counts as that: a migration may have come meanwhile, after which this release
// must leave the file alone.
const checkEvery = time.Second

// A schemaCheck knows when the schema was found to be one that this release can use.
type schemaCheck struct{ usable atomic.Pointer[time.Time] } // nil: never, or not any more

func (c *schemaCheck) found() {
	now := time.Now()
	c.usable.Store(&now)
}

// forget lets the next call ask.
func (c *schemaCheck) forget() { c.usable.Store(nil) }

func (c *schemaCheck) known() bool { return c.usable.Load() != nil }

// due reports whether the caller is to ask. While one asks again, others go on.
func (c *schemaCheck) due() bool {
	last := c.usable.Load()
	if last == nil {
		return true
	}
	now := time.Now()
	return now.Sub(*last) >= checkEvery && c.usable.CompareAndSwap(last, &now)
}

const sqlVersions = "select coalesce(max(version), 0), coalesce(max(oldest_compatible), 0) from messenger_migrations"

// check makes sure, now and then, that the schema is one that this release can use.
func (t *Transport) check(ctx context.Context) error {
	if !t.schema.due() {
		return nil
	}
	var version, oldest int
	err := t.db.QueryRowContext(ctx, sqlVersions).Scan(&version, &oldest)
	return t.judge(version, oldest, t.explainOpen(err))
}

// checkIn is check for who has a transaction, and must not wait for another connection.
func (t *Transport) checkIn(q *queries) error {
	if !t.schema.due() {
		return nil
	}
	var version, oldest int
	_, err := q.one(sqlVersions, nil, &version, &oldest)
	return t.judge(version, oldest, err)
}

// judge says whether a schema can be used, of which err says that its versions cannot be read.
func (t *Transport) judge(version, oldest int, err error) error {
	if err == nil {
		err = t.release.tooNew(version, oldest)
	}
	ours, listed := t.release.newest()
	if err = errors.Join(err, listed); err == nil && version < ours {
		err = fmt.Errorf("%w: its version is %d, this program needs %d: `symphony migrate up`, or Migrate, brings it there",
			symphony.ErrNotMigrated, version, ours)
	}
	switch {
	case err == nil:
		t.schema.found()
	case errors.Is(err, symphony.ErrSchemaTooNew) || errors.Is(err, symphony.ErrNotMigrated):
		t.schema.forget()
	case t.schema.known():
		return nil // without an answer, what the caller is about to do says what is the matter
	}
	return err
}
