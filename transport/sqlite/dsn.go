package sqlite

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

// Options of a DSN, a closed list: a misspelt one must not be passed to the driver, which would
// ignore it.
const (
	optionSynchronous = "synchronous"
	optionBusyTimeout = "busy_timeout"
)

// A config is what a DSN says.
type config struct {
	path        string
	synchronous string // FULL, NORMAL or EXTRA
	busyTimeout time.Duration
}

// parseDSN reads sqlite:///abs/file.db and sqlite://relative.db. The path is percent-decoded.
func parseDSN(dsn string) (config, error) {
	c := config{synchronous: "FULL", busyTimeout: 5 * time.Second}
	rest, ok := strings.CutPrefix(dsn, "sqlite://")
	if !ok {
		return c, fmt.Errorf("sqlite DSN %.200q: must begin with sqlite://", dsn)
	}
	path, query, _ := strings.Cut(rest, "?")
	path, err := url.PathUnescape(path)
	if err != nil {
		return c, fmt.Errorf("sqlite DSN %.200q: path: %w", dsn, err)
	}
	switch {
	case path == "" || strings.HasSuffix(path, "/"):
		return c, fmt.Errorf("sqlite DSN %.200q: it names no file", dsn)
	case strings.ContainsRune(path, 0):
		return c, fmt.Errorf("sqlite DSN %.200q: the path has a NUL byte", dsn)
	case path == ":memory:" || strings.HasPrefix(path, "file:"):
		return c, fmt.Errorf("sqlite DSN %.200q: a database in memory cannot be shared between connections; use memory:// or a file", dsn)
	}
	if c.path, err = filepath.Abs(path); err != nil {
		return c, fmt.Errorf("sqlite DSN %.200q: %w", dsn, err)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return c, fmt.Errorf("sqlite DSN %.200q: options: %w", dsn, err)
	}
	for name, list := range values {
		if err := c.set(name, list[len(list)-1]); err != nil {
			return c, fmt.Errorf("sqlite DSN %.200q: %w", dsn, err)
		}
	}
	return c, nil
}

func (c *config) set(name, value string) error {
	switch name {
	case optionSynchronous:
		c.synchronous = strings.ToUpper(value)
		if c.synchronous != "FULL" && c.synchronous != "NORMAL" && c.synchronous != "EXTRA" {
			return fmt.Errorf("option %s=%.50q: must be full, normal or extra", name, value)
		}
	case optionBusyTimeout:
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 || d > time.Hour {
			return fmt.Errorf("option %s=%.50q: must be a duration up to an hour, such as 5s", name, value)
		}
		c.busyTimeout = d
	default:
		return fmt.Errorf("unknown option %.50q: known are %s and %s", name, optionSynchronous, optionBusyTimeout)
	}
	return nil
}

// driverDSN returns what the driver opens. mode=rw: a wrong path must not leave an empty file
// behind; Migrate creates the file. mmap stays off, it turns a stray write into corruption.
func (c *config) driverDSN() string {
	q := url.Values{
		"mode":    {"rw"},
		"_txlock": {"immediate"},
		"_pragma": {
			fmt.Sprintf("busy_timeout(%d)", c.busyTimeout.Milliseconds()),
			"journal_mode(WAL)",
			"synchronous(" + c.synchronous + ")",
			"foreign_keys(ON)",
			"cache_size(-65536)",
			"temp_store(MEMORY)",
		},
	}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: c.path, RawQuery: q.Encode()}).String()
}
