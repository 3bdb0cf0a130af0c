package archtest

import (
	"go/ast"
	"slices"
	"strings"
)

// A layer is a row of packages that know nothing of each other. It may import the layers above it in the
// table, and internal packages, which count as a part of whoever imports them.
type layer struct {
	packages []string // directories; "x/..." means x and all below it
	reason   string
}

func layers() []layer {
	return []layer{
		{[]string{"retry"}, "how long to wait is arithmetic, usable without a bus"},
		{[]string{"."}, "the vocabulary: it must not know who uses its words"},
		{
			[]string{"schedule/...", "monitor/...", "middleware/...", "push/..."},
			"built on the vocabulary, each usable without the others and with any transport",
		},
		{[]string{"transport/..."}, "a store implements the interfaces of the layers before it, and calls nothing of the program around it"},
		{[]string{"symphonytest/..."}, "helpers for users' tests stand on public packages"},
		{[]string{"httpapi/...", "web/..."}, "they serve what monitor and schedule define: a store reaches them as an interface"},
		{[]string{"app/..."}, "puts the process together from everything before it"},
		{[]string{"cli/..."}, "the face of app in a terminal"},
		{[]string{"cmd/...", "examples/..."}, "programs: nothing imports them"},
	}
}

// outside are the directories of packages that are in no layer. Internal packages are judged by where
// they lead.
func outside(dir string) bool { return within("internal/...", dir) }

// layerOf returns the index of the layer of a directory, or -1.
func layerOf(dir string) int {
	return slices.IndexFunc(layers(), func(l layer) bool {
		return slices.ContainsFunc(l.packages, func(pattern string) bool { return within(pattern, dir) })
	})
}

// within reports whether dir matches a pattern: itself, or with a trailing "/..." everything below too.
func within(pattern, dir string) bool {
	prefix, subtree := strings.CutSuffix(pattern, "/...")
	return dir == prefix || subtree && strings.HasPrefix(dir, prefix+"/")
}

// unit names the part of a layer that a directory belongs to: packages of one unit may import each other.
func unit(dir string) string {
	elements := strings.Split(dir, "/")
	switch elements[0] {
	case "transport", "cmd", "examples":
		return strings.Join(elements[:min(2, len(elements))], "/")
	}
	return elements[0]
}

func layerViolations(t *Tree) (found []Finding) {
	for _, p := range t.Packages {
		if outside(p.Dir) {
			continue
		}
		rank := layerOf(p.Dir)
		if rank < 0 {
			found = append(found, t.finding(p.Files[0].AST.Package, "package %s is in no layer: give it a place, with a reason, in layers.go", p.Dir))
			continue
		}
		for _, e := range t.reach(p) {
			other := layerOf(e.to)
			if other < 0 || other < rank || other == rank && unit(e.to) == unit(p.Dir) {
				continue
			}
			found = append(found, t.finding(e.spec.Pos(), "%s imports %s%s (%s: %s)", name(p.Dir), name(e.to), e.how(), name(p.Dir), layers()[rank].reason))
		}
	}
	return append(found, t.exampleViolations()...)
}

// exampleViolations: examples show what a user can write.
func (t *Tree) exampleViolations() (found []Finding) {
	for _, p := range t.Packages {
		if !within("examples/...", p.Dir) {
			continue
		}
		for _, f := range p.source() {
			for _, spec := range f.AST.Imports {
				if dir, ok := t.own(importPath(spec)); ok && within("internal/...", dir) {
					found = append(found, t.finding(spec.Pos(), "%s imports %s (an example shows what a user can write, and users cannot import it)", p.Dir, dir))
				}
			}
		}
	}
	return found
}

func transportViolations(t *Tree) (found []Finding) {
	for _, p := range t.Packages {
		if !isTransport(p.Dir) {
			continue
		}
		for _, e := range t.reach(p) {
			if isTransport(e.to) && unit(e.to) != unit(p.Dir) {
				found = append(found, t.finding(e.spec.Pos(), "%s imports the transport %s%s", p.Dir, e.to, e.how()))
			}
		}
	}
	return found
}

func isTransport(dir string) bool {
	return within("transport/...", dir) && dir != "transport" && unit(dir) != suiteDir
}

func rootViolations(t *Tree) (found []Finding) {
	for _, dir := range []string{".", "retry"} {
		p := t.at(dir)
		if p == nil {
			continue
		}
		for _, f := range p.source() {
			for _, spec := range f.AST.Imports {
				if ip := importPath(spec); !standard(ip) && !t.isOwn(ip) {
					found = append(found, t.finding(spec.Pos(), "%s imports %s", name(dir), ip))
				}
			}
		}
		for _, e := range t.reach(p) {
			if inner := t.at(e.to); inner != nil && within("internal/...", e.to) {
				if foreign := t.firstForeign(inner); foreign != "" {
					found = append(found, t.finding(e.spec.Pos(), "%s imports %s%s, which imports %s", name(dir), e.to, e.how(), foreign))
				}
			}
		}
	}
	return found
}

// firstForeign returns an import of p that is neither standard nor internal.
func (t *Tree) firstForeign(p *Package) string {
	for _, f := range p.source() {
		for _, spec := range f.AST.Imports {
			ip := importPath(spec)
			if dir, ok := t.own(ip); !standard(ip) && (!ok || !within("internal/...", dir)) {
				return ip
			}
		}
	}
	return ""
}

func (t *Tree) isOwn(importPath string) bool {
	_, ok := t.own(importPath)
	return ok
}

// An edge leads from a package to one of this module that it imports, directly or through internal ones.
type edge struct {
	to   string
	spec *ast.ImportSpec // the import in the package itself
	via  string          // the internal package that leads there, "" when direct
}

func (e edge) how() string {
	if e.via == "" {
		return ""
	}
	return " through " + e.via
}

// reach returns the packages of this module that p's non-test files import, each once. Internal packages
// are followed: moving an import into one must not change what is allowed.
func (t *Tree) reach(p *Package) (edges []edge) {
	seen := map[string]bool{p.Dir: true}
	var follow func(q *Package, first *ast.ImportSpec)
	follow = func(q *Package, first *ast.ImportSpec) {
		for _, f := range q.source() {
			for _, spec := range f.AST.Imports {
				dir, ok := t.own(importPath(spec))
				if !ok || seen[dir] {
					continue
				}
				seen[dir] = true
				e := edge{to: dir, spec: spec}
				if first != nil {
					e.spec, e.via = first, q.Dir
				}
				edges = append(edges, e)
				if inner := t.at(dir); inner != nil && within("internal/...", dir) {
					follow(inner, e.spec)
				}
			}
		}
	}
	follow(p, nil)
	return edges
}

func name(dir string) string {
	if dir == "." {
		return "the root package"
	}
	return dir
}
