//go:build !nogcp

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/controlplane/controlplanetest"
)

func TestFaultListGoldenGCP(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join("testdata", "faults-gcp.golden"))
	if err != nil {
		t.Fatal(err)
	}
	code, got, _ := runFor(t, "sandbox", "--cloud", "gcp", "--fault", "list")
	if code != exitOK || got != string(golden) {
		t.Errorf("exit code %d, got\n%s\nexpected\n%s", code, got, golden)
	}
}

func TestTextGCP(t *testing.T) {
	t.Parallel()
	controlplanetest.Binary(t)
	code, got, stderr := runFor(t, "sandbox", "--cloud", "gcp", "--fault", "killed-in-upgrade", "--verbose")
	if code != exitOK {
		t.Fatalf("exit code %d:\n%s\n%s", code, got, stderr)
	}
	for _, want := range []string{
		"killed-in-upgrade", "release matillion-agent, 3 pods", "the function is killed (SIGKILL)", "revision 2 is marked as failed",
		"revision 3 is deployed",
		"restart ordered", "the runner is back", "resumed", "✓ the Role of deploy/gcp suffices", "3 calls in ", "1 refresh, down for ",
		" proofs hold.\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing", want)
		}
	}
	checkPlain(t, got)
	if t.Failed() {
		t.Log(got)
	}
	if !strings.Contains(stderr, `"severity":"INFO"`) {
		t.Errorf("--verbose shows no log of the function: %q", stderr)
	}
}

func TestJSONGCP(t *testing.T) {
	t.Parallel()
	controlplanetest.Binary(t)
	code, got, stderr := runFor(t, "sandbox", "--cloud", "gcp", "--json")
	lines := jsonLines(t, got)
	if code != exitOK || stderr != "" || len(lines) < 10 {
		t.Fatalf("exit code %d:\n%s\n%s", code, got, stderr)
	}
	last := lines[len(lines)-1]
	for field, want := range map[string]any{"type": "result", "ok": true, "calls": 2.0, "refreshes": 1.0, "refreshes_due": 1.0,
		"proofs_broken": 0.0} {
		if last[field] != want {
			t.Errorf("%s is %v, expected %v", field, last[field], want)
		}
	}
	if _, ok := last["rotations"]; ok {
		t.Error("there are rotations, which is AWS's word")
	}
}
