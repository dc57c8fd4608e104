// Package docs_test holds the documentation against the code.
package docs_test

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what is generated instead of comparing it")

// The generated part of troubleshooting.md.
const (
	begin = "<!-- generated: go test ./docs -update -->\n"
	end   = "<!-- end of generated -->\n"
)

// unsaid is the advice that goes without saying.
var unsaid = map[string]string{
	"Configuration": "correct what the message names",
	"NotReady":      "nothing: the next run tries again",
	"Internal":      "nothing: the next run tries again; if this repeats, check the function's log",
}

// entry is an error that the code can return.
type entry struct{ kind, message, hint string }

// Every error that a function can answer stands in a page, with its advice.
func TestTroubleshootingIsCurrent(t *testing.T) {
	for _, test := range []struct {
		page    string
		folders []string
		kinds   map[string]string // the headings, by the names in the code
	}{
		{
			"troubleshooting.md", []string{"../pkg/rotate", "../pkg/rotate/ecs", "../internal/settings",
				"../internal/function", "../functions/aws-lambda/rotation"},
			map[string]string{
				"Configuration": "ConfigurationError", "NotReady": "NotReadyError", "UnknownOutcome": "UnknownOutcomeError", "Vendor": "VendorError",
				"Internal": "InternalError",
			},
		},
		{
			"troubleshooting-gcp.md",
			[]string{"../pkg/rotate", "../pkg/rotate/helmrelease", "../pkg/rotate/lease", "../pkg/rotate/fleet", "../internal/settings",
				"../internal/function", "../functions/gcp/rotation"},
			map[string]string{
				"Configuration": "configuration", "Permission": "permission", "NotReady": "not ready", "UnknownOutcome": "unknown outcome",
				"Vendor": "vendor", "Internal": "internal",
			},
		},
		{
			"troubleshooting-azure.md",
			[]string{"../pkg/rotate", "../pkg/rotate/containerapp", "../pkg/rotate/lease", "../pkg/rotate/fleet", "../internal/settings",
				"../internal/function", "../functions/azure/rotation"},
			map[string]string{
				"Configuration": "configuration", "Permission": "permission", "NotReady": "not ready", "UnknownOutcome": "unknown outcome",
				"Vendor": "vendor", "Internal": "internal",
			},
		},
	} {
		found := errorsOf(t, test.folders)
		var text strings.Builder
		text.WriteString(begin)
		for _, kind := range []string{"Configuration", "Permission", "NotReady", "UnknownOutcome", "Vendor", "Internal"} {
			var rows strings.Builder
			for _, message := range slices.Sorted(maps.Keys(found)) {
				if e := found[message]; e.kind == kind {
					fmt.Fprintf(&rows, "| %s | %s |\n", cell(e.message), cmp.Or(cell(e.hint), unsaid[kind]))
				}
			}
			if heading := test.kinds[kind]; heading != "" {
				fmt.Fprintf(&text, "\n### %s\n\n| message | what to do |\n|---|---|\n%s", heading, &rows)
			} else if rows.Len() > 0 {
				t.Errorf("%s has no table for: %s", test.page, &rows)
			}
		}
		text.WriteString("\n" + end)
		generated(t, test.page, text.String())
		t.Logf("%d errors are documented in %s", len(found), test.page)
	}
}

// errorsOf finds the errors in the code of packages, by their messages.
func errorsOf(t *testing.T, folders []string) map[string]entry {
	t.Helper()
	found := map[string]entry{}
	for _, folder := range folders {
		constants := map[string]string{}
		for _, file := range sources(t, "../internal/settings") {
			for name, value := range constantsOf(t, file) {
				constants["settings."+name] = value
			}
		}
		for _, file := range sources(t, folder) {
			maps.Copy(constants, constantsOf(t, file))
		}
		for _, file := range sources(t, folder) {
			collect(t, file, constants, found)
		}
	}
	return found
}

// sources are the files of a package, without its tests.
func sources(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(folder + "/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files in %s: %v", len(files), folder, err)
	}
	return slices.DeleteFunc(files, func(file string) bool { return strings.HasSuffix(file, "_test.go") })
}

// generated compares the generated part of a page with a text, or writes it.
func generated(t *testing.T, page, text string) {
	t.Helper()
	written, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(written), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s lacks the marks of its generated part", page)
	}
	want := before + text + after
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(written) != want {
		t.Errorf("%s is not current: go test ./docs -update writes it", page)
	}
}

// collect finds the calls that make errors, and the hint of a WithHint around them.
func collect(t *testing.T, file string, constants map[string]string, found map[string]entry) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	add := func(made entry, ok bool) {
		if ok && (found[made.message].hint == "" || made.hint != "") {
			found[made.message] = made
		}
	}
	assigned := map[string]entry{} // by variable
	ast.Inspect(parsed, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.AssignStmt:
			if call, ok := node.Rhs[0].(*ast.CallExpr); ok {
				if made, ok := errorOf(call, constants); ok {
					assigned[name(node.Lhs[0])] = made
				}
			}
		case *ast.CallExpr:
			if selector, ok := node.Fun.(*ast.SelectorExpr); ok && selector.Sel.Name == "WithHint" {
				made, ok := assigned[name(selector.X)]
				if inner, chained := selector.X.(*ast.CallExpr); chained {
					made, ok = errorOf(inner, constants)
				}
				made.hint = literal(node.Args[0])
				add(made, ok)
				return true
			}
			add(errorOf(node, constants))
		case *ast.CompositeLit: // &rotate.Error{Kind: …, What: …, Hint: …}
			fields := map[string]ast.Expr{}
			for _, element := range node.Elts {
				if pair, ok := element.(*ast.KeyValueExpr); ok {
					fields[fmt.Sprint(pair.Key)] = pair.Value
				}
			}
			if what := literal(fields["What"]); what != "" && what != "%s" {
				add(entry{name(fields["Kind"]), what, literal(fields["Hint"])}, true)
			}
		}
		return true
	})
}

// errorOf reads a call of a function that makes an error.
func errorOf(call *ast.CallExpr, constants map[string]string) (made entry, ok bool) {
	switch name(call.Fun) {
	case "Errorf":
		if ofSettings(call) {
			made = entry{kind: "Configuration", message: literal(call.Args[0])}
			break
		}
		if len(call.Args) < 2 || !ast.IsExported(name(call.Args[0])) {
			return entry{}, false // fmt.Errorf, and wrappers
		}
		made = entry{kind: name(call.Args[0]), message: literal(call.Args[1])}
	case "eventError":
		made = entry{kind: "Configuration", message: "the event " + literal(call.Args[0]), hint: "see [the events](configuration.md)"}
	case "documentError":
		made = entry{kind: "Configuration", message: "the secret's value " + literal(call.Args[0]),
			hint: `store {"client_id":"…","client_secret":"…"} in it`}
	}
	// Where a name is a constant the message is said as it will be.
	for _, argument := range call.Args {
		if value := constants[qualified(argument)]; value != "" {
			format := slices.IndexFunc(call.Args, func(a ast.Expr) bool { _, ok := a.(*ast.BasicLit); return ok })
			made.message = substitute(made.message, slices.Index(call.Args, argument)-format-1, value)
		}
	}
	// Helpers that only pass a text on have none of their own.
	return made, strings.Trim(strings.TrimPrefix(made.message, "the event "), "%svwq: ") != ""
}

// ofSettings reports whether a call of Errorf is one of package settings, whose errors are all of one kind.
func ofSettings(call *ast.CallExpr) bool {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	return ok && name(selector.X) == "settings" || !ok && name(call.Args[0]) == ""
}

// substitute puts a value in the place of the nth verb, from 0, counting those that were substituted before.
func substitute(message string, n int, value string) string {
	verbs := regexp.MustCompile(`%[a-zA-Z]|\x00[^\x00]*\x00`).FindAllStringIndex(message, -1)
	if n < 0 || n >= len(verbs) {
		return message
	}
	return message[:verbs[n][0]] + "\x00" + value + "\x00" + message[verbs[n][1]:]
}

// constantsOf are the string constants of a file, by name.
func constantsOf(t *testing.T, file string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	constants := map[string]string{}
	for _, declaration := range parsed.Decls {
		if general, ok := declaration.(*ast.GenDecl); ok && general.Tok == token.CONST {
			for _, spec := range general.Specs {
				for i, value := range spec.(*ast.ValueSpec).Values {
					if text := literal(value); text != "" && text != "%s" {
						constants[spec.(*ast.ValueSpec).Names[i].Name] = text
					}
				}
			}
		}
	}
	return constants
}

// qualified is the name of what may be a constant: of the same package, or of another with that before it.
func qualified(expression ast.Expr) string {
	if selector, ok := expression.(*ast.SelectorExpr); ok {
		return name(selector.X) + "." + selector.Sel.Name
	}
	return name(expression)
}

func name(expression ast.Expr) string {
	switch expression := expression.(type) {
	case *ast.Ident:
		return expression.Name
	case *ast.SelectorExpr:
		return expression.Sel.Name
	}
	return ""
}

// literal is the text of a string; anything else is left open.
func literal(expression ast.Expr) string {
	switch expression := expression.(type) {
	case *ast.BasicLit:
		text, _ := strconv.Unquote(expression.Value)
		return text
	case *ast.BinaryExpr:
		return literal(expression.X) + literal(expression.Y)
	case nil:
		return ""
	}
	return "%s"
}

var verb = regexp.MustCompile(`"?%(\[\d+\])?[a-zA-Z]"?`)

// cell is a text with verbs as it stands in a table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "\x00", "").Replace(verb.ReplaceAllString(text, "…"))
}
