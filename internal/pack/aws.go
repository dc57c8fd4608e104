package pack

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

const awsLambda = module + "/functions/aws-lambda"

// BuildFlags are the flags of the AWS function's build, in the Makefile LAMBDA_FLAGS.
var BuildFlags = []string{"-tags", "lambda.norpc", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w"}

// AWS builds the function for linux/arm64 and writes the zip file that Lambda takes, with the runtime provided.al2023: one
// file, bootstrap. A file that is there already is replaced, in one step, when all is done.
func AWS(ctx context.Context, path string) (Archive, error) {
	if err := checkTarget(path); err != nil {
		return Archive{}, fmt.Errorf("pack: %w", err)
	}
	dir, err := os.MkdirTemp("", "maia-rotate-")
	if err != nil {
		return Archive{}, fmt.Errorf("pack: %w", err)
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "bootstrap")
	if err := Build(ctx, binary, "linux", "arm64"); err != nil {
		return Archive{}, err
	}
	return Zip(path, binary)
}

// Zip packs a compiled bootstrap as [AWS] does.
func Zip(path, binary string) (Archive, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return Archive{}, fmt.Errorf("pack: %w", err)
	}
	archive, err := write(path, []entry{{name: "bootstrap", mode: 0o755, content: content}})
	if err != nil {
		return Archive{}, fmt.Errorf("pack: %w", err)
	}
	return archive, nil
}

// Build compiles the AWS function for a system and an architecture, as Go names them, into the file.
func Build(ctx context.Context, file, goos, goarch string) error {
	if err := inCheckout(ctx); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	args := slices.Concat([]string{"build"}, BuildFlags, []string{"-o", file, awsLambda})
	if _, err := goCommand(ctx, []string{"CGO_ENABLED=0", "GOOS=" + goos, "GOARCH=" + goarch}, args...); err != nil {
		return fmt.Errorf("pack: build %s: %w", awsLambda, err)
	}
	return nil
}
