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

// fault is what becomes of a micro-step.
type fault int8

const (
	fine    fault = iota
	fails         // before it has an effect
	refused       // fails, and certainly without an effect
	lost          // has its effect, and the answer is lost
	late1         // has its effect later, and the answer is lost
	late2
)

var faultNames = [...]string{fine: "", fails: ", which fails", refused: ", which is refused", lost: ", the answer is lost", late1: ", carried out late", late2: ", carried out very late"}

// faults are those that a micro-step can have.
func (pc PC) faults() []fault {
	switch pc {
	case await, awaitDrained:
		return nil
	case readHome, readAgent, readMaia, readHomeAgain, readAgentAgain, check, readAgentDraining, readHomeDrained, seePaused, lookBeforeResume, seeResumed, lookForIntents, lookForPauses, cleanUp, cleanUpAgent:
		return []fault{fails}
	case pause:
		return []fault{fails, refused, lost, late1}
	case refresh:
		return []fault{fails, refused, lost, late1, late2}
	}
	return []fault{fails, lost}
}

// step has a run do its next micro-step.
func (m *Model) step(w *World, i int, f fault) {
	r := &w.Runs[i]
	switch r.PC {
	case readHome:
		r.Moved = false
		if f != fine || !m.look(w, i) {
			m.without(w, i, f)
			return
		}
		if r.PC = readAgent; m.onlyPending(r) {
			r.Seen.Status, r.Seen.Until, r.Seen.Connected = statusNone, 0, false
			r.PC = readMaia
		}
	case readAgent, readAgentAgain:
		again := r.PC == readAgentAgain
		if f == fine {
			r.lookAtAgent(w)
		} else if r.dark() {
			r.Seen.Status, r.Seen.Until, r.Seen.Connected = statusNone, 0, false
		} else {
			m.failed(w, i)
			return
		}
		if again {
			m.observed(w, i)
		} else {
			r.PC = readMaia
		}
	case readMaia:
		if !r.Sent {
			r.Seen.Maia = 0
		}
		if f == fine {
			r.Seen.Maia = w.credentials()
		} else if !r.dark() || m.decide(r, i).valid == 0 {
			m.failed(w, i)
			return
		}
		if !r.dark() && (r.Seen.Store != r.Seen.Maia || r.Seen.Foreign) {
			r.PC = readHomeAgain
		} else {
			m.observed(w, i)
		}
	case readHomeAgain:
		if f != fine || !m.look(w, i) {
			m.without(w, i, f)
			return
		}
		if r.PC = readAgentAgain; m.onlyPending(r) {
			r.Seen.Status, r.Seen.Until, r.Seen.Connected = statusNone, 0, false
			m.observed(w, i)
		}
	case check:
		if f != fine {
			m.failed(w, i)
			return
		}
		r.Checked = true
		m.proceed(w, i)
	case notePause:
		n := r.target(i)
		n.Pauses[0] = ownPause{By: int8(i + 1)}
		if m.staged {
			m.saveFirst(w, i, f, n, lookForPauses)
		} else {
			m.saved(w, i, f, n, pause)
		}
	case pause:
		if r.Seen.Note.paused().Age > 0 { // noting it took too long
			m.failed(w, i)
			return
		}
		m.checkPause(w, i)
		w.Mistaken = w.Mistaken || w.Until == untilOperators || w.Until == untilSoon
		r.Pauses++
		switch f {
		case fine, lost:
			w.pause(untilOurs)
			w.moved(i)
		case refused:
			r.Pauses--
		case late1:
			w.LatePause = true
		}
		if f == refused {
			m.failed(w, i)
		} else {
			r.PC = seePaused // where there is no answer too: it may have been carried out
		}
	case seePaused:
		if f == fine {
			r.lookAtAgent(w)
		}
		if f != fine || !r.paused() {
			m.failed(w, i)
			return
		}
		r.PauseSeen = true
		r.DrainAge = max(r.DrainAge, 1)
		m.proceed(w, i)
	case confirmPause:
		n := r.target(i)
		n.Pauses[0].Confirmed, n.Pauses[0].Until = true, r.Seen.Until
		m.saved(w, i, f, n, none)
	case readAgentDraining:
		if f != fine {
			m.failed(w, i)
			return
		}
		r.lookAtAgent(w)
		switch {
		case r.Seen.Status != statusPausing, r.Seen.Note.paused().By != 0 && !r.Seen.Note.paused().Confirmed:
			r.PC = readHomeDrained
		case r.Seen.Connected:
			m.proceed(w, i)
		default:
			r.PC = readHome
		}
	case readHomeDrained:
		if f != fine || !m.look(w, i) {
			m.without(w, i, f)
			return
		}
		if r.Seen.Connected {
			m.proceed(w, i)
		} else {
			r.PC = readHome
		}
	case noteIntent:
		n := r.target(i)
		n.Intents[0] = intent{By: int8(i + 1), Over: r.Seen.Maia}
		if m.staged {
			m.saveFirst(w, i, f, n, lookForIntents)
		} else {
			m.saved(w, i, f, n, readHome)
		}
	case lookForPauses:
		m.lookForPauses(w, i, f)
	case lookForIntents:
		m.lookForIntents(w, i, f)
	case refresh:
		m.refresh(w, i, f)
	case noteOwed:
		n := r.target(i)
		n.Applied = nothing
		m.saved(w, i, f, n, store)
	case store:
		m.store(w, i, f)
	case restart:
		m.restart(w, i, f)
	case noteBeforeResume:
		m.saved(w, i, f, r.settled(i, m.decide(r, i).valid), r.resuming(i))
	case takeOver:
		n := r.target(i)
		n.Pauses[0].By, n.Pauses[0].Confirmed, n.Pauses[0].Until = int8(i+1), true, r.Seen.Until
		m.saved(w, i, f, n, lookBeforeResume)
	case lookBeforeResume:
		if f != fine || !m.look(w, i) || r.Seen.Note.paused().By == 0 || !r.mayResume(i, m.decide(r, i).valid) {
			m.failed(w, i)
			return
		}
		r.PC = resume
	case resume, resumeBlindly:
		m.checkResume(w, i)
		blindly := r.PC == resumeBlindly
		r.Resumes++
		if f != fails && w.Until != notPaused {
			w.unpause()
			w.moved(i)
		}
		switch {
		case blindly:
			m.end(w, i, false)
		case f == fine:
			r.PC = seeResumed
		default:
			m.failed(w, i)
		}
	case seeResumed:
		if f == fine {
			r.lookAtAgent(w)
		}
		if f != fine || r.pausedByUs(i) {
			m.failed(w, i)
			return
		}
		r.Mended = true
		r.PC = noteResumed
	case noteResumed:
		n := r.target(i)
		n.Pauses[0] = ownPause{}
		m.saved(w, i, f, n, none)
	case noteDone:
		if m.save(w, i, f, r.settled(i, m.decide(r, i).valid)) {
			m.end(w, i, true)
		} else {
			m.without(w, i, f)
		}
	case cleanUp:
		r.Cleaning, r.Critical = true, false
		r.Blind = f != fine || !m.look(w, i)
		if r.Seen.Note.paused().By == 0 && !r.unsent(i) {
			m.end(w, i, false)
			return
		}
		r.PC = cleanUpAgent
	case cleanUpAgent:
		r.Moved = false
		if f != fine {
			m.end(w, i, false)
			return
		}
		r.lookAtAgent(w)
		switch {
		case r.Blind && r.Pauses > 0 && r.pausedByUs(i):
			r.PC = resumeBlindly
		case r.Blind:
			m.end(w, i, false)
		case r.pausedByUs(i) && r.Seen.Connected && r.Resumes < 2 && !r.besideRotation(i, m.decide(r, i).valid) && r.mayResume(i, m.decide(r, i).valid):
			r.PC = r.resuming(i)
		default:
			m.cleaned(w, i)
		}
	case noteCleanedUp:
		m.save(w, i, f, r.cleaned(i))
		m.end(w, i, false)
	}
}

// saved saves a note and goes on; none: with the next decision.
func (m *Model) saved(w *World, i int, f fault, n note, next PC) {
	r := &w.Runs[i]
	switch {
	case !m.save(w, i, f, n):
		m.without(w, i, f)
	case next != none:
		r.PC = next
	case r.Cleaning:
		m.cleaned(w, i)
	default:
		m.proceed(w, i)
	}
}

// without is a step that failed, by a fault or because of somebody else.
func (m *Model) without(w *World, i int, f fault) {
	if f == fine {
		m.conflict(w, i)
	} else {
		m.failed(w, i)
	}
}

// cleaned is the note of a run that has cleaned up.
func (r *Run) cleaned(i int) note {
	n := r.target(i)
	if n.paused().By == int8(i+1) && r.Seen.Connected && !r.pausedByUs(i) && (r.PauseSeen || r.Pauses == 0) {
		n.Pauses[0] = ownPause{}
	}
	if r.unsent(i) {
		n.Intents[0] = intent{}
	}
	return n
}

func (m *Model) cleaned(w *World, i int) {
	r := &w.Runs[i]
	if r.cleaned(i) == r.target(i) {
		m.end(w, i, false)
	} else {
		r.PC = noteCleanedUp
	}
}

func (r *Run) lookAtAgent(w *World) { r.Seen.Status, r.Seen.Until, r.Seen.Connected = w.agent() }

func (m *Model) onlyPending(r *Run) bool {
	n := r.Seen.Note
	return r.Mode == modeFinish && n.Rotated.New != 0 && n.Applied != n.Rotated.New && r.Seen.Pending == n.Rotated.New && r.Seen.Store == n.Rotated.Over
}

// observed ends a look at everything.
func (m *Model) observed(w *World, i int) {
	r := &w.Runs[i]
	if r.Seen.Connected && r.Seen.State == steady {
		r.Reads = min(r.Reads+1, 2)
	} else {
		r.Reads = 0
	}
	r.Observed = true
	m.proceed(w, i)
}

// proceed decides on the next step from what was seen.
func (m *Model) proceed(w *World, i int) {
	r := &w.Runs[i]
	d := m.decide(r, i)
	if m.taken != nil {
		m.taken(d.kind)
	}
	switch d.kind {
	case rotate.Check:
		r.PC = check
	case rotate.Pause:
		r.PC = confirmPause
		if !r.paused() {
			r.PC = notePause
		}
	case rotate.AwaitDrained:
		r.DrainAge = max(r.DrainAge, 1)
		r.PC = awaitDrained
	case rotate.Refresh:
		r.PC = refresh
		if !r.unsent(i) || r.intent(i).Over != r.Seen.Maia || r.intent(i).Age > 0 {
			r.PC = noteIntent
		}
	case rotate.AwaitOutcome, rotate.AwaitConnected:
		r.PC = await
	case rotate.Store:
		ours := r.ours(i, d.valid)
		r.Counts = r.Counts || ours && r.undelivered(d.valid)
		if ours {
			r.Reads = 0
		}
		r.PC = store
		if d.owes {
			r.PC = noteOwed
		}
	case rotate.Restart:
		r.PC = restart
	case rotate.Resume:
		r.Refusal = d.refusal
		r.PC = r.resuming(i)
		if d.refusal == refusalNone && r.Mode != modeStage {
			if m.settle(r, i, d.valid) {
				r.PC = noteBeforeResume
			}
		}
	case rotate.Done:
		if m.settle(r, i, d.valid) {
			r.PC = noteDone
		} else {
			m.end(w, i, true)
		}
	case rotate.Refuse:
		if d.empty {
			m.broken(9, "a refusal without a reason, or without advice: %s", d.reason)
		}
		r.Refusal = d.refusal
		m.giveUp(w, i)
	default:
		m.broken(9, "no such step: %s", d.kind)
	}
}

// settle says whether there is something to note, and whether what was done counts as a rotation.
func (m *Model) settle(r *Run, i int, valid int8) bool {
	r.Counts = r.Counts || r.resolved(i, valid)
	n := r.settled(i, valid)
	if r.Mode != modeStage && r.undelivered(valid) && r.ours(i, valid) && n.Rotated.New != 0 {
		r.Counts = true
	}
	return n != r.target(i)
}

// failed is what a run does about a micro-step that failed.
func (m *Model) failed(w *World, i int) {
	r := &w.Runs[i]
	switch {
	case r.Cleaning:
		m.end(w, i, false)
	case r.dark() && r.Age < deadlineTicks:
		r.PC = readHome
	default:
		r.Refusal = refusalPasses
		m.giveUp(w, i)
	}
}

func (m *Model) giveUp(w *World, i int) {
	r := &w.Runs[i]
	if r.Observed && !r.Sent && r.Mode != modeFinish {
		r.PC = cleanUp
		return
	}
	m.end(w, i, false)
}
