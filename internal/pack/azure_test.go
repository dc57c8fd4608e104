package pack_test

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/pack"
)

// azureLayout is what Azure Functions wants at the root of an app.
var azureLayout = map[string]fs.FileMode{"RotateRunnerSecrets/function.json": 0o644, "host.json": 0o644, "rotator": 0o755,
	"zoneinfo.zip": 0o644}

func TestTheAzureAppOfTheSameSourceHasTheSameBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the function")
	}
	dir := t.TempDir()
	archive, err := pack.Azure(t.Context(), filepath.Join(dir, "here.zip"))
	if err != nil {
		t.Fatal(err)
	}
	checkSum(t, archive)
	checkAzureLayout(t, archive.Path)

	module := copyModule(t)
	t.Chdir(filepath.Join(module, "pkg"))
	there := filepath.Join(dir, "there.zip")
	other, err := pack.Azure(t.Context(), there)
	if err != nil {
		t.Fatal(err)
	}
	if other.SHA256 != archive.SHA256 {
		t.Errorf("%d bytes %s in one place, %d bytes %s in the other", archive.Size, archive.Hex(), other.Size, other.Hex())
	}

	// A build that fails leaves what was there, and nothing else; so does a file that is missing.
	broken := filepath.Join(module, "functions", "azure", "main.go")
	if err := os.WriteFile(broken, []byte("package main\n\nfunc main() { undefined() }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := pack.Azure(t.Context(), there); err == nil || !strings.Contains(err.Error(), "undefined") {
		t.Errorf("the error of the build is %v", err)
	}
	if err := os.Remove(filepath.Join(module, "functions", "azure", "host.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := pack.Azure(t.Context(), there); err == nil || !strings.Contains(err.Error(), "host.json") {
		t.Errorf("without host.json: %v", err)
	}
	checkSum(t, other)
	checkOnly(t, dir, "here.zip", "there.zip")
}

func checkAzureLayout(t *testing.T, path string) {
	t.Helper()
	reader, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if len(reader.File) != len(azureLayout) {
		t.Errorf("%d files", len(reader.File))
	}
	for _, file := range reader.File {
		if mode, ok := azureLayout[file.Name]; !ok || file.Mode() != mode || file.Modified.UTC() != time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC) {
			t.Errorf("there is %s with mode %v of %s", file.Name, file.Mode(), file.Modified)
		}
		content, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(content)
		if err != nil {
			t.Fatal(err)
		}
		if file.Name == "rotator" {
			checkProgram(t, text, elf.EM_X86_64)
			if len(text) > 9_000_000 { // which Azure fetches and unpacks at each cold start
				t.Errorf("the program has %d bytes", len(text))
			}
			continue
		}
		if file.Name == "zoneinfo.zip" {
			checkZones(t, text)
			continue
		}
		if source, err := os.ReadFile(filepath.Join("..", "..", "functions", "azure", file.Name)); err != nil || string(source) != string(text) {
			t.Errorf("%s is not that of the function (%v)", file.Name, err)
		}
	}
}

// checkZones reads a time zone as package time does.
func checkZones(t *testing.T, content []byte) {
	t.Helper()
	zones, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	london, err := fs.ReadFile(zones, "Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	place, err := time.LoadLocationFromTZData("Europe/London", london)
	if err != nil || time.Date(2026, 7, 1, 12, 0, 0, 0, place).UTC().Hour() != 11 {
		t.Errorf("the clocks of London are wrong: %v", err)
	}
}

func TestUnpackedAzure(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the function")
	}
	dir := filepath.Join(t.TempDir(), "app")
	if err := pack.UnpackedAzure(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	for name, mode := range azureLayout {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode()&0o111 != mode&0o111 || info.Size() == 0 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	t.Chdir(t.TempDir())
	if err := pack.UnpackedAzure(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "needs a checkout") {
		t.Errorf("outside of a checkout: %v", err)
	}
	if _, err := pack.Azure(t.Context(), filepath.Join(dir, "function.zip")); err == nil ||
		!strings.Contains(err.Error(), "needs a checkout") {
		t.Errorf("outside of a checkout: %v", err)
	}
	if _, err := pack.Azure(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("onto a folder: %v", err)
	}
}
