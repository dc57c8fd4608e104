package model

import (
	"fmt"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// effects are what a step changes of an observation, in a form that can be compared. Where the run ends by it they are what the note
// says, and of a wait they are what it leaves as it was.
func effects(o rotate.Observation, kind rotate.StepKind) string {
	run, platform := o.Run, o.Platform
	switch kind {
	case rotate.AwaitDrained, rotate.AwaitConnected, rotate.AwaitOutcome:
		return fmt.Sprintf("checked %t, restarts %d, applied %s", run.Checked, run.Restarts, platform.Note.Applied)
	case rotate.Done:
		return noted(platform.Note)
	case rotate.Resume:
		platform.Instances.Read = "" // without an order in the note a platform may not know it any more
	}
	return fmt.Sprintf("store %s, pending %s, staged %t, instances %s reading %s, status %s, connected %t; "+
		"checked %t, stored %t, restarts %d, PAUSE %d, RESUME %d, kept %d, sent %t; %s",
		platform.Stored.ClientSecret.Fingerprint(), platform.Pending.ClientSecret.Fingerprint(), platform.Staged, platform.Instances.State,
		platform.Instances.Read, o.Agent.Status, o.Agent.Connected,
		run.Checked, run.StoreChanged, run.Restarts, run.Pause, run.Resumes, run.PauseKept, run.Sent != nil, noted(platform.Note))
}

func noted(note rotate.Note) string {
	text := fmt.Sprintf("applied %s", note.Applied)
	if note.Intent != nil {
		text += fmt.Sprintf(", intent over %s", note.Intent.Over) + note.Intent.Answers
	}
	if note.Paused != nil {
		text += fmt.Sprintf(", paused, confirmed %t", note.Paused.Confirmed)
	}
	if note.LastRotation != nil {
		text += fmt.Sprintf(", rotated %s to %s", note.LastRotation.Over, note.LastRotation.New) + note.LastRotation.Answers
	}
	if note.Ordered != nil {
		text += ", ordered for " + string(note.Ordered.For)
	}
	return text
}

// watched is a model of which every decision is held against what rotate.After makes of the one before.
type watched struct {
	*Model
	t        *testing.T
	w        World
	story    string
	seen     rotate.Observation // that was asked about last
	step     rotate.Step        // that was answered
	expected string             // after the last step that was taken; empty: nothing is
	kind     rotate.StepKind    // of that
	compared map[rotate.StepKind]int
	from     string
}

func watch(t *testing.T, staged bool, compared map[rotate.StepKind]int) *watched {
	v := &watched{t: t, compared: compared}
	v.Model = New(staged, 2, func(o rotate.Observation, p rotate.Policy, now time.Time) rotate.Step {
		v.seen, v.step = o, rotate.Next(o, p, now)
		return v.step
	})
	v.taken = func(rotate.StepKind) { v.decided() }
	return v
}

func (v *watched) decided() {
	v.compare(v.seen)
	v.from = effects(v.seen, rotate.Check)
	v.kind = v.step.Kind
	if v.kind != rotate.Refuse {
		v.expected = effects(rotate.After(v.seen, v.step, v.policy, epoch), v.kind)
	}
}

func (v *watched) compare(o rotate.Observation) {
	if v.expected == "" {
		return
	}
	if got := effects(o, v.kind); got != v.expected {
		v.t.Errorf("%s: %s made of\n%s\nin the model\n%s\nby rotate.After\n%s", v.story, v.kind, v.from, got, v.expected)
	}
	v.compared[v.kind]++
	v.expected = ""
}

// play has a run do up to so many micro-steps, and kills it then.
func (v *watched) play(mode int8, most int) {
	v.w.start(mode)
	for n := 0; v.w.Runs[0].PC != none; n++ {
		if n == most {
			v.expected = ""
			v.kill(&v.w, 0)
			return
		}
		if v.w.Runs[0].PC.waits() {
			v.time(&v.w, "", 0, func(_ string, to *World) { v.w = *to })
			continue
		}
		clear(v.decisions)
		before := v.w.Runs[0]
		v.Model.step(&v.w, 0, fine)
		if v.w.Runs[0].PC == none && v.kind == rotate.Done {
			before.Seen.Note = v.w.Note
			v.compare(v.observation(&before, 0))
		}
	}
	v.expected = ""
}

// The model makes of a step that succeeds what the engine makes of it: in stories in which another writer has changed something before, of
// runs that were killed, and of those that follow.
func TestTheModelsStepsHaveTheEnginesEffects(t *testing.T) {
	compared := map[rotate.StepKind]int{}
	for _, staged := range []bool{false, true} {
		runs := []int8{modeRotate, modeHeal}
		if staged {
			runs = []int8{modeStage, modeFinish, modeHeal}
		}
		v := watch(t, staged, compared)
		for name, start := range v.starts() {
			start.Budget, start.Stuck = 2, false // a restart that fails has another effect
			befores := map[string]World{"": start}
			v.people(&start, func(what string, to *World) { befores[what] = *to })
			for what, before := range befores {
				for _, first := range runs {
					for _, second := range runs {
						for most := range 40 {
							v.w, v.story = before, fmt.Sprintf("%s, %s, %s for %d, then %s", name, what, modes[first], most, modes[second])
							if staged {
								v.w.Token, v.w.Phase = 1, phaseCreate
							}
							v.play(first, most)
							v.w.tick(v.Model)
							v.play(second, -1)
							if t.Failed() {
								return
							}
						}
					}
				}
			}
		}
	}
	for _, kind := range []rotate.StepKind{
		rotate.Check, rotate.Pause, rotate.AwaitDrained, rotate.Refresh, rotate.AwaitOutcome, rotate.Store, rotate.Restart, rotate.AwaitConnected,
		rotate.Resume, rotate.Done,
	} {
		if compared[kind] == 0 {
			t.Errorf("no %s was compared", kind)
		}
	}
	t.Logf("compared %v", compared)
}
