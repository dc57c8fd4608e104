package rotate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// take does one step.
func (r *run) take(step Step) error {
	switch step.Kind {
	case Check:
		err := r.runner.Check(r.ctx)
		r.seen.Run.Checked = err == nil
		return err
	case Pause:
		return r.pause()
	case AwaitDrained:
		if r.seen.Run.DrainSince.IsZero() {
			r.seen.Run.DrainSince = time.Now()
		}
		err := r.wait(r.readAgent)
		r.current = err == nil && r.seen.Agent.Connected
		if note := r.seen.Platform.Note.Paused; err == nil && (r.seen.Agent.Status != maia.StatusPausing || note != nil && !note.Confirmed) {
			// What Maia holds is looked at again when the intent is noted.
			err = r.readPlatform()
		}
		return err
	case Refresh:
		return r.refresh()
	case AwaitOutcome:
		r.current = false
		return r.wait(nil)
	case Store:
		return r.store(step)
	case Restart:
		return r.restart()
	case AwaitConnected:
		r.noteOrder()
		r.current = false
		return r.wait(nil)
	case Resume:
		return r.resume(step)
	case Done:
		return r.done()
	}
	return Errorf(Internal, "no way to take step %q", step.Kind)
}

// pause writes the note, pauses, and confirms the note once Maia reports until when.
func (r *run) pause() error {
	note := r.seen.Platform.Note
	if !r.seen.paused() {
		note.Paused = &OwnPause{At: now(), By: r.seen.Run.ID}
		if r.seen.Run.Mode == Rotate {
			note.Tried = note.Paused.At
		}
		if err := r.saveNote(note); err != nil {
			return err
		}
		if took := time.Since(note.Paused.At); took >= pauseTime {
			return Errorf(NotReady, "noting the pause took %s: another run may be pausing the runner by now", took.Round(time.Second)).
				WithHint("nothing: the next run tries again")
		}
		r.seen.Run.Pauses++
		err := r.rotator.Maia.Command(r.ctx, r.runner.AgentID(), maia.CommandPause)
		switch {
		case err == nil:
			r.pauseAccepted = true
		case notCarriedOut(err):
			r.seen.Run.Pauses-- // so that the note is taken back
			return err
		case r.ctx.Err() != nil:
			return err
		default:
			r.log.WarnContext(r.ctx, "the pause may have been carried out: no other is sent, Maia is read", LogError(err))
		}
		if err := r.awaitAgent(func() bool { return r.seen.paused() }, "paused"); err != nil {
			return err
		}
		r.pauseSeen = true
		if r.seen.Run.DrainSince.IsZero() {
			r.seen.Run.DrainSince = time.Now()
		}
		return nil
	}
	note.Paused = r.seen.confirmed()
	return r.saveNote(note)
}

// notCarriedOut says that Maia has refused a command, so that it cannot take effect later.
func notCarriedOut(err error) bool {
	for _, refusal := range []error{maia.ErrUnauthorized, maia.ErrForbidden, maia.ErrNotFound, maia.ErrRateLimited, maia.ErrRejected} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// refresh notes the intent and has everything looked at again; the second time round it sends the refresh. An intent over
// what Maia held before somebody refreshed in the console, or one of some time ago, does not stand: from it later runs tell
// whether the refresh was carried out, and until when it may be.
func (r *run) refresh() error {
	held := r.seen.Maia.ClientSecret.Fingerprint()
	if intent := r.seen.Platform.Note.Intent; !r.seen.unsent() || intent.Over != held || wall().Sub(intent.At) >= intentTime {
		if err := r.rotator.Maia.Authenticate(r.ctx); err != nil {
			return err
		}
		note := r.seen.Platform.Note
		note.Intent = &Intent{At: now(), Over: held, By: r.seen.Run.ID}
		switch r.seen.pause(r.rotator.Policy, time.Now()) {
		case pauseOperators:
			note.Paused = nil
		case pauseOurs:
			note.Paused = r.seen.confirmed()
		}
		err := r.saveNote(note)
		r.current = false
		return err
	}
	if locker, ok := r.runner.(Locker); ok {
		if err := locker.Hold(r.ctx, maia.RefreshTimeout); err != nil {
			return err
		}
	}
	// The sending is dated before the call: the outage begins with it.
	intent := *r.seen.Platform.Note.Intent
	intent.At = now()
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if r.heldUp() {
		r.current = false
		return nil
	}
	was := r.seen.Run
	r.keepPause()
	r.beginCritical()
	answer, err := r.rotator.Maia.RefreshCredentials(r.ctx, r.runner.AgentID())
	if store := r.seen.Platform.Stored.ClientID; err == nil && answer.ClientID != store {
		// No answer to this refresh: what it made is not known from it.
		err = fmt.Errorf("%w: the answer is about client %q, the store's is %q", maia.ErrOutcomeUnknown, answer.ClientID, store)
	}
	switch {
	case err == nil:
		r.seen.Run.Sent, r.seen.Run.Answer = &intent, answer
		r.seen.Maia = answer
		r.seen.Agent.Connected, r.down = false, true
		r.report.Refreshed = true
		return nil // seen is current: the next step needs no look at anything
	case errors.Is(err, maia.ErrOutcomeUnknown):
		r.seen.Run.Sent = &intent
		r.current = false
		r.log.WarnContext(r.ctx, "the refresh may have been carried out: no other is sent, Maia is read", LogError(err))
		return nil
	}
	r.seen.Run.PauseHeld, r.seen.Run.PauseLeft = was.PauseHeld, was.PauseLeft
	r.endCritical()
	return err
}

// keepPause remembers whose the pause is before the runner is cut off, by which the end that Maia shows may change.
func (r *run) keepPause() {
	switch r.seen.pause(r.rotator.Policy, time.Now()) {
	case pauseOurs:
		r.seen.Run.PauseHeld = true
	case pauseOperators:
		r.seen.Run.PauseLeft = r.seen.Platform.Note.Paused != nil
	case pauseUnclear:
		r.seen.Run.PauseDoubt = true
	}
}

func (r *run) store(step Step) error {
	valid, _ := r.seen.Valid()
	ours := r.seen.ours(valid.ClientSecret.Fingerprint())
	if r.seen.storeHolds(valid) {
		return r.complete(valid)
	}
	if adopted := r.seen.adoption(valid.ClientSecret.Fingerprint(), now()); adopted != nil {
		r.adopted = adopted
	}
	r.counts = r.counts || ours && r.undelivered(valid.ClientSecret.Fingerprint())
	if ours {
		r.seen.Run.ConnectedReads, r.down = 0, true // the refresh has cut the runner off, whether a look has seen it or not
	}
	held := r.seen.Platform.Stored.Equal(valid)
	if err := r.noteBeforeStore(step, held); err != nil {
		return err
	}
	if ours && !held || !r.seen.Agent.Connected {
		r.beginCritical()
	}
	if r.seen.Run.Sent != nil && r.seen.resolved(valid.ClientSecret.Fingerprint()) {
		r.report.Refreshed = true // also where the answer was lost
	}
	r.seen.Run.StoreChanged = true
	if err := r.runner.Store(r.ctx, valid); err != nil {
		return err
	}
	r.repaired = true
	if held || r.seen.Run.Mode != Stage && r.seen.Agent.Connected && r.seen.Platform.Note.Applied == valid.ClientSecret.Fingerprint() {
		r.current = false // there is time to look at what was written
		return nil
	}
	r.seen.Platform.Stored, r.seen.Platform.Pending, r.seen.Platform.Unfinished = valid, maia.Credentials{}, false
	r.seen.Platform.Staged = r.seen.Run.Mode == Stage
	r.seen.Platform.Instances.Read = ReadOlder
	return nil
}

// noteBeforeStore notes that a restart is owed, and that what was ordered before does not stand for what is stored now.
func (r *run) noteBeforeStore(step Step, held bool) error {
	note := r.seen.Platform.Note
	if step.Owes {
		note.Applied = AppliedNothing
	}
	if !held {
		note.Ordered, r.ordered = nil, nil
	}
	if note.Equal(r.seen.Platform.Note) {
		return nil
	}
	return r.saveNote(note)
}

// complete has the platform keep beside the store what the store holds. That it still cannot is no failure of this step: what is
// in the way is seen again.
func (r *run) complete(valid maia.Credentials) error {
	if err := r.noteSettled(); err != nil {
		return err
	}
	r.seen.Run.Recorded, r.current = true, false
	if err := r.runner.Store(r.ctx, valid); err != nil {
		r.log.WarnContext(r.ctx, "what is delivered could not be recorded", LogError(err))
	}
	return nil
}

// undelivered says that the instances were never seen running with the valid secret.
func (r *run) undelivered(valid maia.Fingerprint) bool {
	applied := r.seen.Platform.Note.Applied
	return applied != valid && applied != AppliedNothing
}

func (r *run) restart() error {
	r.keepPause()
	ordered := Order{At: now(), For: r.seen.Platform.Stored.ClientSecret.Fingerprint()}
	ids, err := r.runner.Restart(r.ctx)
	if noted := r.seen.Platform.Note.Ordered; noted != nil && noted.For == ordered.For && len(ids) > 0 && slices.Equal(noted.IDs, ids) {
		ordered.At = noted.At // nothing else was ordered
	}
	if ordered.IDs = ids; err == nil || len(ids) > 0 {
		r.ordered = &ordered
		r.noteOrder()
	}
	if err != nil {
		return err
	}
	r.repaired = true
	r.seen.Run.Restarts++
	r.seen.Run.RestartedAt = time.Now()
	r.seen.Run.ConnectedReads = 0
	r.seen.Platform.Instances.State, r.seen.Platform.Instances.Read = Rolling, ReadCurrent
	r.endCritical()
	return nil
}

// noteOrder makes the order of a restart durable. Where that fails it is tried again with the next note: the instances come up
// all the same, and a later run that does not find it restarts them once more at worst.
func (r *run) noteOrder() {
	if noted := r.seen.Platform.Note.Ordered; r.ordered == nil || noted != nil && r.ordered.equal(*noted) {
		return
	}
	valid, _ := r.seen.Valid()
	fingerprint := valid.ClientSecret.Fingerprint()
	r.counts = r.counts || r.seen.resolved(fingerprint)
	if err := r.saveNote(r.settledNote(fingerprint)); err != nil {
		r.log.WarnContext(r.ctx, "the restart that was ordered could not be noted yet", LogError(err))
	}
}

func (r *run) resume(step Step) error {
	r.seen.Run.Refusal = step.Refusal
	if step.Refusal == nil && r.seen.Run.Mode != Stage {
		// Noted before pipelines run again: a later run must not take the instances for old ones.
		if err := r.noteSettled(); err != nil {
			return err
		}
	}
	return r.takePauseBack()
}

func (r *run) takePauseBack() error {
	// A Finish ends the rotation that paused, which nobody else goes on with.
	if r.seen.Run.Mode != Finish && r.seen.Platform.Note.Paused.By != r.seen.Run.ID {
		if err := r.takePauseOver(); err != nil {
			return err
		}
	}
	if r.seen.Agent.Status == maia.StatusRunning {
		return r.noteResumed()
	}
	r.seen.Run.Resumes++
	switch err := r.rotator.Maia.Command(r.ctx, r.runner.AgentID(), maia.CommandResume); {
	case err == nil:
	case notCarriedOut(err):
		r.seen.Run.Resumes-- // it says nothing of what a RESUME does
		return errors.Join(err, r.keepClaim())
	case r.ctx.Err() != nil:
		return errors.Join(err, r.keepClaim())
	default:
		r.log.WarnContext(r.ctx, "the runner may have been resumed: Maia is read", LogError(err))
	}
	if err := r.awaitAgent(r.pauseOver, "resumed"); err != nil {
		return err
	}
	r.repaired = true
	return r.noteResumed()
}

// noteResumed takes our pause from the note.
func (r *run) noteResumed() error {
	note := r.seen.Platform.Note
	note.Paused = nil
	return r.saveNote(note)
}

// keepClaim notes a pause that could not be taken back, so that the next run knows it: as Maia shows it, or, where Maia has accepted the
// PAUSE and could not be read since, without an end.
func (r *run) keepClaim() error {
	note := r.seen.Platform.Note
	own := note.Paused
	switch {
	case own == nil || own.Confirmed:
		return nil
	case r.seen.paused():
		note.Paused = r.seen.confirmed()
	case r.pauseAccepted && own.By == r.seen.Run.ID:
		note.Paused = &OwnPause{At: own.At, By: own.By, Confirmed: true}
	default:
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), releaseTime)
	defer cancel()
	if err := r.runner.SaveNote(ctx, note); err != nil {
		return err
	}
	r.seen.Platform.Note = note
	return nil
}

// takePauseOver makes an earlier run's pause this run's, before it is taken back: another run that goes on with it, and has
// noted so since this one looked, must not find the runner at work when it refreshes.
func (r *run) takePauseOver() error {
	note := r.seen.Platform.Note
	note.Paused = r.seen.confirmed()
	note.Paused.By = r.seen.Run.ID
	if err := r.saveNote(note); err != nil {
		return err
	}
	if err := errors.Join(r.readPlatform(), r.readAgent()); err != nil {
		return err
	}
	if r.seen.Agent.Status == maia.StatusRunning {
		return nil // it was taken back meanwhile
	}
	if !r.pausedByUs() {
		return Errorf(NotReady, "the runner was paused anew while this run was about to resume it").
			WithHint("nothing: the next run reads whose pause it is")
	}
	if _, resume := r.seen.mayResume(r.rotator.Policy, time.Now(), false); !resume || r.seen.Platform.Note.Paused == nil {
		return Errorf(NotReady, "another run goes on with the pause that this one was about to take back").
			WithHint("nothing: that run takes it back, or the next one does")
	}
	return nil
}

// done writes the note of a run that has nothing left to do.
func (r *run) done() error {
	if err := r.noteSettled(); err != nil {
		return err
	}
	switch {
	case r.counts:
		r.report.Outcome = Rotated
	case r.repaired:
		r.report.Outcome = Healed
	default:
		r.report.Outcome = NoOp
	}
	return nil
}

// noteSettled notes what is settled: the outcome of a refresh, and, but for [Stage], that the instances run with what is valid.
func (r *run) noteSettled() error {
	valid, _ := r.seen.Valid()
	fingerprint := valid.ClientSecret.Fingerprint()
	r.counts = r.counts || r.seen.resolved(fingerprint)
	note := r.settledNote(fingerprint)
	if r.seen.Run.Mode != Stage {
		if r.undelivered(fingerprint) && r.seen.ours(fingerprint) && note.LastRotation != nil {
			r.counts = true
			if !r.cameBack.IsZero() {
				r.report.Downtime = r.cameBack.Sub(note.LastRotation.At)
			}
		}
		note.Applied, note.Ordered, r.ordered = fingerprint, nil, nil
		note.Paused = r.settledPause()
	}
	if note = r.withPending(note); note.Equal(r.seen.Platform.Note) {
		return nil
	}
	return r.saveNote(note)
}

// settledPause is what the note is to say of the pause of a runner that was seen back. One that is ours keeps being so, though the
// note says from now on that the runner is back.
func (r *run) settledPause() *OwnPause {
	own, now := r.seen.Platform.Note.Paused, time.Now()
	if own == nil {
		return nil
	}
	switch r.seen.pause(r.rotator.Policy, now) {
	case pauseOurs:
		until := r.seen.Agent.PausedUntil.Truncate(time.Millisecond)
		if own.Confirmed && own.Until.Equal(until) && !until.IsZero() {
			r.seen.Run.PauseHeld = false
			return own
		}
		own = r.seen.confirmed()
		r.seen.Run.PauseHeld = !own.Stands
		return own
	case pauseUnclear, pauseHidden:
		return own
	case notPaused:
		if !own.shown() && own.By != r.seen.Run.ID && now.Before(own.At.Add(pauseTime+maxHeldUp)) {
			return own // it may take effect still, or have done so since the agent was read
		}
	}
	if r.seen.Run.Mode == Heal && r.seen.concurrentRotation(r.rotator.Policy, now) {
		return own
	}
	return nil
}

// settledNote is the note with an intent closed whose outcome is known, or that was never sent.
func (r *run) settledNote(valid maia.Fingerprint) Note {
	note := r.seen.Platform.Note
	intent := note.Intent
	switch {
	case intent == nil:
	case r.seen.unsent():
		note.Intent = nil
	case intent.Over != valid:
		sent := *intent
		if r.seen.Run.Sent != nil {
			sent = *r.seen.Run.Sent
		}
		note.Intent, note.LastRotation, note.Tried = nil, &Rotation{At: sent.At, Over: sent.Over, New: valid}, time.Time{}
	case !time.Now().Before(intent.At.Add(r.rotator.Policy.QuietTime)):
		note.Intent = nil
	}
	return note
}

// withPending is the note with what this run knows and has not noted yet.
func (r *run) withPending(note Note) Note {
	note.Agent = r.runner.AgentID()
	if r.ordered != nil {
		note.Ordered = r.ordered
	}
	if r.adopted != nil {
		note.Adopted = r.adopted
	}
	switch own := note.Paused; {
	case r.seen.Run.PauseLeft:
		note.Paused = nil
	case r.seen.Run.PauseDoubt && own != nil && own.Confirmed:
		note.Paused = &OwnPause{At: own.At, By: own.By} // one that was not confirmed claims nothing, and is reported
	}
	reads := r.seen.Run.PauseReads
	if own := note.Paused; r.cancel == nil && own != nil && own.Confirmed && !own.Stands && reads.Stands && reads.Until.Equal(own.Until) {
		stands := *own
		stands.Stands = true
		note.Paused = &stands
	}
	return note
}

func (r *run) saveNote(note Note) error {
	note = r.withPending(note)
	if err := r.runner.SaveNote(r.ctx, note); err != nil {
		return err
	}
	r.seen.Platform.Note = note
	return nil
}
