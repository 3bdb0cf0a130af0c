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
	"github.com/symphony-messenger/symphony/transport/postgres"
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
		// Nothing connects: there is no such host.
		{"postgres://u:secret@nowhere.invalid/db?sslmode=disable", is[*postgres.Transport]},
		{"postgresql://u@nowhere.invalid:5433/db?schema=other&pool=3&pgbouncer=true", is[*postgres.Transport]},
		{"postgres://u@pooler.invalid/db?pgbouncer=true&listen_dsn=postgres%3A%2F%2Fu%40nowhere.invalid%2Fdb", is[*postgres.Transport]},
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
		"":                        "no scheme, known are memory://, postgres://, postgresql://, sqlite://, sync://",
		"queue.db":                "no scheme",
		"host=h password=hunter2": "no scheme",
		"mysql://u:hunter2@h/db":  `unknown scheme "mysql", known are memory://, postgres://, postgresql://, sqlite://, sync://`,
		"SQLITE://queue.db":       `unknown scheme "SQLITE"`,

		"postgres://u:hunter2@h/db?sslmod=require":                        `unknown option "sslmod": ours are schema`,
		"postgresql://u:hunter2@h/db?schema=Sales":                        "option schema=",
		"postgres://u:hunter2@h/db?pool=0":                                "option pool=",
		"postgres://u:hunter2@h/db?pgbouncer=maybe":                       "option pgbouncer=",
		"postgres://u:hunter2@h/db?password=hunter2&sslmode=maybe":        "sslmode is invalid",
		"postgres://u:hunter2@h:port/db":                                  "invalid port",
		"postgres://u:hun/ter2@h/db":                                      "invalid port",
		"postgres://h/db?password=hunter2&port=x":                         "invalid port",
		"postgres://h/db?listen_dsn=postgres%3A%2F%2Fu:hunter2@h:x/d":     "option listen_dsn",
		"postgres://h/db?listen_dsn=u:hunter2@h/db":                       "option listen_dsn",
		"postgres://h/db?listen_dsn=host%3Dh+password%3Dhunter2+port%3Dx": "option listen_dsn",
		"postgres://u:%zzhunter2@h/db":                                    "percent-encoded",
		"postgres://h/db?sslmode=verify-full&sslrootcert=/none.pem":       "none.pem",

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
