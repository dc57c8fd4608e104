package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

const functionPackage = "github.com/maia-rotate/maia-rotate/functions/aws-lambda"

// BuildFlags are the flags of the SAM build: what the Makefile has as LAMBDA_FLAGS.
var BuildFlags = []string{"-tags", "lambda.norpc", "-trimpath", "-ldflags", "-s -w"}

// Build compiles the function into the folder and returns the path of the binary. It uses the flags of the SAM build,
// but this machine's system and architecture, so that the binary runs here. The working directory must be inside the
// module.
func Build(ctx context.Context, dir string) (binary string, err error) {
	binary = filepath.Join(dir, "bootstrap")
	command := exec.CommandContext(ctx, "go", slices.Concat([]string{"build"}, BuildFlags, []string{"-o", binary, functionPackage})...)
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	// Interrupted, the go command ends its compilers too; killed, it would leave them behind.
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 5 * time.Second
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("sandbox: build %s: %w\n%s", functionPackage, err, bytes.TrimSpace(output))
	}
	return binary, nil
}
