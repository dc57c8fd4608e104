package rotate

import (
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// PauseState says whose the runner's pause is.
type PauseState int

// The answers.
const (
	NotPaused      PauseState = iota
	PauseHidden               // by the note we paused the runner, and Maia's status says neither that it is paused nor that it runs
	PauseOurs                 // ours to take back
	PauseUnclear              // by the note we paused the runner, and nothing shows whether this is that pause
	PauseOperators            // an operator's: it stays
)

// PauseCommand says how far a PAUSE of this run's has come.
type PauseCommand int

// The stages of a PAUSE. One that has not shown may yet take effect.
const (
	PauseNotSent  PauseCommand = iota
	PauseSent                  // whether Maia has accepted it is not known
	PauseAccepted              // by Maia
	PauseShown                 // Maia has shown the runner paused since
)

// PauseReads is what the reads of one run have shown of the runner's pause and its end. Whether Maia's pausedUntil stands still is
// not documented: only by a value that was seen to do so can one pause be known from another.
type PauseReads struct {
	Since   time.Time // when this run first read that the runner is paused; zero: it has not
	Until   time.Time // of the last read that counts
	At      time.Time // when that was
	Stands  bool      // the last two reads showed the same end
	Changes int       // how often the end has changed since it last stood still
	Drained bool      // the last read was of a runner that is paused, not pausing
	// Before and After are the ends before and after pausing became paused, if the former stood still: Maia may compute it anew then.
	Before, After time.Time
}

// readsApart is how far apart two reads must be to show that an end stands still: one in whole seconds may seem to.
const readsApart = 1500 * time.Millisecond

// next is what is known after one more read.
func (r PauseReads) next(until, at time.Time, drained bool) PauseReads {
	until = until.Truncate(time.Millisecond)
	read := PauseReads{Since: r.Since, Until: until, At: at, Drained: drained, Before: r.Before, After: r.After}
	switch {
	case r.Since.IsZero():
		read.Since = at
	case drained && !r.Drained && r.Stands:
		read.Before, read.After = r.Until, until
	case !r.Until.Equal(until):
		read.Changes = r.Changes + 1
	case at.Sub(r.At) < readsApart:
		return r
	default:
		read.Stands = !until.IsZero()
	}
	return read
}

// whosePause decides by the pause's end. If the end stood still when our pause was noted, another end means another pause, an
// operator's, with two exceptions: if we have cut the runner off since, Maia may have set another end, and the pause counts as
// ours; if the end has moved on with the clock, nothing shows whose it is. If ends do not stand still, the note alone decides,
// for no longer than a rotation may take. A note that was never confirmed claims a pause for as long as the pause may take to
// show.
func (f *facts) whosePause() PauseState {
	own := f.Platform.Note.Paused
	switch {
	case !f.paused() && own != nil && f.Agent.Status != maia.StatusRunning:
		return PauseHidden
	case !f.paused():
		return NotPaused
	case own == nil, own.By == f.Run.ID && !own.Confirmed && f.Run.Pause == PauseNotSent: // another was quicker
		return PauseOperators
	case f.Run.PauseKept != NotPaused:
		return f.Run.PauseKept
	case !own.Confirmed && (own.By == f.Run.ID || f.pausedSince().Before(own.At.Add(pauseTime))):
		return PauseOurs
	case !own.Confirmed:
		return PauseUnclear
	}
	until := f.Agent.PausedUntil.Truncate(time.Millisecond)
	standsElsewhere := own.Stands && !until.IsZero() || f.Run.PauseReads.Stands && !own.Until.IsZero()
	switch {
	case !until.IsZero() && (own.Until.Equal(until) || f.drainedTo(own.Until, until)), f.cutOffSince(own.At):
		return PauseOurs
	case standsElsewhere && mayBeComputedAnew(own.Until, until, f.now.Sub(own.At)):
		return PauseUnclear
	case standsElsewhere:
		return PauseOperators
	case f.now.Before(own.At.Add(f.rotationBudget())):
		return PauseOurs
	}
	return PauseUnclear
}

// mayBeComputedAnew reports whether Maia may have computed an end anew from the time of the read, as it does if it rounds or
// caches for a while: the end has moved on by no more than the time that has passed, rounded up to an hour.
func mayBeComputedAnew(noted, until time.Time, passed time.Duration) bool {
	moved := until.Sub(noted)
	return !noted.IsZero() && moved > 0 && moved <= passed+time.Hour
}

// drainedTo reports whether an end became another just when pausing became paused.
func (o *Observation) drainedTo(before, after time.Time) bool {
	reads := o.Run.PauseReads
	return !reads.Before.IsZero() && reads.Before.Equal(before) && reads.After.Equal(after)
}

// pausedSince is since when the runner is paused, as far as this run has seen.
func (f *facts) pausedSince() time.Time {
	if since := f.Run.PauseReads.Since; !since.IsZero() {
		return since
	}
	return f.now
}

// pauseUndecided reports whether the pause has another end than the noted one, and one more read would show whether that end
// stands still, as an operator's does.
func (o *Observation) pauseUndecided() bool {
	own, reads := o.Platform.Note.Paused, o.Run.PauseReads
	until := o.Agent.PausedUntil.Truncate(time.Millisecond)
	return own != nil && own.Confirmed && !own.Stands && !own.Until.IsZero() && !until.IsZero() && o.Run.PauseKept != PauseOurs &&
		!own.Until.Equal(until) && !o.drainedTo(own.Until, until) && !reads.Stands && reads.Changes < 2
}

// cutOffSince reports whether a refresh or a restart of ours has cut the runner off after this time, in the time that a rotation
// may take, and the runner was not seen back.
func (f *facts) cutOffSince(at time.Time) bool {
	note := f.Platform.Note
	within := func(when time.Time) bool { return !when.Before(at) && when.Before(at.Add(f.rotationBudget())) }
	if ordered := note.Ordered; ordered != nil && within(ordered.At) {
		return true
	}
	if rotated := note.LastRotation; rotated != nil && within(rotated.At) && note.Applied != rotated.New {
		return true
	}
	return f.intent == intentCarriedOut && within(note.Intent.At) && note.Applied != f.fingerprint
}

// mayBePaused reports whether the runner is paused by this run, or a PAUSE of its may still take effect.
func (f *facts) mayBePaused() bool {
	own := f.Platform.Note.Paused
	return f.Run.Pause != PauseNotSent && own != nil && f.pause != PauseOperators && (f.pause != NotPaused || !own.shown())
}

// concurrentPause reports whether another run has recorded its intent to pause, and may be about to. A second PAUSE would give the
// pause another end than the one that the other run confirms: neither run would take it back.
func (f *facts) concurrentPause() bool {
	paused := f.Platform.Note.Paused
	return paused != nil && !paused.Confirmed && paused.By != f.Run.ID && f.now.Before(paused.At.Add(pauseTime))
}

// concurrentRotation reports whether another run has noted its pause, and may still be about to refresh. It may not where this
// run's own intent stands.
func (f *facts) concurrentRotation() bool {
	note := f.Platform.Note
	if note.Paused == nil || f.Platform.Free || note.Paused.By == f.Run.ID || f.unsent() {
		return false
	}
	refreshed := note.LastRotation != nil && !note.LastRotation.At.Before(note.Paused.At) || f.intent == intentCarriedOut
	return !refreshed && f.now.Before(note.Paused.At.Add(f.rotationBudget()))
}

// endPause resumes a runner that is back from our pause; decided is false if there is nothing left to resume.
func (f *facts) endPause() (step Step, decided bool) {
	switch f.pause {
	case PauseOurs:
		if f.pauseUndecided() && f.left() > 0 {
			return Step{Kind: AwaitConnected, Reason: "the end of the pause is another: whose pause it is shows in whether it stands still"}, true
		}
		reason, resume := f.mayResume(false)
		switch {
		case !resume:
			return Step{}, false
		case f.Run.Resumes >= maxTries:
			return refuse(Errorf(Vendor, "the runner stays paused after %d RESUME commands", f.Run.Resumes).
				WithHint(resumeByHand, f.Agent.ID)), true
		}
		return Step{Kind: Resume, Reason: reason}, true
	case PauseHidden:
		if f.now.Before(f.waitingSince().Add(f.policy.ConnectTimeout)) && f.left() > 0 {
			return Step{Kind: AwaitConnected, Reason: "Maia does not say yet whether the runner is paused still"}, true
		}
		return Step{Kind: Done, Reason: "the runner is back, and may be paused", Refusal: f.leftPaused()}, true
	case PauseUnclear:
		if f.Run.Mode != Heal || !f.concurrentRotation() {
			return Step{Kind: Done, Reason: "the runner is back, and left paused", Refusal: f.leftPaused()}, true
		}
	}
	return Step{}, false
}

// mayResume reports whether this run may resume the runner from our pause. It may not while a refresh may be under way: a
// concurrent run's, or one that was sent and may still be carried out. A run that gives up leaves the pause to a concurrent run,
// which may have overtaken it.
func (f *facts) mayResume(givingUp bool) (reason string, resume bool) {
	if (f.Run.Mode == Heal || givingUp) && f.concurrentRotation() {
		return "paused for a rotation that may be under way", false
	}
	if f.Run.Mode != Finish && f.mayBeCarriedOut() {
		return "paused for a refresh that may be under way", false
	}
	return "the pause was ours and is over", true
}

// confirmed is our pause as Maia shows it now.
func (o *Observation) confirmed() *OwnPause {
	paused, until := *o.Platform.Note.Paused, o.Agent.PausedUntil.Truncate(time.Millisecond)
	paused.Stands = paused.Stands && paused.Until.Equal(until) || o.Run.PauseReads.Stands && o.Run.PauseReads.Until.Equal(until)
	paused.Confirmed, paused.Until = true, until
	return &paused
}

// leftPaused is the error of a run that would end with a runner that is, or may be, paused, without knowing whose the pause is.
func (o *Observation) leftPaused() *Error {
	own := o.Platform.Note.Paused
	if !o.paused() {
		return Errorf(NotReady, "the runner may be left paused: it was paused by us at %s, and Maia says that its status is %q",
			own.At.UTC().Format(time.RFC3339), o.Agent.Status).
			WithHint("nothing: the next run reads it again; if this repeats, "+resumeByHand, o.Agent.ID)
	}
	return Errorf(NotReady,
		"the runner is left paused: a pause was sent at %s by a run of ours, and nothing shows whether this is that pause or an operator's",
		own.At.UTC().Format(time.RFC3339)).
		WithHint("if no operator has paused it, "+resumeByHand, o.Agent.ID)
}

// resumeByHand is how a person resumes a runner that is left paused; its verb is the agent's ID.
const resumeByHand = `resume it in Maia's console, or by POST /v1/agents/%s/commands with {"command":"RESUME"}`

// readPause takes a read of the agent into account.
func (r *RunState) readPause(agent maia.Agent, at time.Time) {
	switch {
	case agent.Status == maia.StatusPaused || agent.Status == maia.StatusPausing:
		r.PauseReads = r.PauseReads.next(agent.PausedUntil, at, agent.Status == maia.StatusPaused)
	case agent.Connected && agent.Status == maia.StatusRunning: // whatever pause there was is over
		r.PauseReads, r.PauseKept = PauseReads{}, NotPaused
	}
}

// drains notes when this run began to wait for the drain.
func (r *RunState) drains(now time.Time) {
	if r.DrainSince.IsZero() {
		r.DrainSince = now
	}
}
