// Command mutants shows that the conformance suite of transports and the tests of the worker can fail. It breaks each store,
// its SQL too, and the worker on purpose, once for every bug that a public queue has had, and runs the tests on it: a mutant that
// passes is a promise that nobody checks.
//
//	go run ./internal/mutants [-store memory|sqlite|postgres|worker|all] [-run regexp]
//
// It prints a line for each mutant and ends with {"mutants":N,"killed":N}. It exits with 1 when one
// survives, or when the suite fails on a store that is not broken.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/symphony-messenger/symphony/internal/pgserver"
)

// A mutant is one bug in one store.
type mutant struct {
	name  string // the bug that it copies
	store string
	file  string // in the directory of the store; of the worker: in that of the module
	old   string // must be there once
	new   string
	by    string // the case or test that must fail, or how its name begins: to die of something else shows nothing
}

// worker is what mutants of the worker have for a store.
const worker = "worker"

func mutants() []mutant {
	return slices.Concat(memoryMutants(), sqliteMutants(), scheduleMutants(), postgresMutants(), workerMutants())
}

// dir is where the file is, from the root of the module.
func (m mutant) dir() string {
	if m.store == worker {
		return "."
	}
	return "transport/" + m.store
}

// tests is the package whose tests must find it.
func (m mutant) tests() string {
	if m.store == worker && strings.HasPrefix(m.by, "internal/") {
		return path.Dir(m.by)
	}
	return m.dir()
}

// test is the name of the case or the test.
func (m mutant) test() string {
	if m.store == worker {
		return path.Base(m.by)
	}
	return m.by
}

func main() {
	store := flag.String("store", "all", "break this: memory, sqlite, postgres, worker or all")
	pattern := flag.String("run", "", "only mutants whose store and name match")
	flag.Parse()
	if err := run(context.Background(), *store, *pattern); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, store, pattern string) (err error) {
	only, err := regexp.Compile(pattern)
	if err != nil {
		return fmt.Errorf("read -run: %w", err)
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	b := bench{root: root, work: work}

	var chosen []mutant
	tested := make(map[string]bool)
	for _, m := range mutants() {
		if (store == "all" || store == m.store) && only.MatchString(m.store+": "+m.name) {
			if _, err := m.apply(b.source(m)); err != nil {
				return fmt.Errorf("mutant %q of %s: %w", m.name, m.store, err)
			}
			chosen = append(chosen, m)
			tested[m.tests()] = true
		}
	}
	if len(chosen) == 0 {
		return fmt.Errorf("no mutant is called like that: -store %q -run %q", store, pattern)
	}
	if tested["transport/postgres"] { // one for all: each run of the tests would start its own
		server, err := pgserver.Start(ctx, pgserver.Config{})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.Stop()) }()
		b.env = append(os.Environ(), "SYMPHONY_TEST_DSN="+server.DSN("postgres"))
	}
	for dir := range tested {
		program, err := b.build(ctx, dir, "")
		if err == nil {
			_, err = b.suite(ctx, dir, program, whole(dir))
		}
		if err != nil {
			return fmt.Errorf("the tests of %s as it is: %w", dir, err)
		}
	}
	killed := 0
	for _, m := range chosen {
		verdict, err := b.try(ctx, m)
		if err != nil { // it does not compile: that shows nothing, and must not pass for a kill
			fmt.Printf("%-8s  %-8s  %s: %v\n", "BROKEN", m.store, m.name, err)
			continue
		}
		fmt.Println(verdict)
		if verdict.killed {
			killed++
		}
	}
	fmt.Printf("{\"mutants\":%d,\"killed\":%d}\n", len(chosen), killed)
	if killed < len(chosen) {
		return fmt.Errorf("%d of %d mutants were not killed", len(chosen)-killed, len(chosen))
	}
	return nil
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// A bench is where mutants are built and tried. The sources stay as they are: the compiler is told to
// read one file from somewhere else, and that goes for embedded SQL too.
type bench struct {
	root, work string
	env        []string // of the tests; nil: that of this process
}

// source is the file that m is about.
func (b bench) source(m mutant) string {
	return filepath.Join(b.root, filepath.FromSlash(m.dir()), filepath.FromSlash(m.file))
}

// A verdict is what the suite said of a mutant.
type verdict struct {
	mutant
	killed bool
	reason string   // what the case that had to fail has said
	others []string // what failed instead
}

// String is one line for people, who must see that it died of its own bug.
func (v verdict) String() string {
	line := func(word, why string) string {
		return fmt.Sprintf("%-8s  %-8s  %s: %s", word, v.store, v.name, why)
	}
	switch {
	case v.killed:
		return line("killed", v.reason)
	case len(v.others) > 0:
		return line("SURVIVED", v.by+" passed; only these failed: "+strings.Join(v.others, ", "))
	}
	return line("SURVIVED", "the whole suite passed")
}

// try builds m and runs the suite on it. An error means that it could not be tried.
func (b bench) try(ctx context.Context, m mutant) (verdict, error) {
	v := verdict{mutant: m}
	source := b.source(m)
	broken, err := m.apply(source)
	if err != nil {
		return v, err
	}
	copied := filepath.Join(b.work, "broken"+filepath.Ext(source))
	if err := os.WriteFile(copied, broken, 0o600); err != nil {
		return v, err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {source: copied}})
	if err != nil {
		return v, err
	}
	file := filepath.Join(b.work, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return v, err
	}
	program, err := b.build(ctx, m.tests(), file)
	if err != nil {
		return v, err
	}
	if _, err = b.suite(ctx, m.tests(), program, m.test()); err != nil {
		failure, failed := errors.AsType[*suiteError](err)
		if !failed {
			return v, err
		}
		v.killed, v.reason = true, failure.first()
		return v, nil
	}
	v.others, err = b.suite(ctx, m.tests(), program, whole(m.tests())) // what would have caught it?
	if _, failed := errors.AsType[*suiteError](err); failed {
		err = nil
	}
	return v, err
}

// apply returns the text of the file with the bug in it.
func (m mutant) apply(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		return nil, fmt.Errorf("the text to replace is %d times in %s, must be there once:\n%s", n, m.file, m.old)
	}
	return []byte(strings.Replace(string(text), m.old, m.new, 1)), nil
}
