package archtest

import (
	"go/ast"
	"go/token"
	"strings"
)

func packageDocViolations(t *Tree) (found []Finding) {
	for _, p := range t.Packages {
		files := p.source()
		var documented []*File
		for _, f := range files {
			if f.AST.Name.Name == p.Name && f.AST.Doc != nil {
				documented = append(documented, f)
			}
		}
		switch {
		case len(files) == 0: // only tests: they need no introduction
		case len(documented) == 0:
			found = append(found, t.finding(files[0].AST.Package, "no file of %s has a package comment", name(p.Dir)))
		case len(documented) > 1:
			for _, f := range documented[1:] {
				found = append(found, t.finding(f.AST.Package, "%s has a package comment in %s already", name(p.Dir), documented[0].Path))
			}
		case p.Name != "main" && !strings.HasPrefix(documented[0].AST.Doc.Text(), "Package "+p.Name+" "):
			found = append(found, t.finding(documented[0].AST.Package, "the package comment must begin with %q", "Package "+p.Name))
		}
	}
	return found
}

func exportedDocViolations(t *Tree) (found []Finding) {
	for _, p := range t.Packages {
		if p.Name == "main" || strings.Contains("/"+p.Dir+"/", "/internal/") {
			continue
		}
		for _, f := range p.source() {
			if f.Generated {
				continue
			}
			d := docs{report: func(pos token.Pos, what string) {
				found = append(found, t.finding(pos, "%s has no doc comment", what))
			}}
			for _, decl := range f.AST.Decls {
				d.declaration(decl)
			}
		}
	}
	return found
}

type docs struct {
	report func(pos token.Pos, what string)
}

func (d docs) declaration(decl ast.Decl) {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		recv := receiver(decl)
		if decl.Doc == nil && decl.Name.IsExported() && (recv == "" || ast.IsExported(recv)) {
			d.report(decl.Pos(), strings.TrimPrefix(recv+"."+decl.Name.Name, "."))
		}
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Name.IsExported() {
					if decl.Doc == nil && spec.Doc == nil {
						d.report(spec.Pos(), spec.Name.Name)
					}
					d.methods(spec.Name.Name, spec.Type)
				}
			case *ast.ValueSpec:
				// One comment may introduce a whole group, as in a block of related constants.
				for _, n := range spec.Names {
					if n.IsExported() && decl.Doc == nil && spec.Doc == nil && spec.Comment == nil {
						d.report(n.Pos(), n.Name)
					}
				}
			}
		}
	}
}

// methods checks the methods of an exported interface: each is a promise that somebody implements. The
// comment of an interface with one method speaks for it. Fields of structs are left to judgement, because
// the name and the type of many say all there is.
func (d docs) methods(owner string, typ ast.Expr) {
	it, ok := typ.(*ast.InterfaceType)
	if !ok || it.Methods.NumFields() == 1 {
		return
	}
	for _, method := range it.Methods.List {
		for _, n := range method.Names { // embedded interfaces bring their own documentation
			if n.IsExported() && method.Doc == nil && method.Comment == nil {
				d.report(n.Pos(), owner+"."+n.Name)
			}
		}
	}
}

// receiver is the name of the type that fn is a method of, or "".
func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return ""
	}
	typ := fn.Recv.List[0].Type
	for {
		switch t := typ.(type) {
		case *ast.StarExpr:
			typ = t.X
		case *ast.ParenExpr:
			typ = t.X
		case *ast.IndexExpr:
			typ = t.X
		case *ast.IndexListExpr:
			typ = t.X
		case *ast.Ident:
			return t.Name
		default:
			return ""
		}
	}
}
