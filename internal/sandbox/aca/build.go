package aca

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/maia-rotate/maia-rotate/internal/pack"
)

// Program is the function's program in the folder of its app.
const Program = "rotator"

// Build compiles the function below the folder and returns the folder of its app, which is as the zip file for Azure
// unpacks, but for this machine. The working directory must be inside a checkout.
func Build(ctx context.Context, dir string) (app string, err error) {
	app = filepath.Join(dir, "app")
	if err := pack.UnpackedAzure(ctx, app); err != nil {
		return "", fmt.Errorf("sandbox: %w", err)
	}
	return app, nil
}
