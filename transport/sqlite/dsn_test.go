package sqlite

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseDSN(t *testing.T) {
	wd, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dsn  string
		want config
	}{
		{"sqlite:///abs/file.db", config{"/abs/file.db", "FULL", 5 * time.Second}},
		{"sqlite://relative.db", config{filepath.Join(wd, "relative.db"), "FULL", 5 * time.Second}},
		{"sqlite:///a%20b/c%3Fd.db", config{"/a b/c?d.db", "FULL", 5 * time.Second}},
		{"sqlite:///f.db?synchronous=normal", config{"/f.db", "NORMAL", 5 * time.Second}},
		{"sqlite:///f.db?synchronous=EXTRA&busy_timeout=250ms", config{"/f.db", "EXTRA", 250 * time.Millisecond}},
	} {
		got, err := parseDSN(c.dsn)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.dsn, got, err, c.want)
		}
	}
}

func TestParseDSNRefuses(t *testing.T) {
	for dsn, want := range map[string]string{
		"":                                "must begin with sqlite://",
		"postgres:///x":                   "must begin with sqlite://",
		"sqlite:/x.db":                    "must begin with sqlite://",
		"sqlite://":                       "names no file",
		"sqlite:///dir/":                  "names no file",
		"sqlite://:memory:":               "in memory",
		"sqlite://file:x?mode=memory":     "in memory",
		"sqlite:///x%zz.db":               "invalid URL escape",
		"sqlite:///x%00.db":               "NUL",
		"sqlite:///x.db?sync=off":         "unknown option \"sync\"",
		"sqlite:///x.db?synchronous=off":  "must be full, normal or extra",
		"sqlite:///x.db?busy_timeout=5":   "must be a duration",
		"sqlite:///x.db?busy_timeout=-1s": "must be a duration",
		"sqlite:///x.db?_pragma=x(1)":     "unknown option \"_pragma\"",
		"sqlite:///x.db?a=%zz":            "options",
	} {
		if got, err := parseDSN(dsn); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want an error with %q", dsn, got, err, want)
		}
	}
}

// FuzzParseDSN: whatever is accepted names an absolute path, and reaches the driver as that path.
func FuzzParseDSN(f *testing.F) {
	for _, seed := range []string{
		"sqlite:///abs/file.db", "sqlite://relative.db?synchronous=normal", "sqlite:///a%20b?busy_timeout=1s",
		"sqlite://:memory:", "sqlite:///x?_pragma=journal_mode(DELETE)", "sqlite:///%3Fmode=memory", "sqlite:///x#frag", "sqlite:////x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, dsn string) {
		c, err := parseDSN(dsn)
		if err != nil {
			return
		}
		if !filepath.IsAbs(c.path) || c.busyTimeout < 0 || strings.ContainsRune(c.path, 0) {
			t.Fatalf("%q: accepted as %+v", dsn, c)
		}
		path, query, _ := strings.Cut(c.driverDSN(), "?")
		if strings.Contains(path, "#") || strings.Count(query, "mode=") != 1 || !strings.HasPrefix(path, "file:/") {
			t.Fatalf("%q: the driver would get %q", dsn, c.driverDSN())
		}
	})
}
