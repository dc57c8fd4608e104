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

// Every line that the function for Azure can log stands in its reference, with its level and its fields.
func TestLogsAreDocumented(t *testing.T) {
	logged, failure := map[string]line{}, linesOf(t, "../internal/function/call.go", nil, line{})["%s"]
	for _, folder := range []string{"../pkg/rotate", "../pkg/rotate/fleet", "../pkg/rotate/containerapp", "../functions/azure/rotation"} {
		constants := map[string]string{}
		for _, file := range sources(t, folder) {
			maps.Copy(constants, constantsOf(t, file))
		}
		for _, file := range sources(t, folder) {
			maps.Copy(logged, linesOf(t, file, constants, failure))
		}
	}
	documented := map[string]bool{}
	for _, row := range docstest.Rows(docstest.Section(t, docstest.Read(t, "docs/configuration-azure.md"), "## Logs")) {
		message := strings.Trim(row[0], "`")
		found, ok := logged[message]
		if !ok || found.level != row[1] {
			t.Errorf("the reference has %q with level %s, which no code logs so: %q", message, row[1], found.level)
		}
		for _, field := range found.fields {
			if !strings.Contains(row[2], "`"+field+"`") {
				t.Errorf("the reference does not say that %q has the field %s", message, field)
			}
		}
		documented[message] = true
	}
	for _, message := range slices.Sorted(maps.Keys(logged)) {
		if !documented[message] {
			t.Errorf("the reference does not tell of the line %q", message)
		}
	}
}

// linesOf are the lines that a file's code logs, by their messages; failure is what function.LogFailure logs. Fields whose names are not written there are left out.
func linesOf(t *testing.T, file string, constants map[string]string, failure line) map[string]line {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]line{}
	ast.Inspect(parsed, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok || len(call.Args) < 2 {
			return true
		}
		selector, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if selector.Sel.Name == "LogFailure" {
			found[literal(call.Args[2])] = failure
			return true
		}
		level, ok := strings.CutSuffix(selector.Sel.Name, "Context")
		if !ok || !slices.Contains([]string{"Debug", "Info", "Warn", "Error"}, level) {
			return true
		}
		message := literal(call.Args[1])
		if value := constants[name(call.Args[1])]; value != "" {
			message = value
		}
		one := line{level: strings.ToUpper(level)}
		for i := 2; i < len(call.Args); i += 2 {
			if field := literal(call.Args[i]); field != "%s" {
				one.fields = append(one.fields, field)
			}
		}
		found[message] = one
		return true
	})
	return found
}
