package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

var (
	link    = regexp.MustCompile(`\]\(([^)#\s]*)(?:#([^)\s]*))?\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	folder  = regexp.MustCompile("(?m)(?:^|[ `(=])(?:\\./)?((?:cmd|deploy|docs|functions|internal|pkg|test|tools)/[\\w/.*-]*[\\w*])")
	file    = regexp.MustCompile("`([a-z0-9_/-]+\\.(?:go|golden))`")
)

// walk calls visit with the path of each file of the repository, from this folder.
func walk(t *testing.T, visit func(path string)) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !entry.IsDir():
			visit(path)
		case strings.HasPrefix(entry.Name(), ".") && entry.Name() != "..":
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// pages calls visit with each page, and fails if nothing is found in any.
func pages(t *testing.T, visit func(page, text string) (found int)) {
	t.Helper()
	found := 0
	walk(t, func(path string) {
		if filepath.Ext(path) != ".md" {
			return
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found += visit(path, string(text))
	})
	if found == 0 {
		t.Error("nothing was found to check")
	}
}

// Every link from one page to another, or to a chapter, leads somewhere.
func TestLinksLeadSomewhere(t *testing.T) {
	pages(t, func(page, text string) (links int) {
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			links++
			target := page
			if found[1] != "" {
				target = filepath.Join(filepath.Dir(page), found[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which is not there", page, found[1])
			} else if found[2] != "" && !slices.Contains(anchors(t, target), found[2]) {
				t.Errorf("%s links to %s#%s, and there is no such chapter", page, found[1], found[2])
			}
		}
		return links
	})
}

// Every folder and file of the repository that a page names exists. A file may be named by the end of its path.
func TestPathsExist(t *testing.T) {
	var all []string
	walk(t, func(path string) { all = append(all, filepath.ToSlash(path)) })
	pages(t, func(page, text string) (paths int) {
		for _, found := range folder.FindAllStringSubmatch(text, -1) {
			paths++
			if matching, err := filepath.Glob(filepath.Join("..", found[1])); err != nil || len(matching) == 0 {
				t.Errorf("%s names %s, which does not exist", page, found[1])
			}
		}
		for _, found := range file.FindAllStringSubmatch(text, -1) {
			paths++
			if !slices.ContainsFunc(all, func(path string) bool { return strings.HasSuffix(path, "/"+found[1]) }) {
				t.Errorf("%s names %s, which does not exist", page, found[1])
			}
		}
		return paths
	})
}

// anchors are those of a page's chapters, as GitHub makes them.
func anchors(t *testing.T, page string) (all []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range heading.FindAllStringSubmatch(string(text), -1) {
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, found[1]))
	}
	return all
}
