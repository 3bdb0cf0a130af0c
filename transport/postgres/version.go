package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/symphony-messenger/symphony"
)

// How long a schema that was found usable counts as that, and how long asking again may take: a migration may have come meanwhile, after
// which this release must leave the store alone.
const (
	checkEvery = 5 * time.Second
	checkAgain = time.Second
)

// A schemaCheck knows when the schema was found to be one that this release can use.
type schemaCheck struct{ usable atomic.Pointer[time.Time] } // nil: never, or not any more

func (c *schemaCheck) found() {
	now := time.Now()
	c.usable.Store(&now)
}

// forget lets the next call ask.
func (c *schemaCheck) forget() { c.usable.Store(nil) }

// check makes sure, now and then, that the schema is one that this release can use.
func (t *Transport) check(ctx context.Context) error {
	c := &t.schema
	last := c.usable.Load()
	if last != nil && time.Since(*last) < checkEvery {
		return nil
	}
	if last == nil {
		err := within(ctx, t.checkNow)
		if err == nil {
			c.found()
		}
		return err
	}
	now := time.Now()
	if !c.usable.CompareAndSwap(last, &now) {
		return nil // somebody else asks
	}
	err := withinTime(ctx, checkAgain, t.checkNow)
	if !errors.Is(err, symphony.ErrSchemaTooNew) && !errors.Is(err, symphony.ErrNotMigrated) && !errors.Is(err, errHidden) {
		return nil // without an answer, what the caller is about to do says what is the matter
	}
	c.forget()
	return err
}

var errHidden = errors.New("row level security hides all messages")

func (t *Transport) checkNow(ctx context.Context) error {
	var version, oldest int
	var hidden bool
	if err := t.work.QueryRow(ctx, t.sql.check).Scan(&version, &oldest, &hidden); err != nil {
		return explain(err)
	}
	if hidden {
		return fmt.Errorf("%w of schema %s from the user of the database: grant it the role %[2]s_worker", errHidden, t.sql.schema)
	}
	if err := t.sql.tooNew(version, oldest); err != nil {
		return err
	}
	ours, err := t.sql.newest()
	if err == nil && version < ours {
		err = fmt.Errorf("%w: the version of schema %s is %d, this program needs %d: `symphony migrate up`, or Migrate, brings it there",
			symphony.ErrNotMigrated, t.sql.schema, version, ours)
	}
	return err
}
