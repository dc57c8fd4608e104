package house

import (
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// longest is the most characters that a line of Go may have. A tab counts as one.
const longest = 140

func TestLinesAreShort(t *testing.T) {
	files(t, []string{".go"}, func(name, text string) {
		for number, line := range strings.Split(text, "\n") {
			if length := utf8.RuneCountInString(line); length > longest {
				t.Errorf("%s:%d has %d characters, at most %d are allowed", name, number+1, length, longest)
			}
		}
	})
}

// Each package has a comment that says what it is for, even one that has only tests.
func TestPackagesHaveComments(t *testing.T) {
	documented := map[string]bool{}
	files(t, []string{".go"}, func(name, text string) {
		parsed, err := parser.ParseFile(token.NewFileSet(), name, text, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Error(err)
			return
		}
		folder := path.Dir(name)
		documented[folder] = documented[folder] || parsed.Doc.Text() != ""
	})
	for folder, ok := range documented {
		if !ok && !slices.Contains(strings.Split(folder, "/"), "testdata") {
			t.Errorf("no file of %s has a package comment", folder)
		}
	}
}
