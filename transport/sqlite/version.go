package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
)

// checkEvery is how long a schema that was found usable counts as that: a migration may have come meanwhile, after which this release
// must leave the file alone.
const checkEvery = time.Second

const sqlVersions = "select coalesce(max(version), 0), coalesce(max(oldest_compatible), 0) from messenger_migrations"

// check makes sure, now and then, that the schema is one that this release can use.
func (t *Transport) check(ctx context.Context) error {
	if !t.schema.Due(checkEvery) {
		return nil
	}
	var version, oldest int
	err := t.db.QueryRowContext(ctx, sqlVersions).Scan(&version, &oldest)
	return t.judge(version, oldest, t.explainOpen(err))
}

// checkIn is check for who has a transaction, and must not wait for another connection.
func (t *Transport) checkIn(q *queries) error {
	if !t.schema.Due(checkEvery) {
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
		t.schema.Found(time.Now())
	case errors.Is(err, symphony.ErrSchemaTooNew) || errors.Is(err, symphony.ErrNotMigrated):
		t.schema.Forget()
	case t.schema.Known():
		return nil // without an answer, what the caller is about to do says what is the matter
	}
	return err
}
