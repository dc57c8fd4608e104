package rotation

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

const root = "../../../"

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(root + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section is a chapter of a page, up to the next heading of its level.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page, heading+"\n")
	if !ok {
		t.Fatalf("there is no %q", heading)
	}
	level, _, _ := strings.Cut(heading, " ")
	chapter, _, _ := strings.Cut(rest, "\n"+level+" ")
	return chapter
}

// rows are the cells of a chapter's tables, without their heads.
func rows(chapter string) [][]string {
	var found [][]string
	body := false
	for line := range strings.Lines(chapter) {
		line = strings.TrimSpace(line)
		switch {
		case !strings.HasPrefix(line, "|"):
			body = false
		case strings.HasPrefix(line, "|---"):
			body = true
		case body:
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			found = append(found, cells)
		}
	}
	return found
}

// The reference has every variable; no text that an operator reads has one that does not exist.
func TestVariablesAreDocumented(t *testing.T) {
	variable := regexp.MustCompile(`\bMAIA_[A-Z0-9_]*[A-Z0-9]`)
	var documented []string
	for _, row := range rows(section(t, read(t, "docs/configuration.md"), "## Variables of the function")) {
		if !strings.Contains(row[0], "=") { // those are examples of wrong ones
			documented = append(documented, variable.FindAllString(row[0], -1)...)
		}
	}
	if want := slices.Sorted(slices.Values(known)); !slices.Equal(slices.Sorted(slices.Values(documented)), want) {
		t.Errorf("docs/configuration.md tells of %v, want %v", documented, want)
	}
	files := []string{root + "README.md", root + "template.yaml"}
	for _, folder := range []string{"docs", "deploy"} {
		err := filepath.WalkDir(root+folder, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range files {
		for _, name := range variable.FindAllString(read(t, strings.TrimPrefix(file, root)), -1) {
			if !slices.Contains(known, name) {
				t.Errorf("%s names the variable %s, which does not exist", file, name)
			}
		}
	}
}

// Every variable that is wrong in the reference is so for the function, which says the same.
func TestErrorsOfVariablesAreDocumented(t *testing.T) {
	right := map[string]string{
		envCredentialsSecret: "arn:aws:secretsmanager:eu-west-1:123456789012:secret:maia-api-AbCdEf",
		envClusters:          "matillion",
		envAgentIDs:          agentID,
	}
	var told []string
	for _, row := range rows(section(t, read(t, "docs/configuration.md"), "### When one is wrong")) {
		env := maps.Clone(right)
		for _, set := range regexp.MustCompile("`([A-Z_]+)=([^`]*)`").FindAllStringSubmatch(row[0], -1) {
			env[set[1]] = set[2]
			told = append(told, set[1])
		}
		_, err := ParseConfig(environ(env))
		var typed *rotate.Error
		if !errors.As(err, &typed) || typed.Kind != rotate.Configuration || typed.What != row[1] {
			t.Errorf("with %s the function says %v, and not: %s", row[0], err, row[1])
		}
	}
	for _, name := range known {
		if !slices.Contains(told, name) {
			t.Errorf("docs/configuration.md does not tell what a wrong %s leads to", name)
		}
	}
}

// The reference has every metric, with the unit and the dimensions that it is written with.
func TestMetricsAreDocumented(t *testing.T) {
	chapter := section(t, read(t, "docs/configuration.md"), "## Metrics")
	if !strings.Contains(chapter, "`"+MetricsNamespace+"`") {
		t.Errorf("the namespace %s is not documented", MetricsNamespace)
	}
	documented := map[string]string{}
	for _, row := range rows(chapter) {
		for _, name := range regexp.MustCompile("`([A-Za-z]+)`").FindAllStringSubmatch(strings.Join(row, " "), -1) {
			documented[name[1]] = row[1] + " of " + row[2]
		}
	}
	if names, want := slices.Sorted(maps.Keys(documented)), slices.Sorted(slices.Values(metricConstants(t))); !slices.Equal(names, want) {
		t.Errorf("documented are the metrics %v, want %v", names, want)
	}
	if written := writtenMetrics(t); !maps.Equal(documented, written) {
		t.Errorf("documented are\n%v, written\n%v", documented, written)
	}
}

// metricConstants are the values of the package's constants Metric….
func metricConstants(t *testing.T) (names []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "metrics.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(node ast.Node) bool {
		constant, ok := node.(*ast.ValueSpec)
		if ok && strings.HasPrefix(constant.Names[0].Name, "Metric") && constant.Names[0].Name != "MetricsNamespace" {
			name, err := strconv.Unquote(constant.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
		return true
	})
	return names
}

// writtenMetrics is what the lines of a run and of a look say of their metrics, in the words of the reference.
func writtenMetrics(t *testing.T) map[string]string {
	t.Helper()
	var out bytes.Buffer
	m := newMetrics(nil, &out)
	m.run(stepFinish, rotate.Report{AgentID: agentID, Outcome: rotate.Rotated, State: rotate.Back, Dark: time.Second})
	m.look(agentID, true, time.Hour)
	written := map[string]string{}
	for line := range strings.Lines(out.String()) {
		var parsed struct {
			AWS struct{ CloudWatchMetrics []emfDirective } `json:"_aws"`
		}
		if err := json.Unmarshal([]byte(line), &parsed); err != nil {
			t.Fatal(err)
		}
		for _, directive := range parsed.AWS.CloudWatchMetrics {
			var sets []string
			for _, set := range directive.Dimensions {
				sets = append(sets, strings.Join(set, ", "))
			}
			for _, metric := range directive.Metrics {
				if metric.Unit == "" {
					metric.Unit = "None" // CloudWatch's word for it
				}
				written[metric.Name] = metric.Unit + " of " + strings.Join(sets, "; ")
			}
		}
	}
	return written
}

// The table of the role's rights has the actions that the template grants, and no other.
func TestRightsAreDocumented(t *testing.T) {
	action := regexp.MustCompile(`\b(secretsmanager|ecs|kms|logs|ec2):[A-Z][A-Za-z]+`)
	actions := func(text string) []string {
		var found []string
		for line := range strings.Lines(text) {
			line, _, _ = strings.Cut(line, "#")
			if !strings.Contains(line, "EncryptionContext:") {
				found = append(found, action.FindAllString(line, -1)...)
			}
		}
		slices.Sort(found)
		return slices.Compact(found)
	}
	_, role, begins := strings.Cut(read(t, "template.yaml"), "\n  RotationRole:\n")
	role, _, ends := strings.Cut(role, "\n  SecretsManagerPermission:\n")
	if !begins || !ends {
		t.Fatal("the role is not where it was in template.yaml")
	}
	var table strings.Builder
	for _, row := range rows(section(t, read(t, "docs/permissions.md"), "## What the function's role may do")) {
		table.WriteString(row[0] + "\n")
	}
	if granted, documented := actions(role), actions(table.String()); !slices.Equal(granted, documented) {
		t.Errorf("the template grants\n%v, docs/permissions.md has\n%v", granted, documented)
	}
}
