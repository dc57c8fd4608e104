package rotate

import (
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// Observation is all that [Next] decides by.
type Observation struct {
	Platform Platform
	Agent    maia.Agent
	Maia     maia.Credentials // what Maia says it holds; zero if that could not be read
	Run      RunState
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
	StoreChanged   bool             // this run has changed the store, or may have
	Restarts       int              // ordered by this run
	RestartedAt    time.Time        // the last of them
	ConnectedReads int              // reads in a row that said connected, of instances that had settled
	Pauses         int              // PAUSE commands sent
	Resumes        int              // RESUME commands sent
	PauseReads     PauseReads       // of the pause that is on
	PauseHeld      bool             // the pause was ours when this run cut the runner off, and has not ended since
	PauseLeft      bool             // the pause was an operator's when this run cut the runner off, and has not ended since
	PauseDoubt     bool             // whose the pause was could not be told when this run cut the runner off, and it has not ended since
	Recorded       bool             // this run has tried to complete what the platform keeps beside the store
	Refusal        *Error           // decided already; only cleaning up is left
}

// Valid is what Maia accepts now, as far as can be known: a read that shows a secret which was replaced since lags, or went back,
// and is overruled by what replaced it: the answer of this run's refresh, or, through the note, what an earlier run refreshed or
// adopted.
func (o Observation) Valid() (maia.Credentials, bool) {
	read := o.Maia.ClientSecret.Fingerprint()
	unread := o.Maia.ClientSecret.IsZero()
	if answer := o.Run.Answer; !answer.ClientSecret.IsZero() && (unread || o.newest(read) == answer.ClientSecret.Fingerprint()) {
		return answer, true
	}
	if rotated := o.Platform.Note.LastRotation; rotated != nil && unread {
		return o.held(o.newest(rotated.Over))
	}
	if newest := o.newest(read); newest != read && !unread {
		return o.held(newest)
	}
	if staged := o.staged(); o.Platform.Note.Intent != nil && !o.unsent() && !staged.ClientSecret.IsZero() {
		over := o.Platform.Note.Intent.Over
		if (unread || read == over) && staged.ClientSecret.Fingerprint() != over {
			return staged, true // the outcome was staged, and the note was not closed
		}
	}
	return o.Maia, !unread
}

// newest follows a secret to the one that is known to have replaced it last.
func (o Observation) newest(secret maia.Fingerprint) maia.Fingerprint {
	for range 3 { // a rotation, an adoption, and this run's refresh, in any order
		switch note := o.Platform.Note; {
		case o.Run.Sent != nil && !o.Run.Answer.ClientSecret.IsZero() && secret == o.Run.Sent.Over:
			secret = o.Run.Answer.ClientSecret.Fingerprint()
		case note.LastRotation != nil && secret == note.LastRotation.Over:
			secret = note.LastRotation.New
		case note.superseded(secret) && o.overrules(*note.Adopted):
			secret = note.Adopted.New
		default:
			return secret
		}
	}
	return secret
}

// goesBack is for how long after an adoption a read may still show what was before.
const goesBack = time.Hour

// overrules reports whether what was adopted counts more than a read of what was before. It was not made by us: the connection of the
// runner proves it, and so does a refresh of ours that replaced it; without these it is believed for a while only.
func (o Observation) overrules(adopted Adoption) bool {
	note := o.Platform.Note
	return o.Agent.Connected && note.Applied == adopted.New || note.LastRotation != nil && note.LastRotation.Over == adopted.New ||
		o.Run.Started.Before(adopted.At.Add(goesBack))
}

// held is the credentials with a fingerprint, if the store holds them or they are staged.
func (o Observation) held(secret maia.Fingerprint) (maia.Credentials, bool) {
	for _, held := range []maia.Credentials{o.Platform.Stored, o.Platform.Pending} {
		if held.ClientSecret.Fingerprint() == secret {
			return held, true
		}
	}
	return maia.Credentials{}, false
}

// doubtTime is how long a run reads a doubtful secret again before it believes it.
const doubtTime = time.Minute

// doubtful reports whether what Maia shows is more likely a stale read than a refresh by another writer: that would have cut the
// runner off, which is connected with what the store holds.
func (o Observation) doubtful(valid maia.Fingerprint) bool {
	return o.Agent.Connected && !o.ours(valid) && o.Platform.Note.Applied == o.Platform.Stored.ClientSecret.Fingerprint() && o.Platform.Note.Applied != valid
}

// adoption is what the note is to say of a value of Maia's that no refresh of ours has made; nil if it says so already, or
// nothing is known of what was before.
func (o Observation) adoption(valid maia.Fingerprint, at time.Time) *Adoption {
	note := o.Platform.Note
	over := note.Applied
	if over == "" || over == AppliedNothing {
		over = o.Platform.Stored.ClientSecret.Fingerprint()
	}
	over = o.newest(over)
	if over == valid || o.ours(valid) || note.Adopted != nil && note.Adopted.New == valid {
		return nil
	}
	return &Adoption{At: at, Over: over, New: valid}
}

// storeHolds reports whether the store holds the valid credentials, in all its places.
func (o Observation) storeHolds(valid maia.Credentials) bool {
	return o.Platform.Stored.Equal(valid) && !o.Platform.Unfinished
}

// staged is the value that this rotation has staged; zero if there is none.
func (o Observation) staged() maia.Credentials {
	switch {
	case o.Platform.Staged:
		return o.Platform.Stored
	case o.Run.Mode == Finish:
		return o.Platform.Pending
	}
	return maia.Credentials{}
}

// unsent says that the open intent is this run's own and its refresh has not been sent.
func (o Observation) unsent() bool {
	intent := o.Platform.Note.Intent
	return intent != nil && intent.By == o.Run.ID && o.Run.Sent == nil
}

// resolved says that an open intent has been carried out: Maia holds something else than it did.
func (o Observation) resolved(valid maia.Fingerprint) bool {
	intent := o.Platform.Note.Intent
	return intent != nil && !o.unsent() && intent.Over != valid
}

// unresolved says that a refresh may have been sent, and Maia holds what it did before.
func (o Observation) unresolved(valid maia.Fingerprint) bool {
	intent := o.Platform.Note.Intent
	return intent != nil && !o.unsent() && intent.Over == valid
}

// quiet is when the quiet time of the open intent is over.
func (o Observation) quiet(p Policy) (until time.Time, open bool) {
	intent := o.Platform.Note.Intent
	if intent == nil {
		return time.Time{}, false
	}
	return intent.At.Add(p.QuietTime), true
}

// ours says that a refresh of ours made this secret: whatever instances ran before it are dead.
func (o Observation) ours(valid maia.Fingerprint) bool {
	rotated := o.Platform.Note.LastRotation
	return o.Run.Sent != nil && o.Run.Answer.ClientSecret.Fingerprint() == valid ||
		o.resolved(valid) ||
		rotated != nil && rotated.New == valid
}

// agreed says that what Maia says it holds has been seen to be what a store held and a runner connected with.
func (o Observation) agreed() bool {
	note := o.Platform.Note
	return note.Applied != "" || note.Intent != nil || note.LastRotation != nil
}

// unseen says that no instances have been seen running with the valid secret, and that the ones before are dead or to be
// replaced.
func (o Observation) restartOwed(valid maia.Fingerprint) bool {
	applied := o.Platform.Note.Applied
	return applied != valid && (o.ours(valid) || applied == AppliedNothing)
}

// fresh says that the instances run with the valid secret, or are on the way to. The note knows; where it does not, the
// cloud's clocks tell; where they are not certain, the connection does.
func (o Observation) fresh(valid maia.Fingerprint) bool {
	read := o.Platform.Instances.Read
	if read == ReadCurrent {
		return true
	}
	return !o.restartOwed(valid) && (o.Agent.Connected || read != ReadOlder)
}

// owed says that the runner has yet to be seen back with the valid secret.
func (o Observation) owed(valid maia.Fingerprint) bool {
	return o.Run.Restarts > 0 || o.restartOwed(valid)
}

// due says that a refresh is wanted.
func (o Observation) due(valid maia.Fingerprint, p Policy, now time.Time) bool {
	if !o.Run.Mode.mayRefresh() || o.Platform.Staged || o.Platform.Unrecorded != "" || o.Run.Sent != nil || o.resolved(valid) {
		return false
	}
	rotated := o.Platform.Note.LastRotation
	if rotated != nil && rotated.New == valid && o.Platform.Note.Applied != valid {
		return false // this run ends the rotation that an earlier one has begun
	}
	return p.Every == 0 || rotated == nil || now.Sub(rotated.At) >= p.Every
}

// onlyPending says that what our refresh made is pending and was never where instances read: none can be connected.
func (o Observation) onlyPending() bool {
	rotated := o.Platform.Note.LastRotation
	return rotated != nil && o.Platform.Note.Applied != rotated.New &&
		o.Platform.Pending.ClientSecret.Fingerprint() == rotated.New && o.Platform.Stored.ClientSecret.Fingerprint() == rotated.Over
}

// concurrentRefresh says, to a healing run, that the run which noted an intent may be in the middle of its refresh, and until
// when at most. It stores the answer itself, sooner than anybody else could. A home where that takes longer has a lock,
// by which the two do not meet.
func (o Observation) concurrentRefresh() (until time.Time, underWay bool) {
	intent := o.Platform.Note.Intent
	if o.Run.Mode != Heal || intent == nil || o.Platform.Free {
		return time.Time{}, false
	}
	return intent.At.Add(maia.RefreshTimeout + storeTimeout), true
}

// downSince is when a refresh of ours cut off the runner that has not been seen back since; zero if none did.
func (o Observation) downSince() time.Time {
	note := o.Platform.Note
	valid, known := o.Valid()
	fingerprint := valid.ClientSecret.Fingerprint()
	switch {
	case known && note.Applied == fingerprint:
		return time.Time{}
	case o.Run.Sent != nil && (!known || !o.unresolved(fingerprint)):
		return o.Run.Sent.At
	case known && o.resolved(fingerprint):
		return note.Intent.At
	case note.LastRotation != nil && note.Applied != note.LastRotation.New && !note.superseded(note.LastRotation.New) && (!known || note.LastRotation.New == fingerprint):
		return note.LastRotation.At
	}
	return time.Time{}
}

// up says that new instances run, and no more are about to.
func (i Instances) up() bool { return i.State == Steady || i.State == Short }

func (o Observation) paused() bool {
	return o.Agent.Status == maia.StatusPaused || o.Agent.Status == maia.StatusPausing
}

// state says where the runner is.
func (o Observation) state(p Policy, now time.Time) State {
	valid, known := o.Valid()
	fingerprint := valid.ClientSecret.Fingerprint()
	pause := o.pause(p, now)
	settled := o.Run.Mode == Finish || o.Run.Sent != nil || o.Run.StoreChanged || o.Run.Restarts > 0
	switch {
	case !known:
		return NotStored
	case o.Platform.Stored.ClientID != valid.ClientID && o.Run.Sent == nil:
		return NotObserved
	case o.Run.Sent != nil && o.unresolved(fingerprint):
		return Unresolved
	case o.Platform.Staged && o.Platform.Stored.Equal(valid), o.Platform.Pending.Equal(valid):
		return OnlyStaged
	case !o.storeHolds(valid):
		return NotStored
	case !o.fresh(fingerprint):
		return NotMoved
	case !o.Agent.Connected && o.owed(fingerprint):
		return NotBack
	case !o.Agent.Connected:
		return Down
	case !settled && (o.mayBePaused(pause) || pause == pauseOurs && !o.concurrentRotation(p, now)):
		return PausedOnly
	case !settled:
		return Unchanged
	case pause == pauseOurs, pause == pauseUnclear:
		return StillPaused
	}
	return Back
}
