package terraformtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Run runs a program in a folder. Where it is not installed, the test is skipped.
func Run(t *testing.T, dir, name string, args ...string) {
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

// Format checks the layout of the module in a folder, with Terraform itself.
func Format(t *testing.T, folder string) {
	t.Helper()
	Run(t, folder, "terraform", "fmt", "-check", "-diff")
}

// Validate checks the module in a folder with Terraform itself, which needs the provider for it. TF_CLI_ARGS_init, which
// Terraform reads, says where that is, for example -plugin-dir=DIR; where it does not, the test is skipped.
func Validate(t *testing.T, folder string) {
	t.Helper()
	if os.Getenv("TF_CLI_ARGS_init") == "" {
		t.Skip("TF_CLI_ARGS_init does not say where the provider is")
	}
	dir := t.TempDir()
	files, err := filepath.Glob(filepath.Join(folder, "*.tf"))
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
	Run(t, dir, "terraform", "init", "-backend=false", "-input=false")
	Run(t, dir, "terraform", "validate")
}
