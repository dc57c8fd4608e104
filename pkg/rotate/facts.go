package rotate

import (
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// facts is an observation with what follows from it, worked out once for a decision.
type facts struct {
	Observation
	policy Policy
	now    time.Time

	valid       maia.Credentials // see [Observation.Valid]
	known       bool             // valid could be worked out
	fingerprint maia.Fingerprint // of valid
	inStore     maia.Fingerprint // of what the store holds
	intent      intentState
	pause       PauseState
}

func (o *Observation) facts(p Policy, now time.Time) facts {
	f := facts{Observation: *o, policy: p, now: now}
	f.valid, f.fingerprint, f.known = f.believe()
	if f.inStore = f.fingerprint; !o.Platform.Stored.ClientSecret.Equal(f.valid.ClientSecret) {
		f.inStore = o.Platform.Stored.ClientSecret.Fingerprint()
	}
	f.intent = f.whatOfIntent()
	f.pause = f.whosePause()
	return f
}

// intentState says what has become of the refresh that the note's intent announced.
type intentState int

const (
	noIntent         intentState = iota
	intentUnsent                 // it is this run's own, and not sent yet
	intentOpen                   // it may have been sent, and Maia holds what it did before
	intentCarriedOut             // Maia holds another secret than before
	intentUnread                 // what Maia holds is not known
)

func (f *facts) whatOfIntent() intentState {
	switch intent := f.Platform.Note.Intent; {
	case intent == nil:
		return noIntent
	case f.unsent():
		return intentUnsent
	case !f.known:
		return intentUnread
	case intent.Over != f.fingerprint:
		return intentCarriedOut
	}
	return intentOpen
}

// quiet is when the quiet time of the noted intent is over.
func (f *facts) quiet() time.Time { return f.Platform.Note.Intent.At.Add(f.policy.QuietTime) }

// mayBeCarriedOut reports whether a refresh was sent that Maia may still carry out.
func (f *facts) mayBeCarriedOut() bool { return f.intent == intentOpen && f.now.Before(f.quiet()) }

// storeHolds reports whether the store holds the valid credentials, in all its places.
func (f *facts) storeHolds() bool { return f.Platform.Stored.Equal(f.valid) && !f.Platform.Unfinished }

// ours reports whether a refresh of ours made the valid secret: whatever instances ran before it are dead.
func (f *facts) ours() bool {
	rotated := f.Platform.Note.LastRotation
	return f.Run.Sent != nil && f.Run.Answer.ClientSecret.Fingerprint() == f.fingerprint ||
		f.intent == intentCarriedOut ||
		rotated != nil && rotated.New == f.fingerprint
}

// doubtTime is how long after its begin a run reads a doubtful secret again before it believes it.
const doubtTime = time.Minute

// doubtful reports whether what Maia shows is probably a stale read, and no refresh by another writer: such a refresh would have
// cut off the runner, which is connected with what the store holds.
func (f *facts) doubtful() bool {
	applied := f.Platform.Note.Applied
	return f.Agent.Connected && !f.ours() && applied == f.inStore && applied != f.fingerprint
}

// agreed reports whether Maia was ever seen to hold what the store held while the runner was connected with it.
func (f *facts) agreed() bool {
	note := f.Platform.Note
	return note.Applied != "" || note.Intent != nil || note.LastRotation != nil
}

// adoption is what the note is to say of a valid secret that no refresh of ours has made; nil if the note says so already, or if
// the secret before it is not known.
func (f *facts) adoption() *Adoption {
	note := f.Platform.Note
	over := note.Applied
	if over == "" || over == AppliedNothing {
		over = f.inStore
	}
	over = f.newest(over, f.Run.Answer.ClientSecret.Fingerprint())
	if over == f.fingerprint || f.ours() || note.Adopted != nil && note.Adopted.New == f.fingerprint {
		return nil
	}
	return &Adoption{At: noted(f.now), Over: over, New: f.fingerprint}
}

// undelivered reports whether no instances were ever seen running with the valid secret.
func (f *facts) undelivered() bool {
	applied := f.Platform.Note.Applied
	return applied != f.fingerprint && applied != AppliedNothing
}

// restartOwed reports whether no instances were seen running with the valid secret, while those from before are dead or to be
// replaced.
func (f *facts) restartOwed() bool {
	applied := f.Platform.Note.Applied
	return applied != f.fingerprint && (f.ours() || applied == AppliedNothing)
}

// fresh reports whether the instances run with the valid secret, or are about to. The note knows; where it does not, the cloud's
// clocks decide; where they are not certain, the connection does.
func (f *facts) fresh() bool {
	read := f.Platform.Instances.Read
	if read == ReadCurrent {
		return true
	}
	return !f.restartOwed() && (f.Agent.Connected || read != ReadOlder)
}

// notSeenBack reports whether the runner has yet to be seen back with the valid secret.
func (f *facts) notSeenBack() bool { return f.Run.Restarts > 0 || f.restartOwed() }

// due reports whether a refresh is wanted. A run that has resumed the runner begins nothing: it has ended a rotation, or given up.
func (f *facts) due() bool {
	if !f.Run.Mode.mayRefresh() || f.Platform.Staged || f.Platform.Unrecorded != "" || f.Run.Sent != nil || f.Run.Resumes > 0 ||
		f.intent == intentCarriedOut {
		return false
	}
	rotated := f.Platform.Note.LastRotation
	if rotated != nil && rotated.New == f.fingerprint && f.Platform.Note.Applied != f.fingerprint {
		return false // this run is about to end the rotation that an earlier one has begun
	}
	return f.policy.Every == 0 || rotated == nil || f.now.Sub(rotated.At) >= f.policy.Every
}

// downSince is when a refresh of ours cut off the runner that has not been seen back since; zero if none did.
func (f *facts) downSince() time.Time {
	note := f.Platform.Note
	rotated := note.LastRotation
	switch {
	case f.known && note.Applied == f.fingerprint:
		return time.Time{}
	case f.Run.Sent != nil && f.intent != intentOpen:
		return f.Run.Sent.At
	case f.intent == intentCarriedOut:
		return note.Intent.At
	case rotated != nil && note.Applied != rotated.New && !note.superseded(rotated.New) && (!f.known || rotated.New == f.fingerprint):
		return rotated.At
	}
	return time.Time{}
}

// state says where the runner is.
func (f *facts) state() State {
	worked := f.Run.Mode == Finish || f.Run.Sent != nil || f.Run.StoreChanged || f.Run.Restarts > 0
	switch {
	case !f.known:
		return NotStored
	case f.Platform.Stored.ClientID != f.valid.ClientID && f.Run.Sent == nil:
		return NotObserved
	case f.Run.Sent != nil && f.intent == intentOpen:
		return Unresolved
	case f.Platform.Staged && f.Platform.Stored.Equal(f.valid), f.Platform.Pending.Equal(f.valid):
		return OnlyStaged
	case !f.storeHolds():
		return NotStored
	case !f.fresh():
		return NotMoved
	case !f.Agent.Connected && f.notSeenBack():
		return NotBack
	case !f.Agent.Connected:
		return Down
	case !worked && (f.mayBePaused() || f.pause == PauseOurs && !f.concurrentRotation()):
		return PausedOnly
	case !worked:
		return Unchanged
	case f.pause == PauseOurs, f.pause == PauseUnclear:
		return StillPaused
	}
	return Back
}
