// Package sandboxtest is what the tests of the sandboxes share.
package sandboxtest

import (
	"bytes"
	"cmp"
	"context"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// World is one of a sandbox.
type World interface {
	Play(context.Context) error
	Proofs(printed ...*bytes.Buffer) []sandbox.Proof
	Refreshes() int
	Due() int
	Downtimes() []time.Duration
	Output() []byte
	Close()
}

// Worlds plays a world without a fault, and one with each of them, several at the same time.
func Worlds[W World](t *testing.T, faults sandbox.Faults[W],
	open func(context.Context, sandbox.Fault[W], func(sandbox.Event)) (W, error)) {
	for _, fault := range append(sandbox.Faults[W]{{}}, faults...) {
		t.Run(cmp.Or(fault.Name, "no-fault"), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			world, err := open(ctx, fault, LogIfFailed(t))
			if err != nil {
				t.Fatal(err)
			}
			defer world.Close()
			play(ctx, t, world)
		})
	}
}

// play plays the world's fault and checks that all proofs hold. If not, it logs what the function printed.
func play(ctx context.Context, t *testing.T, world World) {
	t.Helper()
	if err := world.Play(ctx); err != nil {
		t.Error(err)
	}
	for _, proof := range world.Proofs() {
		if !proof.OK {
			t.Errorf("not true: %s: %s", proof.Text, proof.Detail)
		}
	}
	if got, due := world.Refreshes(), world.Due(); got != due {
		t.Errorf("%d refreshes, expected %d: every rotation that is due brings one", got, due)
	}
	if len(world.Downtimes()) == 0 {
		t.Error("no downtime was measured")
	}
	if t.Failed() {
		t.Logf("the function's output:\n%s", world.Output())
	}
}

// LogIfFailed keeps the events and logs them at the end of a test that has failed.
func LogIfFailed(t *testing.T) func(sandbox.Event) {
	var events []sandbox.Event
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, e := range events {
			t.Logf("%6.1f s  %-15s  %s: %s", e.Elapsed.Seconds(), e.Source, e.Name, e.Text)
		}
	})
	return func(e sandbox.Event) { events = append(events, e) }
}

// Broken are the texts of the proofs that do not hold, each of which must say what is so instead.
func Broken(t *testing.T, proofs []sandbox.Proof) (texts []string) {
	t.Helper()
	for _, proof := range proofs {
		if proof.OK {
			continue
		}
		texts = append(texts, proof.Text)
		if proof.Detail == "" {
			t.Errorf("%s: does not say what is so instead", proof.Text)
		}
	}
	return texts
}
