package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
)

// figures are the numbers of the document. They are printed as they come.
type figures struct {
	out io.Writer

	quirks table

	mu   sync.Mutex
	rows []row
}

type row struct{ part, what, value string }

// mark begins a line with a figure.
const mark = "figure: "

func (f *figures) say(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fmt.Fprintf(f.out, format+"\n", args...)
}

func (f *figures) add(part, what string, value any) {
	f.say("%s%s, %s: %v", mark, part, what, value)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows = append(f.rows, row{part, what, fmt.Sprint(value)})
}

// proveTests runs the tests of a package, with those that run only here, and takes the figures that they log.
func proveTests(ctx context.Context, tests string, f *figures) error {
	command := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-timeout", "40m", tests)
	command.Env = append(os.Environ(), "MAIA_ROTATE_PROVE=1", "MAIA_ROTATE_CONTROL_PLANE=1")
	command.Stderr = os.Stderr
	pipe, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	found := 0
	var printed []string
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		line := lines.Text()
		printed = append(printed, line)
		if r, ok := rowOf(line); ok {
			f.add(r.part, r.what, r.value)
			found++
		}
	}
	err = command.Wait()
	switch {
	case err != nil:
		f.say("%s", strings.Join(printed, "\n"))
		return fmt.Errorf("%s: %w", tests, err)
	case found == 0:
		return errors.New(tests + ": its tests logged no figure")
	}
	return nil
}

// rowOf reads a line that a test logs: "figure: PART, WHAT IS COUNTED: VALUE".
func rowOf(line string) (row, bool) {
	_, figure, ok := strings.Cut(line, mark)
	last := strings.LastIndex(figure, ": ")
	if !ok || last < 0 {
		return row{}, false
	}
	part, what, ok := strings.Cut(figure[:last], ", ")
	return row{part, what, figure[last+len(": "):]}, ok
}

// What is between these lines of the document is replaced.
const (
	beginMark = "<!-- figures: make prove writes what follows -->\n"
	endMark   = "<!-- end of figures -->\n"

	beginQuirks = "<!-- quirks: make prove writes what follows -->\n"
	endQuirks   = "<!-- end of quirks -->\n"
)

// write puts the figures into a document, and the table of quirks, if any were played.
func (f *figures) write(path string) error {
	document, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := replace(string(document), beginMark, endMark, f.table())
	if err == nil && f.quirks.played() {
		text, err = replace(text, beginQuirks, endQuirks, f.quirks.String())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// replace puts a table between two marks.
func replace(document, begin, end, table string) (string, error) {
	before, rest, begun := strings.Cut(document, begin)
	_, after, ended := strings.Cut(rest, end)
	if !begun || !ended {
		return "", fmt.Errorf("the marks %q and %q are missing", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return before + begin + "\n" + table + "\n" + end + after, nil
}

// table is Markdown, by parts, in which the figures are in the order in which they came.
func (f *figures) table() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	rows := slices.SortedStableFunc(slices.Values(f.rows), func(a, b row) int { return strings.Compare(a.part, b.part) })
	var text strings.Builder
	text.WriteString("| part | figure | value |\n|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&text, "| %s | %s | %s |\n", r.part, r.what, r.value)
	}
	return text.String()
}
