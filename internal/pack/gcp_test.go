package pack_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/pack"
	"github.com/maia-rotate/maia-rotate/internal/process"
)

func TestTheBundleOfTheSameSourceHasTheSameBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the function")
	}
	dir := t.TempDir()
	archive, err := pack.GCP(t.Context(), filepath.Join(dir, "here.zip"))
	if err != nil {
		t.Fatal(err)
	}
	checkSum(t, archive)

	module := copyModule(t)
	t.Chdir(filepath.Join(module, "pkg"))
	there := filepath.Join(dir, "there.zip")
	other, err := pack.GCP(t.Context(), there)
	if err != nil {
		t.Fatal(err)
	}
	if other.SHA256 != archive.SHA256 {
		t.Errorf("%d bytes %s in one place, %d bytes %s in the other", archive.Size, archive.Hex(), other.Size, other.Hex())
	}

	// Source that does not load leaves what was there, and nothing else.
	broken := filepath.Join(module, "functions", "gcp", "gcp.go")
	if err := os.WriteFile(broken, []byte("package"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := pack.GCP(t.Context(), there); err == nil || !strings.Contains(err.Error(), "gcp.go") {
		t.Errorf("the error is %v", err)
	}
	checkSum(t, other)
	checkOnly(t, dir, "here.zip", "there.zip")
}

// unpack returns the names of the files.
func unpack(t *testing.T, file, to string) []string {
	t.Helper()
	reader, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var names []string
	for _, file := range reader.File {
		names = append(names, file.Name)
		if file.Mode() != 0o644 || file.Modified.UTC() != time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC) {
			t.Errorf("%s has mode %v and time %s", file.Name, file.Mode(), file.Modified)
		}
	}
	if err := os.CopyFS(to, reader); err != nil {
		t.Fatal(err)
	}
	return names
}

// The template of the main package is shaped as that of the buildpack google.go.functions-framework for functions that
// register themselves: https://github.com/GoogleCloudPlatform/buildpacks/tree/main/cmd/go/functions_framework
const generatedMain = `package main

import (
	"log"
	"net/http"
	"os"

	_ %q

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
)

func main() {
	http.HandleFunc("/robots.txt", http.NotFound)
	http.HandleFunc("/favicon.ico", http.NotFound)
	if err := funcframework.Start(os.Getenv("PORT")); err != nil {
		log.Fatal(err)
	}
}
`

// TestTheBundleBuildsAsTheBuildpackBuildsIt does what the buildpack does, in its order, and calls what comes out of it.
func TestTheBundleBuildsAsTheBuildpackBuildsIt(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the function")
	}
	archive, err := pack.GCP(t.Context(), filepath.Join(t.TempDir(), "function.zip"))
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(t.TempDir(), "serverless_function_source_code")
	for _, name := range unpack(t, archive.Path, source) {
		if strings.HasSuffix(name, "_test.go") || strings.Contains(name, "testdata") || strings.Contains(name, "aws") {
			t.Errorf("%s is not needed", name)
		}
	}

	// 1. One package at the root, and it says that functions register themselves.
	//lint:ignore SA1019 this is what the buildpack calls
	packages, err := parser.ParseDir(token.NewFileSet(), source, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) != 1 || packages["main"] != nil {
		t.Fatalf("the packages at the root are %v", packages)
	}
	declarative := false
	for _, parsed := range packages {
		for _, file := range parsed.Files {
			for _, imported := range file.Imports {
				declarative = declarative || imported.Path.Value == strconv.Quote("github.com/GoogleCloudPlatform/functions-framework-go/functions")
			}
		}
	}
	if !declarative {
		t.Error("the package at the root does not import the framework's functions")
	}

	// 2. A module whose path has a dot in its first element, and that names the framework.
	module := strings.TrimSpace(goIn(t, source, "list", "-m"))
	if first, _, _ := strings.Cut(module, "/"); !strings.Contains(first, ".") {
		t.Errorf("the module is %s", module)
	}
	if version := goIn(t, source, "list", "-m", "-f", "{{.Version}}",
		"github.com/GoogleCloudPlatform/functions-framework-go"); !strings.HasPrefix(version, "v1.") {
		t.Errorf("the framework is %s", version)
	}

	// 3. The main package, in a folder of the same module; tidy; build.
	app := filepath.Join(source, "functions.local", "app")
	if err := os.MkdirAll(app, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(app, "main.go"), fmt.Appendf(nil, generatedMain, module), 0o644); err != nil {
		t.Fatal(err)
	}
	before := requirements(t, source)
	goIn(t, source, "mod", "tidy")
	for path, version := range requirements(t, source) {
		if before[path] != version {
			t.Errorf("%s is %s after go mod tidy, %q before: the function's tests have other versions than the function", path, version,
				before[path])
		}
	}
	binary := filepath.Join(t.TempDir(), "main")
	goIn(t, source, "build", "-o", binary, "./functions.local/app")

	status, body := callOnce(t, binary)
	if status != http.StatusInternalServerError || !strings.Contains(body, "MAIA_CREDENTIALS_SECRET is not set") {
		t.Errorf("got %d, %s", status, body)
	}
}

func goIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), "go", args...)
	command.Dir, command.Stderr = dir, &stderr
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath")
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go %q: %v\n%s", args, err, stderr.String())
	}
	return string(out)
}

// requirements are the versions in go.mod.
func requirements(t *testing.T, dir string) map[string]string {
	t.Helper()
	versions := map[string]string{}
	for line := range strings.Lines(goIn(t, dir, "list", "-m", "-f", "{{if not .Main}}{{.Path}} {{.Version}}{{end}}", "all")) {
		if path, version, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			versions[path] = version
		}
	}
	return versions
}

// callOnce runs the program as Google Cloud runs it, without configuration, and calls it once.
func callOnce(t *testing.T, binary string) (status int, body string) {
	t.Helper()
	port, err := process.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	var printed process.Output
	command := exec.CommandContext(t.Context(), binary)
	command.Env = []string{"PORT=" + port, "FUNCTION_TARGET=RotateRunnerSecrets"}
	command.Stdout, command.Stderr = &printed, &printed
	program, err := process.Start(command)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		program.Kill()
		<-program.Exited()
	}()
	if err := program.AwaitReady(t.Context(), process.Listens(port)); err != nil {
		t.Fatalf("the program does not listen: %v\n%s", err, printed.Bytes())
	}
	response, err := http.Post("http://127.0.0.1:"+port, "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}
