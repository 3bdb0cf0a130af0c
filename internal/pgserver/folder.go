package pgserver

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// prefix begins the name of every folder, so that those of processes that were killed can be found.
const prefix = "symphony-pg-"

// A folder is everything that a server has on disk: the data directory, the log, and a file that its
// process holds locked.
type folder struct {
	path  string
	owner account
	lock  *os.File
}

// newFolder makes a folder in dir, or where temporary files go.
func newFolder(dir string, owner account) (*folder, error) {
	dirs := []string{dir}
	if dir == "" {
		dirs = []string{os.TempDir(), "/tmp", "/var/tmp"} // the first may be private to root
	}
	var errs []error
	for _, dir := range dirs {
		f, err := folderIn(dir, owner)
		if err == nil {
			return f, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func folderIn(dir string, owner account) (*folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := owner.reaches(dir); err != nil {
		return nil, err
	}
	sweep(dir)
	f := &folder{owner: owner}
	if f.path, err = os.MkdirTemp(dir, prefix); err != nil {
		return nil, err
	}
	if err := f.occupy(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(f.path))
	}
	return f, nil
}

// occupy locks the folder and gives it to the user who runs the server.
func (f *folder) occupy() (err error) {
	if f.owner.other {
		if err := os.Chown(f.path, f.owner.uid, f.owner.gid); err != nil {
			return err
		}
	}
	// The file gets its name when it is locked: sweep must not find it earlier.
	early := filepath.Join(f.path, "lock.new")
	if f.lock, err = os.OpenFile(early, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	locked(f.lock) // nobody else can have it
	return os.Rename(early, lockFile(f.path))
}

func lockFile(folder string) string { return filepath.Join(folder, "lock") }

// sweep removes the folders in dir whose processes are gone: nothing else does when they were killed. What
// it cannot remove, the next one may.
func sweep(dir string) {
	found, _ := filepath.Glob(filepath.Join(dir, prefix+"*")) // only a bad pattern is an error
	for _, path := range found {
		lock, err := os.OpenFile(lockFile(path), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if locked(lock) {
			_ = os.RemoveAll(path)
		}
		_ = lock.Close()
	}
}

// reaches returns an error if a, who owns nothing on the way, cannot enter dir.
func (a account) reaches(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil || !a.other {
		return err
	}
	for {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if mode := info.Mode().Perm(); mode&0o001 == 0 {
			return fmt.Errorf("%s has mode %v: the user %s, who must run the server for root, cannot reach it", dir, mode, a.name)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil
		}
		dir = parent
	}
}

func (f *folder) data() string { return filepath.Join(f.path, "data") }
func (f *folder) log() string  { return filepath.Join(f.path, "log") }

func (f *folder) openLog() (*os.File, error) {
	return os.OpenFile(f.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
}

// said is the end of what the server has written to its log from an offset on.
func (f *folder) said(from int64) string {
	text, err := os.ReadFile(f.log())
	if err != nil {
		return err.Error()
	}
	text = text[min(from, int64(len(text))):]
	return string(text[max(0, len(text)-4096):])
}

// settings are those for tests, overridden. Nobody needs the data after a power failure, unless fsync is
// measured.
func settings(with map[string]string) map[string]string {
	all := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": "", // their paths are limited to 107 bytes
		"max_connections":         "200",
		"shared_buffers":          "128MB",
		"fsync":                   "off",
		"logging_collector":       "off",
		"log_destination":         "stderr",
		"log_line_prefix":         "%m [%p] %q%a ",
		"log_lock_waits":          "on",
		"lc_messages":             "C",
	}
	maps.Copy(all, with)
	return all
}

// configure adds settings to postgresql.conf, where the last of a name counts.
func (f *folder) configure(settings map[string]string) error {
	conf, err := os.OpenFile(filepath.Join(f.data(), "postgresql.conf"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if _, err := fmt.Fprintf(conf, "%s = '%s'\n", name, strings.ReplaceAll(settings[name], "'", "''")); err != nil {
			return errors.Join(err, conf.Close())
		}
	}
	return conf.Close()
}

// accepts reports whether the server that runs as pid accepts connections. It writes so itself into its
// lock file, which pg_ctl reads too: a connection could be answered by another server at the same port.
func (f *folder) accepts(pid int) bool {
	text, err := os.ReadFile(filepath.Join(f.data(), "postmaster.pid"))
	if err != nil {
		return false
	}
	const status = 7 // the line of the status, counted from 0
	lines := strings.Split(string(text), "\n")
	return len(lines) > status && lines[0] == strconv.Itoa(pid) && strings.TrimSpace(lines[status]) == "ready"
}

// remove removes the folder. Processes of a killed server may still make files in it for a moment.
func (f *folder) remove(within time.Duration) error {
	late := time.NewTimer(within)
	defer late.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := os.RemoveAll(f.path)
		if err == nil {
			return f.lock.Close()
		}
		select {
		case <-tick.C:
		case <-late.C:
			return errors.Join(err, f.lock.Close())
		}
	}
}

// isFile is false for what cannot be reached, too.
func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&fs.ModeType == 0
}
