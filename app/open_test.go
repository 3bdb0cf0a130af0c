package app_test

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/transport/memory"
	"github.com/symphony-messenger/symphony/transport/sqlite"
)

func TestOpen(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	file := filepath.Join(t.TempDir(), "q.db")
	for _, tt := range []struct {
		dsn string
		is  func(symphony.Transport) bool
	}{
		{"sqlite://" + file, is[*sqlite.Transport]},
		{"sqlite://" + file + "?synchronous=normal&busy_timeout=1s", is[*sqlite.Transport]},
		{"memory://", is[*memory.Transport]},
		{"sync://", func(t symphony.Transport) bool { return t == nil }},
	} {
		transport, err := app.Open(t.Context(), tt.dsn, logger)
		if err != nil {
			t.Errorf("Open(%q): %v", tt.dsn, err)
			continue
		}
		if !tt.is(transport) {
			t.Errorf("Open(%q) = %T", tt.dsn, transport)
		}
		if err := app.Close(transport); err != nil {
			t.Errorf("close %q: %v", tt.dsn, err)
		}
	}
}

func is[T symphony.Transport](t symphony.Transport) bool { _, ok := t.(T); return ok }

// TestOpenErrors: a wrong DSN is said to be wrong, with what is known, and never with its password.
func TestOpenErrors(t *testing.T) {
	for dsn, want := range map[string]string{
		"":                              "no scheme, known are memory://, sqlite://, sync://",
		"queue.db":                      "no scheme",
		"host=h password=hunter2":       "no scheme",
		"mysql://u:hunter2@h/db":        `unknown scheme "mysql", known are memory://, sqlite://, sync://`,
		"SQLITE://queue.db":             `unknown scheme "SQLITE"`,
		"postgres://u:hunter2@h/db":     "PostgreSQL is not in this release, known are",
		"postgresql://u:hunter2@h/db":   "PostgreSQL is not in this release",
		"sqlite://":                     "names no file",
		"sqlite://:memory:":             "in memory",
		"sqlite://q.db?journal_mode=of": "journal_mode",
		"memory://somewhere":            "nothing may follow",
		"sync://x":                      "nothing may follow",
	} {
		_, err := app.Open(t.Context(), dsn, nil)
		if !errors.Is(err, app.ErrDSN) || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q) = %v, want one that matches ErrDSN and says %q", dsn, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Open(%q) shows the password: %v", dsn, err)
		}
	}
}
