package docs_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/docstest"
)

// What the runner of a Container App tries, and by which action of Azure's it may, stands in the page of errors. The actions
// are those of the page of permissions, and those on apps are what the deployment grants.
func TestActionsAreDocumented(t *testing.T) {
	const folder = "../pkg/rotate/containerapp"
	constants, tried := map[string]string{}, map[string]string{}
	for _, file := range sources(t, folder) {
		maps.Copy(constants, constantsOf(t, file))
	}
	for _, file := range sources(t, folder) {
		maps.Copy(tried, triedIn(t, file, constants))
	}
	documented := map[string]string{}
	chapter := docstest.Section(t, docstest.Read(t, "docs/troubleshooting-azure.md"), "## Errors of Azure")
	for _, row := range docstest.Rows(chapter[strings.Index(chapter, "| what was tried |"):]) {
		documented[strings.Trim(row[0], "`")] = strings.Trim(row[1], "`")
	}
	if !maps.Equal(documented, tried) {
		t.Errorf("docs/troubleshooting-azure.md has\n%v, the code\n%v", documented, tried)
	}

	permissions := docstest.Read(t, "docs/permissions-azure.md")
	code := slices.Sorted(maps.Values(tried))
	code = slices.Compact(code)
	var page, granted []string
	for _, row := range docstest.Rows(docstest.Section(t, permissions, "## What the function's identity may do")) {
		page = append(page, regexp.MustCompile(`Microsoft\.(App|Storage)/[A-Za-z/]+`).FindAllString(row[0], -1)...)
	}
	slices.Sort(page)
	if !slices.Equal(page, code) {
		t.Errorf("docs/permissions-azure.md has\n%v, the code\n%v", page, code)
	}
	var template struct {
		Resources []struct {
			Type       string
			Properties struct {
				Permissions []struct{ Actions []string }
			}
		}
	}
	if err := json.Unmarshal([]byte(docstest.Read(t, "deploy/azure/azuredeploy.json")), &template); err != nil {
		t.Fatal(err)
	}
	for _, resource := range template.Resources {
		for _, permission := range resource.Properties.Permissions {
			granted = append(granted, permission.Actions...)
		}
	}
	slices.Sort(granted)
	onApps := slices.DeleteFunc(page, func(action string) bool { return !strings.HasPrefix(action, "Microsoft.App/") })
	if len(granted) == 0 || !slices.Equal(onApps, granted) {
		t.Errorf("docs/permissions-azure.md has\n%v, the template grants\n%v", onApps, granted)
	}
}

// triedIn finds the calls that name an action, and what they say is tried.
func triedIn(t *testing.T, file string, constants map[string]string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	ast.Inspect(parsed, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok {
			return true
		}
		for i, argument := range call.Args {
			if sum, ok := argument.(*ast.BinaryExpr); ok { // an action, and where it is needed
				argument = sum.X
			}
			if action := constants[name(argument)]; i > 0 && strings.HasPrefix(name(argument), "action") && action != "" {
				found[cell(literal(call.Args[i-1]))] = action
			}
		}
		return true
	})
	return found
}
