package model

import "github.com/maia-rotate/maia-rotate/pkg/rotate"

// fault is what becomes of a micro-step.
type fault int8

const (
	fine    fault = iota
	fails         // before it has an effect
	refused       // fails, and certainly without an effect
	lost          // has its effect, and the answer is lost
	late1         // has its effect later, and the answer is lost
	late2
	goesBack // a read that shows what was before once more
)

var faultNames = [...]string{
	fine: "", fails: ", which fails", refused: ", which is refused", lost: ", the answer is lost",
	late1: ", carried out late", late2: ", carried out very late", goesBack: ", which goes back",
}

// faults are those that a micro-step can have.
func (pc PC) faults() []fault {
	switch pc {
	case await, awaitDrained:
		return nil
	case readPlatform, readAgent, readPlatformAgain, readAgentAgain, check, readAgentDraining, readPlatformDrained,
		seePaused, readBeforeResume, readAgentBeforeResume, seeResumed, readIntents, readPauses, cleanUp, cleanUpAgent:
		return []fault{fails}
	case pause:
		return []fault{fails, refused, lost, late1}
	case resume, resumeBlindly:
		return []fault{fails, refused, lost}
	case readMaia:
		return []fault{fails, goesBack}
	case refresh:
		return []fault{fails, refused, lost, late1, late2}
	}
	return []fault{fails, lost}
}

// step has a run do its next micro-step.
func (m *Model) step(w *World, i int, f fault) {
	r := &w.Runs[i]
	switch r.PC {
	case readPlatform:
		r.Moved = false
		if f != fine || !m.read(w, i) {
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
			r.readAgent(w)
		} else if r.mayBeDown() {
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
		r.WentBack = f == goesBack && !w.replacedByNote(w.Before)
		if f == fine {
			r.Seen.Maia = w.credentials()
		} else if f == goesBack {
			r.Seen.Maia = w.Before
		} else if !r.mayBeDown() || m.decide(r, i).valid == 0 {
			m.failed(w, i)
			return
		}
		if !r.mayBeDown() && (r.Seen.Store != r.Seen.Maia || r.Seen.Foreign) {
			r.PC = readPlatformAgain
		} else {
			m.observed(w, i)
		}
	case readPlatformAgain:
		if f != fine || !m.read(w, i) {
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
		n.Ordered.After, r.Order.After, n.LastRotation.After = false, false, false
		if m.staged {
			m.saveFirst(w, i, f, n, readPauses)
		} else {
			m.saved(w, i, f, n, pause)
		}
	case pause:
		if r.Seen.Note.paused().Age > 0 || !m.staged && w.Lock != int8(i+1) { // noting it took too long
			m.failed(w, i)
			return
		}
		m.checkPause(w, i)
		w.Mistaken = w.Mistaken || w.Until == untilOperators || w.Until == untilSoon
		r.Pause = rotate.PauseAccepted
		switch f {
		case fine, lost:
			w.pause(untilOurs)
			w.moved(i)
		case refused:
			r.Pause = rotate.PauseNotSent
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
			r.readAgent(w)
		}
		if f != fine || !r.paused() {
			m.failed(w, i)
			return
		}
		r.Pause = rotate.PauseShown
		r.DrainAge = max(r.DrainAge, 1)
		m.proceed(w, i)
	case confirmPause:
		n := r.target(i)
		n.Pauses[0] = r.confirmed()
		m.saved(w, i, f, n, none)
	case readAgentDraining:
		if f != fine {
			m.failed(w, i)
			return
		}
		r.readAgent(w)
		switch {
		case r.Seen.Status != statusPausing, r.Seen.Note.paused().By != 0 && !r.Seen.Note.paused().Confirmed:
			r.PC = readPlatformDrained
		case r.Seen.Connected:
			m.proceed(w, i)
		default:
			r.PC = readPlatform
		}
	case readPlatformDrained:
		if f != fine || !m.read(w, i) {
			m.without(w, i, f)
			return
		}
		if r.Seen.Connected {
			m.proceed(w, i)
		} else {
			r.PC = readPlatform
		}
	case noteIntent:
		n := r.target(i)
		n.Intents[0] = intent{By: int8(i + 1), Over: r.Seen.Maia, Answers: r.requested()}
		if r.pause(i, m.decide(r, i).valid) == rotate.PauseOperators {
			n.Pauses[0] = ownPause{}
		}
		if m.staged {
			m.saveFirst(w, i, f, n, readIntents)
		} else {
			m.saved(w, i, f, n, readPlatform)
		}
	case readPauses:
		m.readPauses(w, i, f)
	case readIntents:
		m.readIntents(w, i, f)
	case refresh:
		m.refresh(w, i, f)
	case noteOwed:
		m.saved(w, i, f, r.beforeStore(i, m.decide(r, i)), store)
	case store:
		m.store(w, i, f)
	case restart:
		m.restart(w, i, f)
	case noteOrder:
		m.noteOrder(w, i, f)
		m.restarted(w, i)
	case noteOrderAgain:
		m.noteOrder(w, i, f)
		r.PC = await
	case notePartOfOrder:
		m.noteOrder(w, i, f)
		m.conflict(w, i)
	case noteBeforeResume:
		valid := m.decide(r, i).valid
		n := r.settled(i, valid)
		r.settles(i, valid)
		m.saved(w, i, f, n, r.resuming(i))
	case takeOver:
		n := r.target(i)
		n.Pauses[0] = r.confirmed()
		n.Pauses[0].By = int8(i + 1)
		m.saved(w, i, f, n, readBeforeResume)
	case readBeforeResume:
		r.Blind = f != fine || !m.read(w, i)
		r.PC = readAgentBeforeResume
	case readAgentBeforeResume:
		r.Moved = r.Moved && !r.Blind
		if f == fine {
			r.readAgent(w)
		}
		valid := m.decide(r, i).valid
		if f != fine || r.Blind || r.paused() && (!r.pausedByUs(i, valid) || r.Seen.Note.paused().By == 0 || !r.mayResume(i, valid)) {
			m.failed(w, i)
			return
		}
		r.PC = resume
	case resume, resumeBlindly:
		m.checkResume(w, i)
		blindly := r.PC == resumeBlindly
		r.Resumes++
		if f != fails && f != refused && w.Until != notPaused {
			w.unpause()
			w.moved(i)
		}
		switch {
		case blindly:
			m.end(w, i, false)
		case f != refused:
			r.PC = seeResumed // where there is no answer too: it may have been carried out
		case r.Seen.Note.paused().By != 0 && !r.Seen.Note.paused().Confirmed && r.paused():
			r.PC = keepClaim
		default:
			m.failed(w, i)
		}
	case keepClaim:
		n := r.target(i)
		n.Pauses[0] = r.confirmed()
		m.saveAsItIs(w, i, f, n)
		m.failed(w, i)
	case seeResumed:
		if f == fine {
			r.readAgent(w)
		}
		if f != fine || !r.pauseOver(i, m.decide(r, i).valid) {
			m.failed(w, i)
			return
		}
		r.PC = noteResumed
	case noteResumed:
		n := r.target(i)
		n.Pauses[0] = ownPause{}
		m.saved(w, i, f, n, none)
	case noteDone:
		valid := m.decide(r, i).valid
		n := r.settled(i, valid)
		r.settles(i, valid)
		if m.save(w, i, f, n) {
			m.end(w, i, true)
		} else {
			m.without(w, i, f)
		}
	case cleanUp:
		r.Cleaning, r.Critical = true, false
		r.Blind = f != fine || !m.read(w, i)
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
		r.readAgent(w)
		valid := m.decide(r, i).valid
		ours := r.pausedByUs(i, valid)
		switch {
		case r.Blind && r.Pause != rotate.PauseNotSent && ours:
			r.PC = resumeBlindly
		case r.Blind:
			m.end(w, i, false)
		case ours && r.Seen.Connected && r.Resumes < 2 && !r.concurrentRotation(i, valid) && r.mayResume(i, valid):
			r.PC = r.resuming(i)
		default:
			m.cleaned(w, i)
		}
	case noteCleanedUp:
		m.save(w, i, f, r.cleaned(i, m.decide(r, i).valid))
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

// without is a step that failed, by a fault or because of another run.
func (m *Model) without(w *World, i int, f fault) {
	if f == fine {
		m.conflict(w, i)
	} else {
		m.failed(w, i)
	}
}

// cleaned is the note of a run that has cleaned up.
func (r *Run) cleaned(i int, valid int8) note {
	n := r.target(i)
	if n.paused().By == int8(i+1) && r.Seen.Connected && r.pauseOver(i, valid) && r.Pause != rotate.PauseAccepted {
		n.Pauses[0] = ownPause{}
	}
	if r.unsent(i) {
		n.Intents[0] = intent{}
	}
	return n
}

func (m *Model) cleaned(w *World, i int) {
	r := &w.Runs[i]
	if r.cleaned(i, m.decide(r, i).valid) == r.target(i) {
		m.end(w, i, false)
	} else {
		r.PC = noteCleanedUp
	}
}

func (r *Run) readAgent(w *World) {
	r.Seen.Status, r.Seen.Until, r.Seen.Connected = w.agent()
	if r.Seen.Until != notPaused && w.Form == formAbsent {
		r.Seen.Until = notPaused
	}
	if r.Seen.Until != notPaused && w.Form == formMoves {
		w.passes(untilMoves)
		r.Seen.Until = untilMoves
	}
	r.readPause()
}

func (m *Model) onlyPending(r *Run) bool {
	n := r.Seen.Note
	return r.Mode == modeFinish && n.LastRotation.New != 0 && n.Applied != n.LastRotation.New &&
		r.Seen.Pending == n.LastRotation.New && r.Seen.Store == n.LastRotation.Over
}

// observed ends a read of everything.
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
		asked := r.requested() != 0 && r.intent(i).Answers != r.requested()
		if !r.unsent(i) || r.intent(i).Over != r.Seen.Maia || r.intent(i).Age > 0 || asked {
			r.PC = noteIntent
		}
	case rotate.AwaitOutcome:
		r.PC = await
	case rotate.AwaitConnected:
		r.PC = await
		if r.Order.For != 0 && !r.Order.same(r.Seen.Note.Ordered) {
			r.PC = noteOrderAgain
		}
	case rotate.Store:
		ours := r.ours(i, d.valid)
		m.checkAdoption(w, i, d.valid)
		if adopted, is := r.adoption(i, d.valid); is {
			r.Adopted = adopted
		}
		r.Counts = r.Counts || ours && r.undelivered(d.valid)
		if ours {
			r.Reads = 0
		}
		if r.Seen.Store != d.valid {
			r.Order = order{}
		}
		r.PC = store
		if r.beforeStore(i, d) != r.target(i) {
			r.PC = noteOwed
		}
	case rotate.Restart:
		m.checkOrdered(w, i)
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
		r.Refusal = d.refusal
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

// beforeStore is the note of a run that is about to store.
func (r *Run) beforeStore(i int, d decision) note {
	n := r.target(i)
	if d.owes {
		n.Applied = nothing
	}
	if r.Seen.Store != d.valid {
		n.Ordered = order{}
	}
	return n
}

// settle says whether there is something to note, and whether what was done counts as a rotation.
func (m *Model) settle(r *Run, i int, valid int8) bool {
	r.Counts = r.Counts || r.resolved(i, valid)
	if r.Mode != modeStage {
		r.Order = order{}
	}
	n := r.settled(i, valid)
	if r.Mode != modeStage && r.undelivered(valid) && r.ours(i, valid) && n.LastRotation.New != 0 {
		r.Counts = true
	}
	if n != r.target(i) {
		return true
	}
	r.settles(i, valid)
	return false
}

// failed is what a run does about a micro-step that failed.
func (m *Model) failed(w *World, i int) {
	r := &w.Runs[i]
	switch {
	case r.Cleaning:
		m.end(w, i, false)
	case r.mayBeDown() && r.Age < deadlineTicks:
		r.PC = readPlatform
	default:
		r.Refusal = refusalPasses
		if w.Stuck && (r.PC == restart || r.PC == notePartOfOrder) {
			r.Refusal = refusalPerson
		}
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
