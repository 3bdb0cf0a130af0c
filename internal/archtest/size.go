package archtest

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/token"
	"go/types"
	"path"
	"slices"
)

// The budgets. Raising one is a decision for an ADR, not a way to make a test pass.
const (
	maxFileLines        = 450
	maxRootLines        = 2500
	maxInterfaceMethods = 5
	maxParameters       = 4
)

func packageNameViolations(t *Tree) (found []Finding) {
	banned := []string{"util", "utils", "common", "helper", "helpers", "base", "types", "models", "misc", "shared"}
	for _, p := range t.Packages {
		for _, n := range []string{p.Name, path.Base(p.Dir)} {
			if slices.Contains(banned, n) {
				found = append(found, t.finding(p.Files[0].AST.Package, "%s is called %q", name(p.Dir), n))
				break
			}
		}
	}
	return found
}

func fileSizeViolations(t *Tree) (found []Finding) {
	for _, p := range t.Packages {
		for _, f := range p.Files {
			if f.Lines > maxFileLines && !f.Generated {
				pos := token.Position{Filename: f.Path, Line: maxFileLines + 1}
				found = append(found, Finding{pos, fmt.Sprintf("the file has %d lines, the limit is %d", f.Lines, maxFileLines)})
			}
		}
	}
	return found
}

func rootSizeViolations(t *Tree) []Finding {
	root := t.at(".")
	if root == nil {
		return nil
	}
	lines, files := 0, root.source()
	for _, f := range files {
		lines += f.Lines
	}
	if lines <= maxRootLines {
		return nil
	}
	return []Finding{t.finding(files[0].AST.Package, "the root package has %d lines without tests, the limit is %d", lines, maxRootLines)}
}

func parameterViolations(t *Tree) (found []Finding) {
	for _, p := range t.Packages {
		for _, f := range p.Files {
			if f.Generated {
				continue
			}
			imports := f.imports()
			ast.Inspect(f.AST, func(n ast.Node) bool {
				if fn, ok := n.(*ast.FuncType); ok {
					if count := parameters(fn, imports); count > maxParameters {
						found = append(found, t.finding(fn.Pos(), "a function with %d parameters after ctx, the limit is %d", count, maxParameters))
					}
				}
				return true
			})
		}
	}
	return found
}

// parameters counts what a caller has to think about: a leading context and the handle of a test are
// passed on without a thought.
func parameters(fn *ast.FuncType, imports map[string]string) (count int) {
	leading := true
	for _, field := range fn.Params.List {
		if leading = leading && passedOn(field.Type, imports); leading {
			continue
		}
		count += max(1, len(field.Names))
	}
	return count
}

func passedOn(typ ast.Expr, imports map[string]string) bool {
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	sel, ok := typ.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && (imports[x.Name] == "testing" || imports[x.Name] == "context" && sel.Sel.Name == "Context")
}

func interfaceViolations(t *Tree) (found []Finding) {
	// Reads the compiler's own records of the standard library, so a foreign interface counts as it is.
	r := methodResolver{tree: t, std: importer.ForCompiler(token.NewFileSet(), "gc", nil)}
	for _, p := range t.Packages {
		for _, f := range p.Files {
			if f.Generated {
				continue
			}
			ast.Inspect(f.AST, func(n ast.Node) bool {
				it, ok := n.(*ast.InterfaceType)
				if !ok {
					return true
				}
				methods := make(map[string]bool)
				if unknown := r.collect(scope{p, f}, it, methods); unknown != "" {
					found = append(found, t.finding(it.Pos(), "the methods of the embedded %s cannot be counted: name those that are needed", unknown))
				} else if len(methods) > maxInterfaceMethods {
					found = append(found, t.finding(it.Pos(), "an interface with %d methods, embedded ones included, the limit is %d", len(methods), maxInterfaceMethods))
				}
				return true
			})
		}
	}
	return found
}

// A scope is where a type expression was written.
type scope struct {
	pkg  *Package
	file *File
}

type methodResolver struct {
	tree *Tree
	std  types.Importer
}

// collect adds the names of the methods that typ demands, when it is an interface; any other type, as in a
// constraint, demands none. It returns the name of what it could not resolve, or "".
func (r methodResolver) collect(at scope, typ ast.Expr, methods map[string]bool) (unknown string) {
	switch typ := typ.(type) {
	case *ast.InterfaceType:
		for _, field := range typ.Methods.List {
			for _, n := range field.Names {
				methods[n.Name] = true
			}
			if len(field.Names) == 0 {
				if unknown := r.collect(at, field.Type, methods); unknown != "" {
					return unknown
				}
			}
		}
	case *ast.ParenExpr:
		return r.collect(at, typ.X, methods)
	case *ast.IndexExpr:
		return r.collect(at, typ.X, methods)
	case *ast.IndexListExpr:
		return r.collect(at, typ.X, methods)
	case *ast.Ident:
		if spec, where := lookup(at.pkg, at.file.AST.Name.Name, typ.Name); spec != nil {
			return r.collect(where, spec.Type, methods)
		}
		obj := types.Universe.Lookup(typ.Name)
		if obj == nil {
			return typ.Name
		}
		addMethods(obj.Type(), methods)
	case *ast.SelectorExpr:
		return r.collectForeign(at, typ, methods)
	}
	return ""
}

func (r methodResolver) collectForeign(at scope, sel *ast.SelectorExpr, methods map[string]bool) (unknown string) {
	x, ok := sel.X.(*ast.Ident)
	if !ok {
		return sel.Sel.Name
	}
	ip, unknown := at.file.imports()[x.Name], x.Name+"."+sel.Sel.Name
	if dir, ok := r.tree.own(ip); ok {
		p := r.tree.at(dir)
		if p == nil {
			return unknown
		}
		spec, where := lookup(p, p.Name, sel.Sel.Name)
		if spec == nil {
			return unknown
		}
		return r.collect(where, spec.Type, methods)
	}
	if !standard(ip) || ip == "" {
		return unknown
	}
	p, err := r.std.Import(ip)
	if err != nil {
		return unknown
	}
	obj := p.Scope().Lookup(sel.Sel.Name)
	if obj == nil {
		return unknown
	}
	addMethods(obj.Type(), methods)
	return ""
}

func addMethods(typ types.Type, methods map[string]bool) {
	if it, ok := typ.Underlying().(*types.Interface); ok {
		for m := range it.Methods() {
			methods[m.Name()] = true
		}
	}
}

// lookup finds the declaration of a type in the files of p that belong to the package called pkgName (a
// directory holds two: the package and its external tests).
func lookup(p *Package, pkgName, typeName string) (*ast.TypeSpec, scope) {
	for _, f := range p.Files {
		if f.AST.Name.Name != pkgName {
			continue
		}
		for _, decl := range f.AST.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.TYPE {
				continue
			}
			for _, s := range gen.Specs {
				if spec := s.(*ast.TypeSpec); spec.Name.Name == typeName {
					return spec, scope{p, f}
				}
			}
		}
	}
	return nil, scope{}
}
