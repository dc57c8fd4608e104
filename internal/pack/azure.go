package pack

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const azureFunction = module + "/functions/azure"

// azureFiles are the files of the app other than its program, relative to the function's folder and to the app's root.
var azureFiles = []string{"RotateRunnerSecrets/function.json", "host.json"}

const (
	// azureProgram is the program's name, as host.json says.
	azureProgram = "rotator"
	// azureZones has the time zones, next to the program.
	azureZones = "zoneinfo.zip"
	// azureTags leave out the HTTP/2 of net/http, half a megabyte: Azure's SDK brings its own, and Maia is asked by HTTP/1.1 then.
	azureTags = "nethttpomithttp2"
)

// Azure builds the function for linux/amd64 and writes the zip file that a function app takes: the program, host.json, and
// the function's folder, at its root. A file that is there already is replaced, in one step, when all is done.
func Azure(ctx context.Context, path string) (Archive, error) {
	if err := checkTarget(path); err != nil {
		return Archive{}, fmt.Errorf("pack: %w", err)
	}
	entries, err := azureApp(ctx, "linux", "amd64")
	if err != nil {
		return Archive{}, fmt.Errorf("pack: %w", err)
	}
	archive, err := write(path, entries)
	if err != nil {
		return Archive{}, fmt.Errorf("pack: %w", err)
	}
	return archive, nil
}

// UnpackedAzure builds the function for this machine and writes what the zip file would unpack to into a folder.
func UnpackedAzure(ctx context.Context, folder string) error {
	entries, err := azureApp(ctx, runtime.GOOS, runtime.GOARCH)
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	for _, entry := range entries {
		file := filepath.Join(folder, filepath.FromSlash(entry.name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("pack: %w", err)
		}
		if err := os.WriteFile(file, entry.content, entry.mode); err != nil {
			return fmt.Errorf("pack: %w", err)
		}
	}
	return nil
}

// azureApp builds the program and adds to it what makes an app of it.
func azureApp(ctx context.Context, goos, goarch string) ([]entry, error) {
	if err := inCheckout(ctx); err != nil {
		return nil, err
	}
	checkout, err := checkoutFolder(ctx)
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, name := range azureFiles {
		content, err := os.ReadFile(filepath.Join(checkout, "functions", "azure", filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{name: name, mode: 0o644, content: content})
	}
	dir, err := os.MkdirTemp("", "maia-rotate-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, azureProgram)
	if err := build(ctx, []string{"GOOS=" + goos, "GOARCH=" + goarch}, program, azureFunction, "-tags", azureTags); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	zones, err := timeZones(ctx)
	if err != nil {
		return nil, err
	}
	return append(entries, entry{name: azureProgram, mode: 0o755, content: content}, // without its x-bit the app is broken
		entry{name: azureZones, mode: 0o644, content: zones}), nil
}

// timeZones are those that Go comes with.
func timeZones(ctx context.Context) ([]byte, error) {
	root, err := goCommand(ctx, nil, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", azureZones))
}
