package rotate

import (
	"cmp"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// After is the observation to which a step leads if it succeeds and the reads that follow show what is hoped for. The engine goes
// on with it where it does not read anew; [Plan] goes on with it alone. Two steps take two passes: Pause is sent, and then
// confirmed in the note; Refresh is announced in the note, and then sent.
func After(o Observation, step Step, p Policy, now time.Time) Observation {
	f := o.facts(p, now)
	note := &o.Platform.Note
	switch step.Kind {
	case Check:
		o.Run.Checked = true
	case Pause:
		if o.paused() {
			note.Paused = o.confirmed()
			break
		}
		note.Paused = &OwnPause{At: noted(now), By: o.Run.ID}
		if o.Run.Mode == Rotate {
			note.Tried = note.Paused.At
		}
		o.Run.Pause = PauseShown
		o.Run.drains(now)
		o.Agent.Status, o.Agent.PausedUntil = maia.StatusPausing, time.Time{}
	case AwaitDrained:
		o.Run.drains(now)
		o.Agent.Status, o.Agent.Connected = maia.StatusPaused, true
		o.Run.readPause(o.Agent, now)
	case Refresh:
		return f.afterRefresh()
	case Store:
		return f.afterStore(step)
	case Restart:
		*note = f.settledNote()
		note.Ordered = &Order{At: noted(now), For: f.inStore}
		o.Run.PauseKept = f.keptPause()
		o.Run.Restarts++
		o.Run.RestartedAt, o.Run.ConnectedReads = now, 0
		o.Platform.Instances.State, o.Platform.Instances.Read = Rolling, ReadCurrent
	case AwaitConnected:
		o.Platform.Instances.State, o.Agent.Connected = Steady, true
		o.Run.ConnectedReads++
		if f.pause == PauseHidden {
			o.Agent.Status = maia.StatusPaused
		}
		o.Run.readPause(o.Agent, now)
	case Resume:
		if step.Refusal == nil && o.Run.Mode != Stage {
			o = f.afterDone()
		}
		o.Platform.Note.Paused = nil
		o.Run.Refusal = step.Refusal
		o.Run.Resumes++
		o.Agent.Status, o.Agent.PausedUntil = maia.StatusRunning, time.Time{}
		o.Run.readPause(o.Agent, now)
	case Done:
		return f.afterDone()
	}
	return o
}

// intentTime is how long after its intent was noted a refresh may be sent: the quiet time counts from the note.
const intentTime = time.Minute

// announced reports whether the noted intent is this run's, names the secret that Maia holds now, and is not too old. Later runs
// need such an intent: it shows them whether the refresh was carried out, and until when it may be.
func (f *facts) announced() bool {
	intent := f.Platform.Note.Intent
	if request := f.requested(); request != nil && f.intent == intentUnsent && intent.Answers != request.ID {
		return false // it was asked for since
	}
	return f.intent == intentUnsent && intent.Over == f.Maia.ClientSecret.Fingerprint() && f.now.Sub(intent.At) < intentTime
}

// expected stands for the secret that a refresh will make.
const expected = "the secret that Maia will make"

func (f *facts) afterRefresh() Observation {
	if f.announced() {
		return f.afterSending()
	}
	o := f.Observation
	note := &o.Platform.Note
	note.Intent = &Intent{At: noted(f.now), Over: o.Maia.ClientSecret.Fingerprint(), By: o.Run.ID}
	if request := o.requested(); request != nil {
		note.Intent.Answers = request.ID
	}
	switch f.pause {
	case PauseOperators:
		note.Paused = nil
	case PauseOurs:
		note.Paused = o.confirmed()
	}
	return o
}

func (f *facts) afterSending() Observation {
	o := f.Observation
	intent := o.Platform.Note.Intent
	o.Run.PauseKept = f.keptPause()
	o.Run.Sent = &Intent{At: noted(f.now), Over: intent.Over, By: intent.By, Answers: intent.Answers}
	o.Run.Answer = maia.Credentials{ClientID: f.valid.ClientID, ClientSecret: maia.NewSecret(expected)}
	o.Maia, o.Agent.Connected = o.Run.Answer, false
	return o
}

// keptPause is what a run remembers of the pause when it cuts the runner off: from then on Maia may show another end for it.
func (f *facts) keptPause() PauseState {
	switch {
	case f.pause == PauseOperators && f.Platform.Note.Paused == nil:
		return NotPaused
	case f.pause == PauseHidden, f.pause == NotPaused:
		return f.Run.PauseKept
	}
	return f.pause
}

// afterStore goes on with instances that have read what was in the store before: whatever starts from now on reads the new value,
// and nothing has started yet. A run that has time reads the platform again.
func (f *facts) afterStore(step Step) Observation {
	if f.storeHolds() { // only the platform's record of it was not complete
		o := f.afterDone()
		o.Run.Recorded, o.Platform.Unrecorded = true, ""
		return o
	}
	o := f.Observation
	if step.Owes {
		o.Platform.Note.Applied = AppliedNothing
	}
	if !o.Platform.Stored.Equal(step.Credentials) {
		o.Platform.Note.Ordered = nil // it does not stand for what is stored now
		o.Platform.Instances.Read = ReadOlder
	}
	o.Platform.Stored, o.Platform.Pending, o.Platform.Unfinished = step.Credentials, maia.Credentials{}, false
	o.Platform.Staged = o.Run.Mode == Stage
	o.Run.StoreChanged = true
	if f.ours() {
		o.Run.ConnectedReads = 0 // the refresh has cut the runner off, whether a read has shown it or not
	}
	return o
}

// afterDone notes the outcome of a refresh, and, but for [Stage], that the instances run with what is valid.
func (f *facts) afterDone() Observation {
	o := f.Observation
	o.Platform.Note = f.settledNote()
	if o.Run.Mode == Stage {
		return o
	}
	o.Platform.Note.Applied, o.Platform.Note.Ordered = f.fingerprint, nil
	o.Platform.Note.Paused, o.Run.PauseKept = f.settledPause()
	return o
}

// settledNote is the note with an intent closed whose outcome is known, or that was never sent.
func (f *facts) settledNote() Note {
	note := f.Platform.Note
	switch f.intent {
	case intentUnsent:
		note.Intent = nil
	case intentCarriedOut:
		sent := note.Intent
		if f.Run.Sent != nil {
			sent = f.Run.Sent
		}
		rotation := &Rotation{At: sent.At, Over: sent.Over, New: f.fingerprint, Answers: sent.Answers}
		if last := note.LastRotation; last != nil {
			rotation.Answers = cmp.Or(sent.Answers, last.Answers)
		}
		note.Intent, note.Tried, note.LastRotation = nil, time.Time{}, rotation
	case intentOpen:
		if !f.mayBeCarriedOut() {
			note.Intent = nil
		}
	}
	return note
}

// settledPause is what the note is to say of the pause of a runner that was seen back, and what the run remembers of it. A pause
// of ours stays ours, though the note says from now on that the runner is back.
func (f *facts) settledPause() (*OwnPause, PauseState) {
	own, kept := f.Platform.Note.Paused, f.Run.PauseKept
	if own == nil {
		return nil, kept
	}
	switch f.pause {
	case PauseOurs:
		until := f.Agent.PausedUntil.Truncate(time.Millisecond)
		if own.Confirmed && own.Until.Equal(until) && !until.IsZero() {
			return own, NotPaused
		}
		if own = f.confirmed(); own.Stands {
			return own, NotPaused
		}
		return own, PauseOurs
	case PauseUnclear, PauseHidden:
		return own, kept
	case NotPaused:
		if !own.shown() && own.By != f.Run.ID && f.now.Before(own.At.Add(pauseTime+maxHeldUp)) {
			return own, kept // it may take effect still, or have done so since the agent was read
		}
	}
	if f.Run.Mode == Heal && f.concurrentRotation() {
		return own, kept
	}
	return nil, kept
}

// noted is a time as notes hold it.
func noted(at time.Time) time.Time { return at.UTC().Truncate(time.Millisecond) }
