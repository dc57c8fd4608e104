package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// shown finds command lines of this program: after go run, in code by itself, or in an output of Terraform's.
var shown = regexp.MustCompile("(?:\\./cmd/maia-rotate|`maia-rotate|= \"maia-rotate) ([a-z][^`\n]*)")

// The documentation shows no command, flag, cloud or fault that this program has not.
func TestCommandsInTheDocumentationExist(t *testing.T) {
	root := filepath.Join("..", "..")
	pages := []string{filepath.Join(root, "README.md")}
	for _, folder := range []string{"docs", "deploy"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, _ fs.DirEntry, err error) error {
			if extension := filepath.Ext(path); extension == ".md" && filepath.Base(path) != "cli.md" || extension == ".tf" {
				pages = append(pages, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	checked := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range shown.FindAllStringSubmatch(string(text), -1) {
			line, _, _ := strings.Cut(found[1], " |") // what it is piped into
			line = regexp.MustCompile(`\$\{[^}]*\}"?`).ReplaceAllString(line, "ID")
			args := strings.Fields(strings.NewReplacer(`"`, "", `\`, "").Replace(line))
			if strings.Trim(line, `"`) == "runner" { // the name of a role
				continue
			}
			checked++
			if problem := unknown(args); problem != "" {
				t.Errorf("%s shows %q: %s", page, found[1], problem)
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d commands were found in %d pages", checked, len(pages))
	}
}

// unknown says what of a command line does not exist.
func unknown(args []string) string {
	if slices.Contains(args, "gcp") && len(furtherClouds()) == 0 {
		return "" // left out of this build
	}
	command, rest, err := newRoot().Find(args)
	switch {
	case err != nil:
		return err.Error()
	case !command.HasParent():
		return "no such command"
	}
	if err := command.ParseFlags(rest); err != nil {
		return err.Error()
	}
	if left := command.Flags().Args(); len(left) > 0 {
		return "unknown words " + strings.Join(left, " ")
	}
	if command.Name() != "sandbox" {
		return ""
	}
	cloud, err := findCloud(command.Flag("cloud").Value.String())
	if err != nil {
		return err.Error()
	}
	if fault := command.Flag("fault").Value.String(); fault != "list" {
		if _, err := cloud.find(fault); err != nil {
			return err.Error()
		}
	}
	return ""
}
