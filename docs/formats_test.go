package docs_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	aws "github.com/maia-rotate/maia-rotate/functions/aws-lambda/rotation"
	azure "github.com/maia-rotate/maia-rotate/functions/azure/rotation"
	gcp "github.com/maia-rotate/maia-rotate/functions/gcp/rotation"
	"github.com/maia-rotate/maia-rotate/internal/docstest"
	"github.com/maia-rotate/maia-rotate/internal/doctor"
	doctoraws "github.com/maia-rotate/maia-rotate/internal/doctor/aws"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// What a machine may read stands in one file, so that no change of it goes unseen. (The metrics are added where they are written.)
func TestFormats(t *testing.T) {
	for chapter, value := range map[string]any{
		"error": rotate.Error{}, "report": rotate.Report{}, "answer of AWS": aws.Result{}, "answer of Google Cloud": gcp.Answer{},
		"doctor": doctor.Report{}, "plan of AWS": doctoraws.Plan{}, "plan of a fleet": doctor.Plan{},
	} {
		docstest.Golden(t, *update, chapter, strings.Join(fieldsOf(t, value), "\n")+"\n")
	}
	docstest.Golden(t, *update, "answer of Azure", strings.Join(fieldsOf(t, answerOfAzure(t)), "\n")+"\n")
	for chapter, folders := range logFolders {
		var text strings.Builder
		logged, context := loggedBy(t, folders)
		fmt.Fprintf(&text, "all lines of what they are about: %s\n", strings.Join(context, " "))
		for _, message := range slices.Sorted(maps.Keys(logged)) {
			fmt.Fprintln(&text, strings.TrimSpace(fmt.Sprintf("%s %q %s", logged[message].level, message,
				strings.Join(logged[message].fields, " "))))
		}
		docstest.Golden(t, *update, "log of "+chapter, text.String())
	}
	docstest.Golden(t, *update, "tokens", tokens(t))
}

// Every state stands in the pages that say what to do about it; only AWS stages.
func TestStatesAreDocumented(t *testing.T) {
	for _, page := range []string{"docs/troubleshooting.md", "docs/troubleshooting-azure.md", "docs/troubleshooting-gcp.md"} {
		text := docstest.Read(t, page)
		for line := range strings.Lines(tokens(t)) {
			state, is := strings.CutPrefix(line, "State ")
			state, _, _ = strings.Cut(state, ":")
			if is && !strings.Contains(text, "| `"+state+"`") && (state != string(rotate.OnlyStaged) || page == "docs/troubleshooting.md") {
				t.Errorf("%s lacks the state %s", page, state)
			}
		}
	}
}

// Every field of an answer stands in its reference; that of AWS has those of errors and reports for all.
func TestAnswersAreDocumented(t *testing.T) {
	for chapter, values := range map[string][]any{
		docstest.Section(t, docstest.Read(t, "docs/configuration.md"), "## Events"):         {aws.Result{}, rotate.Report{}, rotate.Error{}},
		docstest.Section(t, docstest.Read(t, "docs/configuration-gcp.md"), "## The answer"): {gcp.Answer{}},
	} {
		for _, value := range values {
			for _, field := range fieldsOf(t, value) {
				field, _, _ = strings.Cut(field, " ")
				field = strings.TrimSuffix(field[strings.LastIndex(field, ".")+1:], "[]")
				if !strings.Contains(chapter, "`"+field+"`") {
					t.Errorf("no reference has the field %s of %T", field, value)
				}
			}
		}
	}
}

// fieldsOf are the paths in the JSON of a value of this type, with the types that they have. Those of errors and reports in it have
// chapters of their own.
func fieldsOf(t *testing.T, of any) []string {
	t.Helper()
	value := reflect.New(reflect.TypeOf(of)).Elem()
	fill(value)
	text, err := json.Marshal(value.Interface())
	if err != nil {
		t.Fatal(err)
	}
	var parsed any
	if err := json.Unmarshal(text, &parsed); err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(paths("", parsed)))
}

// fill puts something into all that is exported.
func fill(value reflect.Value) {
	switch value.Kind() {
	case reflect.String:
		value.SetString("text")
	case reflect.Bool:
		value.SetBool(true)
	case reflect.Int, reflect.Int64:
		value.SetInt(int64(time.Second))
	case reflect.Pointer:
		value.Set(reflect.New(value.Type().Elem()))
		fill(value.Elem())
	case reflect.Slice:
		value.Set(reflect.MakeSlice(value.Type(), 1, 1))
		fill(value.Index(0))
	case reflect.Struct:
		for i := range value.NumField() {
			if field := value.Field(i); field.CanSet() {
				fill(field)
			}
		}
	}
}

func paths(at string, value any) map[string]bool {
	found := map[string]bool{}
	switch value := value.(type) {
	case map[string]any:
		for kind, mark := range map[string]string{"report": "steps", "error": "what"} {
			if value[mark] != nil && at != "" {
				return map[string]bool{at + " " + kind: true}
			}
		}
		for name, member := range value {
			maps.Copy(found, paths(strings.TrimPrefix(at+"."+name, "."), member))
		}
	case []any:
		return paths(at+"[]", value[0])
	default:
		found[at+" "+map[string]string{"string": "string", "bool": "boolean", "float64": "number"}[fmt.Sprintf("%T", value)]] = true
	}
	return found
}

// answerOfAzure is the answer to a call, as the host gets it.
func answerOfAzure(t *testing.T) any {
	t.Helper()
	recorder := httptest.NewRecorder()
	azure.New(nil, io.Discard).ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/"+azure.FunctionName, strings.NewReader("{}")))
	var answer struct {
		Outputs     struct{ Empty string }
		Logs        []string
		ReturnValue *string
	}
	decoder := json.NewDecoder(recorder.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&answer); err != nil || len(answer.Logs) != 1 {
		t.Fatalf("the answer is %+v, %v", answer, err)
	}
	return answer
}

// tokens are the values that states, outcomes, kinds, steps and modes have, with their texts.
func tokens(t *testing.T) string {
	t.Helper()
	var lines []string
	for _, folder := range []string{"../pkg/rotate", "../pkg/rotate/fleet"} {
		for _, file := range sources(t, folder) {
			lines = append(lines, tokensOf(t, file)...)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

func tokensOf(t *testing.T, file string) (lines []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	text := map[string]func(string) string{
		"State":    func(value string) string { return rotate.State(value).Text() },
		"Outcome":  func(value string) string { return rotate.Outcome(value).Text() },
		"Kind":     func(value string) string { return rotate.Kind(value).Text() },
		"StepKind": func(value string) string { return rotate.StepKind(value).Text() },
		"Mode":     func(value string) string { return value },
	}
	ast.Inspect(parsed, func(node ast.Node) bool {
		if spec, ok := node.(*ast.ValueSpec); ok && text[name(spec.Type)] != nil && len(spec.Values) == 1 {
			value := literal(spec.Values[0])
			lines = append(lines, fmt.Sprintf("%s %s: %s", name(spec.Type), value, text[name(spec.Type)](value)))
		}
		return true
	})
	return lines
}
