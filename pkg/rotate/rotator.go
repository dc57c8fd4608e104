package rotate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// Rotator runs rotations. It keeps nothing from one run to the next and may be used by several goroutines at a time.
type Rotator struct {
	Maia   *maia.Client
	Policy Policy
	Log    *slog.Logger // one line a transition; nil: no log
}

const (
	pollInterval = 2 * time.Second  // between two looks of a waiting step
	settleTime   = 30 * time.Second // how long a PAUSE or RESUME may take to show in an agent's status
	intentTime   = time.Minute      // from noting an intent until its refresh is sent, at most: the quiet time counts from the note
	lastWords    = 5 * time.Second  // before the context's deadline, so that a run ends by its own decision
	cleanupTime  = 8 * time.Second  // for taking back what a run that is given up has changed, once its time is up,
	longCleanup  = 90 * time.Second // or while it is not: Maia may ask to wait a minute
	darkRead     = 10 * time.Second // for what is good to know of a runner that is dark, and not needed
	releaseTime  = 5 * time.Second  // for giving a lock back at the end of a run
	maxBackoff   = 15 * time.Second // between two tries after a refresh
	maxFailures  = 3                // in a row, where a person must mend the cause
	maxRepeats   = 3                // of a step in a row that has no effect
	maxHeldUp    = time.Minute      // from a look to what is done by it
)

// Run brings one runner as far as the mode says. It ends by ctx's deadline, and takes back what it can within 8 s more;
// without a deadline it gives itself as long as its policy could need. From the sending of a refresh until the restart is
// ordered (in [Stage]: until the store holds the answer) only that deadline ends it, not ctx's cancellation.
//
// The error, if any, is an [*Error]. The report is complete in either case.
func (r *Rotator) Run(ctx context.Context, runner Runner, mode Mode) (report Report, err error) {
	started := time.Now()
	report = Report{AgentID: runner.AgentID(), Mode: mode, Outcome: Broken, State: Unchanged}
	if err := errors.Join(mode.validate(), r.Policy.Validate()); err != nil {
		return report, AsError(err, Unchanged)
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Policy.DrainTimeout+r.Policy.QuietTime+2*r.Policy.darkBudget())
		defer cancel()
	}
	deadline, _ := ctx.Deadline()
	run := &run{
		rotator: r, runner: runner, report: &report, caller: ctx, ctx: ctx, log: r.Log,
		seen: Observation{Run: RunState{ID: newRunID(), Mode: mode, Started: started, Deadline: deadline.Add(-lastWords)}},
	}
	if run.log == nil {
		run.log = slog.New(slog.DiscardHandler)
	}
	if locker, ok := runner.(Locker); ok {
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
			defer cancel()
			locker.Release(ctx)
		}()
	}
	defer run.endCritical()
	defer func() {
		if panicked := recover(); panicked != nil {
			// The value may hold anything: only its type is told.
			err = &Error{Kind: Internal, State: run.state(), What: fmt.Sprintf("panic of type %T", panicked)}
			report.Outcome = Broken
		}
		report.State, report.Took = run.state(), time.Since(started)
		report.Connected = run.seen.Agent.Connected
		if since := run.seen.darkSince(); run.observed && !since.IsZero() {
			report.DarkSince = &since
		}
		if rotated := run.seen.Home.Note.Rotated; rotated != nil {
			report.Rotated = &rotated.At
		}
		if tried := run.seen.Home.Note.Tried; !tried.IsZero() {
			report.Tried = &tried
		}
	}()
	err = run.loop()
	return report, err
}

// run is the state of one Run.
type run struct {
	rotator *Rotator
	runner  Runner
	report  *Report
	log     *slog.Logger

	caller context.Context
	ctx    context.Context    // the caller's, or, while the runner is dark by our doing, one that only the deadline ends
	cancel context.CancelFunc // of the latter, else nil

	seen      Observation
	observed  bool      // seen has been filled
	current   bool      // seen is as the world is, as far as this run knows: no need to look again
	alive     time.Time // when this run last began to look, or ended a step
	down      bool      // this run has seen the runner down, or starting
	cameBack  time.Time // when this run then saw it back
	failures  int       // in a row
	pauseSeen bool      // a PAUSE of this run's has shown
	mended    bool      // something was stored, restarted or resumed
	counts    bool      // by a rotation of ours
	last      StepKind  // announced
	taken     StepKind  // without an error
	repeats   int       // of taken, in a row
}

func (r *run) loop() error {
	for again := false; ; {
		if !r.current {
			if err := r.observe(); err != nil {
				if err := r.failed("observe", err); err != nil {
					return r.giveUp(err)
				}
				continue
			}
		}
		if r.heldUp() && !again {
			r.current, again = false, true
			continue
		}
		again = false
		step := Next(r.seen, r.rotator.Policy, time.Now())
		r.announce(step)
		if r.rotator.Policy.DryRun && step.Kind != Check {
			return r.plan()
		}
		if step.Kind == Refuse {
			r.report.Outcome = Refused
			return r.giveUp(step.Refusal)
		}
		began := time.Now()
		err := r.take(step)
		r.alive = wall()
		r.record(step, time.Since(began), err)
		if err == nil {
			r.failures = 0
			if step.Kind == Done {
				return nil
			}
			if err := r.mustProgress(step.Kind); err != nil {
				return r.giveUp(err)
			}
			continue
		}
		r.current = false
		if err := r.failed(string(step.Kind), err); err != nil {
			return r.giveUp(err)
		}
	}
}

// mustProgress ends a run whose steps succeed and have no effect: a store that does not keep what is put into it, say.
func (r *run) mustProgress(step StepKind) error {
	switch step {
	case AwaitDrained, AwaitOutcome, AwaitConnected:
		r.repeats = 0 // these repeat by design, and take their time
		return nil
	}
	if step == Refresh && r.seen.Run.Sent != nil {
		return nil // it was sent, however often it was put off: nothing ends the run now
	}
	if step != r.taken {
		r.taken, r.repeats = step, 0
	}
	if r.repeats++; r.repeats > maxRepeats {
		return Errorf(Internal, "%s was done %d times in a row without an effect", step, r.repeats).
			WithTodo("look who else changes what this run changes; the next run tries again")
	}
	return nil
}

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
		if note := r.seen.Home.Note.Paused; err == nil && (r.seen.Agent.Status != maia.StatusPausing || note != nil && !note.Confirmed) {
			// What Maia holds is looked at again when the intent is noted.
			err = r.readHome()
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
		r.current = false
		return r.wait(nil)
	case Resume:
		return r.resume(step)
	case Done:
		return r.done()
	}
	return Errorf(Internal, "no way to take step %q", step.Kind)
}

// observe reads everything. After a refresh the answer counts more than a read of Maia that fails.
func (r *run) observe() error {
	r.alive = wall()
	if err := r.readHomeAndAgent(); err != nil {
		return err
	}
	if r.seen.Run.Sent == nil { // else what was read last may be newer than the answer, and nothing is refreshed by it
		r.seen.Maia = maia.Credentials{}
	}
	_, known := r.seen.Valid()
	ctx, cancel := r.ctx, context.CancelFunc(func() {})
	if known && r.dark() && r.seen.Run.Restarts == 0 {
		// A Maia that is asked too much lets wait for minutes, and the restart with it. After that there is time.
		ctx, cancel = context.WithTimeout(ctx, darkRead)
	}
	read, err := r.rotator.Maia.Credentials(ctx, r.runner.AgentID())
	cancel()
	if err == nil {
		r.seen.Maia = read
	} else if !known || !r.dark() {
		return err
	} else {
		r.log.WarnContext(r.ctx, "credentials could not be read; the answer of the refresh stands", "error", err)
	}
	if !r.dark() && !r.seen.Home.Store.Equal(r.seen.Maia) {
		// The secret may have been refreshed between the reads: what was read before does not go with it.
		if err := r.readHomeAndAgent(); err != nil {
			return err
		}
	}
	r.countConnectedReads()
	r.observed, r.current = true, true
	return nil
}

func (r *run) countConnectedReads() {
	if !r.seen.Agent.Connected || !r.seen.Home.Instances.up() {
		r.seen.Run.ConnectedReads, r.down = 0, true
		return
	}
	if r.seen.Run.ConnectedReads++; r.seen.Run.ConnectedReads == 1 && r.down {
		r.cameBack = time.Now()
	}
}

func (r *run) readHome() error {
	home, err := r.runner.Observe(r.ctx)
	if err != nil {
		return err
	}
	if home.Store.ClientSecret.IsZero() {
		return Errorf(Internal, "the store was read and holds no secret")
	}
	r.seen.Home = home
	return nil
}

func (r *run) readHomeAndAgent() error {
	if err := r.readHome(); err != nil {
		return err
	}
	// Where the runner is dark by our doing, what to do next is known without Maia.
	if r.seen.Run.Mode == Finish && r.seen.onlyPending() {
		r.seen.Agent = maia.Agent{}
		return nil
	}
	if err := r.readAgent(); err != nil {
		if !r.dark() {
			return err
		}
		r.seen.Agent = maia.Agent{}
		r.log.WarnContext(r.ctx, "the agent could not be read and counts as not connected", "error", err)
	}
	return nil
}

func (r *run) readAgent() error {
	agent, err := r.rotator.Maia.Agent(r.ctx, r.runner.AgentID())
	if err == nil {
		r.seen.Agent = agent
	}
	return err
}

// wait pauses for one interval and then looks, if look is not nil; else the loop does.
func (r *run) wait(look func() error) error {
	if err := sleep(r.ctx, pollInterval); err != nil {
		return err
	}
	if look == nil {
		return nil
	}
	return look()
}

// pause writes the note, pauses, and confirms the note once Maia reports until when.
func (r *run) pause() error {
	note := r.seen.Home.Note
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
				WithTodo("nothing: the next run tries again")
		}
		r.seen.Run.Pauses++
		err := r.rotator.Maia.Command(r.ctx, r.runner.AgentID(), maia.CommandPause)
		switch {
		case err == nil:
		case notCarriedOut(err):
			r.seen.Run.Pauses-- // so that the note is taken back
			return err
		case r.ctx.Err() != nil:
			return err
		default:
			r.log.WarnContext(r.ctx, "the pause may have been carried out: no other is sent, Maia is read", "error", err)
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
	note.Paused = &OwnPause{At: note.Paused.At, By: note.Paused.By, Confirmed: true, Until: r.seen.Agent.PausedUntil.Truncate(time.Millisecond)}
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

// awaitAgent looks at the agent until a condition on what was seen holds.
func (r *run) awaitAgent(holds func() bool, what string) error {
	for until := time.Now().Add(settleTime); ; {
		if err := r.readAgent(); err != nil {
			return err
		}
		if holds() {
			return nil
		}
		if !time.Now().Before(until) {
			return Errorf(NotReady, "the command was sent, and after %s the runner is not %s (status %q)", settleTime, what, r.seen.Agent.Status).
				WithTodo("nothing: the next run looks again; if this repeats, look at the runner in Maia's console")
		}
		if err := sleep(r.ctx, pollInterval); err != nil {
			return err
		}
	}
}

// heldUp says that so much time has passed since the last sign of life (the machine hung, the process was stopped) that
// what was seen before may be another's work by now. It must look again before it does anything.
func (r *run) heldUp() bool { return wall().Sub(r.alive) > maxHeldUp }

// wall is the time without its monotonic reading, which stands still while a machine sleeps.
func wall() time.Time { return time.Now().Round(0) }

// refresh notes the intent and has everything looked at again; the second time round it sends the refresh. An intent over
// what Maia held before somebody refreshed in the console, or one of some time ago, does not stand: from it later runs tell
// whether the refresh was carried out, and until when it may be.
func (r *run) refresh() error {
	held := r.seen.Maia.ClientSecret.Fingerprint()
	if intent := r.seen.Home.Note.Intent; !r.seen.unsent() || intent.Over != held || wall().Sub(intent.At) >= intentTime {
		if err := r.rotator.Maia.Authenticate(r.ctx); err != nil {
			return err
		}
		note := r.seen.Home.Note
		note.Intent = &Intent{At: now(), Over: held, By: r.seen.Run.ID}
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
	intent := *r.seen.Home.Note.Intent
	intent.At = now()
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if r.heldUp() {
		r.current = false
		return nil
	}
	r.beginCritical()
	answer, err := r.rotator.Maia.RefreshCredentials(r.ctx, r.runner.AgentID())
	if store := r.seen.Home.Store.ClientID; err == nil && answer.ClientID != store {
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
		r.log.WarnContext(r.ctx, "the refresh may have been carried out: no other is sent, Maia is read", "error", err)
		return nil
	}
	r.endCritical()
	return err
}

func (r *run) store(step Step) error {
	valid, _ := r.seen.Valid()
	ours := r.seen.ours(valid.ClientSecret.Fingerprint())
	r.counts = r.counts || ours && r.undelivered(valid.ClientSecret.Fingerprint())
	if ours {
		r.seen.Run.ConnectedReads, r.down = 0, true // the refresh has cut the runner off, whether a look has seen it or not
	}
	if step.Owes {
		note := r.seen.Home.Note
		note.Applied = AppliedNothing
		if err := r.saveNote(note); err != nil {
			return err
		}
	}
	held := r.seen.Home.Store.Equal(valid)
	if ours && !held || !r.seen.Agent.Connected {
		r.beginCritical()
	}
	if r.seen.Run.Sent != nil && r.seen.resolved(valid.ClientSecret.Fingerprint()) {
		r.report.Refreshed = true // also where the answer was lost
	}
	r.seen.Run.Stored = true
	if err := r.runner.Store(r.ctx, valid); err != nil {
		return err
	}
	r.mended = true
	if held || r.seen.Run.Mode != Stage && r.seen.Agent.Connected && r.seen.Home.Note.Applied == valid.ClientSecret.Fingerprint() {
		r.current = false // there is time to look at what was written
		return nil
	}
	r.seen.Home.Store, r.seen.Home.Pending, r.seen.Home.Unfinished = valid, maia.Credentials{}, false
	r.seen.Home.Staged = r.seen.Run.Mode == Stage
	r.seen.Home.Instances.Read = ReadOlder
	return nil
}

// undelivered says that the instances were never seen running with the valid secret.
func (r *run) undelivered(valid maia.Fingerprint) bool {
	applied := r.seen.Home.Note.Applied
	return applied != valid && applied != AppliedNothing
}

func (r *run) restart() error {
	if err := r.runner.Restart(r.ctx); err != nil {
		return err
	}
	r.mended = true
	r.seen.Run.Restarts++
	r.seen.Run.RestartedAt = time.Now()
	r.seen.Run.ConnectedReads = 0
	r.seen.Home.Instances.State, r.seen.Home.Instances.Read = Rolling, ReadCurrent
	r.endCritical()
	return nil
}

func (r *run) resume(step Step) error {
	r.seen.Run.Refusal = step.Refusal
	if step.Refusal == nil && r.seen.Run.Mode != Stage {
		// Noted before pipelines run again: a later run must not take the instances for old ones.
		if err := r.settle(); err != nil {
			return err
		}
	}
	return r.takePauseBack()
}

func (r *run) takePauseBack() error {
	// A Finish ends the rotation that paused, which nobody else goes on with.
	if r.seen.Run.Mode != Finish && r.seen.Home.Note.Paused.By != r.seen.Run.ID {
		if err := r.takePauseOver(); err != nil {
			return err
		}
	}
	r.seen.Run.Resumes++
	if err := r.rotator.Maia.Command(r.ctx, r.runner.AgentID(), maia.CommandResume); err != nil {
		return err
	}
	if err := r.awaitAgent(func() bool { return !r.seen.pausedByUs() }, "resumed"); err != nil {
		return err
	}
	r.mended = true
	note := r.seen.Home.Note
	note.Paused = nil
	return r.saveNote(note)
}

// takePauseOver makes an earlier run's pause this run's, before it is taken back: another run that goes on with it, and has
// noted so since this one looked, must not find the runner at work when it refreshes.
func (r *run) takePauseOver() error {
	note := r.seen.Home.Note
	note.Paused = &OwnPause{At: note.Paused.At, By: r.seen.Run.ID, Confirmed: true, Until: r.seen.Agent.PausedUntil.Truncate(time.Millisecond)}
	if err := r.saveNote(note); err != nil {
		return err
	}
	if err := r.readHome(); err != nil {
		return err
	}
	if _, resume := r.seen.mayResume(r.rotator.Policy, time.Now(), false); !resume || r.seen.Home.Note.Paused == nil {
		return Errorf(NotReady, "another run goes on with the pause that this one was about to take back").
			WithTodo("nothing: that run takes it back, or the next one does")
	}
	return nil
}

// done writes the note of a run that has nothing left to do.
func (r *run) done() error {
	if err := r.settle(); err != nil {
		return err
	}
	switch {
	case r.counts:
		r.report.Outcome = Rotated
	case r.mended:
		r.report.Outcome = Healed
	default:
		r.report.Outcome = NoOp
	}
	return nil
}

// settle notes what is settled: the outcome of a refresh, and, but for [Stage], that the instances run with what is valid.
func (r *run) settle() error {
	valid, _ := r.seen.Valid()
	fingerprint := valid.ClientSecret.Fingerprint()
	r.counts = r.counts || r.seen.resolved(fingerprint)
	note := r.settledNote(fingerprint)
	if r.seen.Run.Mode != Stage {
		if r.undelivered(fingerprint) && r.seen.ours(fingerprint) && note.Rotated != nil {
			r.counts = true
			if !r.cameBack.IsZero() {
				r.report.Dark = r.cameBack.Sub(note.Rotated.At)
			}
		}
		note.Applied = fingerprint
		if note.Paused != nil && !r.seen.pausedByUs() && (r.seen.Run.Mode != Heal || !r.seen.besideRotation(r.rotator.Policy, time.Now())) {
			note.Paused = nil
		}
	}
	if note.Equal(r.seen.Home.Note) {
		return nil
	}
	return r.saveNote(note)
}

// settledNote is the note with an intent closed whose outcome is known, or that was never sent.
func (r *run) settledNote(valid maia.Fingerprint) Note {
	note := r.seen.Home.Note
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
		note.Intent, note.Rotated, note.Tried = nil, &Rotation{At: sent.At, Over: sent.Over, New: valid}, time.Time{}
	case !time.Now().Before(intent.At.Add(r.rotator.Policy.QuietTime)):
		note.Intent = nil
	}
	return note
}

func (r *run) saveNote(note Note) error {
	note.Agent = r.runner.AgentID()
	if err := r.runner.SaveNote(r.ctx, note); err != nil {
		return err
	}
	r.seen.Home.Note = note
	return nil
}

// failed decides what a failure means: before a refresh it ends the run, after one it is tried again until the time is
// up. It returns nil to go on.
func (r *run) failed(what string, err error) error {
	r.failures++
	kind := KindOf(err)
	certain := kind == Permission || kind == Configuration || kind == Vendor
	if !r.dark() || r.rotator.Policy.DryRun || certain && r.failures >= maxFailures || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", what, err)
	}
	backoff := min(time.Second<<min(r.failures-1, 6), maxBackoff)
	r.log.WarnContext(r.ctx, "an action failed and is tried again", "action", what, "try", r.failures, "error", err, "in", backoff.String())
	if waited := sleep(r.ctx, backoff); waited != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// giveUp takes back what can be taken back of a run that changed nothing for good, and gives the error its state.
func (r *run) giveUp(err error) error {
	if r.observed && r.seen.Run.Sent == nil && r.seen.Run.Mode != Finish && !r.rotator.Policy.DryRun {
		if cleanup := r.cleanUp(); cleanup != nil {
			r.log.ErrorContext(r.ctx, "cleaning up failed; the next run does it", "error", cleanup)
		}
	}
	return AsError(err, r.state())
}

// cleanUp resumes a pause of ours, and takes back an intent that was not sent. It may be called when the caller has gone,
// and so has a little time of its own.
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
	home, unseen := r.runner.Observe(r.ctx) // another run may have come
	if unseen == nil {
		r.seen.Home = home
	}
	if r.seen.Home.Note.Paused == nil && !r.seen.unsent() {
		return unseen
	}
	if err := r.readAgent(); err != nil {
		return err
	}
	if unseen != nil { // the note may be another by now: what is left of ours in it is for the next run
		if r.seen.Run.Pauses > 0 && r.seen.pausedByUs() {
			return errors.Join(unseen, r.rotator.Maia.Command(r.ctx, r.runner.AgentID(), maia.CommandResume))
		}
		return unseen
	}
	if r.seen.pausedByUs() && r.seen.Agent.Connected && r.seen.Run.Resumes < maxTries {
		if _, resume := r.seen.mayResume(r.rotator.Policy, time.Now(), true); resume {
			if err := r.takePauseBack(); err != nil {
				return err
			}
		}
	}
	note := r.seen.Home.Note
	if own := note.Paused; own != nil && own.By == r.seen.Run.ID && r.seen.Agent.Connected && !r.seen.pausedByUs() &&
		(r.pauseSeen || r.seen.Run.Pauses == 0) { // a PAUSE that has not shown may yet take effect: the note stays
		note.Paused = nil
	}
	if r.seen.unsent() {
		note.Intent = nil
	}
	if note.Equal(r.seen.Home.Note) {
		return nil
	}
	return r.saveNote(note)
}

// plan records what Next would have the run do from here on.
func (r *run) plan() error {
	steps := Plan(r.seen, r.rotator.Policy, time.Now())
	r.report.Outcome = Planned
	for _, step := range steps {
		r.record(step, 0, nil)
	}
	if last := steps[len(steps)-1]; last.Kind == Refuse {
		return AsError(last.Refusal, r.state())
	}
	return nil
}

// beginCritical makes the run deaf to everything but its deadline.
func (r *run) beginCritical() {
	if r.cancel == nil {
		deadline, _ := r.caller.Deadline()
		r.ctx, r.cancel = context.WithDeadline(context.WithoutCancel(r.caller), deadline)
	}
}

func (r *run) endCritical() {
	if r.cancel != nil {
		r.cancel()
		r.ctx, r.cancel = r.caller, nil
	}
}

// dark says that the runner may be down by a refresh of ours.
func (r *run) dark() bool {
	return r.cancel != nil || r.seen.Run.Restarts > 0 || r.seen.Run.Mode == Finish
}

func (r *run) state() State {
	if r.observed {
		return r.seen.State()
	}
	return Unseen
}

// announce logs a step when it is another than the last.
func (r *run) announce(step Step) {
	if step.Kind != r.last {
		r.last = step.Kind
		r.log.InfoContext(r.ctx, "next action", "action", step.Kind, "reason", step.Reason, "state", r.state())
	}
}

// record adds a step to the report; waiting that repeats is one.
func (r *run) record(step Step, took time.Duration, err error) {
	r.report.Reason = step.Reason
	steps := r.report.Steps
	if last := len(steps) - 1; last >= 0 && steps[last].Kind == step.Kind && steps[last].Error == "" {
		steps[last].Took += took
	} else {
		r.report.Steps = append(steps, StepReport{Kind: step.Kind, Reason: step.Reason, Took: took})
	}
	if err != nil {
		r.report.Steps[len(r.report.Steps)-1].Error = err.Error()
	}
}

// now is the time as notes hold it.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func newRunID() string {
	var mark [4]byte
	rand.Read(mark[:]) // never fails
	return hex.EncodeToString(mark[:])
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
