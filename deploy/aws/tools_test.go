package aws_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// tool runs a program where it is installed.
func tool(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	command := exec.CommandContext(t.Context(), path, args...)
	command.Dir = dir
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%s %v: %v\n%s", name, args, err, output)
	}
}

func TestCfnLint(t *testing.T) {
	t.Parallel()
	tool(t, "../..", "cfn-lint", "template.yaml")
}

func TestTerraformFormat(t *testing.T) {
	t.Parallel()
	tool(t, "terraform", "terraform", "fmt", "-check", "-diff")
}

// Terraform needs the provider for this. TF_CLI_ARGS_init, which Terraform itself reads, says where it is, for example
// -plugin-dir=DIR.
func TestTerraformValidate(t *testing.T) {
	t.Parallel()
	if os.Getenv("TF_CLI_ARGS_init") == "" {
		t.Skip("TF_CLI_ARGS_init does not say where the provider is")
	}
	dir := t.TempDir()
	files, err := filepath.Glob("terraform/*.tf")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tool(t, dir, "terraform", "init", "-backend=false", "-input=false")
	tool(t, dir, "terraform", "validate")
}
