package pack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

const module = "github.com/maia-rotate/maia-rotate"

// ErrNoCheckout means that the working directory is not inside a checkout of the module.
var ErrNoCheckout = errors.New("needs a checkout of " + module + ", and the working directory is not inside one")

func inCheckout(ctx context.Context) error {
	modules, err := goCommand(ctx, nil, "list", "-m")
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("needs Go (https://go.dev/dl): %w", err)
	case err != nil:
		return err
	case !slices.Contains(strings.Fields(string(modules)), module): // a workspace has several
		return ErrNoCheckout
	}
	return nil
}

// checkoutFolder is where the module is.
func checkoutFolder(ctx context.Context) (string, error) {
	out, err := goCommand(ctx, nil, "list", "-m", "-f", "{{.Dir}}", module)
	return strings.TrimSpace(string(out)), err
}

// build compiles a program without cgo, and without marks of where and from what commit, into the file.
func build(ctx context.Context, env []string, file, program string, flags ...string) error {
	args := slices.Concat([]string{"build"}, flags, []string{"-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", file, program})
	if _, err := goCommand(ctx, append([]string{"CGO_ENABLED=0"}, env...), args...); err != nil {
		return fmt.Errorf("build %s: %w", program, err)
	}
	return nil
}

// goCommand runs go and returns what it printed on standard output; the error has the rest.
func goCommand(ctx context.Context, env []string, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, "go", args...)
	command.Env = append(os.Environ(), env...)
	command.Stdout, command.Stderr = &stdout, &stderr
	// Interrupted, the go command ends its compilers too; killed, it would leave them behind.
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 5 * time.Second
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}
