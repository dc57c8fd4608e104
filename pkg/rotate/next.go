package rotate

import (
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// StepKind names what a run does next.
type StepKind string

// The steps.
const (
	Check          StepKind = "check"           // prove without effect that the way is clear
	Pause          StepKind = "pause"           // note that the pause is ours, pause the runner, confirm the note
	AwaitDrained   StepKind = "await_drained"   // look again until running pipelines have finished
	Refresh        StepKind = "refresh"         // note the intent, look again, refresh
	AwaitOutcome   StepKind = "await_outcome"   // look again until Maia shows what became of a refresh
	Store          StepKind = "store"           // put what Maia holds into the store
	Restart        StepKind = "restart"         // order new instances
	AwaitConnected StepKind = "await_connected" // look again until the new instances run and Maia says connected
	Resume         StepKind = "resume"          // take our pause back
	Done           StepKind = "done"
	Refuse         StepKind = "refuse"
)

// Text is the step in words.
func (k StepKind) Text() string { return words(k) }

// Step is the one next thing to do, and why.
type Step struct {
	Kind   StepKind
	Reason string
	// Owes says, for Store, that a restart must follow which nothing else would show to be missing: the note says so
	// first.
	Owes bool
	// Refusal is the error of Refuse, of a Resume that cleans up before it, and of a Done that leaves something to a person.
	Refusal *Error
}

// maxTries bounds what a run repeats when it has no effect.
const maxTries = 2

// Next is the whole logic of a rotation: a pure function without a clock. The first row that fits decides.
//
//	an agent of type streaming                              Refuse
//	Heal, and another run is in the middle of its refresh   AwaitOutcome
//	what Maia holds is not known (a read that lags)         AwaitOutcome; Refuse when the time is up
//	the store names another client than Maia                Refuse
//	store ≠ Maia   a refresh may have made what is stored   AwaitOutcome, until the quiet time is over
//	store ≠ Maia   … nor does anything, of a connected runner AwaitOutcome, for a minute: a read may be stale
//	store ≠ Maia   it explains nothing, never agreed        Refuse
//	store ≠ Maia   else, or it was not completed            Store
//	store = Maia   Stage, and the value is staged           Done
//	               a refresh may still be carried out       AwaitOutcome; Refuse when the quiet time is over
//	               scaled to zero                           Refuse
//	               instances run with an older secret       Restart, after a drain if they are alive
//	               the platform gave up on what was ordered Restart once more; Refuse
//	               … it fails, or is not connected, for long  Restart, once in a run
//	               instances rolling, or not seen back      AwaitConnected; Refuse when the time is up ("still starting")
//	               not connected, nothing of ours           Refuse
//	               a refresh is due                         Check, Pause, AwaitDrained, Refresh; Refuse if the way is not clear
//	               paused by us                             Resume
//	               paused, perhaps by us                    Done, with an error
//	               delivered, and not recorded              Store, once; Done, with an error
//	               else                                     Done
//
// A Refuse of a runner that is connected and paused by us is preceded by a Resume.
func Next(o Observation, p Policy, now time.Time) Step {
	step := next(o, p, now)
	if step.Kind == Refuse && o.pausedByUs(p, now) && o.Agent.Connected && o.Run.Answer.ClientSecret.IsZero() && o.Run.Resumes < maxTries {
		if _, resume := o.mayResume(p, now, true); resume {
			return Step{Kind: Resume, Reason: "giving up: " + step.Refusal.What, Refusal: step.Refusal}
		}
	}
	return step
}

func next(o Observation, p Policy, now time.Time) Step {
	if o.Run.Refusal != nil {
		return Step{Kind: Refuse, Reason: o.Run.Refusal.What, Refusal: o.Run.Refusal}
	}
	if strings.EqualFold(o.Agent.Type, agentStreaming) {
		return refuse(Errorf(Configuration, "agent %s is of type %s: whether such an agent can be paused and refreshed safely is not documented", o.Agent.ID, agentStreaming).
			WithHint("take it out of the function's configuration; only agents of type data_productivity_cloud are rotated"))
	}
	if until, underWay := o.concurrentRefresh(); underWay && now.Before(until) {
		return o.awaitOutcome("another run is about to refresh, or has just done it and stores the answer", until, now)
	}
	valid, known := o.Valid()
	if !known {
		return o.awaitOutcome("Maia still shows the secret that was revoked", o.Run.Started.Add(p.QuietTime), now)
	}
	if o.Platform.Stored.ClientID != valid.ClientID {
		return refuse(Errorf(Configuration, "the store holds credentials of client %q, Maia says that the runner's is %q", o.Platform.Stored.ClientID, valid.ClientID).
			WithHint("check that the store and the agent ID belong to the same runner"))
	}
	fingerprint := valid.ClientSecret.Fingerprint()
	if !o.storeHolds(valid) {
		if quiet, open := o.quiet(p); open && o.unresolved(fingerprint) && now.Before(quiet) && !o.Platform.Stored.Equal(valid) {
			return o.awaitOutcome("a refresh was sent whose outcome the store may hold, and Maia does not show", quiet, now)
		}
		if until := o.Run.Started.Add(doubtTime); o.doubtful(fingerprint) && now.Before(until) {
			return o.awaitOutcome("Maia shows a secret that nothing explains, of a runner that is connected: it is read again", until, now)
		}
		return o.adopt(fingerprint, p)
	}
	if o.Run.Mode == Stage && o.Platform.Staged {
		return Step{Kind: Done, Reason: "the store holds what Maia holds"}
	}
	if o.unresolved(fingerprint) && (o.Run.Mode.mayRefresh() || !o.Agent.Connected) {
		quiet, _ := o.quiet(p)
		if now.Before(quiet) {
			return o.awaitOutcome("a refresh was sent, and whether it will be carried out is not known", quiet, now)
		}
		if o.Run.Sent != nil {
			return refuse(Errorf(UnknownOutcome, "the refresh got no answer, and Maia has held the former secret for %s since", p.QuietTime).
				WithHint("nothing: the next run may refresh again"))
		}
	}
	if o.Platform.Instances.State == Stopped && o.Agent.Connected {
		return refuse(Errorf(NotReady, "Maia says that the runner is connected, and its platform shows no instance that uses the secret: %s", o.Platform.Instances.Detail).
			WithHint("find out where the runner runs; if it was scaled to zero just now, nothing"))
	}
	if o.Platform.Instances.State == Stopped {
		return refuse(Errorf(NotReady, "%w: %s", ErrStopped, o.Platform.Instances.Detail).
			WithHint("scale it up; it reads what the store holds when it starts"))
	}
	if !o.fresh(fingerprint) {
		return o.restart(p, now)
	}
	if step, decided := o.awaitBack(p, now, fingerprint); decided {
		return step
	}
	if o.due(fingerprint, p, now) {
		return o.refresh(p, now)
	}
	switch o.pause(p, now) {
	case pauseOurs:
		if o.pauseUndecided() && now.Before(o.Run.Deadline) {
			return Step{Kind: AwaitConnected, Reason: "the end of the pause is another: whose pause it is shows in whether it stands still"}
		}
		if step := o.resume(p, now); step.Kind != Done {
			return step
		}
	case pauseHidden:
		if since := o.waitingSince(); now.Before(since.Add(p.ConnectTimeout)) && now.Before(o.Run.Deadline) {
			return Step{Kind: AwaitConnected, Reason: "Maia does not say yet whether the runner is paused still"}
		}
		return Step{Kind: Done, Reason: "the runner is back, and may be paused", Refusal: o.leftPaused()}
	case pauseUnclear:
		if o.Run.Mode != Heal || !o.concurrentRotation(p, now) {
			return Step{Kind: Done, Reason: "the runner is back, and left paused", Refusal: o.leftPaused()}
		}
	}
	if why := o.Platform.Unrecorded; why != "" {
		return o.record(why)
	}
	return Step{Kind: Done, Reason: "connected with what Maia holds, and so is the store"}
}

// agentStreaming is the type of agents that are refused.
const agentStreaming = "streaming"

// record tries once to complete what the platform keeps beside the store.
func (o Observation) record(why string) Step {
	if !o.Run.Recorded {
		return Step{Kind: Store, Reason: "delivered, and not recorded yet: " + why}
	}
	return Step{Kind: Done, Reason: "the runner is back, and not recorded", Refusal: Errorf(Configuration, "the secret is delivered and the runner is back, and the platform does not record it yet: %s", why).
		WithHint("remove what is in the way; the next run completes the record, and nothing is refreshed until then")}
}

// adopt brings a value of Maia's that the store lacks.
func (o Observation) adopt(valid maia.Fingerprint, p Policy) Step {
	if o.Platform.Stored.ClientSecret.Fingerprint() == valid {
		return Step{Kind: Store, Reason: "a change of the store was not completed"}
	}
	ours := o.ours(valid)
	if p.OnlyKnown && !ours && !o.agreed() {
		return refuse(Errorf(NotReady, "Maia holds another secret than the store, there is no note of this runner, and the agent of another target is not known now").
			WithHint("see why the other target cannot be opened: it may be the home of this agent"))
	}
	if !ours && o.Agent.Connected && !o.agreed() {
		return refuse(Errorf(Vendor, "Maia holds another secret than the store, though the runner is connected, and the two were never seen to agree").
			WithHint("if the secret was refreshed by hand, put the new one into the store and restart the runner; then start a rotation"))
	}
	applied := o.Platform.Note.Applied
	step := Step{Kind: Store, Reason: "the store lacks what Maia holds, which was not refreshed by us"}
	if ours {
		step.Reason = "the store lacks what our refresh made"
	}
	if applied == valid {
		step.Owes = !o.Agent.Connected
	} else {
		step.Owes = !ours && applied != AppliedNothing
	}
	return step
}

// awaitOutcome waits for a read of Maia's until a time, or until the run must end.
func (o Observation) awaitOutcome(reason string, until, now time.Time) Step {
	if now.Before(until) && now.Before(o.Run.Deadline) {
		return Step{Kind: AwaitOutcome, Reason: reason}
	}
	return refuse(Errorf(UnknownOutcome, "%s", reason).WithHint("nothing: the next run looks again, and refreshes only when it is safe"))
}

// restart orders instances that read the store. Ones that are alive are drained before; ones that this run's refresh cut
// off, or that are not connected, are not: they cannot drain. Those that it has restarted since can.
func (o Observation) restart(p Policy, now time.Time) Step {
	if o.Run.Restarts >= maxTries {
		return refuse(Errorf(Vendor, "the instances do not come up with the stored secret after %d restarts: %s", o.Run.Restarts, o.Platform.Instances.Detail).
			WithHint("look at the instances' logs; the next run restarts them again"))
	}
	alive := o.Run.Sent == nil || o.Run.Restarts > 0 && o.Platform.Instances.up()
	if o.Agent.Connected && alive && !o.partlyOrdered() && (o.Agent.Status == maia.StatusRunning || o.paused()) {
		if step, decided := o.drain(p, now, 0); decided {
			return step
		}
	}
	return Step{Kind: Restart, Reason: "the instances do not run with what the store holds"}
}

// partlyOrdered reports whether some of what runs with the secret was restarted for what is stored now, and the rest is not: it is cut
// off, and cannot drain.
func (o Observation) partlyOrdered() bool {
	ordered := o.Platform.Note.Ordered
	return ordered != nil && ordered.For == o.Platform.Stored.ClientSecret.Fingerprint() && o.Platform.Instances.Read != ReadCurrent
}

// awaitBack waits for instances that are on the way, and refuses for ones that will not come; decided is false if they are
// steady and connected as far as this run needs it.
func (o Observation) awaitBack(p Policy, now time.Time, valid maia.Fingerprint) (step Step, decided bool) {
	owed, instances := o.owed(valid), o.Platform.Instances
	if owed || o.Run.Mode == Finish && !o.Agent.Connected {
		if o.comesNoMore(p, now) {
			return o.restart(p, now), true
		}
		if !instances.up() || !o.Agent.Connected || o.Run.ConnectedReads < 2 {
			return o.awaitConnected(p, now), true
		}
	}
	if !o.Agent.Connected {
		if since := o.Run.DrainSince; !since.IsZero() && now.Before(since.Add(p.DrainTimeout)) && o.Run.Deadline.Sub(now) > p.budget(o.Run.Mode) {
			return Step{Kind: AwaitDrained, Reason: "the runner lost its connection while it drained"}, true
		}
		return refuse(Errorf(NotReady, "Maia says that the runner is not connected (status %q), though store and instances hold the valid secret", o.Agent.Status).
			WithHint("look at the runner's logs and network; nothing is refreshed while it is down")), true
	}
	if instances.State != Steady && o.due(valid, p, now) {
		return refuse(Errorf(NotReady, "the deployment is %s: %s", instances.State, instances.Detail).
			WithHint("wait until it is steady, or mend it")), true
	}
	return Step{}, false
}

// wedged is how old the order of instances is that run, and with which the runner is still not connected, when a run may order
// others.
const wedged = time.Hour

// comesNoMore reports whether the instances that were ordered are given up: by the platform; or by us, once in a run, if they did
// not come up within the connect time-out, or run for long and the runner is not connected. Ones that are only slow are not.
func (o Observation) comesNoMore(p Policy, now time.Time) bool {
	instances, ordered := o.Platform.Instances, o.Platform.Note.Ordered
	if instances.State == Failed {
		return true
	}
	if o.Run.Restarts > 0 {
		return false
	}
	age := time.Duration(1<<63 - 1) // of an order that nobody has noted
	if ordered != nil {
		age = now.Sub(ordered.At)
	}
	return instances.State == Failing && age >= p.ConnectTimeout || ordered != nil && instances.up() && !o.Agent.Connected && age >= wedged
}

// waitingSince is when this run began to wait for the instances.
func (o Observation) waitingSince() time.Time {
	if since := o.Run.RestartedAt; !since.IsZero() {
		return since
	}
	return o.Run.Started
}

func (o Observation) awaitConnected(p Policy, now time.Time) Step {
	late := !now.Before(o.waitingSince().Add(p.ConnectTimeout))
	switch {
	case late && o.Platform.Instances.State == Rolling:
		return refuse(Errorf(NotReady, "%w, and were not up within %s: %s", ErrStarting, p.ConnectTimeout, o.Platform.Instances.Detail).
			WithHint("nothing: the next run waits on, and orders no other restart; if this repeats, look at the deployment's events"))
	case late:
		return refuse(Errorf(Vendor, "the runner has not come back within %s (instances %s, Maia says status %q, connected %t): %s",
			p.ConnectTimeout, o.Platform.Instances.State, o.Agent.Status, o.Agent.Connected, o.Platform.Instances.Detail).
			WithHint("look at the instances' logs; the store holds the valid secret"))
	case !now.Before(o.Run.Deadline):
		return refuse(Errorf(NotReady, "%w when the time of this run was up: %s", ErrStarting, o.Platform.Instances.Detail).
			WithHint("nothing: the next run waits on; give the function more time if this repeats"))
	}
	return Step{Kind: AwaitConnected, Reason: "instances are starting"}
}

// refresh goes through everything that must hold before a secret is revoked.
func (o Observation) refresh(p Policy, now time.Time) Step {
	if valid, _ := o.Valid(); !o.Maia.Equal(valid) {
		// What became of a refresh could not be told from such reads.
		return o.awaitOutcome("Maia still shows the secret that the last rotation revoked", o.Run.Started.Add(p.QuietTime), now)
	}
	budget := p.budget(o.Run.Mode)
	switch left := o.Run.Deadline.Sub(now); {
	case o.Agent.Status != maia.StatusRunning && !o.paused():
		return refuse(Errorf(NotReady, "Maia says that the runner's status is %q, expected running or paused", o.Agent.Status).
			WithHint("wait, or look at the runner in Maia's console"))
	case left < budget:
		return refuse(Errorf(NotReady, "%s are left in this run, a refresh needs %s", left.Round(time.Second), budget).
			WithHint("give the function more time"))
	case !o.Run.Checked:
		return Step{Kind: Check, Reason: "a rotation is due"}
	}
	if step, decided := o.drain(p, now, budget); decided {
		return step
	}
	if until := o.Agent.PausedUntil; p.Drain == DrainPause && !until.IsZero() && until.Before(now.Add(p.downtimeBudget())) {
		return refuse(Errorf(NotReady, "the runner's pause ends at %s, before it could be back", until.UTC().Format(time.RFC3339)).
			WithHint("if pauses are always that short, lower the connect time-out (%s now): a pause must outlast it", p.ConnectTimeout))
	}
	return Step{Kind: Refresh, Reason: "a rotation is due and the way is clear"}
}

// drain sees to it that no pipeline runs; decided is false when that is so. reserve is the time that must be left then.
func (o Observation) drain(p Policy, now time.Time, reserve time.Duration) (step Step, decided bool) {
	if p.Drain == DrainNone {
		return Step{}, false
	}
	concurrent := o.concurrentPause(now) && now.Before(o.Run.Deadline)
	if !o.paused() {
		if o.Agent.Status != maia.StatusRunning {
			return refuse(Errorf(NotReady, "Maia says that the runner's status is %q: it cannot be drained", o.Agent.Status).
				WithHint("wait, or look at the runner in Maia's console")), true
		}
		if o.Run.Pauses > 0 {
			return refuse(Errorf(NotReady, "the runner was resumed by somebody else while it drained").
				WithHint("nothing: the next run tries again")), true
		}
		if concurrent {
			return Step{Kind: AwaitDrained, Reason: "another run is about to pause the runner"}, true
		}
		return Step{Kind: Pause, Reason: "running pipelines must finish first"}, true
	}
	if note := o.Platform.Note.Paused; note != nil && !note.Confirmed && o.pausedByUs(p, now) && (o.Agent.Status == maia.StatusPaused || !o.Agent.PausedUntil.IsZero()) {
		if concurrent {
			return Step{Kind: AwaitDrained, Reason: "another run is about to confirm that the pause is ours"}, true
		}
		return Step{Kind: Pause, Reason: "the pause has taken effect: confirm that it is ours"}, true
	}
	if o.Agent.Status == maia.StatusPaused && o.pauseUndecided() {
		return Step{Kind: AwaitDrained, Reason: "the end of the pause has changed: whose pause it is shows in whether it stands still"}, true
	}
	if o.Agent.Status == maia.StatusPaused {
		return Step{}, false
	}
	since := o.Run.DrainSince
	if since.IsZero() {
		since = now
	}
	limit := since.Add(p.DrainTimeout)
	if latest := o.Run.Deadline.Add(-reserve); latest.Before(limit) {
		limit = latest
	}
	if !now.Before(limit) {
		return refuse(Errorf(NotReady, "pipelines were still running after %s", now.Sub(since).Round(time.Second)).
			WithHint("rotate when the runner is quiet, or allow a longer drain time-out")), true
	}
	return Step{Kind: AwaitDrained, Reason: "pipelines are running"}, true
}

func (o Observation) resume(p Policy, now time.Time) Step {
	reason, resume := o.mayResume(p, now, false)
	switch {
	case !resume:
		return Step{Kind: Done, Reason: reason}
	case o.Run.Resumes >= maxTries:
		return refuse(Errorf(Vendor, "the runner stays paused after %d RESUME commands", o.Run.Resumes).
			WithHint(resumeByHand, o.Agent.ID))
	}
	return Step{Kind: Resume, Reason: reason}
}

// mayResume says whether our pause is this run's to take back. Not while a refresh may be under way: that of a run beside
// this one, or one that was sent and may still be carried out. A run that gives up must not take away the pause of one beside
// it, to which it may have lost the way.
func (o Observation) mayResume(p Policy, now time.Time, givingUp bool) (reason string, resume bool) {
	if (o.Run.Mode == Heal || givingUp) && o.concurrentRotation(p, now) {
		return "paused for a rotation that may be under way", false
	}
	valid, known := o.Valid()
	if quiet, _ := o.quiet(p); o.Run.Mode != Finish && known && o.unresolved(valid.ClientSecret.Fingerprint()) && now.Before(quiet) {
		return "paused for a refresh that may be under way", false
	}
	return "the pause was ours and is over", true
}

func refuse(err *Error) Step {
	return Step{Kind: Refuse, Reason: err.What, Refusal: err}
}
