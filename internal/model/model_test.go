package model

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// budget is how many disturbances there may be at most, in every order and at every instant of two rotations. With
// MAIA_ROTATE_PROVE=1 there are more, which takes minutes.
func budget() int {
	if os.Getenv("MAIA_ROTATE_PROVE") == "1" {
		return 2
	}
	return 1
}

// No promise is broken in any state that can be reached, and from each of them the run of things ends with the runner back, or
// with a refusal that says what a person must do, where nothing but a person can go on.
func TestEveryStateThatCanBeReached(t *testing.T) {
	transitions, depth := 0, 0
	for _, platform := range []struct {
		name   string
		staged bool
	}{{"store at once", false}, {"staged", true}} {
		began := time.Now()
		r := New(platform.staged, budget(), rotate.Next).Explore()
		if r.Violation != "" {
			t.Errorf("%s: %s", platform.name, r)
		}
		if r.Rotations < rotations {
			t.Errorf("%s: %d rotations at most are in a way, want %d", platform.name, r.Rotations, rotations)
		}
		transitions += r.Transitions
		depth = max(depth, r.Depth)
		t.Logf("figure: model, states (%s): %d", platform.name, r.States)
		var ends []string
		for end := range r.Ends {
			ends = append(ends, end)
		}
		slices.Sort(ends)
		for _, end := range ends {
			t.Logf("%s: from %d states %s", platform.name, r.Ends[end], end)
		}
		t.Logf("%s: %d disturbances, %s", platform.name, budget(), time.Since(began).Round(time.Second))
	}
	t.Logf("figure: model, transitions: %d", transitions)
	t.Logf("figure: model, depth: %d", depth)
}
