package gcp

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/maia-rotate/maia-rotate/internal/pack"
)

// Build compiles the function into the folder and returns the path of the binary: that of functions/gcp/cmd, which serves
// it on this machine. The working directory must be inside a checkout.
func Build(ctx context.Context, dir string) (binary string, err error) {
	binary = filepath.Join(dir, "function")
	if err := pack.BuildGCP(ctx, binary); err != nil {
		return "", fmt.Errorf("sandbox: %w", err)
	}
	return binary, nil
}
