package gcp_test

import (
	"context"
	"flag"
	"os"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/controlplane/controlplanetest"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/internal/sandbox/gcp"
	"github.com/maia-rotate/maia-rotate/internal/sandbox/sandboxtest"
)

// worlds is how many of them live at the same time: each has a control plane of its own, which wants 330 MB, and mostly
// waits.
const worlds = "3"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", worlds); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// TestWorld rotates in a world without a fault and with each of them, with the compiled function.
func TestWorld(t *testing.T) {
	plane := controlplanetest.Binary(t)
	binary, err := gcp.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sandboxtest.Worlds(t, gcp.Faults(), func(ctx context.Context, fault gcp.Fault, onEvent func(sandbox.Event)) (*gcp.World, error) {
		return gcp.New(ctx, gcp.Options{ControlPlane: plane, Binary: binary, Fault: fault, OnEvent: onEvent})
	})
}
