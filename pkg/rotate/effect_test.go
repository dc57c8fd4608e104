package rotate

import (
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// TestAfter spells out what neither the plans nor the model compare; see internal/model, whose steps are held against After.
func TestAfter(t *testing.T) {
	intent := &Intent{At: epoch, Over: fp(before), By: "another"}
	tests := map[string]struct {
		step   Step
		change func(o *Observation)
		holds  func(o Observation) bool
	}{
		"a restart begins to count anew": {Step{Kind: Restart}, func(*Observation) {}, func(o Observation) bool {
			return o.Run.ConnectedReads == 0 && o.Run.RestartedAt.Equal(epoch)
		}},
		"what our refresh made is stored: the runner was cut off": {Step{Kind: Store, Credentials: live}, func(o *Observation) {
			o.Platform.Stored, o.Platform.Note.Intent = before, intent
		}, func(o Observation) bool { return o.Run.ConnectedReads == 0 }},
		"what another writer made is stored": {Step{Kind: Store, Credentials: live}, func(o *Observation) {
			o.Platform.Stored = before
		}, func(o Observation) bool { return o.Run.ConnectedReads == 1 }},
		"a record is completed": {Step{Kind: Store, Credentials: live}, func(o *Observation) {
			o.Platform.Unrecorded = "a quota"
		}, func(o Observation) bool {
			return o.Platform.Unrecorded == "" && o.Run.Recorded && !o.Run.StoreChanged && o.Platform.Note.Applied == fp(live)
		}},
		"a rotation is over, and was not tried in vain": {Step{Kind: Done}, func(o *Observation) {
			o.Platform.Note.Intent, o.Platform.Note.Tried = intent, epoch
		}, func(o Observation) bool {
			note := o.Platform.Note
			return note.Intent == nil && note.Tried.IsZero() && *note.LastRotation == Rotation{At: epoch, Over: fp(before), New: fp(live)}
		}},
	}
	for name, test := range tests {
		o := Observation{
			Platform: Platform{Stored: live, Instances: Instances{State: Steady, Read: ReadCurrent}},
			Agent:    maia.Agent{Status: maia.StatusRunning, Connected: true},
			Maia:     live,
			Run:      RunState{ID: "this-run", Mode: Rotate, Started: epoch, Deadline: epoch.Add(time.Hour), ConnectedReads: 1},
		}
		test.change(&o)
		if after := After(o, test.step, DefaultPolicy(), epoch); !test.holds(after) {
			t.Errorf("%s: %+v", name, after)
		}
	}
}
