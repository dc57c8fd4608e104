package gke_test

import (
	"context"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/controlplane/controlplanetest"
	"github.com/maia-rotate/maia-rotate/internal/sandbox/gke"
	"github.com/maia-rotate/maia-rotate/internal/sandbox/stage"
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
			world, err := gke.New(ctx, gke.Options{ControlPlane: plane, Binary: binary, Fault: fault, OnEvent: logIfFailed(t)})
			if err != nil {
				t.Fatal(err)
			}
			defer world.Close()
			if err := world.Play(ctx); err != nil {
				t.Error(err)
			}
			for _, proof := range world.Proofs() {
				if !proof.OK {
					t.Errorf("not true: %s: %s", proof.Text, proof.Detail)
				}
			}
			if due := world.Due(); world.Maia.Refreshes(stage.AgentID) != due {
				t.Errorf("%d refreshes, expected %d: every rotation that is due brings one", world.Maia.Refreshes(stage.AgentID), due)
			}
			if len(world.Dark()) == 0 {
				t.Error("no dark time was measured")
			}
			if t.Failed() {
				t.Logf("the function's output:\n%s", world.Function.Output())
			}
		})
	}
}

// logIfFailed keeps the events and logs them at the end of a test that has failed.
func logIfFailed(t *testing.T) func(stage.Event) {
	var events []stage.Event
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, e := range events {
			t.Logf("%6.1f s  %-15s  %s: %s", e.Elapsed.Seconds(), e.Source, e.Name, e.Text)
		}
	})
	return func(e stage.Event) { events = append(events, e) }
}
