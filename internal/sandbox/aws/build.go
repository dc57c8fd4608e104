package aws

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/maia-rotate/maia-rotate/internal/pack"
)

// Build compiles the function into the folder and returns the path of the binary. It is built as it is for AWS, but for
// this machine's system and architecture, so that it runs here. The working directory must be inside a checkout.
func Build(ctx context.Context, dir string) (binary string, err error) {
	binary = filepath.Join(dir, "bootstrap")
	if err := pack.Build(ctx, binary, runtime.GOOS, runtime.GOARCH); err != nil {
		return "", fmt.Errorf("sandbox: %w", err)
	}
	return binary, nil
}
