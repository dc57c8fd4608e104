package rotate

import (
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// Observation is all that [Next] decides by.
type Observation struct {
	Home  Home
	Agent maia.Agent
	Maia  maia.Credentials // what Maia says it holds; zero if that could not be read
	Run   RunState
}

// RunState is what this run did so far, and how long it may go on. It dies with the run: nothing here is needed by the
// next one.
type RunState struct {
	ID       string // marks this run's intent
	Mode     Mode
	Started  time.Time
	Deadline time.Time // when the run stops itself

	Checked        bool             // Runner.Check has passed
	DrainSince     time.Time        // when waiting for the drain began
	Sent           *Intent          // the refresh that this run sent
	Answer         maia.Credentials // its answer; zero if none came
	Stored         bool             // this run has changed the store, or may have
	Restarts       int              // ordered by this run
	RestartedAt    time.Time        // the last of them
	ConnectedReads int              // reads in a row that said connected, of instances that had settled
	Pauses         int              // PAUSE commands sent
	Resumes        int              // RESUME commands sent
	Refusal        *Error           // decided already; only cleaning up is left
}

// Valid is what Maia accepts now, as far as can be known: a read that still shows a secret that we revoked lags, and is
// overruled by the answer of the refresh, from this run or, through the note, from an earlier one.
func (o Observation) Valid() (maia.Credentials, bool) {
	read := o.Maia.ClientSecret.Fingerprint()
	unread := o.Maia.ClientSecret.IsZero()
	if !o.Run.Answer.ClientSecret.IsZero() && (unread || read == o.Run.Sent.Over) {
		return o.Run.Answer, true
	}
	if rotated := o.Home.Note.Rotated; rotated != nil && (unread || read == rotated.Over) {
		for _, held := range []maia.Credentials{o.Home.Store, o.Home.Pending} {
			if held.ClientSecret.Fingerprint() == rotated.New {
				return held, true
			}
		}
		return maia.Credentials{}, false
	}
	if staged := o.staged(); o.Home.Note.Intent != nil && !o.unsent() && !staged.ClientSecret.IsZero() {
		over := o.Home.Note.Intent.Over
		if (unread || read == over) && staged.ClientSecret.Fingerprint() != over {
			return staged, true // the outcome was staged, and the note was not closed
		}
	}
	return o.Maia, !unread
}

// stored says that the store holds the valid credentials, in all its places.
func (o Observation) stored(valid maia.Credentials) bool {
	return o.Home.Store.Equal(valid) && !o.Home.Unfinished
}

// staged is the value that this rotation has staged; zero if there is none.
func (o Observation) staged() maia.Credentials {
	switch {
	case o.Home.Staged:
		return o.Home.Store
	case o.Run.Mode == Finish:
		return o.Home.Pending
	}
	return maia.Credentials{}
}

// unsent says that the open intent is this run's own and its refresh has not been sent.
func (o Observation) unsent() bool {
	intent := o.Home.Note.Intent
	return intent != nil && intent.By == o.Run.ID && o.Run.Sent == nil
}

// resolved says that an open intent has been carried out: Maia holds something else than it did.
func (o Observation) resolved(valid maia.Fingerprint) bool {
	intent := o.Home.Note.Intent
	return intent != nil && !o.unsent() && intent.Over != valid
}

// unresolved says that a refresh may have been sent, and Maia holds what it did before.
func (o Observation) unresolved(valid maia.Fingerprint) bool {
	intent := o.Home.Note.Intent
	return intent != nil && !o.unsent() && intent.Over == valid
}

// quiet is when the quiet time of the open intent is over.
func (o Observation) quiet(p Policy) (until time.Time, open bool) {
	intent := o.Home.Note.Intent
	if intent == nil {
		return time.Time{}, false
	}
	return intent.At.Add(p.QuietTime), true
}

// ours says that a refresh of ours made this secret: whatever instances ran before it are dead.
func (o Observation) ours(valid maia.Fingerprint) bool {
	rotated := o.Home.Note.Rotated
	return o.Run.Sent != nil && o.Run.Answer.ClientSecret.Fingerprint() == valid ||
		o.resolved(valid) ||
		rotated != nil && rotated.New == valid
}

// agreed says that what Maia says it holds has been seen to be what a store held and a runner connected with.
func (o Observation) agreed() bool {
	note := o.Home.Note
	return note.Applied != "" || note.Intent != nil || note.Rotated != nil
}

// unseen says that no instances have been seen running with the valid secret, and that the ones before are dead or to be
// replaced.
func (o Observation) unseen(valid maia.Fingerprint) bool {
	applied := o.Home.Note.Applied
	return applied != valid && (o.ours(valid) || applied == AppliedNothing)
}

// fresh says that the instances run with the valid secret, or are on the way to. The note knows; where it does not, the
// cloud's clocks tell; where they are not certain, the connection does.
func (o Observation) fresh(valid maia.Fingerprint) bool {
	read := o.Home.Instances.Read
	if read == ReadCurrent {
		return true
	}
	return !o.unseen(valid) && (o.Agent.Connected || read != ReadOlder)
}

// owed says that the runner has yet to be seen back with the valid secret.
func (o Observation) owed(valid maia.Fingerprint) bool {
	return o.Run.Restarts > 0 || o.unseen(valid)
}

// due says that a refresh is wanted.
func (o Observation) due(valid maia.Fingerprint, p Policy, now time.Time) bool {
	if !o.Run.Mode.mayRefresh() || o.Home.Staged || o.Run.Sent != nil || o.resolved(valid) {
		return false
	}
	rotated := o.Home.Note.Rotated
	return p.Every == 0 || rotated == nil || now.Sub(rotated.At) >= p.Every
}

// onlyPending says that what our refresh made is pending and was never where instances read: none can be connected.
func (o Observation) onlyPending() bool {
	rotated := o.Home.Note.Rotated
	return rotated != nil && o.Home.Note.Applied != rotated.New &&
		o.Home.Pending.ClientSecret.Fingerprint() == rotated.New && o.Home.Store.ClientSecret.Fingerprint() == rotated.Over
}

// pausedByUs says that the runner is paused or pausing and that the pause is ours. A pause that the note does not yet
// confirm is: it was written when the runner was not paused, right before the command. Where this run wrote it and has not
// sent the command, somebody else was quicker.
func (o Observation) pausedByUs() bool {
	paused := o.Home.Note.Paused
	if paused == nil || !o.paused() || paused.By == o.Run.ID && !paused.Confirmed && o.Run.Pauses == 0 {
		return false
	}
	return !paused.Confirmed || paused.Until.Equal(o.Agent.PausedUntil.Truncate(time.Millisecond))
}

// besidePause says that another run has noted that it pauses the runner, and may be about to. A second PAUSE would give the
// pause another end than the one that the other run confirms: it would be nobody's, and stay.
func (o Observation) besidePause(now time.Time) bool {
	paused := o.Home.Note.Paused
	return paused != nil && !paused.Confirmed && paused.By != o.Run.ID && now.Before(paused.At.Add(pauseTime))
}

// besideRotation says that another run has noted its pause, and may still be about to refresh. Where this run's own intent
// stands, it is not.
func (o Observation) besideRotation(p Policy, now time.Time) bool {
	note := o.Home.Note
	valid, known := o.Valid()
	refreshed := note.Rotated != nil && !note.Rotated.At.Before(note.Paused.At) || known && o.resolved(valid.ClientSecret.Fingerprint())
	return note.Paused.By != o.Run.ID && !o.unsent() && !refreshed && now.Before(note.Paused.At.Add(p.DrainTimeout+p.darkBudget()))
}

// besideRefresh says, to a healing run, that the run which noted an intent may be in the middle of its refresh, and until
// when at most. It stores the answer itself, sooner than anybody else could. A home where that takes longer has a lock,
// by which the two do not meet.
func (o Observation) besideRefresh() (until time.Time, underWay bool) {
	intent := o.Home.Note.Intent
	if o.Run.Mode != Heal || intent == nil {
		return time.Time{}, false
	}
	return intent.At.Add(maia.RefreshTimeout + storeTimeout), true
}

// darkSince is when a refresh of ours cut off the runner that has not been seen back since; zero if none did.
func (o Observation) darkSince() time.Time {
	note := o.Home.Note
	valid, known := o.Valid()
	fingerprint := valid.ClientSecret.Fingerprint()
	switch {
	case known && note.Applied == fingerprint:
		return time.Time{}
	case o.Run.Sent != nil && (!known || !o.unresolved(fingerprint)):
		return o.Run.Sent.At
	case known && o.resolved(fingerprint):
		return note.Intent.At
	case note.Rotated != nil && note.Applied != note.Rotated.New && (!known || note.Rotated.New == fingerprint):
		return note.Rotated.At
	}
	return time.Time{}
}

// up says that new instances run, and no more are about to.
func (i Instances) up() bool { return i.State == Steady || i.State == Short }

func (o Observation) paused() bool {
	return o.Agent.Status == maia.StatusPaused || o.Agent.Status == maia.StatusPausing
}

// State says where the runner is.
func (o Observation) State() State {
	valid, known := o.Valid()
	fingerprint := valid.ClientSecret.Fingerprint()
	settled := o.Run.Mode == Finish || o.Run.Sent != nil || o.Run.Stored || o.Run.Restarts > 0
	switch {
	case !known:
		return NotStored
	case o.Home.Store.ClientID != valid.ClientID && o.Run.Sent == nil:
		return Unseen
	case o.Run.Sent != nil && o.unresolved(fingerprint):
		return Unresolved
	case o.Home.Staged && o.Home.Store.Equal(valid), o.Home.Pending.Equal(valid):
		return OnlyStaged
	case !o.stored(valid):
		return NotStored
	case !o.fresh(fingerprint):
		return NotMoved
	case !o.Agent.Connected && o.owed(fingerprint):
		return NotBack
	case !o.Agent.Connected:
		return Dark
	case !settled:
		return Unchanged
	case o.pausedByUs():
		return StillPaused
	}
	return Back
}
