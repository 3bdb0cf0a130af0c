package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/symphony-messenger/symphony"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// oldest is the first SQLite without the bug that could corrupt a file when its WAL was reset while
// two connections wrote (https://sqlite.org/wal.html, "the WAL-reset bug").
const oldest = "3.51.3"

// checkVersion refuses a driver whose SQLite is too old.
func checkVersion(ctx context.Context) error {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return err
	}
	defer db.Close()
	var version string
	if err := db.QueryRowContext(ctx, "select sqlite_version()").Scan(&version); err != nil {
		return fmt.Errorf("ask for the version of SQLite: %w", err)
	}
	var have, need [3]int
	fmt.Sscanf(version, "%d.%d.%d", &have[0], &have[1], &have[2])
	fmt.Sscanf(oldest, "%d.%d.%d", &need[0], &need[1], &need[2])
	for i := range have {
		if have[i] != need[i] {
			if have[i] > need[i] {
				return nil
			}
			return fmt.Errorf("the driver has SQLite %s, must be %s or later", version, oldest)
		}
	}
	return nil
}

// explain adds to an error of the driver which of the errors that callers test for it is.
func explain(err error) error {
	var e *driver.Error
	if !errors.As(err, &e) {
		return err
	}
	kind := error(nil)
	switch e.Code() & 0xff {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		kind = symphony.ErrStoreBusy
	case lib.SQLITE_FULL:
		kind = symphony.ErrStoreFull
	case lib.SQLITE_READONLY, lib.SQLITE_PERM:
		kind = symphony.ErrStoreReadOnly
	case lib.SQLITE_ERROR:
		if strings.Contains(e.Error(), "no such table: messenger_") || strings.Contains(e.Error(), "no such column") {
			kind = symphony.ErrNotMigrated
		}
	}
	if kind == nil {
		return err
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// explainOpen is explain for the first use of a file, which may not be there.
func (t *Transport) explainOpen(err error) error {
	err = explain(err)
	var e *driver.Error
	if errors.As(err, &e) && e.Code()&0xff == lib.SQLITE_CANTOPEN {
		if _, statErr := os.Stat(t.config.path); errors.Is(statErr, fs.ErrNotExist) {
			return fmt.Errorf("%w: the file does not exist", symphony.ErrNotMigrated)
		}
	}
	return err
}

// isData reports whether err is about the rows themselves, so that other rows may still be written.
func isData(err error) bool {
	var e *driver.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff {
	case lib.SQLITE_CONSTRAINT, lib.SQLITE_TOOBIG, lib.SQLITE_MISMATCH, lib.SQLITE_RANGE:
		return true
	}
	return false
}

// sameFile reports whether two paths lead to one file.
func sameFile(a, b string) bool {
	if a == b {
		return true
	}
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}
