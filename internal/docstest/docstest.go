// Package docstest reads pages of the documentation, for tests that hold them against the code.
package docstest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Root is the folder of the module, by way of the working directory.
func Root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("the working directory is in no module")
		}
		dir = up
	}
}

// Read is the text of a file, named from the root of the module.
func Read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Section is a chapter of a page, up to the next heading of its level or of a higher one.
func Section(t *testing.T, page, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page, heading+"\n")
	if !ok {
		t.Fatalf("there is no %q", heading)
	}
	level, _, _ := strings.Cut(heading, " ")
	for ; level != ""; level = level[1:] {
		rest, _, _ = strings.Cut(rest, "\n"+level+" ")
	}
	return rest
}

// Rows are the cells of a chapter's tables, without their heads.
func Rows(chapter string) [][]string {
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

// formats is the schema of all that a machine may read of this project, made by tests from the code that writes it.
const formats = "docs/formats.golden"

// Golden compares a chapter of the schema with a text, or writes it.
func Golden(t *testing.T, update bool, chapter, text string) {
	t.Helper()
	all := Read(t, formats)
	heading := "# " + chapter + "\n"
	before, rest, ok := strings.Cut(all, heading)
	if !ok {
		t.Fatalf("%s has no chapter %q", formats, chapter)
	}
	_, after, more := strings.Cut(rest, "\n# ")
	if more {
		after = "\n# " + after
	}
	want := before + heading + text + after
	switch {
	case all == want:
	case update:
		if err := os.WriteFile(filepath.Join(Root(t), formats), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the chapter %q of %s is not current (-update writes it). It should be\n%s", chapter, formats, text)
	}
}
