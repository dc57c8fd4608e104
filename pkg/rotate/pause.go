package rotate

import (
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// pauseState says whose the runner's pause is.
type pauseState int

const (
	notPaused      pauseState = iota
	pauseHidden               // the note says that we paused the runner, and Maia's status says neither that it is paused nor that it runs
	pauseOurs                 // ours to take back
	pauseUnclear              // the note says that we paused the runner, and whether this is that pause cannot be told
	pauseOperators            // an operator's: it stays
)

// PauseReads is what the reads of one run have shown of the runner's pause and its end. Whether Maia's pausedUntil stands still is
// not documented: only a value that was seen to do so tells one pause from another.
type PauseReads struct {
	Since   time.Time // when this run first read that the runner is paused; zero: it has not
	Until   time.Time // of the last read that counts
	At      time.Time // when that was
	Stands  bool      // the last two reads showed the same
	Changes int       // how often it was another than before, since it stood still
	Drained bool      // the last read was of a runner that is paused, not pausing
	// Before and After are the ends on both sides of the moment at which pausing became paused, if the former stood still: Maia may
	// compute it anew then.
	Before, After time.Time
}

// readsApart is how far apart two reads must be to show that a value stands still: one in whole seconds may seem to.
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

// pause reports whose the runner's pause is. A value that stood still when our pause was noted decides, unless our own restart
// has cut the runner off since, by which it may have changed, or it has moved on with the clock: then nothing tells. Where it does not
// stand still, the note alone says whose the pause is, for no longer than a rotation may take. A note that was never confirmed claims a
// pause for as long as that may take to show.
func (o Observation) pause(p Policy, now time.Time) pauseState {
	own := o.Platform.Note.Paused
	switch {
	case !o.paused() && own != nil && o.Agent.Status != maia.StatusRunning:
		return pauseHidden
	case !o.paused():
		return notPaused
	case own == nil, own.By == o.Run.ID && !own.Confirmed && o.Run.Pauses == 0: // another was quicker
		return pauseOperators
	case o.Run.PauseLeft:
		return pauseOperators
	case o.Run.PauseDoubt:
		return pauseUnclear
	case o.Run.PauseHeld:
		return pauseOurs
	case !own.Confirmed && (own.By == o.Run.ID || o.pausedSince(now).Before(own.At.Add(pauseTime))):
		return pauseOurs
	case !own.Confirmed:
		return pauseUnclear
	}
	until := o.Agent.PausedUntil.Truncate(time.Millisecond)
	standsElsewhere := own.Stands && !until.IsZero() || o.Run.PauseReads.Stands && !own.Until.IsZero()
	switch {
	case !until.IsZero() && (own.Until.Equal(until) || o.drainedTo(own.Until, until)), o.cutOffSince(own.At, p):
		return pauseOurs
	case standsElsewhere && mayBeComputedAnew(own.Until, until, now.Sub(own.At)):
		return pauseUnclear
	case standsElsewhere:
		return pauseOperators
	case now.Before(own.At.Add(p.rotationBudget())):
		return pauseOurs
	}
	return pauseUnclear
}

// mayBeComputedAnew reports whether an end differs from the noted one by so little that Maia may have computed it anew from the time
// of the read, as one that is rounded or cached for a while would be: it has moved on by no more than the time that has passed, rounded
// up to an hour.
func mayBeComputedAnew(noted, until time.Time, passed time.Duration) bool {
	moved := until.Sub(noted)
	return !noted.IsZero() && moved > 0 && moved <= passed+time.Hour
}

// drainedTo reports whether an end became another just when pausing became paused.
func (o Observation) drainedTo(before, after time.Time) bool {
	reads := o.Run.PauseReads
	return !reads.Before.IsZero() && reads.Before.Equal(before) && reads.After.Equal(after)
}

// pausedSince is since when the runner is paused, as far as this run has seen.
func (o Observation) pausedSince(now time.Time) time.Time {
	if since := o.Run.PauseReads.Since; !since.IsZero() {
		return since
	}
	return now
}

// pauseUndecided reports whether one more read would show whether the end of a pause that we have noted stands still elsewhere, as
// an operator's does, or moves.
func (o Observation) pauseUndecided() bool {
	own, reads := o.Platform.Note.Paused, o.Run.PauseReads
	until := o.Agent.PausedUntil.Truncate(time.Millisecond)
	return own != nil && own.Confirmed && !own.Stands && !own.Until.IsZero() && !until.IsZero() && !o.Run.PauseHeld &&
		!own.Until.Equal(until) && !o.drainedTo(own.Until, until) && !reads.Stands && reads.Changes < 2
}

// pausedByUs reports whether the runner is paused or pausing and the pause is ours.
func (o Observation) pausedByUs(p Policy, now time.Time) bool { return o.pause(p, now) == pauseOurs }

// cutOffSince reports whether a refresh or a restart of ours has cut the runner off after a time, within a rotation's, and it was not
// seen back.
func (o Observation) cutOffSince(at time.Time, p Policy) bool {
	note, within := o.Platform.Note, func(when time.Time) bool { return !when.Before(at) && when.Before(at.Add(p.rotationBudget())) }
	if ordered := note.Ordered; ordered != nil && within(ordered.At) {
		return true
	}
	if rotated := note.LastRotation; rotated != nil && within(rotated.At) && note.Applied != rotated.New {
		return true
	}
	valid, known := o.Valid()
	fingerprint := valid.ClientSecret.Fingerprint()
	return known && o.resolved(fingerprint) && within(note.Intent.At) && note.Applied != fingerprint
}

// mayBePaused reports whether the runner is paused by this run, or a PAUSE of its may still take effect.
func (o Observation) mayBePaused(pause pauseState) bool {
	own := o.Platform.Note.Paused
	return o.Run.Pauses > 0 && own != nil && pause != pauseOperators && (pause != notPaused || !own.shown())
}

// concurrentPause reports whether another run has noted that it pauses the runner, and may be about to. A second PAUSE would
// give the pause another end than the one that the other run confirms: it would be nobody's, and stay.
func (o Observation) concurrentPause(now time.Time) bool {
	paused := o.Platform.Note.Paused
	return paused != nil && !paused.Confirmed && paused.By != o.Run.ID && now.Before(paused.At.Add(pauseTime))
}

// concurrentRotation reports whether another run has noted its pause, and may still be about to refresh. Where this run's own
// intent stands, it is not.
func (o Observation) concurrentRotation(p Policy, now time.Time) bool {
	note := o.Platform.Note
	if note.Paused == nil || o.Platform.Free || note.Paused.By == o.Run.ID || o.unsent() {
		return false
	}
	valid, known := o.Valid()
	refreshed := note.LastRotation != nil && !note.LastRotation.At.Before(note.Paused.At) || known && o.resolved(valid.ClientSecret.Fingerprint())
	return !refreshed && now.Before(note.Paused.At.Add(p.rotationBudget()))
}

// confirmed is our pause as Maia shows it now.
func (o Observation) confirmed() *OwnPause {
	paused, until := *o.Platform.Note.Paused, o.Agent.PausedUntil.Truncate(time.Millisecond)
	paused.Stands = paused.Stands && paused.Until.Equal(until) || o.Run.PauseReads.Stands && o.Run.PauseReads.Until.Equal(until)
	paused.Confirmed, paused.Until = true, until
	return &paused
}

// leftPaused is the error of a run that would end over a pause of which it cannot tell whose it is, or whether it is.
func (o Observation) leftPaused() *Error {
	own := o.Platform.Note.Paused
	if !o.paused() {
		return Errorf(NotReady, "the runner may be left paused: it was paused by us at %s, and Maia says that its status is %q",
			own.At.UTC().Format(time.RFC3339), o.Agent.Status).
			WithHint("nothing: the next run reads it again; if this repeats, "+resumeByHand, o.Agent.ID)
	}
	return Errorf(NotReady, "the runner is left paused: a pause was sent at %s by a run of ours, and whether this is that pause or an operator's cannot be told",
		own.At.UTC().Format(time.RFC3339)).
		WithHint("if no operator has paused it, "+resumeByHand, o.Agent.ID)
}

// resumeByHand is what a person does about a runner that is left paused; it wants the agent's ID.
const resumeByHand = `resume it in Maia's console, or by POST /v1/agents/%s/commands with {"command":"RESUME"}`

// readPause takes a read of the agent into account.
func (r *RunState) readPause(agent maia.Agent, at time.Time) {
	switch {
	case agent.Status == maia.StatusPaused || agent.Status == maia.StatusPausing:
		r.PauseReads = r.PauseReads.next(agent.PausedUntil, at, agent.Status == maia.StatusPaused)
	case agent.Connected && agent.Status == maia.StatusRunning: // whatever pause there was is over
		r.PauseReads, r.PauseHeld, r.PauseLeft, r.PauseDoubt = PauseReads{}, false, false, false
	}
}
