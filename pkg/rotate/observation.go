package rotate

import (
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// Observation is all that [Next] decides by.
type Observation struct {
	Platform Platform
	Agent    maia.Agent
	Maia     maia.Credentials // the last read of Maia, or the answer of this run's refresh; zero if there is neither
	Run      RunState
}

// RunState is what this run did so far, and how long it may go on. It dies with the run: no later run needs it.
type RunState struct {
	ID       string // marks what this run writes into the note
	Mode     Mode
	Started  time.Time
	Deadline time.Time // when the run stops itself
	// StoreTime is how long storing may take, see [Runner].
	StoreTime time.Duration

	Checked        bool             // Runner.Check has passed
	DrainSince     time.Time        // when waiting for the drain began
	Sent           *Intent          // the refresh that this run sent
	Answer         maia.Credentials // its answer; zero if none came
	StoreChanged   bool             // this run has changed the store, or may have
	Restarts       int              // ordered by this run
	RestartedAt    time.Time        // the last of them
	ConnectedReads int              // reads in a row that said connected, of instances that had settled
	Pause          PauseCommand     // that this run sent
	Resumes        int              // RESUME commands sent
	PauseReads     PauseReads       // of the pause that is on
	PauseKept      PauseState       // whose the pause was when this run cut the runner off, if it has not ended since
	Recorded       bool             // this run has tried to complete what the platform keeps in addition to the store
	Refusal        *Error           // decided already; only cleaning up is left
}

// Valid is what Maia accepts now, as far as can be known. A read that shows a secret which was replaced since is stale, and is
// overruled by what replaced it: the answer of this run's refresh, or, by the note, what an earlier run refreshed or adopted.
func (o *Observation) Valid() (maia.Credentials, bool) {
	valid, _, known := o.believe()
	return valid, known
}

// believe is Valid, with the fingerprint.
func (o *Observation) believe() (valid maia.Credentials, mark maia.Fingerprint, known bool) {
	unread := o.Maia.ClientSecret.IsZero()
	read, answer := o.Maia.ClientSecret.Fingerprint(), o.Run.Answer.ClientSecret.Fingerprint()
	newest := o.newest(read, answer)
	if answer != "" && (unread || newest == answer) {
		return o.Run.Answer, answer, true
	}
	if rotated := o.Platform.Note.LastRotation; rotated != nil && unread {
		return o.held(o.newest(rotated.Over, answer))
	}
	if newest != read && !unread {
		return o.held(newest)
	}
	if intent, staged := o.Platform.Note.Intent, o.staged(); intent != nil && !o.unsent() && !staged.ClientSecret.IsZero() {
		mark := staged.ClientSecret.Fingerprint()
		if (unread || read == intent.Over) && mark != intent.Over {
			return staged, mark, true // the outcome was staged, and the note was not closed
		}
	}
	return o.Maia, read, !unread
}

// PendingStands reports whether a staged value is what Maia holds, by a read of Maia and the note. It is true also where that
// cannot be known.
func (p Platform) PendingStands(read maia.Credentials) bool {
	o := Observation{Platform: p, Maia: read, Run: RunState{Mode: Finish}}
	valid, known := o.Valid()
	return !known || p.Pending.Equal(valid)
}

// newest follows a secret to the one that is known to have replaced it last. answer is of this run's refresh, if it has one.
func (o *Observation) newest(secret, answer maia.Fingerprint) maia.Fingerprint {
	for range 3 { // a rotation, an adoption, and this run's refresh, in any order
		switch note := &o.Platform.Note; {
		case o.Run.Sent != nil && answer != "" && secret == o.Run.Sent.Over:
			secret = answer
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

// goesBack is how long after an adoption a read may still show the secret before it.
const goesBack = time.Hour

// overrules reports whether an adopted secret counts more than a read that shows the one before it. No answer proves that the
// adopted one is newer: the runner's connection does, or a refresh of ours that replaced it; otherwise it counts more for a while
// only.
func (o *Observation) overrules(adopted Adoption) bool {
	note := o.Platform.Note
	return o.Agent.Connected && note.Applied == adopted.New || note.LastRotation != nil && note.LastRotation.Over == adopted.New ||
		o.Run.Started.Before(adopted.At.Add(goesBack))
}

// held is the credentials with a fingerprint, if the store holds them or they are staged.
func (o *Observation) held(mark maia.Fingerprint) (maia.Credentials, maia.Fingerprint, bool) {
	for _, held := range []maia.Credentials{o.Platform.Stored, o.Platform.Pending} {
		if held.ClientSecret.Fingerprint() == mark {
			return held, mark, true
		}
	}
	return maia.Credentials{}, "", false
}

// staged is the value that this rotation has staged; zero if there is none.
func (o *Observation) staged() maia.Credentials {
	switch {
	case o.Platform.Staged:
		return o.Platform.Stored
	case o.Run.Mode == Finish:
		return o.Platform.Pending
	}
	return maia.Credentials{}
}

// unsent reports whether the noted intent is this run's own and its refresh has not been sent.
func (o *Observation) unsent() bool {
	intent := o.Platform.Note.Intent
	return intent != nil && intent.By == o.Run.ID && o.Run.Sent == nil
}

// onlyPending reports whether the outcome of our refresh is pending and was never where instances read it, so that none can be
// connected.
func (o *Observation) onlyPending() bool {
	rotated := o.Platform.Note.LastRotation
	return rotated != nil && o.Platform.Note.Applied != rotated.New &&
		o.Platform.Pending.ClientSecret.Fingerprint() == rotated.New && o.Platform.Stored.ClientSecret.Fingerprint() == rotated.Over
}

func (o *Observation) paused() bool {
	return o.Agent.Status == maia.StatusPaused || o.Agent.Status == maia.StatusPausing
}

// up reports whether new instances run, and no more are about to.
func (i Instances) up() bool { return i.State == Steady || i.State == Short }
