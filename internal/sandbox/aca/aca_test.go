package aca_test

import (
	"context"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/sandbox/aca"
	"github.com/maia-rotate/maia-rotate/internal/sandbox/stage"
)

// worlds is how many of them live at the same time: they mostly wait.
const worlds = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", worlds); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// TestWorld rotates in a world without a fault and with each of them, with the compiled function.
func TestWorld(t *testing.T) {
	app := t.TempDir()
	if err := aca.Build(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	for _, fault := range append([]aca.Fault{{}}, aca.Faults()...) {
		name := fault.Name
		if name == "" {
			name = "no-fault"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			world, err := aca.New(ctx, aca.Options{App: app, Fault: fault, OnEvent: logIfFailed(t)})
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
				t.Logf("the function's output:\n%s", world.Host.Output())
			}
		})
	}
}

// logIfFailed keeps the events and logs them at the end of a test that has failed.
func logIfFailed(t *testing.T) func(stage.Event) {
	var events []stage.Event
	t.Cleanup(func() {
		if !t.Failed() && !testing.Verbose() {
			return
		}
		for _, e := range events {
			t.Logf("%6.1f s  %-15s  %s: %s", e.Elapsed.Seconds(), e.Source, e.Name, e.Text)
		}
	})
	return func(e stage.Event) { events = append(events, e) }
}
