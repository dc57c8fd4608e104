package rotate

import (
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// What internal/model has found: decisions of a run that is not alone, or not the first.
func TestNextDecidesAmongConcurrentRuns(t *testing.T) {
	until := epoch.Add(time.Hour)
	due := func() Observation {
		return Observation{
			Platform: Platform{
				Stored: live, Instances: Instances{State: Steady, Read: ReadUnknown},
				Note: Note{Applied: fp(live), LastRotation: &Rotation{At: epoch.Add(-24 * time.Hour), Over: fp(before), New: fp(live)}},
			},
			Agent: maia.Agent{Status: maia.StatusRunning, Connected: true},
			Maia:  live,
			Run:   RunState{ID: "this-run", Mode: Rotate, Started: epoch, Deadline: epoch.Add(time.Hour), Checked: true},
		}
	}
	pausing := func(o *Observation, age time.Duration) {
		o.Platform.Note.Paused = &OwnPause{At: epoch.Add(-age), By: "another-run"}
	}
	paused := func(o *Observation, age time.Duration) {
		o.Agent.Status, o.Agent.PausedUntil = maia.StatusPaused, until
		o.Platform.Note.Paused = &OwnPause{At: epoch.Add(-age), By: "another-run", Confirmed: true, Until: until}
	}
	tests := map[string]struct {
		change func(o *Observation)
		want   StepKind
	}{
		"another run is about to pause":   {func(o *Observation) { pausing(o, time.Second) }, AwaitDrained},
		"another run was, and is no more": {func(o *Observation) { pausing(o, pauseTime) }, Pause},
		"this run's own note of a pause": {func(o *Observation) {
			pausing(o, time.Second)
			o.Platform.Note.Paused.By = "this-run"
		}, Pause},
		"another run is about to confirm its pause": {func(o *Observation) {
			paused(o, time.Second)
			o.Platform.Note.Paused.Confirmed = false
		}, AwaitDrained},
		"another run has not confirmed it, and is gone": {func(o *Observation) {
			paused(o, pauseTime)
			o.Platform.Note.Paused.Confirmed = false
		}, Refresh},
		"it gives up, and the pause is another run's": {func(o *Observation) { paused(o, time.Minute); o.Run.Deadline = epoch }, Refuse},
		"it gives up, and that run must be over":      {func(o *Observation) { paused(o, time.Hour); o.Run.Deadline = epoch }, Resume},
		"it gives up, and the pause is its own": {func(o *Observation) {
			paused(o, time.Minute)
			o.Run.Deadline, o.Platform.Note.Paused.By = epoch, "this-run"
		}, Resume},
		"it gives up, and its own intent stands": {func(o *Observation) {
			paused(o, time.Minute)
			o.Run.Deadline = epoch
			o.Platform.Note.Intent = &Intent{At: epoch, Over: fp(live), By: "this-run"}
		}, Resume},
		"an old pause, and a refresh may be under way": {func(o *Observation) {
			o.Run.Mode = Heal
			paused(o, time.Hour)
			o.Platform.Note.Intent = &Intent{At: epoch.Add(-time.Minute), Over: fp(live), By: "another-run"}
		}, Done},
		"the store may hold what a refresh made": {func(o *Observation) {
			o.Platform.Stored = made
			o.Platform.Note.Intent = &Intent{At: epoch.Add(-time.Minute), Over: fp(live), By: "another-run"}
		}, AwaitOutcome},
		"… as well if nothing is to be refreshed": {func(o *Observation) {
			o.Run.Mode = Heal
			o.Platform.Stored = made
			o.Platform.Note.Intent = &Intent{At: epoch.Add(-time.Minute), Over: fp(live), By: "another-run"}
		}, AwaitOutcome},
		"… and it does not, once the quiet time is over": {func(o *Observation) {
			o.Platform.Stored = made
			o.Platform.Note.Intent = &Intent{At: epoch.Add(-time.Hour), Over: fp(live), By: "another-run"}
		}, Store},
		"its own instances, at work again, run with what was put back meanwhile": {func(o *Observation) {
			o.Run.Sent, o.Run.Answer, o.Run.Restarts = &Intent{At: epoch, Over: fp(before)}, live, 1
			o.Platform.Note.Applied, o.Platform.Instances.Read = fp(before), ReadOlder
		}, Pause},
		"its own instances, which failed to start, while Maia shows the connection of the former ones": {func(o *Observation) {
			o.Run.Sent, o.Run.Answer, o.Run.Restarts = &Intent{At: epoch, Over: fp(before)}, live, 1
			o.Platform.Note.Applied, o.Platform.Instances.Read, o.Platform.Instances.State = fp(before), ReadOlder, Failed
		}, Restart},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := due()
			test.change(&o)
			if step := Next(o, DefaultPolicy(), epoch); step.Kind != test.want {
				t.Errorf("%+v, want %s", step, test.want)
			}
		})
	}
}
