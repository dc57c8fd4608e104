package house

import (
	"regexp"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/docstest"
)

// allowed are the places where a word of the glossary's left column stays. An entry without files is for the whole repository.
var allowed = []struct{ files, text, why string }{
	{"docs/glossary.md", "", "names the words"},
	{"internal/house/words_test.go", "", "names the exceptions"},
	{"docs/limits.md", "DarkSeconds", "a name of before, for whoever upgrades"},
	{"docs/limits.md", "RotationDarkSeconds", "a name of before, for whoever upgrades"},
	{"docs/limits.md", "dark_seconds", "a name of before, for whoever upgrades"},
	{"docs/limits.md", "darkSeconds", "a name of before, for whoever upgrades"},
	{"docs/limits.md", "…-dark", "a name of before, for whoever upgrades"},
	{"docs/limits.md", "dark_ns", "a name of before, for whoever upgrades"},
	{"docs/limits.md", "dark_ms", "a name of before, for whoever upgrades"},
	{"docs/limits.md", "`dark`", "a name of before, for whoever upgrades"},
	{"docs/limits.md", "`todo`", "a name of before, for whoever upgrades"},
	{"", "/home", "the folder"},
	{"", "HOME", "the environment variable"},
	{"", "LookPath", "a function of package os/exec"},
}

var (
	letters = regexp.MustCompile(`[A-Za-z]+`)
	part    = regexp.MustCompile(`[A-Z]?[a-z]+|[A-Z]+`) // of an identifier
)

// The words that the glossary replaces occur nowhere, not even as parts of identifiers.
func TestWordsAreThoseOfTheGlossary(t *testing.T) {
	instead := map[string]string{}
	var phrases []string
	for _, row := range docstest.Rows(docstest.Section(t, docstest.Read(t, "docs/glossary.md"), "## Words that are not used")) {
		for word := range strings.SplitSeq(row[0], ", ") {
			instead[word] = row[1]
			if strings.Contains(word, " ") {
				phrases = append(phrases, word)
			}
		}
	}
	if len(instead) == 0 {
		t.Fatal("the glossary replaces no word")
	}
	used := make([]bool, len(allowed))
	endings := []string{".go", ".md", ".tf", ".tfvars", ".yaml", ".yml", ".json", ".bicep", ".golden", ".tpl", "Makefile", ".ci/run"}
	files(t, endings, func(name, text string) {
		for number, line := range strings.Split(text, "\n") {
			var found []string
			for _, phrase := range phrases {
				if strings.Contains(strings.ToLower(line), phrase) {
					found = append(found, phrase)
				}
			}
			for _, whole := range letters.FindAllString(line, -1) {
				for _, word := range part.FindAllString(whole, -1) {
					if instead[strings.ToLower(word)] != "" && !permitted(used, name, line, whole) {
						found = append(found, word)
					}
				}
			}
			for _, word := range found {
				t.Errorf("%s:%d has %q; the glossary has %s", name, number+1, word, instead[strings.ToLower(word)])
			}
		}
	})
	for i, exception := range allowed {
		if !used[i] {
			t.Errorf("the exception for %q in %q is not needed any more", exception.text, exception.files)
		}
	}
}

// permitted reports whether an exception covers the word, and marks that one as used.
func permitted(used []bool, name, line, whole string) bool {
	for i, exception := range allowed {
		if exception.files != "" && !below(name, []string{exception.files}) {
			continue
		}
		if exception.text == "" || exception.text == whole || strings.Contains(exception.text, whole) && strings.Contains(line, exception.text) {
			used[i] = true
			return true
		}
	}
	return false
}
