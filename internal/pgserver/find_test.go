//go:build unix

package pgserver_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony/internal/pgserver"
)

// installation makes a directory with programs that know their version only.
func installation(t *testing.T, version string) string {
	t.Helper()
	bin := t.TempDir()
	for _, name := range []string{"postgres", "initdb"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\necho '"+version+"'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

func TestFindVariable(t *testing.T) {
	bin := installation(t, "postgres (PostgreSQL) 16.4 (Debian 16.4-1)")
	beta := installation(t, "postgres (PostgreSQL) 19beta1")
	for _, tt := range []struct {
		name, bin string
		major     int
		want, err string
	}{
		{"any", bin, 0, bin, ""},
		{"right", bin, 16, bin, ""},
		{"wrong", bin, 17, "", `"postgres (PostgreSQL) 16.4 (Debian 16.4-1)", not of version 17`},
		{"part of the number", bin, 1, "", "not of version 1"},
		{"beta", beta, 19, beta, ""},
		{"empty", t.TempDir(), 0, "", "postgres is no program"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("SYMPHONY_PG_BIN", tt.bin)
			got, err := pgserver.Find(tt.major)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("directory (-want +got):\n%s", diff)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want one with %q", err, tt.err)
			}
		})
	}
}

func TestFindNothing(t *testing.T) {
	t.Setenv("SYMPHONY_PG_BIN", "")
	if bin, err := pgserver.Find(8); err == nil || !strings.Contains(err.Error(), "PostgreSQL 8 server: none is installed: run scripts/ensure.sh postgres") {
		t.Errorf("got %q, error %v; want what to do", bin, err)
	}
}

// TestFindInPath: pg_config says where a system keeps the programs that are not where Debian has them.
func TestFindInPath(t *testing.T) {
	bin, path := installation(t, "postgres (PostgreSQL) 7.4"), t.TempDir()
	if err := os.WriteFile(filepath.Join(path, "pg_config"), []byte("#!/bin/sh\necho "+bin+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SYMPHONY_PG_BIN", "")
	t.Setenv("PATH", path+":"+os.Getenv("PATH"))
	if got, err := pgserver.Find(7); got != bin {
		t.Errorf("got %q, want %q; error %v", got, bin, err)
	}
}
