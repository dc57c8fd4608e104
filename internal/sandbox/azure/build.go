package azure

import (
	"context"
	"fmt"

	"github.com/maia-rotate/maia-rotate/internal/pack"
)

// Program is the function's program in the folder of its app.
const Program = "rotator"

// Build compiles the function and makes the folder of its app, as the zip file for Azure unpacks, but for this machine.
// The working directory must be inside a checkout.
func Build(ctx context.Context, app string) error {
	if err := pack.UnpackedAzure(ctx, app); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	return nil
}
