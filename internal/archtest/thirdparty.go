package archtest

import (
	"slices"
	"strings"
)

// An allowance lets packages import modules that are not ours.
type allowance struct {
	packages []string // directories, as in layer
	imports  []string // import paths, each with everything below it
	reason   string
}

// allowances is the whole list of modules that users of a package get with it.
func allowances() []allowance {
	return []allowance{
		{[]string{"transport/sqlite/..."}, []string{"modernc.org/sqlite"}, "SQLite without a C compiler"},
		{[]string{"transport/postgres/..."}, []string{"github.com/jackc/pgx/v5"}, "the native protocol, batches, LISTEN"},
		{[]string{"internal/pgtest"}, []string{"github.com/jackc/pgx/v5"}, "gives each test a schema or a database; only tests import it"},
		{[]string{"internal/crash"}, []string{"github.com/jackc/pgx/v5"}, "takes part in transactions of handlers, and ends sessions of its server"},
		{[]string{"cli/..."}, []string{"github.com/spf13/cobra", "github.com/spf13/pflag"}, "commands, help and completion as users know them"},
		{[]string{"cli/..."}, []string{"golang.org/x/term"}, "is this a terminal, how wide is it"},
		{[]string{"push/...", "internal/exec"}, []string{"github.com/kballard/go-shellquote"}, "--exec is split as a shell would, without one"},
		{[]string{"transport/transporttest"}, []string{"pgregory.net/rapid"}, "the suite walks a store and a model side by side; only tests import it"},
		{[]string{"app/..."}, []string{"github.com/goccy/go-yaml"}, "the configuration file, with positions in its errors"},
		{
			[]string{"examples/..."},
			[]string{"github.com/emersion/go-smtp", "github.com/emersion/go-sasl", "modernc.org/sqlite", "github.com/jackc/pgx/v5"},
			"examples talk to real servers and own their database",
		},
	}
}

// testAllowances are for _test.go files: nobody gets them with the library. Tests may also import what
// any package of the product may, because they use the real thing.
func testAllowances() []allowance {
	everywhere := []string{"..."}
	return []allowance{
		{everywhere, []string{"go.uber.org/goleak"}, "no goroutine outlives its owner"},
		{everywhere, []string{"github.com/google/go-cmp"}, "a difference that can be read"},
		{everywhere, []string{"pgregory.net/rapid"}, "properties and state machines"},
		{everywhere, []string{"github.com/rogpeppe/go-internal"}, "txtar and scripts of the command line"},
	}
}

func thirdPartyViolations(t *Tree) (found []Finding) {
	for _, p := range t.Packages {
		for _, f := range p.Files {
			for _, spec := range f.AST.Imports {
				ip := importPath(spec)
				if standard(ip) || t.isOwn(ip) || allowed(allowances(), p.Dir, ip) {
					continue
				}
				if f.Test && (allowed(testAllowances(), "", ip) || allowedSomewhere(ip)) {
					continue
				}
				found = append(found, t.finding(spec.Pos(), "%s imports %s%s", name(p.Dir), ip, allowedIn(ip)))
			}
		}
	}
	return found
}

func allowed(list []allowance, dir, ip string) bool {
	return slices.ContainsFunc(list, func(a allowance) bool {
		return a.covers(ip) && slices.ContainsFunc(a.packages, func(pattern string) bool { return pattern == "..." || within(pattern, dir) })
	})
}

func allowedSomewhere(ip string) bool {
	return slices.ContainsFunc(allowances(), func(a allowance) bool { return a.covers(ip) })
}

func (a allowance) covers(ip string) bool {
	return slices.ContainsFunc(a.imports, func(prefix string) bool { return ip == prefix || strings.HasPrefix(ip, prefix+"/") })
}

// allowedIn says where an import belongs, for whoever moved it.
func allowedIn(ip string) string {
	for _, a := range allowances() {
		if a.covers(ip) {
			return " (allowed in " + strings.Join(a.packages, ", ") + ": " + a.reason + ")"
		}
	}
	for _, a := range testAllowances() {
		if a.covers(ip) {
			return " (allowed in tests: " + a.reason + ")"
		}
	}
	return ""
}
