package house

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/docstest"
)

// files calls visit with every file of the repository that has one of the endings, by its path from the root, and its text.
func files(t *testing.T, endings []string, visit func(name, text string)) {
	t.Helper()
	root, found := docstest.Root(t), 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		if entry.IsDir() {
			if strings.HasPrefix(entry.Name(), ".") && name != "." && name != ".ci" {
				return fs.SkipDir
			}
			return nil
		}
		if !slices.ContainsFunc(endings, func(ending string) bool { return strings.HasSuffix(name, ending) }) {
			return nil
		}
		text, err := os.ReadFile(path)
		found++
		visit(filepath.ToSlash(name), string(text))
		return err
	})
	if err != nil || found == 0 {
		t.Fatalf("%d files with an ending of %v were read: %v", found, endings, err)
	}
}

// below reports whether a path is one of the folders, or lies in one of them.
func below(name string, folders []string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool { return name == folder || strings.HasPrefix(name, folder+"/") })
}
