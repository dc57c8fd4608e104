package rotate

import (
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// BenchmarkNext is one decision about a runner with nothing left to do: what an idle check costs of our own time.
func BenchmarkNext(b *testing.B) {
	o := Observation{
		Platform: Platform{Stored: live, Instances: Instances{State: Steady, Read: ReadUnknown}, Note: Note{Applied: fp(live)}},
		Agent:    maia.Agent{Status: maia.StatusRunning, Connected: true},
		Maia:     live,
		Run:      RunState{Mode: Heal, Started: epoch, Deadline: epoch.Add(time.Hour)},
	}
	policy := DefaultPolicy()
	for b.Loop() {
		if step := Next(o, policy, epoch); step.Kind != Done {
			b.Fatal(step)
		}
	}
}
