package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
)

// How long a schema that was found usable counts as that, and how long asking again may take: a migration may have come meanwhile, after
// which this release must leave the store alone.
const (
	checkEvery = 5 * time.Second
	checkAgain = time.Second
)

// check makes sure, now and then, that the schema is one that this release can use.
func (t *Transport) check(ctx context.Context) error {
	known := t.schema.Known()
	if !t.schema.Due(checkEvery) {
		return nil
	}
	if !known {
		err := within(ctx, t.checkNow)
		if err == nil {
			t.schema.Found(time.Now())
		}
		return err
	}
	err := withinTime(ctx, checkAgain, t.checkNow)
	if !errors.Is(err, symphony.ErrSchemaTooNew) && !errors.Is(err, symphony.ErrNotMigrated) && !errors.Is(err, errHidden) {
		return nil // without an answer, what the caller is about to do says what is the matter
	}
	t.schema.Forget()
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
