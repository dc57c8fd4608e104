package aws

import (
	"context"
	"flag"
	"github.com/maia-rotate/maia-rotate/internal/sandbox/sandboxtest"
	"os"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// worlds is how many of them live at the same time: they mostly wait.
const worlds = "32"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", worlds); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// TestWorld rotates in a world without a fault and with each of them, with the compiled function.
func TestWorld(t *testing.T) {
	if testing.Short() {
		t.Skip("the compiled function takes minutes")
	}
	t.Parallel()
	binary, err := Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sandboxtest.Worlds(t, Faults(), func(ctx context.Context, fault Fault, onEvent func(sandbox.Event)) (*World, error) {
		return New(ctx, Options{Binary: binary, Fault: fault, OnEvent: onEvent})
	})
}

// TestClose ends a world in the middle of a rotation.
func TestClose(t *testing.T) {
	if testing.Short() {
		t.Skip("the compiled function takes minutes")
	}
	binary, err := Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	world, err := New(ctx, Options{Binary: binary, OnEvent: func(e sandbox.Event) {
		if e.Name == "paused" {
			cancel()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := world.Rotate(ctx); err == nil {
		t.Error("the rotation ended well, expected it to be interrupted")
	}
	world.Close() // returns only when the processes have ended
	if _, err := world.Function.Invoke(t.Context(), nil); err == nil {
		t.Error("the function can be invoked after Close")
	}
	world.Close()
}

func TestNewFails(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(ctx, Options{}); err == nil {
		t.Error("a world was made in a context that had ended")
	}
}

func TestBuildFails(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, err := Build(t.Context(), t.TempDir()); err == nil {
		t.Error("the function was built outside of the module")
	}
}
