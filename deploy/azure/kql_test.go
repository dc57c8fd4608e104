package azure_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// row is one of a table.
type row map[string]any

// tables are those of Application Insights that the queries read, with the columns that they use.
type tables struct{ traces, requests []row }

// kql evaluates a query of the Kusto language, as far as the alerts use it; the test fails on what it does not know, and on
// a column that is not there.
func kql(t *testing.T, query string, from tables) []row {
	t.Helper()
	var rows []row
	for i, step := range strings.Split(query, "\n") {
		step = strings.TrimSpace(step)
		operator, rest, _ := strings.Cut(strings.TrimPrefix(step, "| "), " ")
		switch {
		case i == 0 && step == "traces":
			rows = from.traces
		case i == 0 && step == "requests":
			rows = from.requests
		case i == 0 || !strings.HasPrefix(step, "| "):
			t.Fatalf("no query: %s", query)
		case operator == "extend":
			rows = extend(t, rows, rest)
		case operator == "where":
			rows = slices.DeleteFunc(slices.Clone(rows), func(r row) bool {
				for condition := range strings.SplitSeq(rest, " and ") {
					if eval(t, r, condition) != true {
						return true
					}
				}
				return false
			})
		case operator == "summarize":
			rows = summarize(t, rows, rest)
		default:
			t.Fatalf("the test does not know %s", step)
		}
	}
	return rows
}

// extend adds columns, each of which sees those before the step.
func extend(t *testing.T, rows []row, columns string) []row {
	t.Helper()
	var all []row
	for _, r := range rows {
		more := maps.Clone(r)
		for _, column := range items(columns) {
			name, expression, _ := strings.Cut(column, " = ")
			more[name] = eval(t, r, expression)
		}
		all = append(all, more)
	}
	return all
}

// items splits at the commas that are in no parentheses.
func items(text string) (all []string) {
	depth, began := 0, 0
	for i, c := range text {
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				all, began = append(all, strings.TrimSpace(text[began:i])), i+1
			}
		}
	}
	return append(all, strings.TrimSpace(text[began:]))
}

var latest = regexp.MustCompile(`^arg_max\(timestamp, (\w+)\) by (\w+)$`)

func summarize(t *testing.T, rows []row, what string) []row {
	t.Helper()
	if name, ok := strings.CutSuffix(what, " = count()"); ok {
		return []row{{name: float64(len(rows))}}
	}
	found := latest.FindStringSubmatch(what)
	if found == nil {
		t.Fatalf("the test does not know summarize %s", what)
	}
	last := map[any]row{}
	for _, r := range rows {
		key := eval(t, r, found[2])
		if before, ok := last[key]; !ok || before["timestamp"].(float64) < r["timestamp"].(float64) {
			last[key] = row{"timestamp": r["timestamp"], found[1]: eval(t, r, found[1]), found[2]: key}
		}
	}
	return slices.Collect(maps.Values(last))
}

var (
	compared = regexp.MustCompile(`^(.+?) (==|>) (.+)$`)
	called   = regexp.MustCompile(`^(\w+)\((.+)\)$`)
	path     = regexp.MustCompile(`^\w+(\.\w+)*$`)
)

func eval(t *testing.T, r row, expression string) any {
	t.Helper()
	if found := compared.FindStringSubmatch(expression); found != nil {
		one, other := eval(t, r, found[1]), eval(t, r, found[3])
		if found[2] == "==" {
			return one != nil && one == other
		}
		least, isNumber := other.(float64)
		value, is := one.(float64)
		return isNumber && is && value > least
	}
	if expression == "real(null)" {
		return nil
	}
	if found := called.FindStringSubmatch(expression); found != nil {
		var arguments []any
		for _, argument := range items(found[2]) {
			arguments = append(arguments, eval(t, r, argument))
		}
		if found[1] == "iff" && len(arguments) == 3 {
			if arguments[0] == true {
				return arguments[1]
			}
			return arguments[2]
		}
		if len(arguments) != 1 {
			t.Fatalf("the test does not know %q", expression)
		}
		return callKQL(t, found[1], arguments[0])
	}
	if text, ok := strings.CutPrefix(expression, "'"); ok {
		return strings.TrimSuffix(text, "'")
	}
	if value, err := strconv.ParseFloat(expression, 64); err == nil {
		return value
	}
	if expression == "false" {
		return false
	}
	if !path.MatchString(expression) {
		t.Fatalf("the test does not know %q", expression)
	}
	column, members, _ := strings.Cut(expression, ".")
	value, ok := r[column]
	if !ok {
		t.Fatalf("there is no column %s in %v", column, r)
	}
	for member := range strings.SplitSeq(members, ".") {
		if object, ok := value.(map[string]any); ok && member != "" {
			value = object[member] // null if it is not there
		} else if member != "" {
			return nil
		}
	}
	return value
}

func callKQL(t *testing.T, name string, argument any) any {
	t.Helper()
	switch name {
	case "parse_json":
		var value any
		if text := argument.(string); json.Unmarshal([]byte(text), &value) != nil {
			return text // as Kusto does with what is no JSON
		}
		return value
	case "tostring":
		if argument == nil {
			return ""
		}
		return fmt.Sprint(argument)
	case "todouble":
		value, ok := argument.(float64)
		if !ok {
			return nil
		}
		return value
	case "isnotnull":
		return argument != nil
	}
	t.Fatalf("the test does not know the function %s", name)
	return nil
}

func TestKQL(t *testing.T) {
	from := tables{traces: []row{
		{"timestamp": 1.0, "message": `{"msg":"runner","runner":"a","value":7}`},
		{"timestamp": 3.0, "message": `{"msg":"runner","runner":"a","value":5}`},
		{"timestamp": 2.0, "message": `{"msg":"runner","runner":"b"}`},
		{"timestamp": 4.0, "message": "Host started"},
		{"timestamp": 5.0, "message": "[1]"},
	}}
	const (
		lines = "traces\n| extend line = parse_json(message)\n| where tostring(line.msg) == 'runner'\n"
		value = lines + "| extend v = todouble(line.value), k = tostring(line.runner)\n| where isnotnull(v)\n"
		other = lines + "| extend v = iff(isnotnull(line.value), 1.5, todouble(line.other)), k = tostring(line.runner)\n| where v > 1\n"
		seven = `{"line":{"msg":"runner","runner":"a","value":7},"message":"{\"msg\":\"runner\",\"runner\":\"a\",\"value\":7}",` +
			`"timestamp":1,"v":7}`
	)
	for query, want := range map[string]string{
		lines + "| summarize lines = count()":                                            `[{"lines":3}]`,
		lines + "| extend v = todouble(line.value)\n| where isnotnull(v)\n| where v > 6": "[" + seven + "]",
		value + "| summarize arg_max(timestamp, v) by k":                                 `[{"k":"a","timestamp":3,"v":5}]`,
		other + "| summarize lines = count()":                                            `[{"lines":2}]`,
		"requests\n| where success == false":                                             "null",
	} {
		got, err := json.Marshal(kql(t, query, from))
		if err != nil || string(got) != want {
			t.Errorf("%s\n%s, %v, expected %s", query, got, err, want)
		}
	}
}
