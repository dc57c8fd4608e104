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
		if err := r.runner.Check(r.ctx); err != nil {
			return err
		}
		r.seen = r.after(step)
		return nil
	case Pause:
		return r.pause(step)
	case AwaitDrained:
		return r.awaitDrained()
	case Refresh:
		return r.refresh(step)
	case AwaitOutcome:
		r.view = stale
		return r.wait(nil)
	case Store:
		return r.store(step)
	case Restart:
		return r.restart(step)
	case AwaitConnected:
		r.noteOrder()
		r.view = stale
		return r.wait(nil)
	case Resume:
		return r.resume(step)
	case Done:
		return r.done()
	}
	return Errorf(Internal, "no way to take step %q", step.Kind)
}

func (r *run) facts() *facts {
	f := r.seen.facts(r.rotator.Policy, time.Now())
	return &f
}

// after is what a step makes of what was seen.
func (r *run) after(step Step) Observation { return After(r.seen, step, r.rotator.Policy, time.Now()) }

// took goes on with the observation that a step leads to, and with the note as it was saved.
func (r *run) took(step Step) {
	note := r.seen.Platform.Note
	r.seen = r.after(step)
	r.seen.Platform.Note = note
}

// pause writes the note and pauses; once Maia reports until when, it confirms the note.
func (r *run) pause(step Step) error {
	sends := !r.seen.paused()
	if err := r.saveNote(r.after(step).Platform.Note); err != nil || !sends {
		return err
	}
	if took := time.Since(r.seen.Platform.Note.Paused.At); took >= pauseTime {
		return Errorf(NotReady, "noting the pause took %s: another run may be pausing the runner by now", took.Round(time.Second)).
			WithHint("nothing: the next run tries again")
	}
	r.seen.Run.Pause = PauseSent
	err := r.rotator.Maia.Command(r.ctx, r.runner.AgentID(), maia.CommandPause)
	switch {
	case err == nil:
		r.seen.Run.Pause = PauseAccepted
	case notCarriedOut(err):
		r.seen.Run.Pause = PauseNotSent // so that the note is taken back
		return err
	case r.ctx.Err() != nil:
		return err
	default:
		r.log.WarnContext(r.ctx, "the pause may have been carried out: no other is sent, Maia is read", LogError(err))
	}
	if err := r.awaitAgent(func() bool { return r.seen.paused() }, "paused"); err != nil {
		return err
	}
	r.seen.Run.Pause = PauseShown
	r.seen.Run.drains(time.Now())
	return nil
}

// notCarriedOut reports whether Maia has refused a command, so that it cannot take effect later.
func notCarriedOut(err error) bool {
	for _, refusal := range []error{maia.ErrUnauthorized, maia.ErrForbidden, maia.ErrNotFound, maia.ErrRateLimited, maia.ErrRejected} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

func (r *run) awaitDrained() error {
	r.seen.Run.drains(time.Now())
	if err := r.wait(r.readAgent); err != nil {
		r.view = stale
		return err
	}
	if !r.seen.Agent.Connected {
		r.view = stale
	}
	if note := r.seen.Platform.Note.Paused; r.seen.Agent.Status != maia.StatusPausing || note != nil && !note.Confirmed {
		return r.readPlatform() // what Maia holds is read again when the intent is noted
	}
	return nil
}

// refresh notes the intent and has everything read again; in a second pass it sends the refresh.
func (r *run) refresh(step Step) error {
	if !r.facts().announced() {
		if err := r.rotator.Maia.Authenticate(r.ctx); err != nil {
			return err
		}
		r.view = stale
		return r.saveNote(r.after(step).Platform.Note)
	}
	if locker, ok := r.runner.(Locker); ok {
		if err := locker.Hold(r.ctx, maia.RefreshTimeout); err != nil {
			return err
		}
	}
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if r.heldUp() {
		r.view = stale
		return nil
	}
	was, refreshed := r.seen.Run, r.facts().afterSending() // dated before the call: the downtime begins with it
	r.seen.Run.PauseKept = refreshed.Run.PauseKept
	r.beginCritical()
	answer, err := r.rotator.Maia.RefreshCredentials(r.ctx, r.runner.AgentID())
	if store := r.seen.Platform.Stored.ClientID; err == nil && answer.ClientID != store {
		// No answer to this refresh: what it made is not known from it.
		err = fmt.Errorf("%w: the answer is about client %q, the store's is %q", maia.ErrOutcomeUnknown, answer.ClientID, store)
	}
	switch {
	case err == nil:
		r.seen = refreshed // nothing is read before the next step
		r.seen.Maia, r.seen.Run.Answer = answer, answer
		r.down, r.report.Refreshed = true, true
		return nil
	case errors.Is(err, maia.ErrOutcomeUnknown):
		r.seen.Run.Sent = refreshed.Run.Sent
		r.view = stale
		r.log.WarnContext(r.ctx, "the refresh may have been carried out: no other is sent, Maia is read", LogError(err))
		return nil
	}
	r.seen.Run = was
	r.endCritical()
	return err
}

func (r *run) store(step Step) error {
	f := r.facts()
	if f.storeHolds() {
		return r.complete(step)
	}
	if adopted := f.adoption(); adopted != nil {
		r.adopted = adopted
	}
	ours, held := f.ours(), f.Platform.Stored.Equal(step.Credentials)
	r.counts = r.counts || ours && f.undelivered()
	r.down = r.down || ours
	after := r.after(step)
	r.seen.Run.ConnectedReads = after.Run.ConnectedReads
	if !held {
		r.ordered = nil
	}
	if !after.Platform.Note.Equal(r.seen.Platform.Note) {
		if err := r.saveNote(after.Platform.Note); err != nil {
			return err
		}
	}
	if ours && !held || !r.seen.Agent.Connected {
		r.beginCritical()
	}
	if r.seen.Run.Sent != nil && f.intent == intentCarriedOut {
		r.report.Refreshed = true // also where the answer was lost
	}
	r.seen.Run.StoreChanged = true
	if err := r.runner.Store(r.ctx, step.Credentials); err != nil {
		return err
	}
	if held || r.seen.Run.Mode != Stage && r.seen.Agent.Connected && r.seen.Platform.Note.Applied == f.fingerprint {
		r.view = stale // there is time to read what was written
		return nil
	}
	r.took(step)
	return nil
}

// complete has the platform record what the store holds already. If it still cannot, the step has not failed: the next
// observation shows what is in the way.
func (r *run) complete(step Step) error {
	if err := r.noteSettled(); err != nil {
		return err
	}
	r.seen.Run.Recorded, r.view = true, stale
	if err := r.runner.Store(r.ctx, step.Credentials); err != nil {
		r.log.WarnContext(r.ctx, "what is delivered could not be recorded", LogError(err))
	}
	return nil
}

func (r *run) restart(step Step) error {
	after := r.after(step)
	r.seen.Run.PauseKept = after.Run.PauseKept
	ordered := *after.Platform.Note.Ordered
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
	r.took(step)
	r.endCritical()
	return nil
}

// noteOrder makes the order of a restart durable. If that fails, it is tried again with the next note: the instances come up all
// the same, and at worst a later run, which does not know the order, restarts them once more.
func (r *run) noteOrder() {
	if noted := r.seen.Platform.Note.Ordered; r.ordered == nil || noted != nil && r.ordered.equal(*noted) {
		return
	}
	f := r.facts()
	r.counts = r.counts || f.intent == intentCarriedOut
	if err := r.saveNote(f.settledNote()); err != nil {
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
	// A Finish ends the rotation that paused: no other run goes on with it.
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
	return r.noteResumed()
}

// noteResumed takes our pause from the note.
func (r *run) noteResumed() error {
	note := r.seen.Platform.Note
	note.Paused = nil
	return r.saveNote(note)
}

// keepClaim notes a pause that could not be taken back, so that the next run knows it. It notes the pause as Maia shows it; if
// Maia has accepted the PAUSE and could not be read since, without an end.
func (r *run) keepClaim() error {
	note := r.seen.Platform.Note
	own := note.Paused
	switch {
	case own == nil || own.Confirmed:
		return nil
	case r.seen.paused():
		note.Paused = r.seen.confirmed()
	case r.seen.Run.Pause >= PauseAccepted && own.By == r.seen.Run.ID:
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

// takePauseOver notes an earlier run's pause as this run's, before it resumes the runner, and reads everything once more: if
// another run goes on with the same pause, that one must not find the runner at work when it refreshes.
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
	f := r.facts()
	if f.pause != PauseOurs {
		return Errorf(NotReady, "the runner was paused anew while this run was about to resume it").
			WithHint("nothing: the next run reads whose pause it is")
	}
	if _, resume := f.mayResume(false); !resume || f.Platform.Note.Paused == nil {
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
	switch run := r.seen.Run; {
	case r.counts:
		r.report.Outcome = Rotated
	case run.StoreChanged, run.Restarts > 0, run.Resumes > 0:
		r.report.Outcome = Healed
	default:
		r.report.Outcome = NoOp
	}
	return nil
}

// noteSettled notes what is settled, and counts in the report what that has settled.
func (r *run) noteSettled() error {
	f := r.facts()
	after := f.afterDone()
	r.counts = r.counts || f.intent == intentCarriedOut
	if r.seen.Run.Mode != Stage {
		if rotated := after.Platform.Note.LastRotation; f.undelivered() && f.ours() && rotated != nil {
			r.counts = true
			if !r.cameBack.IsZero() {
				r.report.Downtime = r.cameBack.Sub(rotated.At)
			}
		}
		r.ordered = nil
	}
	r.seen.Run = after.Run
	note := r.withPending(after.Platform.Note)
	if note.Equal(r.seen.Platform.Note) {
		return nil
	}
	return r.saveNote(note)
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
	own, reads := note.Paused, r.seen.Run.PauseReads
	switch {
	case r.seen.Run.PauseKept == PauseOperators:
		note.Paused = nil
	case r.seen.Run.PauseKept == PauseUnclear && own != nil && own.Confirmed:
		note.Paused = &OwnPause{At: own.At, By: own.By} // one that was not confirmed claims nothing, and is reported
	case r.cancel == nil && own != nil && own.Confirmed && !own.Stands && reads.Stands && reads.Until.Equal(own.Until):
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
