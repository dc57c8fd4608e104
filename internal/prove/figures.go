package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
)

// figures are what the document tells. They are printed as they come.
type figures struct {
	out io.Writer

	mu   sync.Mutex
	rows []row
}

type row struct{ part, what, value string }

// mark is how a line begins that has a figure.
const mark = "figure: "

// say prints a line.
func (f *figures) say(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fmt.Fprintf(f.out, format+"\n", args...)
}

// add adds one.
func (f *figures) add(part, what string, value any) {
	f.say("%s%s, %s: %v", mark, part, what, value)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows = append(f.rows, row{part, what, fmt.Sprint(value)})
}

// proveTests runs the tests of a package as far as they go only here, and takes the figures that they log.
func proveTests(ctx context.Context, tests string, f *figures) error {
	command := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-timeout", "40m", tests)
	command.Env = append(os.Environ(), "MAIA_ROTATE_PROVE=1")
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
		if _, figure, ok := strings.Cut(line, mark); ok {
			name, value, _ := strings.Cut(figure, ": ")
			part, what, split := strings.Cut(name, ", ")
			if !split {
				part, what = "model", name
			}
			f.add(part, what, value)
			found++
		}
	}
	err = command.Wait()
	switch {
	case err != nil:
		f.say("%s", strings.Join(printed, "\n"))
		return fmt.Errorf("%s: %w", tests, err)
	case found == 0:
		return errors.New(tests + ": its tests told no figure")
	}
	return nil
}

// What is between these lines of the document is replaced.
const (
	beginMark = "<!-- figures: make prove writes what follows -->\n"
	endMark   = "<!-- end of figures -->\n"
)

// write puts the figures into a document.
func (f *figures) write(path string) error {
	document, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, begun := strings.Cut(string(document), beginMark)
	_, after, ended := strings.Cut(rest, endMark)
	if !begun || !ended {
		return fmt.Errorf("%s: the marks of the figures are missing", path)
	}
	return os.WriteFile(path, []byte(before+beginMark+"\n"+f.table()+"\n"+endMark+after), 0o644)
}

// table is Markdown, part by part in the order in which they first came.
func (f *figures) table() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var parts []string
	of := map[string][]row{}
	for _, r := range f.rows {
		if of[r.part] == nil {
			parts = append(parts, r.part)
		}
		of[r.part] = append(of[r.part], r)
	}
	var text strings.Builder
	text.WriteString("| part | figure | value |\n|---|---|---|\n")
	for _, part := range parts {
		for _, r := range of[part] {
			fmt.Fprintf(&text, "| %s | %s | %s |\n", r.part, r.what, r.value)
		}
	}
	return text.String()
}
