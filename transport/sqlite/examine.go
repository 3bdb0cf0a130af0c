package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// Limits beyond which Examine warns.
const (
	largeLog   = 512 << 20 // of the write-ahead log: it grows as long as somebody reads an old state
	littleLeft = 1 << 30   // bytes free on the disk
)

// Examine implements [monitor.Examiner].
func (t *Transport) Examine(ctx context.Context) (all []monitor.Check) {
	add := func(name string, level monitor.Level, text, hint string) {
		all = append(all, monitor.Check{Name: name, Level: level, Text: text, Hint: hint})
	}
	file, err := os.Stat(t.config.path)
	if errors.Is(err, fs.ErrNotExist) {
		add("reach", monitor.LevelFail, "there is no file "+t.config.path, "run `migrate up`, or name another file in the DSN")
		return all
	}
	var version, mode string
	f := monitor.File{Name: filepath.Base(t.config.path)}
	if err == nil {
		err = explain(t.db.QueryRowContext(ctx, `select sqlite_version(), journal_mode, page_count * page_size, freelist_count * page_size
from pragma_journal_mode, pragma_page_count, pragma_page_size, pragma_freelist_count`).Scan(&version, &mode, &f.Bytes, &f.Free))
	}
	if err != nil {
		add("reach", monitor.LevelFail, t.fail("read", err).Error(), "")
		return all
	}
	add("reach", monitor.LevelOK, fmt.Sprintf("%s, %d MiB, SQLite %s", t.config.path, file.Size()>>20, version), "")
	all[0].Files = []monitor.File{f}
	if mode != "wal" {
		add("journal", monitor.LevelFail, "its mode is "+mode+" and not wal: the file system does not share memory between processes", "put the file on a local disk")
	}
	if err := t.writable(); err != nil {
		add("writes", monitor.LevelFail, err.Error(), "the file and its directory must be writable by the user that runs this")
	}
	all = append(all, t.examineDisk()...)
	if t.config.synchronous == "NORMAL" {
		add("durability", monitor.LevelWarn, "synchronous=normal: a loss of power loses the messages of the last moments", "leave synchronous=full, the default, unless that is wanted")
	} else {
		add("durability", monitor.LevelOK, "a loss of power loses nothing", "")
	}
	if err := t.check(ctx); errors.Is(err, symphony.ErrSchemaTooNew) {
		add("schema", monitor.LevelFail, t.fail("read", err).Error(), "install the release that has migrated the store, or a later one")
		return all
	}
	steps, err := t.Migrations(ctx)
	if err != nil {
		add("schema", monitor.LevelFail, err.Error(), "")
		return all
	}
	schema := monitor.ExamineSchema(steps)
	if all = append(all, schema); schema.Level != monitor.LevelOK {
		return all
	}
	workers, unseen, err := t.examineWorkers(ctx)
	if err != nil {
		add("workers", monitor.LevelFail, err.Error(), "")
		return all
	}
	return append(all, monitor.ExamineWorkers(workers), monitor.ExamineSubscriptions(unseen))
}

// writable reports whether this process may write what SQLite does: the file, and others beside it.
func (t *Transport) writable() error {
	f, err := os.OpenFile(t.config.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return mayCreate(filepath.Dir(t.config.path))
}

func (t *Transport) examineDisk() (all []monitor.Check) {
	if free, ok := freeBytes(filepath.Dir(t.config.path)); ok {
		c := monitor.Check{Name: "disk", Level: monitor.LevelOK, Text: fmt.Sprintf("%d MiB are free", free>>20)}
		if free < littleLeft {
			c.Level, c.Hint = monitor.LevelWarn, "make room: when it is full, no message is accepted"
		}
		all = append(all, c)
	}
	if log, err := os.Stat(t.config.path + "-wal"); err == nil {
		c := monitor.Check{Name: "log", Level: monitor.LevelOK, Text: fmt.Sprintf("the write-ahead log has %d MiB", log.Size()>>20)}
		c.Files = []monitor.File{{Name: log.Name(), Bytes: log.Size()}}
		if log.Size() > largeLog {
			c.Level, c.Hint = monitor.LevelWarn, "somebody has had a read transaction open for long: it cannot shrink before that ends"
		}
		all = append(all, c)
	}
	return all
}

func (t *Transport) examineWorkers(ctx context.Context) (alive int, unseen []symphony.Subscription, err error) {
	err = t.read(ctx, func(q *queries) error {
		now := t.clock()
		if _, err := q.one("select count(*) from messenger_workers where alive_until > ?", []any{now}, &alive); err != nil {
			return err
		}
		return q.each("select message_type, subscriber, owner from messenger_subscriptions where last_seen < ? order by last_seen limit 20",
			[]any{now - monitor.StaleAfter.Milliseconds()}, func(rows *sql.Rows) error {
				var s symphony.Subscription
				err := rows.Scan(&s.Type, &s.Subscriber, &s.Owner)
				unseen = append(unseen, s)
				return err
			})
	})
	if err != nil {
		err = t.fail("look at the workers of", err)
	}
	return alive, unseen, err
}
