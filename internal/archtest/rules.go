package archtest

import (
	"cmp"
	"fmt"
	"go/token"
	"slices"
)

// A Rule is one thing that holds everywhere in the tree, and why.
type Rule struct {
	Name   string
	Reason string
	find   func(*Tree) []Finding
}

// A Finding is a place that breaks a rule.
type Finding struct {
	Pos  token.Position
	Text string
}

// String is the finding as compilers print theirs, so that editors can jump to it.
func (f Finding) String() string { return fmt.Sprintf("%s:%d: %s", f.Pos.Filename, f.Pos.Line, f.Text) }

// Check returns what breaks the rule in t, by file and line.
func (r Rule) Check(t *Tree) []Finding {
	found := r.find(t)
	slices.SortStableFunc(found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Pos.Filename, b.Pos.Filename), cmp.Compare(a.Pos.Line, b.Pos.Line))
	})
	return found
}

// Rules returns all rules.
func Rules() []Rule {
	return []Rule{
		{
			"layers", "imports run one way, so that each package can be read, tested and used without what stands above it",
			layerViolations,
		},
		{
			"root-stdlib", "whoever imports the library gets no other module with it",
			rootViolations,
		},
		{
			"transports-apart", "a user links the driver of the store that they use, and no other",
			transportViolations,
		},
		{
			"third-party", "every dependency is a decision: add a line to the table in thirdparty.go, and one in docs/adr/",
			thirdPartyViolations,
		},
		{
			"process", "a library must not take the arguments, the signals or the exit of the program that uses it",
			processViolations,
		},
		{
			"init", "importing a package has no effect: what runs, runs because somebody called it",
			initViolations,
		},
		{
			"sleep", "a sleep cannot be stopped and guesses at a state: wait on a timer beside ctx.Done, or for the state",
			sleepViolations,
		},
		{
			"skip", "make test never skips silently: a test that cannot run must fail and say what it needs",
			skipViolations,
		},
		{
			"package-name", "a package is named after what it provides, not after being used by several",
			packageNameViolations,
		},
		{
			"file-size", "a file that has grown this long hides a type that is missing",
			fileSizeViolations,
		},
		{
			"root-size", "the root package is the vocabulary, and must be read in an hour",
			rootSizeViolations,
		},
		{
			"interface-size", "each method more is one that every implementer writes: further powers are optional interfaces",
			interfaceViolations,
		},
		{
			"parameters", "so many parameters are a type that is missing",
			parameterViolations,
		},
		{
			"package-doc", "each package says once what it is for",
			packageDocViolations,
		},
		{
			"exported-doc", "what users can name, they can read about: what it does, what blocks, units, errors, who owns what",
			exportedDocViolations,
		},
		{
			"conformance", "every transport keeps the same promises, and the suite is what shows it",
			conformanceViolations,
		},
	}
}

func (t *Tree) finding(pos token.Pos, format string, args ...any) Finding {
	return Finding{Pos: t.fset.Position(pos), Text: fmt.Sprintf(format, args...)}
}
