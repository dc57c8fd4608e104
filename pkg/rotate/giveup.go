package rotate

import (
	"context"
	"errors"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// failed decides what a failure means: before a refresh it ends the run, after one it is tried again until the time is
// up. It returns nil to go on.
func (r *run) failed(what string, err error) error {
	r.failures++
	kind := KindOf(err)
	certain := kind == Permission || kind == Configuration || kind == Vendor
	if !r.mayBeDown() || certain && r.failures >= maxFailures || errors.Is(err, context.Canceled) {
		return Within(what, err)
	}
	backoff := min(time.Second<<min(r.failures-1, 6), maxBackoff)
	r.log.WarnContext(r.ctx, "an action failed and is tried again", "action", what, "try", r.failures, LogError(err), "in_ms",
		backoff.Milliseconds())
	if waited := sleep(r.ctx, backoff); waited != nil {
		return Within(what, err)
	}
	return nil
}

// giveUp takes back what can be taken back of a run that changed nothing for good, and gives the error its state.
func (r *run) giveUp(err error) error {
	if r.view != unseen && r.seen.Run.Sent == nil && r.seen.Run.Mode != Finish {
		if cleanup := r.cleanUp(); cleanup != nil {
			r.log.ErrorContext(r.ctx, "cleaning up failed; the next run does it", LogError(cleanup))
		}
	}
	return AsError(err, r.state())
}

// pauseOver reports whether a pause of ours is certainly over: the runner runs, or is paused by an operator.
func (r *run) pauseOver() bool {
	pause := r.facts().pause
	return pause == NotPaused || pause == PauseOperators
}

// cleanUp resumes a pause of ours, and takes back an intent that was not sent. The caller's context may have ended, so it has a
// little time of its own.
func (r *run) cleanUp() error {
	r.endCritical()
	left := cleanupTime
	if deadline, _ := r.ctx.Deadline(); r.ctx.Err() == nil {
		left = max(left, min(time.Until(deadline), longCleanup))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), left)
	defer cancel()
	defer context.AfterFunc(r.ctx, func() { time.AfterFunc(cleanupTime, cancel) })()
	r.ctx = ctx
	platform, unread := r.runner.Observe(r.ctx) // another run may have come
	if unread == nil {
		r.seen.Platform = platform
	}
	if r.seen.Platform.Note.Paused == nil && !r.seen.unsent() {
		return unread
	}
	if err := r.readAgent(); err != nil && unread == nil {
		return errors.Join(err, r.keepClaim())
	} else if err != nil {
		return err
	}
	if unread != nil { // the note may be another by now: what is left of ours in it is for the next run
		if r.seen.Run.Pause != PauseNotSent && r.facts().pause == PauseOurs {
			return errors.Join(unread, r.rotator.Maia.Command(r.ctx, r.runner.AgentID(), maia.CommandResume))
		}
		return unread
	}
	if f := r.facts(); f.pause == PauseOurs && f.Agent.Connected && f.Run.Resumes < maxTries {
		if _, resume := f.mayResume(true); resume {
			if err := r.takePauseBack(); err != nil {
				return err
			}
		}
	}
	note := r.seen.Platform.Note
	shown := r.seen.Run.Pause == PauseShown || r.seen.Run.Pause == PauseNotSent // else it may yet take effect: the note stays
	if own := note.Paused; own != nil && own.By == r.seen.Run.ID && r.seen.Agent.Connected && r.pauseOver() && shown {
		note.Paused = nil
	}
	if r.seen.unsent() {
		note.Intent = nil
	}
	if note.Equal(r.seen.Platform.Note) {
		return nil
	}
	return r.saveNote(note)
}
