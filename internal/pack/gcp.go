package pack

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const (
	gcpFunction = module + "/functions/gcp"
	gcpServer   = gcpFunction + "/cmd"
)

// gcpEnv is what Google Cloud builds with.
var gcpEnv = []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64"}

// root is the package at the root of the source bundle. The buildpack takes the function from there, makes a main package
// that imports it, and decides by its imports that functions register themselves.
const root = `// Package function is what Google Cloud builds: the function RotateRunnerSecrets registers itself.
package function

import (
	_ "github.com/GoogleCloudPlatform/functions-framework-go/functions"

	_ "` + gcpFunction + `"
)
`

// GCP writes the source bundle from which Google Cloud builds the function, with a Go runtime of at least the version that
// go.mod names: the packages that the function needs, without their tests, go.mod and go.sum, the licence, and a package at
// the root, where the buildpack wants the function. A file that is there already is replaced, in one step, when all is done.
func GCP(ctx context.Context, path string) (Archive, error) {
	if err := checkTarget(path); err != nil {
		return Archive{}, fmt.Errorf("pack: %w", err)
	}
	if err := inCheckout(ctx); err != nil {
		return Archive{}, fmt.Errorf("pack: %w", err)
	}
	entries, err := gcpSource(ctx)
	if err != nil {
		return Archive{}, fmt.Errorf("pack: %w", err)
	}
	archive, err := write(path, entries)
	if err != nil {
		return Archive{}, fmt.Errorf("pack: %w", err)
	}
	return archive, nil
}

func gcpSource(ctx context.Context) ([]entry, error) {
	checkout, err := checkoutFolder(ctx)
	if err != nil {
		return nil, err
	}
	names, err := gcpFiles(ctx)
	if err != nil {
		return nil, err
	}
	names = append(names, "LICENSE", "go.mod", "go.sum")
	entries := []entry{{name: "function.go", mode: 0o644, content: []byte(root)}}
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(checkout, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{name: name, mode: 0o644, content: content})
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return entries, nil
}

// gcpFiles are the files of this module that the function is compiled from, relative to the module's root.
func gcpFiles(ctx context.Context) ([]string, error) {
	out, err := goCommand(ctx, gcpEnv, "list", "-deps", "-json=ImportPath,Module,GoFiles,EmbedFiles", gcpFunction)
	if err != nil {
		return nil, err
	}
	var names []string
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg struct {
			ImportPath          string
			Module              *struct{ Path string }
			GoFiles, EmbedFiles []string
		}
		switch err := decoder.Decode(&pkg); {
		case err == io.EOF:
			return names, nil
		case err != nil:
			return nil, err
		case pkg.Module == nil || pkg.Module.Path != module:
			continue
		}
		folder := strings.TrimPrefix(pkg.ImportPath, module+"/")
		for _, file := range slices.Concat(pkg.GoFiles, pkg.EmbedFiles) {
			names = append(names, path.Join(folder, file))
		}
	}
}

// BuildGCP compiles what serves the function for Google Cloud on this machine, as it is compiled there, into the file.
func BuildGCP(ctx context.Context, file string) error {
	if err := inCheckout(ctx); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	if err := build(ctx, nil, file, gcpServer); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	return nil
}
