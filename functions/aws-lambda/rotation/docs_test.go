package rotation

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/docstest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// The reference has every metric, with its unit and dimensions.
func TestMetricsAreDocumented(t *testing.T) {
	chapter := docstest.Section(t, docstest.Read(t, "docs/configuration.md"), "## Metrics")
	if !strings.Contains(chapter, "`"+MetricsNamespace+"`") {
		t.Errorf("the namespace %s is not documented", MetricsNamespace)
	}
	documented := map[string]string{}
	for _, row := range docstest.Rows(chapter) {
		for _, name := range regexp.MustCompile("`([A-Za-z]+)`").FindAllStringSubmatch(strings.Join(row, " "), -1) {
			documented[name[1]] = row[1] + " of " + row[2]
		}
	}
	if names, want := slices.Sorted(maps.Keys(documented)), slices.Sorted(slices.Values(metricConstants(t))); !slices.Equal(names, want) {
		t.Errorf("documented are the metrics %v, want %v", names, want)
	}
	written := writtenMetrics(t)
	if !maps.Equal(documented, written) {
		t.Errorf("documented are\n%v, written\n%v", documented, written)
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(written)) {
		text.WriteString(name + " " + written[name] + "\n")
	}
	docstest.Golden(t, *update, "metrics of AWS", text.String())
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

// writtenMetrics are the metrics in the lines of a run and of an observation, in the words of the reference.
func writtenMetrics(t *testing.T) map[string]string {
	t.Helper()
	var out bytes.Buffer
	m := newMetrics(nil, &out)
	m.run(stepFinish, rotate.Report{AgentID: agentID, Outcome: rotate.Rotated, State: rotate.Back, Downtime: time.Second})
	m.observed(agentID, true, time.Hour)
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
	_, role, begins := strings.Cut(docstest.Read(t, "template.yaml"), "\n  RotationRole:\n")
	role, _, ends := strings.Cut(role, "\n  SecretsManagerPermission:\n")
	if !begins || !ends {
		t.Fatal("the role is not where it was in template.yaml")
	}
	var table strings.Builder
	for _, row := range docstest.Rows(docstest.Section(t, docstest.Read(t, "docs/permissions.md"), "## What the function's role may do")) {
		table.WriteString(row[0] + "\n")
	}
	if granted, documented := actions(role), actions(table.String()); !slices.Equal(granted, documented) {
		t.Errorf("the template grants\n%v, docs/permissions.md has\n%v", granted, documented)
	}
}
