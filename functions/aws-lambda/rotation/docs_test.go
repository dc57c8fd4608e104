package rotation

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
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

// The reference has every variable; no text that an operator reads has one that does not exist.
func TestVariablesAreDocumented(t *testing.T) {
	variable := regexp.MustCompile(`\bMAIA_[A-Z0-9_]*[A-Z0-9]`)
	table := section(t, read(t, "docs/configuration.md"), "## Variables of the function")
	for _, name := range known {
		if !strings.Contains(table, "`"+name+"`") {
			t.Errorf("docs/configuration.md does not tell of %s", name)
		}
	}
	var files []string
	for _, pattern := range []string{"README.md", "docs/*.md", "docs/decisions/*.md", "template.yaml", "deploy/*/*/*"} {
		found, err := filepath.Glob(root + pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v %v", pattern, found, err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		for _, name := range variable.FindAllString(read(t, strings.TrimPrefix(file, root)), -1) {
			if !slices.Contains(known, name) {
				t.Errorf("%s names the variable %s, which does not exist", file, name)
			}
		}
	}
}

func TestMetricsAreDocumented(t *testing.T) {
	table := section(t, read(t, "docs/configuration.md"), "## Metrics")
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Za-z]+)` \\|").FindAllStringSubmatch(table, -1) {
		documented = append(documented, row[1])
	}
	written := []string{MetricOutcome, MetricDuration, MetricDark, MetricDarkNow, MetricAge, MetricConnected}
	slices.Sort(documented)
	slices.Sort(written)
	if !slices.Equal(documented, written) {
		t.Errorf("documented are the metrics %v, written %v", documented, written)
	}
	if !strings.Contains(table, "`"+MetricsNamespace+"`") {
		t.Errorf("the namespace %s is not documented", MetricsNamespace)
	}
}

// The table of the role's rights has the actions that the template grants. (Those of Lambda in a VPC are in the text.)
func TestRightsAreDocumented(t *testing.T) {
	action := regexp.MustCompile(`\b(secretsmanager|ecs|kms|logs):[A-Z][A-Za-z]+`)
	role := read(t, "template.yaml")
	role = role[strings.Index(role, "  RotationRole:"):strings.Index(role, "  SecretsManagerPermission:")]
	actions := func(text string) []string {
		var found []string
		for line := range strings.Lines(text) {
			if line, _, _ = strings.Cut(line, "#"); !strings.Contains(line, "EncryptionContext:") {
				found = append(found, action.FindAllString(line, -1)...)
			}
		}
		slices.Sort(found)
		return slices.Compact(found)
	}
	chapter := section(t, read(t, "docs/permissions.md"), "## What the function's role may do")
	table := strings.Join(regexp.MustCompile(`(?m)^\|.*$`).FindAllString(chapter, -1), "\n")
	if granted, documented := actions(role), actions(table); !slices.Equal(granted, documented) {
		t.Errorf("the template grants %v, docs/permissions.md has %v", granted, documented)
	}
}
