package pack_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/pack"
)

// copyModule copies what the functions are built from to another folder, with other file times, and without git.
func copyModule(t *testing.T) string {
	t.Helper()
	root := filepath.Join("..", "..")
	to := filepath.Join(t.TempDir(), "another place")
	long := time.Now().AddDate(-3, 0, 0)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		relative, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && path != root:
			return filepath.SkipDir
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, relative), 0o755)
		case !slices.Contains([]string{"LICENSE", "go.mod", "go.sum"}, relative) &&
			!slices.Contains([]string{".go", ".json"}, filepath.Ext(path)) || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, relative), content, 0o644); err != nil {
			return err
		}
		return os.Chtimes(filepath.Join(to, relative), long, long)
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// TestTheSameSourceMakesTheSameBytes builds in two places, with and without git, even if the environment asks Go for marks of
// git.
func TestTheSameSourceMakesTheSameBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the function")
	}
	flags, err := exec.CommandContext(t.Context(), "go", "env", "GOFLAGS").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOFLAGS", strings.TrimSpace(string(flags)+" -buildvcs=true"))
	dir := t.TempDir()
	here, there := filepath.Join(dir, "here.zip"), filepath.Join(dir, "there.zip")
	if err := os.WriteFile(here, []byte("an older one"), 0o600); err != nil {
		t.Fatal(err)
	}
	archive, err := pack.AWS(t.Context(), here)
	if err != nil {
		t.Fatal(err)
	}
	checkArchive(t, archive)

	module := copyModule(t)
	t.Chdir(filepath.Join(module, "pkg"))
	other, err := pack.AWS(t.Context(), there)
	if err != nil {
		t.Fatal(err)
	}
	if other.SHA256 != archive.SHA256 || other.Size != archive.Size {
		t.Errorf("%d bytes %s in one place, %d bytes %s in the other", archive.Size, archive.Hex(), other.Size, other.Hex())
	}

	// A build that fails leaves what was there, and nothing else.
	broken := filepath.Join(module, "functions", "aws-lambda", "main.go")
	if err := os.WriteFile(broken, []byte("package main\n\nfunc main() { undefined() }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := pack.AWS(t.Context(), there); err == nil || !strings.Contains(err.Error(), "undefined") {
		t.Errorf("the error of the build is %v", err)
	}
	checkSum(t, other)
	checkOnly(t, dir, "here.zip", "there.zip")
}

func checkArchive(t *testing.T, archive pack.Archive) {
	t.Helper()
	checkSum(t, archive)
	reader, err := zip.OpenReader(archive.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if len(reader.File) != 1 {
		t.Fatalf("%d files", len(reader.File))
	}
	file := reader.File[0]
	if file.Name != "bootstrap" || file.Mode() != 0o755 || file.Modified.UTC() != time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC) {
		t.Errorf("there is %s with mode %v of %s", file.Name, file.Mode(), file.Modified)
	}
	content, err := file.Open()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	checkProgram(t, binary, elf.EM_AARCH64)
}

// checkProgram checks what a program was built for, and that it is stripped.
func checkProgram(t *testing.T, binary []byte, machine elf.Machine) {
	t.Helper()
	program, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		t.Fatal(err)
	}
	if program.Machine != machine || program.Section(".symtab") != nil {
		t.Errorf("built for %s, symbols %v", program.Machine, program.Section(".symtab"))
	}
}

// checkSum compares what an Archive says with the file.
func checkSum(t *testing.T, archive pack.Archive) {
	t.Helper()
	content, err := os.ReadFile(archive.Path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	if archive.Size != int64(len(content)) || archive.Hex() != fmt.Sprintf("%x", sum) ||
		archive.CodeSHA256() != base64.StdEncoding.EncodeToString(sum[:]) {
		t.Errorf("%+v is not so", archive)
	}
}

// checkOnly checks which files a folder has.
func checkOnly(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("the folder has %q, expected %q", names, want)
	}
}

func TestRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(t *testing.T)
		path    string
		want    string
	}{
		"outside of everything": {
			func(t *testing.T) { t.Chdir(t.TempDir()) }, "function.zip",
			"needs a checkout of github.com/maia-rotate/maia-rotate, and the working directory is not inside one",
		},
		"in another module": {
			func(t *testing.T) {
				t.Chdir(t.TempDir())
				if err := os.WriteFile("go.mod", []byte("module example.com/other\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}, "function.zip", "needs a checkout",
		},
		"without Go":         {func(t *testing.T) { t.Setenv("PATH", t.TempDir()) }, "function.zip", "needs Go (https://go.dev/dl)"},
		"no folder":          {func(*testing.T) {}, filepath.Join("none", "function.zip"), "no such file"},
		"a folder, not file": {func(*testing.T) {}, ".", "is a directory, expected the name of a zip file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			test.prepare(t)
			if _, err := pack.AWS(t.Context(), filepath.Join(dir, test.path)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, expected %s", err, test.want)
			}
			checkOnly(t, dir)
		})
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if _, err := pack.AWS(ctx, filepath.Join(dir, "function.zip")); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	checkOnly(t, dir)
}

func TestZipWithoutBinary(t *testing.T) {
	dir := t.TempDir()
	if _, err := pack.Zip(filepath.Join(dir, "function.zip"), filepath.Join(dir, "none")); err == nil {
		t.Error("no error")
	}
	checkOnly(t, dir)
}
