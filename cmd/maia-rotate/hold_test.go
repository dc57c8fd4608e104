package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/doctor/azure/azuretest"
)

const holdReason = "month-end run: 100 %"

// holdAndRelease holds a runner, sees that this is in the way of a rotation, and takes it off again. where are the words of a command
// line that say which runner.
func holdAndRelease(t *testing.T, where ...string) {
	t.Helper()
	run := func(command string, flags ...string) (int, string) {
		t.Helper()
		code, stdout, stderr := runFor(t, append(append([]string{command}, where...), flags...)...)
		if stderr != "" {
			t.Errorf("%s: %s", command, stderr)
		}
		return code, stdout
	}
	code, before := run("plan")
	if code != exitOK {
		t.Fatalf("a rotation is not due, or something else is in its way:\n%s", before)
	}
	code, text := run("hold", "--until", "72h", "--reason", holdReason, "--by", "jo@example.org")
	if code != exitOK || !strings.Contains(text, "held until ") || !strings.Contains(text, " by jo@example.org: "+holdReason) {
		t.Errorf("exit code %d:\n%s", code, text)
	}
	checkNarrow(t, text)
	code, text = run("plan")
	words := strings.Join(strings.Fields(text), " ")
	if code != exitFailed || !strings.Contains(words, "a rotation is due, held until ") ||
		!strings.Contains(words, "jo@example.org: "+holdReason) {
		t.Errorf("a plan of a held runner: exit code %d:\n%s", code, text)
	}
	code, text = run("hold", "--until", time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "--reason", "another", "--json")
	var document struct {
		OK   bool
		Held struct{ Until, By, Why string }
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil || code != exitOK || !document.OK || document.Held.Why != "another" ||
		document.Held.By == "" || document.Held.Until == "" {
		t.Errorf("exit code %d, %v: %s", code, err, text)
	}
	if code, text = run("unhold"); code != exitOK || !strings.Contains(text, "not held") {
		t.Errorf("exit code %d:\n%s", code, text)
	}
	if code, after := run("plan"); code != exitOK || after != before {
		t.Errorf("after the hold was taken off: exit code %d:\n%s\nbefore it:\n%s", code, after, before)
	}
}

func TestHoldAWS(t *testing.T) {
	installation := installed(t, healthy())
	holdAndRelease(t, "aws", "--secret", installation.SecretARN)
	code, _, stderr := runFor(t, "hold", "aws", "--secret", installation.SecretARN+"x", "--until", "1h", "--reason", "none")
	if code != exitNotRun || !strings.Contains(stderr, "there is no secret") {
		t.Errorf("a secret that is not there: exit code %d: %s", code, stderr)
	}
}

func TestHoldAzure(t *testing.T) {
	i, _ := azureInstalled(t)
	holdAndRelease(t, "azure", "--function-app", azuretest.FunctionApp)
	for _, leak := range i.Leaks("") {
		t.Errorf("%s leaks", leak)
	}
	code, stdout, stderr := runFor(t, "hold", "azure", "--function-app", azuretest.FunctionApp, "--until", "1h", "--reason", "none",
		"--agent", "ffffffff-0000-4000-8000-000000000000")
	if code != exitNotRun || !strings.Contains(stderr, "is none of the runners that the function serves") {
		t.Errorf("a runner that is not there: exit code %d: %s%s", code, stdout, stderr)
	}
}

func TestHoldsThatCannotBe(t *testing.T) {
	installation := installed(t, healthy())
	for says, flags := range map[string][]string{
		`--until is ""`:               {"--reason", "x"},
		`--until is "tomorrow"`:       {"--until", "tomorrow", "--reason", "x"},
		"within a year":               {"--until", "9000h", "--reason", "x"},
		"from now on":                 {"--until", "2020-01-01T00:00:00Z", "--reason", "x"},
		"--reason is not set":         {"--until", "1h"},
		"at most 100 characters":      {"--until", "1h", "--reason", strings.Repeat("x", 101)},
		"expected one line":           {"--until", "1h", "--reason", "two\nlines"},
		`--by is "a\tb"`:              {"--until", "1h", "--reason", "x", "--by", "a\tb"},
		"unexpected argument \"now\"": {"--until", "1h", "--reason", "x", "now"},
	} {
		before := len(installation.Changes())
		code, _, stderr := runFor(t, append([]string{"hold", "aws", "--secret", installation.SecretARN}, flags...)...)
		if code != exitUsage || !strings.Contains(stderr, says) || len(installation.Changes()) != before {
			t.Errorf("%v: exit code %d, want one that says %s: %s", flags, code, says, stderr)
		}
	}
}
