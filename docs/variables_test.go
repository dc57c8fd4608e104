package docs_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	awsrotation "github.com/maia-rotate/maia-rotate/functions/aws-lambda/rotation"
	gcprotation "github.com/maia-rotate/maia-rotate/functions/gcp/rotation"
	"github.com/maia-rotate/maia-rotate/internal/docstest"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// references are the pages with the variables of a function.
var references = []struct {
	page  string
	known []string
	right map[string]string // an environment that the function accepts
	parse func(environ []string) error
}{
	{
		"docs/configuration.md", awsrotation.Known,
		map[string]string{
			"MAIA_CREDENTIALS_SECRET_ARN": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:maia-api-AbCdEf",
			"MAIA_ECS_CLUSTERS":           "matillion",
			"MAIA_AGENT_IDS":              sandbox.AgentID,
		},
		func(environ []string) error { _, err := awsrotation.ParseConfig(environ); return err },
	},
	{
		"docs/configuration-gcp.md", append([]string{"KUBECONFIG"}, gcprotation.Known...),
		map[string]string{
			"MAIA_CREDENTIALS_SECRET": "projects/P/secrets/S/versions/latest",
			"MAIA_HELM_RELEASES":      "projects/p/locations/l/clusters/c",
			"MAIA_AGENT_IDS":          sandbox.AgentID,
		},
		func(environ []string) error { _, err := gcprotation.ParseConfig(environ); return err },
	},
}

var variable = regexp.MustCompile(`\b(MAIA_[A-Z0-9_]*[A-Z0-9]|KUBECONFIG)\b`)

// The references have every variable; no text that an operator reads has one that does not exist.
func TestVariablesAreDocumented(t *testing.T) {
	var all []string
	for _, reference := range references {
		var documented []string
		for _, row := range docstest.Rows(docstest.Section(t, docstest.Read(t, reference.page), "## Variables of the function")) {
			if !strings.Contains(row[0], "=") { // those are examples of wrong ones
				documented = append(documented, variable.FindAllString(row[0], -1)...)
			}
		}
		if want := slices.Sorted(slices.Values(reference.known)); !slices.Equal(slices.Sorted(slices.Values(documented)), want) {
			t.Errorf("%s tells of %v, want %v", reference.page, documented, want)
		}
		all = append(all, reference.known...)
	}
	root := docstest.Root(t)
	files := []string{filepath.Join(root, "README.md"), filepath.Join(root, "template.yaml")}
	for _, folder := range []string{"docs", "deploy"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && filepath.Ext(path) != ".go" {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range variable.FindAllString(string(text), -1) {
			if !slices.Contains(all, name) && name != "MAIA_ROTATE_CONTROL_PLANE" { // which is the tests' own
				t.Errorf("%s names the variable %s, which does not exist", file, name)
			}
		}
	}
}

// Every variable that is wrong in a reference is so for the function, which says the same.
func TestErrorsOfVariablesAreDocumented(t *testing.T) {
	for _, reference := range references {
		var told []string
		for _, row := range docstest.Rows(docstest.Section(t, docstest.Read(t, reference.page), "### When one is wrong")) {
			env := maps.Clone(reference.right)
			for _, set := range regexp.MustCompile("`([A-Z_]+)=([^`]*)`").FindAllStringSubmatch(row[0], -1) {
				env[set[1]] = set[2]
				told = append(told, set[1])
			}
			var environ []string
			for name, value := range env {
				environ = append(environ, name+"="+value)
			}
			var typed *rotate.Error
			if err := reference.parse(environ); !errors.As(err, &typed) || typed.Kind != rotate.Configuration || typed.What != row[1] {
				t.Errorf("%s: with %s the function says %v, and not: %s", reference.page, row[0], err, row[1])
			}
		}
		for _, name := range reference.known {
			if !slices.Contains(told, name) {
				t.Errorf("%s does not tell what a wrong %s leads to", reference.page, name)
			}
		}
	}
}
