package pgserver

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// binVariable names the directory of the programs to use, whatever else is installed.
const binVariable = "SYMPHONY_PG_BIN"

// Find returns the directory with the server's programs (postgres, initdb) of a major version, of the
// newest when major is 0: that of the environment variable SYMPHONY_PG_BIN if it is set, else where Debian
// installs them, else the one of the pg_config in the path.
func Find(major int) (bin string, err error) {
	if bin := os.Getenv(binVariable); bin != "" {
		if err := offers(bin, major); err != nil {
			return "", fmt.Errorf("use the PostgreSQL of %s: %w", binVariable, err)
		}
		return bin, nil
	}
	for _, bin := range candidates() {
		if offers(bin, major) == nil {
			return bin, nil
		}
	}
	what := "PostgreSQL"
	if major != 0 {
		what = fmt.Sprintf("PostgreSQL %d", major)
	}
	return "", fmt.Errorf("find the programs of a %s server: none is installed: run scripts/ensure.sh postgres, or set %s to their directory", what, binVariable)
}

// candidates are directories that may have the programs, best first.
func candidates() []string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // only a bad pattern is an error
	number := func(bin string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin))) // what is no number comes last
		return n
	}
	slices.SortFunc(found, func(a, b string) int { return cmp.Compare(number(b), number(a)) })
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		found = append(found, strings.TrimSpace(string(out)))
	}
	return found
}

// offers returns an error unless bin has the programs, of a major version if it is not 0.
func offers(bin string, major int) error {
	for _, name := range []string{"postgres", "initdb"} {
		if path := filepath.Join(bin, name); !isFile(path) {
			return fmt.Errorf("%s is no program", path)
		}
	}
	if major == 0 {
		return nil
	}
	out, err := exec.Command(filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return fmt.Errorf("ask for the version of the server in %s: %w", bin, err)
	}
	// postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
	var is int
	if _, err := fmt.Sscanf(string(out), "postgres (PostgreSQL) %d", &is); err != nil || is != major {
		return fmt.Errorf("the server in %s is %q, not of version %d", bin, strings.TrimSpace(string(out)), major)
	}
	return nil
}
