// Package archtest checks the rules of the source tree: which package may import which, what may appear
// where, and how large things may grow. Its test runs every rule on this repository.
//
// It reads source text only, all files whatever their build constraints, so that a rule holds on every
// platform and a check costs milliseconds. What it cannot decide from the text it reports, never passes.
package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A Tree is the parsed source of one Go module.
type Tree struct {
	Module   string     // module path
	Packages []*Package // by directory
	fset     *token.FileSet
}

// A Package is one directory with Go files, including its external test package.
type Package struct {
	Dir   string // slash-separated, relative to the module; "." for the root
	Name  string // the package clause of its non-test files, else of its tests without _test
	Files []*File
}

// A File is one parsed Go file.
type File struct {
	Path      string // relative to the module
	Test      bool   // its name ends in _test.go
	Generated bool   // it carries the standard "Code generated … DO NOT EDIT." line
	Lines     int
	AST       *ast.File
}

// Load parses the module whose root is fsys. As the go command does, it leaves out testdata, vendor,
// nested modules and names that start with a dot or an underscore.
func Load(fsys fs.FS) (*Tree, error) {
	gomod, err := fs.ReadFile(fsys, "go.mod")
	if err != nil {
		return nil, fmt.Errorf("read the module's go.mod: %w", err)
	}
	tree := &Tree{fset: token.NewFileSet()}
	for line := range strings.Lines(string(gomod)) {
		if rest, ok := strings.CutPrefix(line, "module "); ok {
			tree.Module = strings.TrimSpace(rest)
		}
	}
	if tree.Module == "" {
		return nil, fmt.Errorf("go.mod names no module")
	}
	packages := make(map[string]*Package)
	err = fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return skipDir(fsys, name)
		case !strings.HasSuffix(name, ".go"), hidden(path.Base(name)):
			return nil
		}
		file, err := tree.parse(fsys, name)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		if packages[dir] == nil {
			packages[dir] = &Package{Dir: dir}
			tree.Packages = append(tree.Packages, packages[dir])
		}
		packages[dir].Files = append(packages[dir].Files, file)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load module %s: %w", tree.Module, err)
	}
	for _, p := range tree.Packages {
		p.Name = packageName(p.Files)
	}
	slices.SortFunc(tree.Packages, func(a, b *Package) int { return strings.Compare(a.Dir, b.Dir) })
	return tree, nil
}

func skipDir(fsys fs.FS, dir string) error {
	if dir == "." {
		return nil
	}
	base := path.Base(dir)
	if hidden(base) || base == "testdata" || base == "vendor" {
		return fs.SkipDir
	}
	if _, err := fs.Stat(fsys, path.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func hidden(base string) bool { return strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") }

func (t *Tree) parse(fsys fs.FS, name string) (*File, error) {
	source, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.ParseFile(t.fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	lines := bytes.Count(source, []byte("\n"))
	if len(source) > 0 && source[len(source)-1] != '\n' {
		lines++
	}
	return &File{
		Path:      name,
		Test:      strings.HasSuffix(name, "_test.go"),
		Generated: ast.IsGenerated(parsed),
		Lines:     lines,
		AST:       parsed,
	}, nil
}

// packageName ignores programs that `go run file.go` runs (//go:build ignore beside a library): the name
// that most files carry is the package's.
func packageName(files []*File) string {
	votes := make(map[string]int)
	best := ""
	for _, f := range files {
		name := f.AST.Name.Name
		weight := 1000
		if f.Test {
			name, weight = strings.TrimSuffix(name, "_test"), 1
		}
		votes[name] += weight
		if best == "" || votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

// at finds the package in directory dir, or nil.
func (t *Tree) at(dir string) *Package {
	i, ok := slices.BinarySearchFunc(t.Packages, dir, func(p *Package, dir string) int { return strings.Compare(p.Dir, dir) })
	if !ok {
		return nil
	}
	return t.Packages[i]
}

// own turns the import path of a package of this module into its directory.
func (t *Tree) own(importPath string) (dir string, ok bool) {
	if importPath == t.Module {
		return ".", true
	}
	return strings.CutPrefix(importPath, t.Module+"/")
}

// importPath is the path that spec imports.
func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil { // the parser has accepted it as a string
		panic(err)
	}
	return p
}

// standard reports whether an import path belongs to the standard library: those have no dot in their
// first element, all others begin with a host name.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// source are the files of p that are part of the product: no tests.
func (p *Package) source() []*File {
	return slices.DeleteFunc(slices.Clone(p.Files), func(f *File) bool { return f.Test })
}
