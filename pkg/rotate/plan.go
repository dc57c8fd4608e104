package rotate

import "time"

// Plan is what [Next] would have a run do from here on if every step had the effect that is hoped for, see [After]: up to [Done] or
// [Refuse], or to an [AwaitOutcome] behind which nothing can be foreseen. The plan of a [Stage] goes on with the [Finish] that follows
// it. A wait is as short as it can be.
func Plan(o Observation, p Policy, now time.Time) []Step {
	var steps []Step
	for range maxPlan {
		step := Next(o, p, now)
		if step.Kind == Done && o.Run.Mode == Stage {
			o = After(o, step, p, now).finishing(now)
			continue
		}
		confirms := step.Kind == Pause && o.paused() && o.Run.Pause == PauseShown // a second pass, as those that follow at once
		if last := len(steps) - 1; !confirms && (last < 0 || steps[last].Kind != step.Kind) {
			steps = append(steps, step)
		}
		switch step.Kind {
		case Done, Refuse, AwaitOutcome:
			return steps
		case AwaitDrained, AwaitConnected:
			now = now.Add(pollInterval)
		}
		o = After(o, step, p, now)
	}
	return append(steps, refuse(Errorf(Internal, "the plan has no end")))
}

// maxPlan is more passes of steps than any plan has.
const maxPlan = 40

// finishing is what the Finish of a rotation finds that has staged its value: a run of its own.
func (o Observation) finishing(now time.Time) Observation {
	o.Platform.Staged = false
	o.Run = RunState{
		ID: o.Run.ID, Mode: Finish, Started: now, Deadline: o.Run.Deadline, StoreTime: o.Run.StoreTime, ConnectedReads: o.Run.ConnectedReads,
	}
	return o
}
