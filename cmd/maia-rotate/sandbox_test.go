package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	sandboxaws "github.com/maia-rotate/maia-rotate/internal/sandbox/aws"
)

// runFor runs a command line with a bound and returns what it printed.
func runFor(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	code = run(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestFaultListGolden(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join("testdata", "faults.golden"))
	if err != nil {
		t.Fatal(err)
	}
	code, got, _ := runFor(t, "sandbox", "--fault", "list")
	if code != exitOK || got != string(golden) {
		t.Errorf("exit code %d, got\n%s\nexpected\n%s", code, got, golden)
	}
}

func TestFaultListJSON(t *testing.T) {
	code, got, _ := runFor(t, "sandbox", "--fault", "list", "--json")
	lines := jsonLines(t, got)
	if code != exitOK || len(lines) != len(sandboxaws.Faults()) {
		t.Fatalf("exit code %d, %d lines", code, len(lines))
	}
	for i, fault := range sandboxaws.Faults() {
		if lines[i]["type"] != "fault" || lines[i]["name"] != fault.Name {
			t.Errorf("line %d is %v, expected %s", i, lines[i], fault.Name)
		}
	}
}

func jsonLines(t *testing.T, text string) (lines []map[string]any) {
	t.Helper()
	for line := range strings.Lines(text) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		lines = append(lines, object)
	}
	return lines
}

func TestText(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles and runs the function")
	}
	t.Parallel()
	code, got, stderr := runFor(t, "sandbox", "--fault", "killed-after-refresh", "--verbose")
	if code != exitOK {
		t.Fatalf("exit code %d:\n%s\n%s", code, got, stderr)
	}
	for _, want := range []string{
		"killed-after-refresh", "http://127.0.0.1:", "createSecret failed", "drained", "restart ordered",
		"the runner is back", "resumed", "✓ no secret leaked", "1 rotation in ", "1 refresh, down for ", " proofs hold.\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing", want)
		}
	}
	checkPlain(t, got)
	if t.Failed() {
		t.Log(got)
	}
	if !strings.Contains(stderr, `"level":"INFO"`) {
		t.Errorf("--verbose shows no log of the function: %q", stderr)
	}
}

// checkPlain checks that the text is narrow and has no escape codes.
func checkPlain(t *testing.T, text string) {
	t.Helper()
	if strings.ContainsAny(text, "\x1b\r\t") {
		t.Error("there are control characters")
	}
	for line := range strings.Lines(text) {
		if width := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); width > maxWidth {
			t.Errorf("%d characters, at most %d may be: %s", width, maxWidth, line)
		}
	}
}

func TestJSON(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles and runs the function")
	}
	t.Parallel()
	code, got, stderr := runFor(t, "sandbox", "--json")
	lines := jsonLines(t, got)
	if code != exitOK || stderr != "" || len(lines) < 10 {
		t.Fatalf("exit code %d:\n%s\n%s", code, got, stderr)
	}
	types := map[any]int{}
	for _, line := range lines {
		types[line["type"]]++
	}
	last := lines[len(lines)-1]
	for field, want := range map[string]any{
		"type": "result", "ok": true, "rotations": 1.0, "refreshes": 1.0, "refreshes_due": 1.0,
		"proofs": float64(types["proof"]), "proofs_broken": 0.0,
	} {
		if last[field] != want {
			t.Errorf("%s is %v, expected %v", field, last[field], want)
		}
	}
	if downtimes, _ := last["downtime_ms"].([]any); len(downtimes) != 1 || downtimes[0].(float64) <= 0 {
		t.Errorf("downtime_ms is %v", last["downtime_ms"])
	}
	if types["result"] != 1 || types["event"] == 0 || len(types) != 3 {
		t.Errorf("types are %v", types)
	}
}

// TestInterrupted ends the command in the middle of a rotation: it must not leave anything.
func TestInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles and runs the function")
	}
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"sandbox"}, writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("paused")) {
			cancel()
		}
		return stdout.Write(p)
	}), &stderr)
	if code != exitFailed || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("exit code %d, %q", code, stderr.String())
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "maia-rotate-*")); err != nil || len(left) > 0 {
		t.Errorf("left are %v (%v)", left, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestPrintersOfBrokenProofs(t *testing.T) {
	broken := result{
		fault: "put-fails", runs: 2, runsWord: "rotation", refreshes: 2, due: 1, took: 90 * time.Second,
		downtimes: []time.Duration{time.Second, 2 * time.Second},
		proofs:    []sandbox.Proof{{Text: "one holds", OK: true}, {Text: "another does not", Detail: "it is so"}},
	}
	var text, lines bytes.Buffer
	(&textPrinter{out: &text}).result(broken)
	want := "\n  ✓ one holds\n  ✗ another does not: it is so\n\n2 rotations in 90.0 s, 2 refreshes, down for 1.0 s and 2.0 s. 1 of 2 " +
		"proofs do not hold.\n"
	if text.String() != want {
		t.Errorf("got %q\nexpected %q", text.String(), want)
	}
	(&jsonPrinter{out: &lines}).result(broken)
	objects := jsonLines(t, lines.String())
	if last := objects[len(objects)-1]; last["ok"] != false || last["proofs_broken"] != 1.0 {
		t.Errorf("the result is %v", last)
	}
}

func TestLongEventIsWrapped(t *testing.T) {
	var text bytes.Buffer
	long := sandbox.Event{Source: sandbox.FromSecretsManager, Text: strings.Repeat("why it failed ", 20), Failed: true}
	(&textPrinter{out: &text}).event(long)
	checkPlain(t, text.String())
	if strings.Count(text.String(), "\n") < 4 {
		t.Errorf("not wrapped: %s", text.String())
	}
	text.Reset()
	(&textPrinter{out: &text, colour: true}).event(long)
	for line := range strings.Lines(text.String()) {
		if strings.Count(line, plain)*2 != strings.Count(line, "\x1b") {
			t.Errorf("a colour goes on behind the line: %q", line)
		}
	}
}

func TestColours(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if colours(file) || colours(&bytes.Buffer{}) {
		t.Error("colours outside of a terminal")
	}
}

func TestUnknownCloud(t *testing.T) {
	code, _, stderr := runFor(t, "sandbox", "--cloud", "azur")
	if code != exitUsage || !strings.Contains(stderr, `unknown cloud "azur", expected aws`) {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}
