package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/docstest"
)

// line is a line of a log, as the code writes it.
type line struct {
	level  string
	fields []string
}

// logFolders are the packages that log in each cloud.
var logFolders = map[string][]string{
	"AWS":          {"../pkg/rotate", "../pkg/rotate/ecs", "../functions/aws-lambda/rotation"},
	"Azure":        {"../pkg/rotate", "../pkg/rotate/fleet", "../pkg/rotate/containerapp", "../functions/azure/rotation"},
	"Google Cloud": {"../pkg/rotate", "../pkg/rotate/fleet", "../pkg/rotate/helmrelease", "../functions/gcp/rotation"},
}

// Every line that a function can log stands in its reference, with its level and its fields; those of all functions stand in one place.
func TestLogsAreDocumented(t *testing.T) {
	shared := docstest.Rows(docstest.Section(t, docstest.Read(t, "docs/configuration.md"), "### Lines of every run"))
	for cloud, page := range map[string]string{
		"AWS": "docs/configuration.md", "Azure": "docs/configuration-azure.md", "Google Cloud": "docs/configuration-gcp.md",
	} {
		chapter := docstest.Section(t, docstest.Read(t, page), "## Logs")
		rows := docstest.Rows(chapter)
		if cloud != "AWS" { // whose page has them
			rows = append(rows, shared...)
		}
		logged, context := loggedBy(t, logFolders[cloud])
		for _, field := range context {
			if !strings.Contains(chapter, "`"+field+"`") {
				t.Errorf("%s does not say which lines have the field %s", page, field)
			}
		}
		documented := map[string]bool{}
		for _, row := range rows {
			message := strings.Trim(row[0], "`")
			found, ok := logged[message]
			if !ok || found.level != row[1] {
				t.Errorf("%s has %q with level %s, which no code logs so: %q", page, message, row[1], found.level)
			}
			for _, field := range found.fields {
				ofError := slices.Contains([]string{"kind", "state", "hint"}, field) && slices.Contains(found.fields, "error")
				if !ofError && !strings.Contains(row[2], "`"+field+"`") {
					t.Errorf("%s does not say that %q has the field %s", page, message, field)
				}
			}
			documented[message] = true
		}
		for _, message := range slices.Sorted(maps.Keys(logged)) {
			if !documented[message] {
				t.Errorf("%s lacks the line %q", page, message)
			}
		}
	}
}

// loggedBy are the lines that packages can log, by their messages, and the fields that loggers add to all lines about something.
func loggedBy(t *testing.T, folders []string) (logged map[string]line, context []string) {
	t.Helper()
	logged = map[string]line{}
	for _, folder := range folders {
		constants := map[string]string{}
		for _, file := range sources(t, folder) {
			maps.Copy(constants, constantsOf(t, file))
		}
		for _, file := range sources(t, folder) {
			context = append(context, linesOf(t, file, constants, logged)...)
		}
	}
	slices.Sort(context)
	return logged, slices.Compact(context)
}

// linesOf adds the lines that a file's code logs, and returns the fields that it adds to a logger.
func linesOf(t *testing.T, file string, constants map[string]string, found map[string]line) (context []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, declaration := range parsed.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok || function.Body == nil {
			continue
		}
		ast.Inspect(function.Body, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok || len(call.Args) < 2 {
				return true
			}
			selector, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if strings.HasSuffix(strings.ToLower(name(selector.X)), "log") && selector.Sel.Name == "With" {
				context = append(context, attributes(t, function, call.Args)...)
			}
			if selector.Sel.Name == "LogFailure" {
				found[literal(call.Args[2])] = line{"ERROR", ofError()}
			}
			level, ok := strings.CutSuffix(selector.Sel.Name, "Context")
			if !ok || !slices.Contains([]string{"Debug", "Info", "Warn", "Error"}, level) {
				return true
			}
			message := literal(call.Args[1])
			if value := constants[name(call.Args[1])]; value != "" {
				message = value
			}
			fields := attributes(t, function, call.Args[2:])
			slices.Sort(fields)
			found[message] = line{strings.ToUpper(level), slices.Compact(fields)}
			return true
		})
	}
	return context
}

// attributes are the keys that a call of a logger, or of append, adds.
func attributes(t *testing.T, in *ast.FuncDecl, args []ast.Expr) (keys []string) {
	t.Helper()
	for len(args) > 0 {
		switch arg := args[0].(type) {
		case *ast.BasicLit, *ast.BinaryExpr:
			keys = append(keys, strings.ReplaceAll(literal(arg), "%s", "STEP"))
			args = args[1:]
		case *ast.Ident: // a variable of attributes
			keys = append(keys, assigned(t, in, arg.Name)...)
		case *ast.CompositeLit:
			keys = append(keys, attributes(t, in, arg.Elts)...)
		case *ast.CallExpr:
			switch name(arg.Fun) {
			case "LogError":
				keys = append(keys, ofError()...)
			case "Attributes":
				keys = append(keys, ofReport(t)...)
			case "append":
				keys = append(keys, attributes(t, in, arg.Args)...)
			}
		}
		if len(args) > 0 {
			args = args[1:]
		}
	}
	return keys
}

// assigned are the keys in a variable of a function.
func assigned(t *testing.T, in *ast.FuncDecl, variable string) (keys []string) {
	ast.Inspect(in.Body, func(node ast.Node) bool {
		assignment, ok := node.(*ast.AssignStmt)
		if !ok || name(assignment.Lhs[0]) != variable {
			return true
		}
		switch value := assignment.Rhs[0].(type) {
		case *ast.CompositeLit:
			keys = append(keys, attributes(t, in, value.Elts)...)
		case *ast.CallExpr:
			if name(value.Fun) == "append" {
				keys = append(keys, attributes(t, in, value.Args[1:])...)
			}
		}
		return true
	})
	return keys
}

// ofError are the keys of rotate.LogError, and so of function.LogFailure.
func ofError() []string { return []string{"error", "hint", "kind", "state"} }

// ofReport are the keys of a report.
func ofReport(t *testing.T) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), "../pkg/rotate/report.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, declaration := range parsed.Decls {
		if function, ok := declaration.(*ast.FuncDecl); ok && function.Name.Name == "Attributes" {
			return assigned(t, function, "attributes")
		}
	}
	t.Fatal("reports have no Attributes")
	return nil
}
