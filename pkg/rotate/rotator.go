package rotate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
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
	settleTime   = 55 * time.Second // how long a PAUSE or RESUME may take to show in an agent's status
	intentTime   = time.Minute      // from noting an intent until its refresh is sent, at most: the quiet time counts from the note
	lastWords    = 5 * time.Second  // before the context's deadline, so that a run ends by its own decision
	cleanupTime  = 8 * time.Second  // for taking back what a run that is given up has changed, once its time is up,
	longCleanup  = 90 * time.Second // or while it is not: Maia may ask to wait a minute
	downRead     = 10 * time.Second // for what is good to know of a runner that is dark, and not needed
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
		ctx, cancel = context.WithTimeout(ctx, r.Policy.DrainTimeout+r.Policy.QuietTime+2*r.Policy.downtimeBudget())
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
			broken := panicError(panicked)
			broken.State = run.state()
			err, report.Outcome = broken, Broken
		}
		report.State, report.Took = run.state(), time.Since(started)
		report.Connected = run.seen.Agent.Connected
		report.LeftPaused = run.observed && run.leftPaused(err)
		if since := run.seen.downSince(); run.observed && !since.IsZero() {
			report.DownSince = &since
		}
		if rotated := run.seen.Platform.Note.LastRotation; rotated != nil {
			report.RotatedAt = &rotated.At
		}
		if tried := run.seen.Platform.Note.Tried; !tried.IsZero() {
			report.TriedAt = &tried
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

	seen          Observation
	observed      bool      // seen has been filled
	current       bool      // seen is as the world is, as far as this run knows: no need to look again
	alive         time.Time // when this run last began to look, or ended a step
	down          bool      // this run has seen the runner down, or starting
	cameBack      time.Time // when this run then saw it back
	failures      int       // in a row
	pauseAccepted bool      // by Maia, which has not shown it yet
	pauseSeen     bool      // a PAUSE of this run's has shown
	ordered       *Order    // by this run, as long as the instances were not seen back
	adopted       *Adoption // by this run
	repaired      bool      // something was stored, restarted or resumed
	counts        bool      // by a rotation of ours
	last          StepKind  // announced
	taken         StepKind  // without an error
	repeats       int       // of taken, in a row
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
			if errors.Is(step.Refusal, ErrStarting) {
				r.report.Outcome = Starting
			}
			return r.giveUp(step.Refusal)
		}
		began := time.Now()
		err := r.take(step)
		r.alive = wall()
		r.record(step, time.Since(began), err)
		if err == nil {
			r.failures = 0
			if step.Kind == Done && step.Refusal != nil {
				r.report.Outcome = Refused
				return AsError(step.Refusal, r.state())
			}
			if step.Kind == Done {
				return nil
			}
			if err := r.mustProgress(step.Kind); err != nil {
				return r.giveUp(err)
			}
			continue
		}
		r.current = false
		if err := r.failed(step.Kind.Text(), err); err != nil {
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
		return Errorf(Internal, "%s was done %d times in a row without an effect", step.Text(), r.repeats).
			WithHint("look who else changes what this run changes; the next run tries again")
	}
	return nil
}

// plan records what Next would have the run do from here on.
func (r *run) plan() error {
	steps := Plan(r.seen, r.rotator.Policy, time.Now())
	r.report.Outcome = Planned
	for _, step := range steps {
		r.record(step, 0, nil)
	}
	if last := steps[len(steps)-1]; last.Refusal != nil {
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
func (r *run) mayBeDown() bool {
	return r.cancel != nil || r.seen.Run.Restarts > 0 || r.seen.Run.Mode == Finish
}

// leftPaused reports whether the run ends over a pause that it should have taken back, or of which it cannot tell whose it is.
func (r *run) leftPaused(err error) bool {
	now := time.Now()
	switch r.seen.pause(r.rotator.Policy, now) {
	case pauseOurs:
		_, ours := r.seen.mayResume(r.rotator.Policy, now, err != nil)
		if r.seen.Run.Mode == Stage { // else the Finish that follows takes it back
			return r.state() == PausedOnly
		}
		return ours && !r.rotator.Policy.DryRun && (r.seen.Agent.Connected || r.state() == PausedOnly)
	case pauseHidden:
		return r.seen.Agent.Connected && r.seen.Run.Mode != Stage
	case pauseUnclear:
		return !r.seen.concurrentRotation(r.rotator.Policy, now)
	}
	return err != nil && r.state() == PausedOnly
}

func (r *run) state() State {
	if r.observed {
		return r.seen.state(r.rotator.Policy, time.Now())
	}
	return NotObserved
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
	if last := len(steps) - 1; last >= 0 && steps[last].Kind == step.Kind && steps[last].Error == nil {
		steps[last].Took += took
	} else {
		r.report.Steps = append(steps, StepReport{Kind: step.Kind, Reason: step.Reason, Took: took})
	}
	if err != nil {
		r.report.Steps[len(r.report.Steps)-1].Error = partsOf(err)
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
