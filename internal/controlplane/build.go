package controlplane

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	folder  = "test/kubernetes" // below the checkout
	version = "v1.37.2"         // of Kubernetes, as the nested module's go.mod says
)

// Build compiles the control plane, from the checkout in which the working directory is, into the user's cache, and returns the
// binary. It is compiled again only when its source or Go has changed. progress gets a line now and then; nil is allowed.
func Build(ctx context.Context, progress func(line string)) (binary string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("controlplane: %w", err)
		}
	}()
	if progress == nil {
		progress = func(string) {}
	}
	root, err := goOutput(ctx, "", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return "", err
	}
	source := filepath.Join(root, filepath.FromSlash(folder))
	key, err := hashOf(ctx, source)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "maia-rotate")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	binary = filepath.Join(dir, "controlplane-"+key)
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	progress("building a Kubernetes API server, once: up to 10 minutes on two cores, and a download of 144 MB")
	// Next to the target: another process may build it too, and must not see a half-written one.
	partial := binary + "." + rand.Text() + ".partial"
	defer os.Remove(partial)
	if err := compile(ctx, source, partial, progress); err != nil {
		return "", err
	}
	return binary, os.Rename(partial, binary)
}

func compile(ctx context.Context, source, target string, progress func(string)) error {
	stamp := "-X k8s.io/component-base/version."
	command := exec.CommandContext(ctx, "go", "build", "-v", "-trimpath",
		"-ldflags", "-s -w "+stamp+"gitVersion="+version+" "+stamp+"gitMajor=1 "+stamp+"gitMinor=37", "-o", target, "./cmd/controlplane")
	command.Dir = source
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	reader, writer := io.Pipe()
	command.Stdout, command.Stderr = writer, writer
	said := make(chan string)
	go func() { said <- follow(reader, progress) }()
	err := command.Run()
	_ = writer.Close()
	last := <-said
	if err != nil {
		return fmt.Errorf("go build %s: %w: %s", folder, err, last)
	}
	return nil
}

const progressInterval = 5 * time.Second

// follow counts the packages that go build names as it goes on, and keeps its last words.
func follow(from io.Reader, progress func(string)) (last string) {
	var tail []string
	packages, reported := 0, time.Now()
	for lines := bufio.NewScanner(from); lines.Scan(); {
		packages++
		tail = append(tail, lines.Text())
		tail = tail[max(0, len(tail)-10):]
		if time.Since(reported) >= progressInterval {
			reported = time.Now()
			progress(fmt.Sprintf("… %d packages so far, of about 2,300", packages))
		}
	}
	return strings.Join(tail, "\n")
}

// hashOf is a hash of the source and the version of Go.
func hashOf(ctx context.Context, source string) (string, error) {
	digest := sha256.New()
	goVersion, err := goOutput(ctx, source, "env", "GOVERSION", "GOOS", "GOARCH")
	if err != nil {
		return "", err
	}
	fmt.Fprintln(digest, goVersion, version)
	files := os.DirFS(source)
	err = fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := fs.ReadFile(files, path)
		fmt.Fprintln(digest, path, len(content))
		digest.Write(content)
		return err
	})
	return hex.EncodeToString(digest.Sum(nil))[:16], err
}

func goOutput(ctx context.Context, dir string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir = dir
	var failure bytes.Buffer
	command.Stderr = &failure
	output, err := command.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("needs Go (https://go.dev/dl): %w", err)
	} else if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, failure.Bytes())
	}
	return strings.TrimSpace(string(output)), nil
}
