package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFaultListGoldenAzure(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join("testdata", "faults-azure.golden"))
	if err != nil {
		t.Fatal(err)
	}
	code, got, _ := runFor(t, "sandbox", "--cloud", "azure", "--fault", "list")
	if code != exitOK || got != string(golden) {
		t.Errorf("exit code %d, got\n%s\nexpected\n%s", code, got, golden)
	}
}

func TestTextAzure(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles and runs the function")
	}
	t.Parallel()
	code, got, stderr := runFor(t, "sandbox", "--cloud", "azure", "--fault", "secret-changed-midway", "--verbose")
	if code != exitOK {
		t.Fatalf("exit code %d:\n%s\n%s", code, got, stderr)
	}
	for _, want := range []string{
		"secret-changed-midway", "app matillion-runner with 2 replicas", "another person changes the secret registry-password",
		"409 ContainerAppOperationInProgress",
		"secret matillion-client-secret has a new value", "restart of the revision ordered", "the runner is back", "resumed",
		"✓ the other person's change is there still",
		"✓ the reference to Key Vault is one still", "each of its 6 actions was needed", "2 calls in ", "1 refresh, down for ", " proofs hold.\n",
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

func TestJSONAzure(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles and runs the function")
	}
	t.Parallel()
	code, got, stderr := runFor(t, "sandbox", "--cloud", "azure", "--json")
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
