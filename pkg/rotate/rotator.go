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
	pollInterval = 2 * time.Second  // between two reads of a waiting step
	commandTime  = 55 * time.Second // how long a PAUSE or RESUME may take to show in an agent's status
	lastWords    = 5 * time.Second  // before the context's deadline, so that a run ends by its own decision
	cleanupTime  = 8 * time.Second  // for taking back what a run that is given up has changed, once its time is up,
	longCleanup  = 90 * time.Second // or while it is not: Maia may ask to wait a minute
	downRead     = 10 * time.Second // for what is good to know of a runner that is down, and not needed
	releaseTime  = 5 * time.Second  // for giving a lock back at the end of a run
	maxBackoff   = 15 * time.Second // between two tries after a refresh
	maxFailures  = 3                // in a row, where a person must remove the cause
	maxRepeats   = 3                // of a step in a row that has no effect
	maxHeldUp    = time.Minute      // from a read to what is done by it
)

// Run brings one runner as far as the mode says. It ends by ctx's deadline, and takes back what it can within 8 s more;
// without a deadline it gives itself as long as its policy could need. From the sending of a refresh until the restart is
// ordered (in [Stage]: until the store holds the answer) only that deadline ends it, not ctx's cancellation.
//
// The error, if any, is an [*Error]. The report is complete in either case.
func (r *Rotator) Run(ctx context.Context, runner Runner, mode Mode) (Report, error) {
	return r.start(ctx, runner, mode, false)
}

// Plan reports what Run would do from here on, if every step had the effect that is hoped for, and changes nothing. It makes the same
// checks; its error is that of the step at which Run would end. The plan of a [Stage] goes on with the [Finish] that follows it.
func (r *Rotator) Plan(ctx context.Context, runner Runner, mode Mode) (Report, error) {
	return r.start(ctx, runner, mode, true)
}

func (r *Rotator) start(ctx context.Context, runner Runner, mode Mode, dry bool) (report Report, err error) {
	started := time.Now()
	report = Report{AgentID: runner.AgentID(), Mode: mode, Outcome: Broken, State: Unchanged}
	if err := errors.Join(mode.validate(), r.Policy.Validate()); err != nil {
		return report, AsError(err, Unchanged)
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Policy.DrainTimeout+r.Policy.QuietTime+2*r.Policy.downtimeBudget(runner.StoreTime()))
		defer cancel()
	}
	deadline, _ := ctx.Deadline()
	run := &run{
		rotator: r, runner: runner, report: &report, caller: ctx, ctx: ctx, log: r.Log, dry: dry,
		seen: Observation{Run: RunState{
			ID: newRunID(), Mode: mode, Started: started, Deadline: deadline.Add(-lastWords), StoreTime: runner.StoreTime(),
		}},
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
		run.close(err)
	}()
	if dry {
		err = run.plan()
	} else {
		err = run.loop()
	}
	return report, err
}

// run is the state of one Run.
type run struct {
	rotator *Rotator
	runner  Runner
	report  *Report
	log     *slog.Logger
	dry     bool // it plans, and changes nothing

	caller context.Context
	ctx    context.Context    // the caller's, or, while the runner is down by our doing, one that only the deadline ends
	cancel context.CancelFunc // of the latter, else nil

	seen     Observation
	view     view
	alive    time.Time // when this run last began to read, or ended a step
	down     bool      // this run has seen the runner down, or starting
	cameBack time.Time // when this run then saw it back
	failures int       // in a row
	ordered  *Order    // by this run, as long as the instances were not seen back
	adopted  *Adoption // by this run
	counts   bool      // by a rotation of ours
	taken    StepKind  // without an error
	repeats  int       // of taken, in a row
}

// view is how well a run knows the world.
type view int

const (
	unseen  view = iota // it has not read everything yet
	stale               // what was read may have changed: it reads again before the next step
	current             // what was read is as the world is, as far as this run knows
)

func (r *run) loop() error {
	for again := false; ; {
		if r.view != current {
			if err := r.observe(); err != nil {
				if err := r.failed("observe", err); err != nil {
					return r.giveUp(err)
				}
				continue
			}
		}
		if r.heldUp() && !again {
			r.view, again = stale, true
			continue
		}
		again = false
		step := r.facts().next()
		r.announce(step)
		if step.Kind == Refuse {
			r.report.Outcome = Refused
			if errors.Is(step.Refusal, ErrStarting) {
				r.report.Outcome = Starting
			}
			return r.giveUp(step.Refusal)
		}
		if err := r.do(step); err != nil {
			r.view = stale
			if err := r.failed(step.Kind.Text(), err); err != nil {
				return r.giveUp(err)
			}
			continue
		}
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
	}
}

// do takes a step and reports it.
func (r *run) do(step Step) error {
	began := time.Now()
	err := r.take(step)
	r.alive = wall()
	r.record(step, time.Since(began), err)
	return err
}

// plan reports what Next would have the run do from here on.
func (r *run) plan() error {
	if err := r.observe(); err != nil {
		return AsError(Within("observe", err), r.state())
	}
	step := r.facts().next()
	r.announce(step)
	if step.Kind == Check {
		if err := r.do(step); err != nil {
			return AsError(Within(step.Kind.Text(), err), r.state())
		}
	}
	steps := Plan(r.seen, r.rotator.Policy, time.Now())
	r.announce(steps[0])
	r.report.Outcome = Planned
	for _, step := range steps {
		r.record(step, 0, nil)
	}
	if last := steps[len(steps)-1]; last.Refusal != nil {
		return AsError(last.Refusal, r.state())
	}
	return nil
}

// close completes the report.
func (r *run) close(err error) {
	report, seen := r.report, r.seen
	report.State, report.Took, report.Connected = r.state(), time.Since(seen.Run.Started), seen.Agent.Connected
	if r.view != unseen {
		report.LeftPaused = r.leftPaused(err)
		if since := r.facts().downSince(); !since.IsZero() {
			report.DownSince = &since
		}
	}
	report.Requested, report.Held = seen.requested(), seen.hold(time.Now())
	if rotated := seen.Platform.Note.LastRotation; rotated != nil {
		report.RotatedAt = &rotated.At
	}
	if tried := seen.Platform.Note.Tried; !tried.IsZero() {
		report.TriedAt = &tried
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
			WithHint("find out who else changes what this run changes; the next run tries again")
	}
	return nil
}

// beginCritical has nothing end the run but its deadline.
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

// mayBeDown reports whether the runner may be down by a refresh of ours.
func (r *run) mayBeDown() bool {
	return r.cancel != nil || r.seen.Run.Restarts > 0 || r.seen.Run.Mode == Finish
}

// leftPaused reports whether the run ends over a pause that it should have taken back, or that may be ours.
func (r *run) leftPaused(err error) bool {
	f := r.facts()
	pausedOnly := f.state() == PausedOnly
	switch f.pause {
	case PauseOurs:
		if f.Run.Mode == Stage { // else the Finish that follows takes it back
			return pausedOnly
		}
		_, ours := f.mayResume(err != nil)
		return ours && !r.dry && (f.Agent.Connected || pausedOnly)
	case PauseHidden:
		return f.Agent.Connected && f.Run.Mode != Stage
	case PauseUnclear:
		return !f.concurrentRotation()
	}
	return err != nil && pausedOnly
}

func (r *run) state() State {
	if r.view == unseen {
		return NotObserved
	}
	return r.facts().state()
}

// announce logs a step when it is another than the last.
func (r *run) announce(step Step) {
	if last := len(r.report.Steps) - 1; last < 0 || r.report.Steps[last].Kind != step.Kind {
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
