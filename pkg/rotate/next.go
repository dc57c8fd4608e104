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
	AwaitDrained   StepKind = "await_drained"   // wait until running pipelines have finished
	Refresh        StepKind = "refresh"         // note the intent, read everything again, refresh
	AwaitOutcome   StepKind = "await_outcome"   // wait until Maia shows what became of a refresh
	Store          StepKind = "store"           // put what Maia holds into the store
	Restart        StepKind = "restart"         // order new instances
	AwaitConnected StepKind = "await_connected" // wait until the new instances run and Maia says connected
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
	// Credentials are what Store stores.
	Credentials maia.Credentials
	// Owes says, for Store, that a restart must follow which nothing else would show to be missing: the note says so first.
	Owes bool
	// Refusal is the error of Refuse, of a Resume that cleans up before it, and of a Done that leaves something to a person.
	Refusal *Error
}

// maxTries bounds what a run repeats when it has no effect.
const maxTries = 2

// Next is the whole logic of a rotation: a pure function without a clock. The first row that fits decides.
//
//	the agent is of type streaming                         Refuse
//	Heal, and another run is in the middle of its refresh  AwaitOutcome
//	what Maia holds is not known: its reads are stale      AwaitOutcome; Refuse when the time is up
//	the store names another client than Maia               Refuse
//
//	store ≠ Maia, and
//	  a refresh of ours may have made what is stored       AwaitOutcome, until the quiet time is over
//	  nothing explains it, and the runner is connected     AwaitOutcome, for the first minute of the run: the read may be stale
//	  nothing explains it, and they were never seen equal  Refuse
//	  else; also if a change of the store is not complete  Store
//
//	store = Maia, and
//	  Stage, and the value is staged                       Done
//	  a refresh may still be carried out                   AwaitOutcome; Refuse when the quiet time of its own is over
//	  scaled to zero                                       Refuse
//	  instances run with an older secret                   Restart, after a drain if they are alive
//	  the platform gave up on what was ordered             Restart once more; Refuse
//	  it fails, or is not connected, for long              Restart, once in a run
//	  instances are rolling, or not seen back              AwaitConnected; Refuse when the time is up ("still starting")
//	  not connected, and not by us                         Refuse
//	  a refresh is due                                     Check, Pause, AwaitDrained, Refresh; Refuse if the way is not clear
//	  paused by us                                         Resume
//	  paused, perhaps by us                                Done, with an error
//	  delivered, and not recorded                          Store, once; Done, with an error
//	  else                                                 Done
//
// A Refuse of a runner that is connected and paused by us is preceded by a Resume.
func Next(o Observation, p Policy, now time.Time) Step {
	f := o.facts(p, now)
	return f.next()
}

func (f *facts) next() Step {
	step := f.decide()
	if step.Kind == Refuse && f.pause == PauseOurs && f.Agent.Connected && f.Run.Answer.ClientSecret.IsZero() && f.Run.Resumes < maxTries {
		if _, resume := f.mayResume(true); resume {
			return Step{Kind: Resume, Reason: "giving up: " + step.Refusal.What, Refusal: step.Refusal}
		}
	}
	return step
}

// decide is Next without the Resume that precedes a Refuse.
func (f *facts) decide() Step {
	if f.Run.Refusal != nil {
		return Step{Kind: Refuse, Reason: f.Run.Refusal.What, Refusal: f.Run.Refusal}
	}
	if strings.EqualFold(f.Agent.Type, agentStreaming) {
		return refuse(Errorf(Configuration, "agent %s is of type %s: whether such an agent can be paused and refreshed safely is not documented",
			f.Agent.ID, agentStreaming).
			WithHint("take it out of the function's configuration; only agents of type data_productivity_cloud are rotated"))
	}
	if until := f.concurrentRefresh(); f.now.Before(until) {
		return f.awaitOutcome("another run is about to refresh, or has just done it and stores the answer", until)
	}
	if !f.known {
		return f.awaitOutcome("Maia still shows the secret that was revoked", f.Run.Started.Add(f.policy.QuietTime))
	}
	if f.Platform.Stored.ClientID != f.valid.ClientID {
		return refuse(Errorf(Configuration, "the store holds credentials of client %q, Maia says that the runner's is %q",
			f.Platform.Stored.ClientID, f.valid.ClientID).
			WithHint("check that the store and the agent ID belong to the same runner"))
	}
	if !f.storeHolds() {
		return f.deliver()
	}
	if f.Run.Mode == Stage && f.Platform.Staged {
		return Step{Kind: Done, Reason: "the store holds what Maia holds"}
	}
	if f.intent == intentOpen && (f.Run.Mode.mayRefresh() || !f.Agent.Connected) {
		if f.mayBeCarriedOut() {
			return f.awaitOutcome("a refresh was sent, and whether it will be carried out is not known", f.quiet())
		}
		if f.Run.Sent != nil {
			return refuse(Errorf(UnknownOutcome, "the refresh got no answer, and Maia has held the former secret for %s since", f.policy.QuietTime).
				WithHint("nothing: the next run may refresh again"))
		}
	}
	if f.Platform.Instances.State == Stopped {
		return f.stopped()
	}
	if !f.fresh() {
		return f.restart()
	}
	if step, decided := f.awaitBack(); decided {
		return step
	}
	if f.due() {
		return f.refresh()
	}
	if step, decided := f.endPause(); decided {
		return step
	}
	if f.Platform.Unrecorded != "" {
		return f.record()
	}
	return Step{Kind: Done, Reason: "connected with what Maia holds, and so is the store"}
}

// agentStreaming is the type of agents that are refused.
const agentStreaming = "streaming"

// concurrentRefresh is, for a healing run, until when another run may be in the middle of the refresh whose intent it noted; zero
// if none is. That run stores the answer itself, sooner than any other could. A platform where storing takes longer has a lock
// that keeps the two apart.
func (f *facts) concurrentRefresh() (until time.Time) {
	intent := f.Platform.Note.Intent
	if f.Run.Mode != Heal || intent == nil || f.Platform.Free {
		return time.Time{}
	}
	return intent.At.Add(maia.RefreshTimeout + DefaultStoreTime)
}

// awaitOutcome reads Maia again until the given time, or until the run must end.
func (f *facts) awaitOutcome(reason string, until time.Time) Step {
	if f.now.Before(until) && f.now.Before(f.Run.Deadline) {
		return Step{Kind: AwaitOutcome, Reason: reason}
	}
	return refuse(Errorf(UnknownOutcome, "%s", reason).WithHint("nothing: the next run reads Maia again, and refreshes only when it is safe"))
}

// deliver brings what Maia holds to a store that lacks it, once it is certain enough.
func (f *facts) deliver() Step {
	if f.mayBeCarriedOut() && !f.Platform.Stored.Equal(f.valid) {
		return f.awaitOutcome("a refresh was sent whose outcome the store may hold, and Maia does not show", f.quiet())
	}
	if until := f.Run.Started.Add(doubtTime); f.doubtful() && f.now.Before(until) {
		return f.awaitOutcome("Maia shows a secret that nothing explains, of a runner that is connected: it is read again", until)
	}
	if f.inStore == f.fingerprint {
		return f.store("a change of the store was not completed", false)
	}
	ours := f.ours()
	if f.policy.OnlyKnown && !ours && !f.agreed() {
		return refuse(Errorf(NotReady,
			"Maia holds another secret than the store, there is no note of this runner, and the agent of another target is not known now").
			WithHint("see why the other target cannot be opened: it may be this agent's"))
	}
	if !ours && f.Agent.Connected && !f.agreed() {
		return refuse(Errorf(Vendor,
			"Maia holds another secret than the store, though the runner is connected, and the two were never seen to agree").
			WithHint("if the secret was refreshed by hand, put the new one into the store and restart the runner; then start a rotation"))
	}
	reason := "the store lacks what Maia holds, which was not refreshed by us"
	if ours {
		reason = "the store lacks what our refresh made"
	}
	applied := f.Platform.Note.Applied
	if applied == f.fingerprint {
		return f.store(reason, !f.Agent.Connected)
	}
	return f.store(reason, !ours && applied != AppliedNothing)
}

func (f *facts) store(reason string, owes bool) Step {
	return Step{Kind: Store, Reason: reason, Credentials: f.valid, Owes: owes}
}

// record tries once to complete what the platform keeps in addition to the store.
func (f *facts) record() Step {
	if !f.Run.Recorded {
		return f.store("delivered, and not recorded yet: "+f.Platform.Unrecorded, false)
	}
	return Step{Kind: Done, Reason: "the runner is back, and not recorded", Refusal: Errorf(Configuration,
		"the secret is delivered and the runner is back, and the platform does not record it yet: %s", f.Platform.Unrecorded).
		WithHint("remove what is in the way; the next run completes the record, and nothing is refreshed until then")}
}

func refuse(err *Error) Step {
	return Step{Kind: Refuse, Reason: err.What, Refusal: err}
}
