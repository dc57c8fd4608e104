package rotate

import (
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// Plan is what [Next] would have a run do from here on if every step had the effect that is hoped for, up to [Done] or
// [Refuse], or to an [AwaitOutcome] behind which nothing can be foreseen. The plan of a [Stage] goes on with the [Finish]
// that follows it. No time passes in it.
func Plan(o Observation, p Policy, now time.Time) []Step {
	var steps []Step
	for {
		step := Next(o, p, now)
		if step.Kind == Done && o.Run.Mode == Stage {
			o = o.finishing(now)
			continue
		}
		steps = append(steps, step)
		switch step.Kind {
		case Done, Refuse, AwaitOutcome:
			return steps
		}
		if len(steps) == maxPlan {
			return append(steps, refuse(Errorf(Internal, "the plan has no end")))
		}
		o = o.after(step, now)
	}
}

// maxPlan is more steps than any plan has: a rotation has nine.
const maxPlan = 30

// after is the observation that a step hopes for.
func (o Observation) after(step Step, now time.Time) Observation {
	valid, _ := o.Valid()
	switch step.Kind {
	case Check:
		o.Run.Checked = true
	case Pause:
		if !o.paused() {
			o.Agent.Status, o.Agent.PausedUntil = maia.StatusPausing, time.Time{}
			o.Run.Pauses++
		}
		o.Platform.Note.Paused = &OwnPause{At: now, By: o.Run.ID, Confirmed: true, Until: o.Agent.PausedUntil.Truncate(time.Millisecond)}
	case AwaitDrained:
		o.Agent.Status, o.Agent.Connected = maia.StatusPaused, true
		o.Run.PauseReads = PauseReads{Since: now, Until: o.Agent.PausedUntil.Truncate(time.Millisecond), At: now, Stands: true}
	case Refresh:
		o.Run.Sent = &Intent{At: now, Over: valid.ClientSecret.Fingerprint(), By: o.Run.ID}
		o.Run.Answer = maia.Credentials{ClientID: valid.ClientID, ClientSecret: maia.NewSecret("the secret that Maia will make")}
		o.Maia, o.Agent.Connected = o.Run.Answer, false
	case Store:
		o.Platform.Staged = o.Run.Mode == Stage
		if !o.Platform.Stored.Equal(valid) {
			o.Platform.Instances.Read = ReadUnknown
		}
		o.Platform.Stored, o.Platform.Pending, o.Platform.Unfinished = valid, maia.Credentials{}, false
		if step.Owes {
			o.Platform.Note.Applied = AppliedNothing
		}
	case Restart:
		o.Run.Restarts++
		o.Run.RestartedAt = now
		o.Platform.Instances.State, o.Platform.Instances.Read = Rolling, ReadCurrent
	case AwaitConnected:
		o.Run.PauseHeld = o.Run.PauseHeld || o.pauseUndecided()
		if !o.paused() && o.Platform.Note.Paused != nil {
			o.Agent.Status = maia.StatusPaused
		}
		o.Platform.Instances.State, o.Agent.Connected, o.Run.ConnectedReads = Steady, true, 2
	case Resume:
		o.Run.Resumes++
		o.Run.Refusal = step.Refusal
		o.Agent.Status, o.Agent.PausedUntil, o.Platform.Note.Paused = maia.StatusRunning, time.Time{}, nil
	}
	return o
}

// finishing is what the Finish of a rotation finds that has staged its value: a run of its own, with the outcome noted.
func (o Observation) finishing(now time.Time) Observation {
	valid, _ := o.Valid()
	fingerprint := valid.ClientSecret.Fingerprint()
	sent := o.Run.Sent
	if sent == nil && o.resolved(fingerprint) {
		sent = o.Platform.Note.Intent
	}
	if sent != nil {
		o.Platform.Note.Intent, o.Platform.Note.LastRotation = nil, &Rotation{At: sent.At, Over: sent.Over, New: fingerprint}
	}
	o.Platform.Staged = false
	o.Run = RunState{ID: o.Run.ID, Mode: Finish, Started: now, Deadline: o.Run.Deadline, ConnectedReads: o.Run.ConnectedReads}
	return o
}
