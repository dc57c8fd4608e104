package sandbox

import (
	"context"
	"slices"
	"time"
)

// Fault is something that goes wrong with a rotation in a world, and how it goes on.
type Fault[W any] struct {
	Name      string
	What      string // in one sentence
	Refreshes int    // how many may be carried out: as many as rotations were due. A person's do not count

	Env      []string                       // of the function
	Timeout  time.Duration                  // of the function; 0: as usual
	Attempts int                            // of a rotation; 0: as usual
	Endless  bool                           // the runner's pipeline does not end by itself
	Inject   func(context.Context, W) error // before the first call
	Play     func(context.Context, W) error // instead of calls until one succeeds
}

// Faults are those of a cloud.
type Faults[W any] []Fault[W]

// Find finds one by its name.
func (f Faults[W]) Find(name string) (Fault[W], bool) {
	i := slices.IndexFunc(f, func(fault Fault[W]) bool { return fault.Name == name })
	if i < 0 {
		return Fault[W]{}, false
	}
	return f[i], true
}

// Due is how many refreshes may have been carried out; otherwise is for a world without a fault.
func (f Fault[W]) Due(otherwise int) int {
	if f.Name == "" {
		return otherwise
	}
	return f.Refreshes
}

// OfMaia are the faults that are Maia's, and those of people: a world of any cloud has them.
func OfMaia[W any](trial func(W) *Trial, kill func(W)) (first Faults[W], last Fault[W]) {
	return Faults[W]{
			{
				Name: "refresh-answer-lost", Refreshes: 1,
				What:   "Maia carries the refresh out, but its answer never arrives.",
				Inject: Does(func(w W) { trial(w).RefreshAnswerLost() }),
			},
			{
				Name: "refresh-late", Refreshes: 1,
				What:   "The refresh gets no answer and is carried out three seconds later.",
				Inject: Does(func(w W) { trial(w).RefreshLate() }),
			},
			{
				Name: "killed-after-refresh", Refreshes: 1,
				What:   "The function is killed right after Maia carried the refresh out.",
				Inject: Does(func(w W) { trial(w).KilledAfterRefresh(func() { kill(w) }) }),
			},
		}, Fault[W]{
			Name: "paused-by-operator", Refreshes: 1,
			What:   "An operator has paused the runner: it must stay paused.",
			Inject: func(ctx context.Context, w W) error { return trial(w).PausedByOperator(ctx) },
		}
}
