// Package sandboxtest is what the tests of the sandboxes share.
package sandboxtest

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// World is one of a sandbox.
type World interface {
	Play(context.Context) error
	Proofs(printed ...*bytes.Buffer) []sandbox.Proof
	Due() int
	Downtimes() []time.Duration
}

// Play plays the world's fault and checks that all proofs hold. If not, it logs what the function printed.
func Play(ctx context.Context, t *testing.T, world World, maia *sandbox.Maia, output func() []byte) {
	t.Helper()
	if err := world.Play(ctx); err != nil {
		t.Error(err)
	}
	for _, proof := range world.Proofs() {
		if !proof.OK {
			t.Errorf("not true: %s: %s", proof.Text, proof.Detail)
		}
	}
	if got, due := maia.Refreshes(sandbox.AgentID), world.Due(); got != due {
		t.Errorf("%d refreshes, expected %d: every rotation that is due brings one", got, due)
	}
	if len(world.Downtimes()) == 0 {
		t.Error("no downtime was measured")
	}
	if t.Failed() {
		t.Logf("the function's output:\n%s", output())
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
