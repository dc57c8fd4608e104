package pack

import (
	"context"
	"fmt"
)

const gcpServer = module + "/functions/gcp/cmd"

// BuildGCP compiles what serves the function for Google Cloud on this machine, as it is compiled there, into the file.
func BuildGCP(ctx context.Context, file string) error {
	if err := inCheckout(ctx); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", file, gcpServer}
	if _, err := goCommand(ctx, []string{"CGO_ENABLED=0"}, args...); err != nil {
		return fmt.Errorf("pack: build %s: %w", gcpServer, err)
	}
	return nil
}
