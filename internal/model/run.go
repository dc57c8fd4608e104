package model

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// PC says which micro-step a run does next.
type PC int8

// The micro-steps, named as they are in traces.
const (
	none PC = iota
	readPlatform
	readAgent
	readMaia
	readPlatformAgain
	readAgentAgain
	check
	notePause
	readPauses
	pause
	seePaused
	confirmPause
	awaitDrained
	readAgentDraining
	readPlatformDrained
	noteIntent
	readIntents
	refresh
	await
	noteOwed
	store
	restart
	noteOrder
	noteOrderAgain
	notePartOfOrder
	noteBeforeResume
	takeOver
	readBeforeResume
	readAgentBeforeResume
	resume
	keepClaim
	seeResumed
	noteResumed
	noteDone
	cleanUp
	cleanUpAgent
	resumeBlindly
	noteCleanedUp
)

var names = [...]string{
	readPlatform: "reads the platform", readAgent: "reads the agent", readMaia: "reads Maia's secret",
	readPlatformAgain: "reads the platform again", readAgentAgain: "reads the agent again",
	check: "checks", notePause: "notes a pause", readPauses: "checks for another's pause",
	pause: "sends PAUSE", seePaused: "checks for the pause", confirmPause: "confirms the pause in the note",
	awaitDrained: "waits for the drain", readAgentDraining: "reads the draining agent",
	readPlatformDrained: "reads the platform of the drained agent",
	noteIntent:          "notes an intent", readIntents: "checks for another's intent", refresh: "sends the refresh", await: "waits",
	noteOwed: "notes that a restart is owed", store: "stores", restart: "orders a restart",
	noteOrder: "notes the order", noteOrderAgain: "notes the order late", notePartOfOrder: "notes what was ordered",
	noteBeforeResume: "notes what is settled", takeOver: "takes an earlier run's pause over",
	readBeforeResume: "reads the platform before it resumes", readAgentBeforeResume: "reads the agent before it resumes",
	resume: "sends RESUME", keepClaim: "notes the pause that it could not take back",
	seeResumed: "checks for the resumption", noteResumed: "takes the pause from the note",
	noteDone: "notes what is done", cleanUp: "cleans up: reads the platform", cleanUpAgent: "cleans up: reads the agent",
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

// Run is one run of rotate.Rotator: rotate.RunState, and what the Rotator and the platform's Runner remember with it.
type Run struct {
	PC    PC
	Mode  int8
	Token int8 // of the rotation that it is a step of

	Age      int8
	Checked  bool
	DrainAge int8 // + 1; 0: not yet
	Sent     bool
	SentOver int8
	SentAge  int8
	SentFor  int8 // the request that it answers
	Answer   int8
	Stored   bool
	Restarts int8
	RestAge  int8
	Reads    int8
	Pause    rotate.PauseCommand
	Resumes  int8
	Refusal  int8 // decided already; see the kinds
	Observed bool
	Critical bool
	Counts   bool
	Own      bool // the Runner has saved an intent of this run's
	Ordered  bool // the Runner has ordered a restart since it stored
	Partly   bool // … of the second service alone
	Wrote    bool // the Runner has changed the store since it ordered anything
	Cleaning bool
	Backoff  bool // it waits before it tries again what failed
	Blind    bool // cleaning up, or taking a pause over, the platform could not be read

	PauseReads pauseReads
	PauseKept  rotate.PauseState
	Order      order    // ordered by this run, and not settled
	Adopted    rotation // adopted by this run
	OnlyKnown  bool     // rotate.Policy's, for this run
	WentBack   bool     // no run can see it: the last read of Maia went back, and nothing shows it

	Seen  Seen
	Moved bool // no run can see it: something has changed since this run began to read
}

// pauseReads is rotate.PauseReads.
type pauseReads struct {
	Since   int8 // + 1; 0: not yet
	Until   int8
	Apart   bool // time has passed since the last read that counts
	Stands  bool
	Changes int8
}

// readPause takes a read of the agent into account.
func (r *Run) readPause() {
	until, reads := r.Seen.Until, &r.PauseReads
	switch {
	case !r.paused():
		if r.Seen.Connected && r.Seen.Status == statusRunning {
			r.PauseReads, r.PauseKept = pauseReads{}, rotate.NotPaused
		}
	case reads.Since == 0:
		*reads = pauseReads{Since: 1, Until: until}
	case reads.Until != until:
		*reads = pauseReads{Since: reads.Since, Until: until, Changes: min(reads.Changes+1, 2)}
	case reads.Apart:
		*reads = pauseReads{Since: reads.Since, Until: until, Stands: until != notPaused}
	}
}

// The kinds of refusals.
const (
	refusalNone = iota
	refusalPasses
	refusalPerson // it names what a person must do
)

var refusals = [...]*rotate.Error{
	refusalPasses: rotate.Errorf(rotate.NotReady, "decided before").WithHint("nothing: it passes"),
	refusalPerson: rotate.Errorf(rotate.NotReady, "decided before").WithHint("do it"),
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
	if r.PauseReads.Since > 0 {
		older(&r.PauseReads.Since, pausedTicks)
	}
	r.Order.tick()
	r.Adopted.tick()
}

// mayBeDown is rotate.Rotator's: the runner may be down by a refresh of ours, or so it must be taken.
func (r *Run) mayBeDown() bool { return r.Critical || r.Restarts > 0 || r.Mode == modeFinish }

func (r *Run) mayRefresh() bool { return r.Mode == modeRotate || r.Mode == modeStage }

func (m *Model) observation(r *Run, i int) rotate.Observation {
	s := &r.Seen
	held := credentials[:]
	if s.Foreign {
		held = others[:]
	}
	o := rotate.Observation{
		Platform: rotate.Platform{
			Stored: held[s.Store], Pending: held[s.Pending], Staged: s.Staged, Free: s.Free,
			Instances: rotate.Instances{State: states[s.State], Read: reads[s.Read]}, Note: s.Note.real(r.own(i)),
		},
		Agent: maia.Agent{Status: statuses[s.Status], PausedUntil: untils[s.Until], Connected: s.Connected},
		Maia:  credentials[s.Maia],
		Run: rotate.RunState{
			ID: runIDs[int8(i+1)], Mode: modes[r.Mode], Started: ago(r.Age), Deadline: ago(r.Age - deadlineTicks), Checked: r.Checked,
			Answer: credentials[r.Answer], StoreChanged: r.Stored, Restarts: int(r.Restarts), ConnectedReads: int(r.Reads),
			Pause: r.Pause, Resumes: int(r.Resumes), PauseKept: r.PauseKept, StoreTime: rotate.DefaultStoreTime,
			PauseReads: rotate.PauseReads{Stands: r.PauseReads.Stands, Changes: int(r.PauseReads.Changes)}, Refusal: refusals[r.Refusal],
		},
	}
	if s.Request > 0 {
		o.Platform.Wishes.Requested = &rotate.Request{ID: requestIDs[s.Request]}
	}
	if s.Held {
		o.Platform.Wishes.Held = &rotate.Hold{Until: epoch.Add(1000 * time.Hour)}
	}
	if since := r.PauseReads.Since; since > 0 {
		o.Run.PauseReads.Since = ago(since - 1)
	}
	if r.DrainAge > 0 {
		o.Run.DrainSince = ago(r.DrainAge - 1)
	}
	if r.Sent {
		o.Run.Sent = &rotate.Intent{At: ago(r.SentAge), Over: fingerprints[r.SentOver], By: runIDs[int8(i+1)], Answers: requestIDs[r.SentFor]}
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
	q.run.PC, q.run.Token, q.run.Observed, q.run.Critical, q.run.Counts = 0, 0, false, false, false
	q.run.Partly, q.run.Wrote = false, false
	q.run.Ordered, q.run.Cleaning, q.run.Backoff, q.run.Blind, q.run.Moved = false, false, false, false, false
	q.run.WentBack, q.run.Order, q.run.Adopted, q.run.PauseReads.Until, q.run.PauseReads.Apart = false, order{}, rotation{}, 0, false
	if d, ok := m.decisions[q]; ok {
		return d
	}
	o, p := m.observation(r, i), m.policy
	p.OnlyKnown = r.OnlyKnown
	if m.blind != nil {
		m.blind(&o, &p)
	}
	step := m.next(o, p, epoch)
	d := decision{kind: step.Kind, owes: step.Owes, reason: step.Reason}
	if step.Refusal != nil {
		d.refusal = refusalPerson
		if strings.HasPrefix(step.Refusal.Hint, "nothing") {
			d.refusal = refusalPasses
		}
		d.empty = step.Refusal.What == "" || step.Refusal.Hint == ""
	}
	if valid, known := o.Valid(); known {
		d.valid = int8(slices.Index(fingerprints[:], valid.ClientSecret.Fingerprint()))
	}
	m.decisions[q] = d
	return d
}

// What follows are rotate's own small predicates, over numbers.

func (r *Run) intent(i int) intent { return r.Seen.Note.intent(r.own(i)) }

// requested is the request that no refresh of ours has answered; 0 if there is none.
func (r *Run) requested() int8 {
	if r.Seen.Request == r.Seen.Note.LastRotation.Answers {
		return 0
	}
	return r.Seen.Request
}

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
	return r.Sent && r.Answer == valid || r.resolved(i, valid) || r.Seen.Note.LastRotation.New == valid && valid != 0
}

func (r *Run) paused() bool { return r.Seen.Status == statusPaused || r.Seen.Status == statusPausing }

// pause reports whose the runner's pause is.
func (r *Run) pause(i int, valid int8) rotate.PauseState {
	own, reads := r.Seen.Note.paused(), r.PauseReads
	switch {
	case !r.paused() && own.By != 0 && r.Seen.Status != statusRunning:
		return rotate.PauseHidden
	case !r.paused():
		return rotate.NotPaused
	case own.By == 0, own.By == int8(i+1) && !own.Confirmed && r.Pause == rotate.PauseNotSent:
		return rotate.PauseOperators
	case r.PauseKept != rotate.NotPaused:
		return r.PauseKept
	case !own.Confirmed && (own.By == int8(i+1) || own.Age-max(reads.Since-1, 0) < 1):
		return rotate.PauseOurs
	case !own.Confirmed:
		return rotate.PauseUnclear
	}
	until := r.Seen.Until
	switch {
	case until != notPaused && own.Until == until, r.cutOff(i, valid):
		return rotate.PauseOurs
	case own.Stands && until != notPaused, reads.Stands && own.Until != notPaused:
		return rotate.PauseOperators
	case own.Age < pausedTicks:
		return rotate.PauseOurs
	}
	return rotate.PauseUnclear
}

// cutOff reports whether a refresh or a restart of ours has cut the runner off since our pause, and it was not seen back.
func (r *Run) cutOff(i int, valid int8) bool {
	n := r.Seen.Note
	since := n.paused().Age
	return n.Ordered.For != 0 && n.Ordered.After || n.LastRotation.New != 0 && n.LastRotation.After && n.Applied != n.LastRotation.New ||
		valid != 0 && r.resolved(i, valid) && r.intent(i).Age <= since && n.Applied != valid
}

func (r *Run) pausedByUs(i int, valid int8) bool { return r.pause(i, valid) == rotate.PauseOurs }

func (r *Run) pauseOver(i int, valid int8) bool {
	pause := r.pause(i, valid)
	return pause == rotate.NotPaused || pause == rotate.PauseOperators
}

// keepPause remembers whose the pause is before the runner is cut off.
func (r *Run) keepPause(i int, valid int8) {
	switch pause := r.pause(i, valid); {
	case pause == rotate.PauseOurs, pause == rotate.PauseUnclear:
		r.PauseKept = pause
	case pause == rotate.PauseOperators && r.Seen.Note.paused().By == 0:
		r.PauseKept = rotate.NotPaused
	case pause == rotate.PauseOperators:
		r.PauseKept = pause
	}
}

// confirmed is our pause as Maia shows it.
func (r *Run) confirmed() ownPause {
	p, until := r.Seen.Note.paused(), r.Seen.Until
	p.Stands = p.Stands && p.Until == until || r.PauseReads.Stands && r.PauseReads.Until == until
	p.Confirmed, p.Until = true, until
	return p
}

func (r *Run) undelivered(valid int8) bool {
	return r.Seen.Note.Applied != valid && r.Seen.Note.Applied != nothing
}

func (r *Run) concurrentRotation(i int, valid int8) bool {
	n := r.Seen.Note
	if n.paused().By == 0 || r.Seen.Free || n.paused().By == int8(i+1) || r.unsent(i) {
		return false
	}
	refreshed := n.LastRotation.New != 0 && n.LastRotation.After || valid != 0 && r.resolved(i, valid)
	return !refreshed && n.paused().Age < pausedTicks
}

func (r *Run) mayResume(i int, valid int8) bool {
	if r.Mode == modeHeal && r.concurrentRotation(i, valid) {
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

// closed is the note with an intent closed whose outcome is known, or that was never sent.
func (r *Run) closed(i int, valid int8) note {
	n := r.target(i)
	open := n.Intents[0]
	switch {
	case open.By == 0:
	case r.unsent(i):
		n.Intents[0] = intent{}
	case open.Over != valid:
		sent := rotation{Over: open.Over, New: valid, Age: open.Age, Answers: open.Answers}
		if r.Sent {
			sent = rotation{Over: r.SentOver, New: valid, Age: r.SentAge, Answers: r.SentFor}
		}
		sent.Answers = cmp.Or(sent.Answers, n.LastRotation.Answers)
		sent.After = n.paused().By != 0 && open.Age <= n.paused().Age
		n.Intents[0], n.LastRotation = intent{}, sent
	case open.Age >= quietTicks:
		n.Intents[0] = intent{}
	}
	return n
}

// settled is the note of a run that settles what is settled.
func (r *Run) settled(i int, valid int8) note {
	n := r.closed(i, valid)
	if r.Mode != modeStage {
		n.Applied, n.Ordered = valid, order{}
		n.Pauses[0] = r.settledPause(i, valid)
	}
	return r.withPending(n)
}

// settledPause is what the note is to say of the pause of a runner that was seen back.
func (r *Run) settledPause(i int, valid int8) ownPause {
	own := r.Seen.Note.paused()
	if own.By == 0 {
		return ownPause{}
	}
	switch r.pause(i, valid) {
	case rotate.PauseOurs:
		if own.Confirmed && own.Until == r.Seen.Until {
			return own
		}
		return r.confirmed()
	case rotate.PauseUnclear, rotate.PauseHidden:
		return own
	case rotate.NotPaused:
		if !own.Confirmed && own.By != int8(i+1) && own.Age < 2 {
			return own
		}
	}
	if r.Mode == modeHeal && r.concurrentRotation(i, valid) {
		return own
	}
	return ownPause{}
}

// withPending is a note with what this run knows and has not noted yet.
func (r *Run) withPending(n note) note {
	if r.Order.For != 0 {
		n.Ordered = r.Order
	}
	if r.Adopted.New != 0 {
		n.Adopted = r.Adopted
	}
	switch p, reads := &n.Pauses[0], r.PauseReads; {
	case r.PauseKept == rotate.PauseOperators:
		*p = ownPause{}
	case r.PauseKept == rotate.PauseUnclear && p.Confirmed:
		*p = ownPause{By: p.By, Age: p.Age, Second: p.Second}
	case !r.Critical && p.By != 0 && p.Confirmed && reads.Stands && reads.Until == p.Until:
		p.Stands = true
	}
	return n
}

// settles remembers of a pause that is ours, and whose note is about to say that the runner is back, that it is.
func (r *Run) settles(i int, valid int8) {
	if r.Mode != modeStage && r.Seen.Note.paused().By != 0 && r.pausedByUs(i, valid) {
		if r.PauseKept = rotate.NotPaused; !r.settledPause(i, valid).Stands && !r.PauseReads.Stands {
			r.PauseKept = rotate.PauseOurs
		}
	}
}

// adoption is what the note is to say of a value of Maia's that no refresh of ours has made.
func (r *Run) adoption(i int, valid int8) (adopted rotation, is bool) {
	n := r.Seen.Note
	over := n.Applied
	if over == 0 || over == nothing {
		over = r.Seen.Store
	}
	if over == valid || r.ours(i, valid) || n.Adopted.New == valid {
		return rotation{}, false
	}
	return rotation{Over: over, New: valid}, true
}

// target is the note as a run knows it: with one intent and one pause.
func (r *Run) target(i int) note {
	n := r.Seen.Note
	n.Intents, n.Pauses = [2]intent{r.intent(i)}, [2]ownPause{n.paused()}
	return n
}
