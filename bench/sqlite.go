package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	_ "modernc.org/sqlite" // the driver that both systems run on
)

// A sqliteProbe is the probe of a file.
type sqliteProbe struct {
	db    *sql.DB
	count string // the query that counts what is left
}

func (p *sqliteProbe) left(ctx context.Context) (n int, err error) {
	if err := p.db.QueryRowContext(ctx, p.count).Scan(&n); err != nil {
		return 0, fmt.Errorf("count what is left: %w", err)
	}
	return n, nil
}

// tidy has nothing to do: nothing of what SQLite's own connections have not done is left to others.
func (p *sqliteProbe) tidy(context.Context) error { return nil }

func (p *sqliteProbe) close() error { return p.db.Close() }

func openSQLiteProbe(ctx context.Context, path, count string) (*sqliteProbe, error) {
	db, err := sql.Open("sqlite", sqliteDSN(path, "query_only(1)", "busy_timeout(5000)"))
	if err != nil {
		return nil, fmt.Errorf("open probe: %w", err)
	}
	db.SetMaxOpenConns(1)
	if err := db.PingContext(ctx); err != nil {
		return nil, fmt.Errorf("open probe: %w", err)
	}
	return &sqliteProbe{db, count}, nil
}

func sqliteDSN(path string, pragmas ...string) string {
	return "file:" + path + "?_txlock=immediate&" + url.Values{"_pragma": pragmas}.Encode()
}

func sqliteFile(at place) string { return filepath.Join(at.dir, "queue.db") }

// checkSettings refuses a connection whose durability is not what the figure says it is.
func checkSettings(ctx context.Context, db *sql.DB, sync string) error {
	var journal string
	var level int
	if err := db.QueryRowContext(ctx, "pragma journal_mode").Scan(&journal); err != nil {
		return fmt.Errorf("read journal mode: %w", err)
	}
	if err := db.QueryRowContext(ctx, "pragma synchronous").Scan(&level); err != nil {
		return fmt.Errorf("read synchronous: %w", err)
	}
	if want := map[string]int{"normal": 1, "full": 2}[sync]; journal != "wal" || level != want {
		return fmt.Errorf("journal mode %s and synchronous %d, want wal and %d", journal, level, want)
	}
	return nil
}

func sqliteVersion(ctx context.Context) (version string, err error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return "", fmt.Errorf("ask for the version of SQLite: %w", err)
	}
	defer db.Close()
	if err := db.QueryRowContext(ctx, "select sqlite_version()").Scan(&version); err != nil {
		return "", fmt.Errorf("ask for the version of SQLite: %w", err)
	}
	return strings.TrimSpace(version), nil
}
