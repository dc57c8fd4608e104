package docs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	awsrotation "github.com/maia-rotate/maia-rotate/functions/aws-lambda/rotation"
	azurerotation "github.com/maia-rotate/maia-rotate/functions/azure/rotation"
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
	never []string // variables that cannot be wrong
}{
	{
		"docs/configuration.md", awsrotation.Known,
		map[string]string{
			"MAIA_CREDENTIALS_SECRET_ARN": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:maia-api-AbCdEf",
			"MAIA_ECS_CLUSTERS":           "matillion",
			"MAIA_AGENT_IDS":              sandbox.AgentID,
		},
		func(environ []string) error { _, err := awsrotation.ParseConfig(environ); return err },
		nil,
	},
	{
		"docs/configuration-gcp.md", append([]string{"KUBECONFIG"}, gcprotation.Known...),
		map[string]string{
			"MAIA_CREDENTIALS_SECRET": "projects/P/secrets/S/versions/latest",
			"MAIA_HELM_RELEASES":      "projects/p/locations/l/clusters/c",
			"MAIA_AGENT_IDS":          sandbox.AgentID,
		},
		func(environ []string) error { _, err := gcprotation.ParseConfig(environ); return err },
		nil,
	},
	{
		"docs/configuration-azure.md", slices.Concat(azurerotation.Known, azurerotation.Platform),
		map[string]string{
			"MAIA_CONTAINER_APPS":              "/subscriptions/s/resourceGroups/g/providers/Microsoft.App/containerApps/runner",
			"MAIA_AGENT_IDS":                   sandbox.AgentID,
			"MAIA_CLIENT_ID":                   "id",
			"MAIA_CLIENT_SECRET":               "secret",
			"AzureWebJobsStorage__accountName": "account",
		},
		func(environ []string) error { _, err := azurerotation.ParseConfig(environ); return err },
		[]string{"AZURE_CLIENT_ID"}, // which only the platform can judge
	},
}

var variable = regexp.MustCompile(`\b(MAIA_[A-Z0-9_]*[A-Z0-9]|KUBECONFIG|AZURE_[A-Z0-9_]*[A-Z0-9]|AzureWebJobsStorage__[A-Za-z]+)\b`)

// others are names of that form which are not a function's: of tests, and of Azure's host.
var others = []string{"MAIA_ROTATE_CONTROL_PLANE", "AzureWebJobsStorage__credential"}

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
			t.Errorf("%s has %v, want %v", reference.page, documented, want)
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
			if !slices.Contains(all, name) && !slices.Contains(others, name) {
				t.Errorf("%s names the variable %s, which does not exist", file, name)
			}
		}
	}
}

// Every variable that is wrong in a reference is so for the function, which says the same.
func TestErrorsOfVariablesAreDocumented(t *testing.T) {
	for _, reference := range references {
		var documented []string
		for _, row := range docstest.Rows(docstest.Section(t, docstest.Read(t, reference.page), "### When one is wrong")) {
			env := maps.Clone(reference.right)
			for _, set := range regexp.MustCompile("`([A-Za-z_]+)=([^`]*)`").FindAllStringSubmatch(row[0], -1) {
				env[set[1]] = set[2]
				documented = append(documented, set[1])
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
			if slices.Contains(documented, name) == slices.Contains(reference.never, name) {
				t.Errorf("%s does not say what a wrong %s leads to", reference.page, name)
			}
		}
	}
}

// The settings that the deployment on Azure makes for the host, and not for the function, are documented as well.
func TestSettingsOfTheHostAreDocumented(t *testing.T) {
	var template struct {
		Resources []struct {
			Type       string
			Properties map[string]any
		}
	}
	if err := json.Unmarshal([]byte(docstest.Read(t, "deploy/azure/azuredeploy.json")), &template); err != nil {
		t.Fatal(err)
	}
	var set []string
	for _, resource := range template.Resources {
		if resource.Type == "Microsoft.Web/sites/config" {
			set = slices.Collect(maps.Keys(resource.Properties))
		}
	}
	set = slices.DeleteFunc(set, func(name string) bool {
		return slices.Contains(azurerotation.Known, name) || slices.Contains(azurerotation.Platform, name)
	})
	var documented []string
	chapter, files, _ := strings.Cut(docstest.Section(t, docstest.Read(t, "docs/configuration-azure.md"), "## Settings of the host"), "\n### ")
	for _, row := range docstest.Rows(chapter) {
		for _, name := range regexp.MustCompile("`([A-Za-z_]+)`").FindAllStringSubmatch(row[0], -1) {
			documented = append(documented, name[1])
		}
	}
	slices.Sort(set)
	slices.Sort(documented)
	if len(set) == 0 || !slices.Equal(documented, set) {
		t.Errorf("docs/configuration-azure.md has %v, the template sets %v", documented, set)
	}

	// And what the package says to the host, in its two files.
	values := map[string]string{}
	for _, file := range []string{"host.json", azurerotation.FunctionName + "/function.json"} {
		var content any
		if err := json.Unmarshal([]byte(docstest.Read(t, "functions/azure/"+file)), &content); err != nil {
			t.Fatal(err)
		}
		flatten("", content, values)
	}
	for _, row := range docstest.Rows(strings.Split(files, "\n### ")[0]) {
		names, documented := strings.Split(row[0], ", "), strings.Split(row[1], ", ")
		for i, name := range names {
			name = strings.Trim(name, "`")
			if value, ok := values[name]; !ok || len(documented) != len(names) || value != strings.Trim(documented[i], "`") {
				t.Errorf("docs/configuration-azure.md says that %s is %s, and it is %q", name, row[1], value)
			}
			delete(values, name)
		}
	}
	if len(values) > 0 {
		t.Errorf("docs/configuration-azure.md does not have %v", values)
	}
}

// flatten makes names with dots of a JSON document, and leaves those of lists out.
func flatten(name string, content any, into map[string]string) {
	switch content := content.(type) {
	case map[string]any:
		for inner, value := range content {
			flatten(strings.TrimPrefix(name+"."+inner, "."), value, into)
		}
	case []any:
		for _, value := range content {
			flatten("", value, into)
		}
	default:
		into[name] = fmt.Sprint(content)
	}
}
