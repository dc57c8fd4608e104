package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path"
	"slices"
	"strings"
	"testing"
)

// stateful are variables of packages that a rule of TestPackagesHaveNoState forbids, and that stay.
var stateful = []struct{ folder, name, why string }{
	{"internal/controlplane/controlplanetest", "binary", "the tests of one binary share what takes minutes to build"},
	{"internal/controlplane/controlplanetest", "shared", "and a control plane"},
}

// A variable of a package is a constant for which Go has no const: it has its value where it is declared, holds no lock, and nothing is
// assigned to it, or to a part of it, anywhere in the package. Tests, and programs below testdata, may do as they like.
func TestPackagesHaveNoState(t *testing.T) {
	fileset := token.NewFileSet()
	packages := map[string][]*ast.File{} // by folder and name
	files(t, []string{".go"}, func(name, text string) {
		if strings.HasSuffix(name, "_test.go") || slices.Contains(strings.Split(name, "/"), "testdata") {
			return
		}
		parsed, err := parser.ParseFile(fileset, name, text, 0)
		if err != nil {
			t.Error(err)
			return
		}
		packages[path.Dir(name)] = append(packages[path.Dir(name)], parsed)
	})
	used := make([]bool, len(stateful))
	for folder, parsed := range packages {
		for name, why := range state(fileset, parsed) {
			known := slices.IndexFunc(stateful, func(s struct{ folder, name, why string }) bool { return s.folder == folder && s.name == name })
			if known >= 0 {
				used[known] = true
				continue
			}
			t.Errorf("%s: the variable %s of the package %s", folder, name, why)
		}
	}
	for i, exception := range stateful {
		if !used[i] {
			t.Errorf("the exception for %s in %s is not needed any more", exception.name, exception.folder)
		}
	}
}

// state are the variables of a package that can change, and how.
func state(fileset *token.FileSet, parsed []*ast.File) map[string]string {
	info := types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
	// What other packages export does not matter: each import may fail.
	check := types.Config{Error: func(error) {}, Importer: nothing{}}
	checked, _ := check.Check("", fileset, parsed, &info)
	found := map[string]string{}
	for _, file := range parsed {
		for _, declaration := range file.Decls {
			general, ok := declaration.(*ast.GenDecl)
			if !ok || general.Tok != token.VAR {
				continue
			}
			for _, spec := range general.Specs {
				declared(spec.(*ast.ValueSpec), found)
			}
		}
		ast.Inspect(file, func(node ast.Node) bool {
			for _, target := range targets(node) {
				if variable := root(target); variable != nil {
					if object := info.Uses[variable]; object != nil && object.Parent() == checked.Scope() {
						found[variable.Name] = "is assigned to in a function"
					}
				}
			}
			return true
		})
	}
	return found
}

// declared notes the variables of a declaration that have no value of their own, or one that is made to be changed.
func declared(spec *ast.ValueSpec, found map[string]string) {
	for i, name := range spec.Names {
		switch {
		case name.Name == "_", len(spec.Values) == 0 && embedded(spec):
		case len(spec.Values) == 0:
			found[name.Name] = "has no value where it is declared"
		default:
			call, ok := spec.Values[min(i, len(spec.Values)-1)].(*ast.CallExpr)
			if !ok {
				continue
			}
			if function, ok := call.Fun.(*ast.Ident); ok && (function.Name == "make" || function.Name == "new") {
				found[name.Name] = "is made empty, to be filled"
			}
			if function, ok := call.Fun.(*ast.SelectorExpr); ok {
				if qualifier, ok := function.X.(*ast.Ident); ok && (qualifier.Name == "sync" || qualifier.Name == "atomic") {
					found[name.Name] = "holds a lock"
				}
			}
		}
	}
}

// embedded reports whether the type is one that //go:embed fills.
func embedded(spec *ast.ValueSpec) bool {
	switch kind := spec.Type.(type) {
	case *ast.ArrayType:
		element, ok := kind.Elt.(*ast.Ident)
		return ok && element.Name == "byte"
	case *ast.SelectorExpr:
		return kind.Sel.Name == "FS"
	}
	return false
}

// targets are the expressions that a node changes.
func targets(node ast.Node) []ast.Expr {
	switch node := node.(type) {
	case *ast.AssignStmt:
		if node.Tok != token.DEFINE {
			return node.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{node.X}
	case *ast.UnaryExpr:
		if node.Op == token.AND {
			return []ast.Expr{node.X}
		}
	case *ast.CallExpr:
		if function, ok := node.Fun.(*ast.Ident); ok && (function.Name == "delete" || function.Name == "clear") {
			return node.Args[:1]
		}
	}
	return nil
}

// root is the variable that an expression is, or is a part of.
func root(expression ast.Expr) *ast.Ident {
	switch expression := expression.(type) {
	case *ast.Ident:
		return expression
	case *ast.IndexExpr:
		return root(expression.X)
	case *ast.SelectorExpr:
		return root(expression.X)
	case *ast.ParenExpr:
		return root(expression.X)
	case *ast.StarExpr:
		return root(expression.X)
	}
	return nil
}

type nothing struct{}

func (nothing) Import(string) (*types.Package, error) { return nil, types.Error{} }
