package gcp_test

import (
	"context"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/controlplane/controlplanetest"
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
	for _, fault := range append([]gcp.Fault{{}}, gcp.Faults()...) {
		name := fault.Name
		if name == "" {
			name = "no-fault"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			world, err := gcp.New(ctx, gcp.Options{ControlPlane: plane, Binary: binary, Fault: fault, OnEvent: sandboxtest.LogIfFailed(t)})
			if err != nil {
				t.Fatal(err)
			}
			defer world.Close()
			sandboxtest.Play(ctx, t, world, world.Maia, world.Function.Output)
		})
	}
}
