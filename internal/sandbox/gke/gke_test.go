package gke_test

import (
	"context"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/controlplane/controlplanetest"
	"github.com/maia-rotate/maia-rotate/internal/sandbox/gke"
	"github.com/maia-rotate/maia-rotate/internal/sandbox/stage/stagetest"
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
	binary, err := gke.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range append([]gke.Fault{{}}, gke.Faults()...) {
		name := fault.Name
		if name == "" {
			name = "no-fault"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			world, err := gke.New(ctx, gke.Options{ControlPlane: plane, Binary: binary, Fault: fault, OnEvent: stagetest.LogIfFailed(t)})
			if err != nil {
				t.Fatal(err)
			}
			defer world.Close()
			stagetest.Play(ctx, t, world, world.Maia, world.Function.Output)
		})
	}
}
