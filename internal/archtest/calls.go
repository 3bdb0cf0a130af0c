package archtest

import (
	"go/ast"
	"path"
	"slices"
	"strconv"
)

func processViolations(t *Tree) (found []Finding) {
	for _, p := range t.Packages {
		if within("cli/...", p.Dir) || within("cmd/...", p.Dir) {
			continue
		}
		for _, f := range p.source() {
			if f.AST.Name.Name == "main" && (within("examples/...", p.Dir) || within("internal/...", p.Dir)) {
				continue
			}
			for _, spec := range f.AST.Imports {
				if importPath(spec) == "os/signal" {
					found = append(found, t.finding(spec.Pos(), "%s imports os/signal: only cli and programs may", name(p.Dir)))
				}
			}
			found = append(found, t.uses(f, "only cli and programs may",
				"os.Args", "os.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln", "flag.Parse", "flag.CommandLine")...)
		}
	}
	return found
}

func sleepViolations(t *Tree) (found []Finding) {
	for _, p := range t.Packages {
		for _, f := range p.source() {
			found = append(found, t.uses(f, "outside tests", "time.Sleep")...)
		}
	}
	return found
}

// uses finds where f mentions a name of a package ("os.Exit"), under whatever name it imports it.
func (t *Tree) uses(f *File, why string, names ...string) (found []Finding) {
	imports := f.imports()
	ast.Inspect(f.AST, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		if !ok {
			return true
		}
		if used := imports[x.Name] + "." + sel.Sel.Name; slices.Contains(names, used) {
			found = append(found, t.finding(sel.Pos(), "%s %s", used, why))
		}
		return true
	})
	return found
}

// imports maps the names by which f knows packages to their import paths.
func (f *File) imports() map[string]string {
	names := make(map[string]string)
	for _, spec := range f.AST.Imports {
		ip := importPath(spec)
		local := path.Base(ip)
		if _, err := strconv.Atoi(local[min(1, len(local)):]); err == nil && local[0] == 'v' {
			local = path.Base(path.Dir(ip)) // a major version is no name: …/pgx/v5 is pgx
		}
		if spec.Name != nil {
			local = spec.Name.Name
		}
		names[local] = ip
	}
	return names
}

func initViolations(t *Tree) (found []Finding) {
	for _, p := range t.Packages {
		for _, f := range p.Files {
			for _, decl := range f.AST.Decls {
				if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					found = append(found, t.finding(fn.Pos(), "%s has an init function", name(p.Dir)))
				}
			}
		}
	}
	return found
}

func skipViolations(t *Tree) (found []Finding) {
	for _, p := range t.Packages {
		for _, f := range p.Files {
			if !slices.ContainsFunc(f.AST.Imports, func(s *ast.ImportSpec) bool { return importPath(s) == "testing" }) {
				continue
			}
			ast.Inspect(f.AST, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				if sel, ok := call.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
					found = append(found, t.finding(call.Pos(), "the test skips itself with %s", sel.Sel.Name))
				}
				return true
			})
		}
	}
	return found
}

// suiteDir holds the conformance suite.
const suiteDir = "transport/transporttest"

func conformanceViolations(t *Tree) (found []Finding) {
	for _, p := range t.Packages {
		if !isTransport(p.Dir) || unit(p.Dir) != p.Dir || len(p.source()) == 0 {
			continue
		}
		if !slices.ContainsFunc(p.Files, func(f *File) bool { return f.Test && t.callsSuite(f) }) {
			found = append(found, t.finding(p.Files[0].AST.Package, "no test of %s calls transporttest.Run", p.Dir))
		}
	}
	return found
}

func (t *Tree) callsSuite(f *File) (calls bool) {
	imports := f.imports()
	ast.Inspect(f.AST, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
				x, ok := sel.X.(*ast.Ident)
				calls = calls || ok && sel.Sel.Name == "Run" && imports[x.Name] == t.Module+"/"+suiteDir
			}
		}
		return !calls
	})
	return calls
}
