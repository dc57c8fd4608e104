package model

import (
	"slices"
	"strings"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// PC says which micro-step a run does next.
type PC int8

// The micro-steps, named as they are in traces.
const (
	none PC = iota
	readHome
	readAgent
	readMaia
	readHomeAgain
	readAgentAgain
	check
	notePause
	lookForPauses
	pause
	seePaused
	confirmPause
	awaitDrained
	readAgentDraining
	readHomeDrained
	noteIntent
	lookForIntents
	refresh
	await
	noteOwed
	store
	restart
	noteBeforeResume
	takeOver
	lookBeforeResume
	resume
	seeResumed
	noteResumed
	noteDone
	cleanUp
	cleanUpAgent
	resumeBlindly
	noteCleanedUp
)

var names = [...]string{
	readHome: "reads the home", readAgent: "reads the agent", readMaia: "reads Maia's secret",
	readHomeAgain: "reads the home again", readAgentAgain: "reads the agent again",
	check: "checks", notePause: "notes a pause", lookForPauses: "looks for another's pause", pause: "sends PAUSE", seePaused: "looks for the pause", confirmPause: "confirms the pause in the note",
	awaitDrained: "waits for the drain", readAgentDraining: "reads the draining agent", readHomeDrained: "reads the home of the drained agent",
	noteIntent: "notes an intent", lookForIntents: "looks for another's intent", refresh: "sends the refresh", await: "waits",
	noteOwed: "notes that a restart is owed", store: "stores", restart: "orders a restart",
	noteBeforeResume: "notes what is settled", takeOver: "takes an earlier run's pause over", lookBeforeResume: "looks once more before it resumes", resume: "sends RESUME", seeResumed: "looks for the resumption", noteResumed: "takes the pause from the note",
	noteDone: "notes what is done", cleanUp: "cleans up: reads the home", cleanUpAgent: "cleans up: reads the agent",
	resumeBlindly: "cleans up: sends RESUME", noteCleanedUp: "cleans up: saves the note",
}

func (pc PC) String() string { return names[pc] }

func (pc PC) waits() bool { return pc == await || pc == awaitDrained }

// The modes.
const (
	modeRotate = iota
	modeStage
	modeFinish
	modeHeal
)

var modes = [...]rotate.Mode{rotate.Rotate, rotate.Stage, rotate.Finish, rotate.Heal}

// Run is one run of rotate.Rotator: rotate.RunState, and what the Rotator and the home's Runner keep beside it.
type Run struct {
	PC    PC
	Mode  int8
	Token int8 // of the rotation that it is a step of

	Age       int8
	Checked   bool
	DrainAge  int8 // + 1; 0: not yet
	Sent      bool
	SentOver  int8
	SentAge   int8
	Answer    int8
	Stored    bool
	Restarts  int8
	RestAge   int8
	Reads     int8
	Pauses    int8
	Resumes   int8
	Refusal   int8 // decided already; see the kinds
	Observed  bool
	Critical  bool
	PauseSeen bool
	Mended    bool
	Counts    bool
	Own       bool // the Runner has saved an intent of this run's
	Ordered   bool // the Runner has ordered a restart since it stored
	Cleaning  bool
	Backoff   bool // it waits before it tries again what failed
	Blind     bool // cleaning up, the home could not be read

	Seen  Seen
	Moved bool // nobody can see it: something has changed since this run began to look
}

// The kinds of refusals.
const (
	refusalNone = iota
	refusalPasses
	refusalPerson // it names what a person must do
)

var refusals = [...]*rotate.Error{
	refusalPasses: rotate.Errorf(rotate.NotReady, "decided before").WithTodo("nothing: it passes"),
	refusalPerson: rotate.Errorf(rotate.NotReady, "decided before").WithTodo("do it"),
}

func (r *Run) tick() {
	if r.PC == none {
		return
	}
	older(&r.Age, deadlineTicks)
	if r.DrainAge > 0 {
		older(&r.DrainAge, drainTicks+1)
	}
	if r.Sent {
		older(&r.SentAge, everyTicks-1)
	}
	if r.Restarts > 0 {
		older(&r.RestAge, connectTicks)
	}
}

// dark is rotate.Rotator's: the runner may be down by a refresh of ours, or so it must be taken.
func (r *Run) dark() bool { return r.Critical || r.Restarts > 0 || r.Mode == modeFinish }

func (r *Run) mayRefresh() bool { return r.Mode == modeRotate || r.Mode == modeStage }

func (m *Model) observation(r *Run, i int) rotate.Observation {
	s := &r.Seen
	held := &credentials
	if s.Foreign {
		held = &others
	}
	o := rotate.Observation{
		Home: rotate.Home{
			Store: held[s.Store], Pending: held[s.Pending], Staged: s.Staged,
			Instances: rotate.Instances{State: states[s.State], Read: reads[s.Read]}, Note: s.Note.real(r.own(i)),
		},
		Agent: maia.Agent{Status: statuses[s.Status], PausedUntil: untils[s.Until], Connected: s.Connected},
		Maia:  credentials[s.Maia],
		Run: rotate.RunState{
			ID: runIDs[int8(i+1)], Mode: modes[r.Mode], Started: ago(r.Age), Deadline: ago(r.Age - deadlineTicks), Checked: r.Checked,
			Answer: credentials[r.Answer], Stored: r.Stored, Restarts: int(r.Restarts), ConnectedReads: int(r.Reads),
			Pauses: int(r.Pauses), Resumes: int(r.Resumes), Refusal: refusals[r.Refusal],
		},
	}
	if r.DrainAge > 0 {
		o.Run.DrainSince = ago(r.DrainAge - 1)
	}
	if r.Sent {
		o.Run.Sent = &rotate.Intent{At: ago(r.SentAge), Over: fingerprints[r.SentOver], By: runIDs[int8(i+1)]}
	}
	if r.Restarts > 0 {
		o.Run.RestartedAt = ago(r.RestAge)
	}
	return o
}

// own is the mark of the intent that a Runner knows for its run's.
func (r *Run) own(i int) int8 {
	if r.Own {
		return int8(i + 1)
	}
	return 0
}

// decision is what Next and Valid say of an observation.
type decision struct {
	kind    rotate.StepKind
	owes    bool
	refusal int8
	valid   int8 // 0: not known
	reason  string
	empty   bool // a refusal without a reason, or without advice
}

type question struct {
	run  Run
	slot int
}

// decide asks the logic. Everything that it does not see is left out of the question, so that one answer does for many.
func (m *Model) decide(r *Run, i int) decision {
	q := question{run: *r, slot: i}
	q.run.PC, q.run.Token, q.run.Observed, q.run.Critical, q.run.PauseSeen, q.run.Mended, q.run.Counts = 0, 0, false, false, false, false, false
	q.run.Ordered, q.run.Cleaning, q.run.Backoff, q.run.Blind, q.run.Moved = false, false, false, false, false
	if d, ok := m.decisions[q]; ok {
		return d
	}
	o := m.observation(r, i)
	step := m.next(o, m.policy, epoch)
	d := decision{kind: step.Kind, owes: step.Owes, reason: step.Reason}
	if step.Refusal != nil {
		d.refusal = refusalPerson
		if strings.HasPrefix(step.Refusal.Todo, "nothing") {
			d.refusal = refusalPasses
		}
		d.empty = step.Refusal.What == "" || step.Refusal.Todo == ""
	}
	if valid, known := o.Valid(); known {
		d.valid = int8(slices.Index(fingerprints[:], valid.ClientSecret.Fingerprint()))
	}
	m.decisions[q] = d
	return d
}

// What follows are rotate's own small predicates, over numbers.

func (r *Run) intent(i int) intent { return r.Seen.Note.intent(r.own(i)) }

func (r *Run) unsent(i int) bool { return r.intent(i).By == int8(i+1) && !r.Sent }

func (r *Run) resolved(i int, valid int8) bool {
	open := r.intent(i)
	return open.By != 0 && !r.unsent(i) && open.Over != valid
}

func (r *Run) unresolved(i int, valid int8) bool {
	open := r.intent(i)
	return open.By != 0 && !r.unsent(i) && open.Over == valid
}

func (r *Run) ours(i int, valid int8) bool {
	return r.Sent && r.Answer == valid || r.resolved(i, valid) || r.Seen.Note.Rotated.New == valid && valid != 0
}

func (r *Run) paused() bool { return r.Seen.Status == statusPaused || r.Seen.Status == statusPausing }

func (r *Run) pausedByUs(i int) bool {
	own := r.Seen.Note.paused()
	if own.By == int8(i+1) && !own.Confirmed && r.Pauses == 0 {
		return false
	}
	return own.By != 0 && r.paused() && (!own.Confirmed || own.Until == r.Seen.Until)
}

func (r *Run) undelivered(valid int8) bool {
	return r.Seen.Note.Applied != valid && r.Seen.Note.Applied != nothing
}

func (r *Run) besideRotation(i int, valid int8) bool {
	n := r.Seen.Note
	refreshed := n.Rotated.New != 0 && n.Rotated.Age <= n.paused().Age || valid != 0 && r.resolved(i, valid)
	return n.paused().By != int8(i+1) && !r.unsent(i) && !refreshed && n.paused().Age < pausedTicks
}

func (r *Run) mayResume(i int, valid int8) bool {
	if r.Mode == modeHeal && r.besideRotation(i, valid) {
		return false
	}
	return !(r.Mode != modeFinish && valid != 0 && r.unresolved(i, valid) && r.intent(i).Age < quietTicks)
}

// resuming is how a run begins to take a pause back.
func (r *Run) resuming(i int) PC {
	if r.Mode != modeFinish && r.Seen.Note.paused().By != int8(i+1) {
		return takeOver
	}
	return resume
}

// settled is the note of a run that settles what is settled.
func (r *Run) settled(i int, valid int8) note {
	n := r.target(i)
	open := n.Intents[0]
	switch {
	case open.By == 0:
	case r.unsent(i):
		n.Intents[0] = intent{}
	case open.Over != valid:
		sent := rotation{Over: open.Over, New: valid, Age: open.Age}
		if r.Sent {
			sent = rotation{Over: r.SentOver, New: valid, Age: r.SentAge}
		}
		n.Intents[0], n.Rotated = intent{}, sent
	case open.Age >= quietTicks:
		n.Intents[0] = intent{}
	}
	if r.Mode != modeStage {
		n.Applied = valid
		if n.paused().By != 0 && !r.pausedByUs(i) && !(r.Mode == modeHeal && r.besideRotation(i, valid)) {
			n.Pauses[0] = ownPause{}
		}
	}
	return n
}

// target is the note as a run knows it: with one intent and one pause.
func (r *Run) target(i int) note {
	n := r.Seen.Note
	n.Intents, n.Pauses = [2]intent{r.intent(i)}, [2]ownPause{n.paused()}
	return n
}
