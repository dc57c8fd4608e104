package model

import "slices"

// The platform's side of a run's micro-steps: that of one that stores at once, under a lock, as Azure and Google Cloud do, and of
// one that stages first and keeps its note as labels, as AWS does.

// moved marks that something has changed for all runs but one.
func (w *World) moved(but int) {
	for i := range w.Runs {
		if w.Runs[i].PC != none && i != but {
			w.Runs[i].Moved = true
		}
	}
}

// staging reports whether a value is pending which instances do not read yet.
func (w *World) staging() bool { return w.Pending != 0 && !w.Promoted }

// stale reports whether the rotation which a run stages for is over.
func (w *World) stale(r *Run) bool {
	return r.Mode == modeStage && (w.Token != r.Token || w.Phase == phaseNone || w.Promoted)
}

// read reads the platform.
func (m *Model) read(w *World, i int) bool {
	r := &w.Runs[i]
	if w.stale(r) {
		return false
	}
	s := &r.Seen
	s.Store, s.Pending, s.Staged, s.Foreign, s.State, s.Note = w.Store, 0, false, w.Foreign, w.State, w.Note
	s.Request, s.Held = w.Requests, w.Held
	s.Free = !m.staged && (w.Lock == 0 || w.Lock == int8(i+1))
	if w.Starting && s.State == steady {
		s.State = rolling
	}
	noted := w.Note.Ordered
	switch {
	case r.Ordered, noted.For == w.Store && !noted.Second:
		s.Read = readCurrent
	case m.staged && w.Older, r.Wrote:
		s.Read = readOlder
	case m.staged:
		s.Read = readCurrent
	default:
		s.Read = readUnknown
	}
	switch {
	case w.staging() && r.Mode == modeStage:
		s.Store, s.Staged, s.Read = w.Pending, true, readOlder
	case w.staging():
		s.Pending = w.Pending
	}
	return true
}

// enter takes the lock, if there is one; it fails if another run has it, or has changed the note.
func (m *Model) enter(w *World, i int) bool {
	if m.staged {
		return true
	}
	own := int8(i + 1)
	if w.Lock == own {
		return true
	}
	if w.Lock != 0 {
		return false
	}
	w.Lock = own
	return w.Note == w.Runs[i].Seen.Note
}

// save saves a note, with what the run has not noted yet.
func (m *Model) save(w *World, i int, f fault, n note) bool {
	return m.saveAsItIs(w, i, f, w.Runs[i].withPending(n))
}

func (m *Model) saveAsItIs(w *World, i int, f fault, n note) bool {
	r := &w.Runs[i]
	if f == fails || !m.enter(w, i) {
		return false
	}
	if m.staged {
		w.Note.merge(r.Seen.Note, n)
	} else if w.Note != r.Seen.Note {
		return false
	} else {
		w.Note = n
	}
	w.moved(i)
	if f != fine {
		return false
	}
	r.Seen.Note = n
	return true
}

// merge changes labels as a run does: it attaches those that it wants and takes off those that it saw and does not want.
func (n *note) merge(seen, want note) {
	n.mergeRest(seen, want)
	if add := want.Intents[0]; add.By != 0 && !slices.Contains(seen.Intents[:], add) {
		n.addIntent(add)
	}
	for _, old := range seen.Intents {
		if old.By != 0 && old != want.Intents[0] {
			n.removeIntent(old)
		}
	}
	n.mergePauses(seen, want)
}

// mergeRest changes what is one label each.
func (n *note) mergeRest(seen, want note) {
	if want.Applied != seen.Applied {
		n.Applied = want.Applied
	}
	if want.LastRotation != seen.LastRotation {
		n.LastRotation = want.LastRotation
	}
	if want.Adopted != seen.Adopted {
		n.Adopted = want.Adopted
	}
	if want.Ordered != seen.Ordered {
		n.Ordered = want.Ordered
	}
}

func (n *note) mergePauses(seen, want note) {
	if add := want.Pauses[0]; add.By != 0 && !seen.hasPause(add) {
		n.addPause(add)
	}
	for _, old := range seen.Pauses {
		if old.By != 0 && old.By == seen.paused().By && !want.hasPause(old) {
			n.removePause(old)
		}
	}
	n.sort()
}

func (n *note) removeIntent(old intent) {
	if i := slices.Index(n.Intents[:], old); i >= 0 {
		n.Intents[i] = intent{}
	}
	n.sort()
}

func (n *note) addIntent(add intent) {
	if n.Intents[1].By != 0 {
		n.Intents[1] = intent{} // of three one is left out: there are two runs at most, and the others are gone
	}
	n.sort()
	n.Intents[1] = add
	n.sort()
}

// hasPause reports whether a label is there, whether it was seen to be the second of a tick or not.
func (n *note) hasPause(p ownPause) bool {
	return slices.ContainsFunc(n.Pauses[:], func(q ownPause) bool {
		q.Second = p.Second
		return q == p
	})
}

// removePause takes a pause off, whether it was seen to be the second of a tick or not.
func (n *note) removePause(old ownPause) {
	for i, p := range n.Pauses {
		if p.Second = old.Second; p == old {
			n.Pauses[i] = ownPause{}
			break
		}
	}
	n.sort()
}

// addPause attaches a pause. The confirmed form of one that is there takes its place in the order.
func (n *note) addPause(add ownPause) {
	for i, p := range n.Pauses {
		if p.By == add.By && p.Age == add.Age {
			add.Second = p.Second
			n.Pauses[i] = add
			return
		}
	}
	add.Second = n.Pauses[0].By != 0 && n.Pauses[0].Age == add.Age
	if n.Pauses[1].By != 0 {
		n.Pauses[1] = n.Pauses[0]
	}
	if n.Pauses[0].By != 0 {
		n.Pauses[1] = n.Pauses[0]
	}
	n.Pauses[0] = add
	n.sort()
}

// saveFirst is the first half of saving an intent or a pause as a label: it is attached. The other half comes after reads
// have settled: it stands if no other is there that was not seen before. Those that were are taken off.
func (m *Model) saveFirst(w *World, i int, f fault, n note, then PC) {
	r := &w.Runs[i]
	n = r.withPending(n)
	if f != fails {
		if then == readIntents {
			w.Note.mergePauses(r.Seen.Note, n)
			w.Note.addIntent(n.Intents[0])
		} else {
			w.Note.addPause(n.Pauses[0])
		}
		w.Note.mergeRest(r.Seen.Note, n)
		w.moved(i)
	}
	if f != fine {
		m.failed(w, i)
		return
	}
	if r.Seen.Note.mergeRest(r.Seen.Note, n); then == readIntents {
		r.Seen.Note.Pauses = n.Pauses
	}
	r.PC = then
}

func (m *Model) readIntents(w *World, i int, f fault) {
	r := &w.Runs[i]
	if f != fine {
		m.failed(w, i)
		return
	}
	var mine intent
	for _, found := range w.Note.Intents {
		if found.By == int8(i+1) && (mine.By == 0 || found.Age < mine.Age) {
			mine = found
		}
	}
	for _, found := range w.Note.Intents {
		if found.By != 0 && found.By != int8(i+1) && !slices.Contains(r.Seen.Note.Intents[:], found) {
			w.Note.removeIntent(mine)
			w.moved(i)
			m.failed(w, i)
			return
		}
	}
	for _, old := range r.Seen.Note.Intents {
		if old.By != 0 && old != mine {
			w.Note.removeIntent(old)
		}
	}
	w.moved(i)
	r.Own = true
	r.Seen.Note.Intents = [2]intent{mine}
	r.PC = readPlatform
}

func (m *Model) readPauses(w *World, i int, f fault) {
	r := &w.Runs[i]
	if f != fine {
		m.failed(w, i)
		return
	}
	var mine ownPause
	for _, found := range w.Note.Pauses {
		if found.By == int8(i+1) && (mine.By == 0 || found.newer(mine)) {
			mine = found
		}
	}
	if mine.By == 0 { // another run has taken it off, for it was there too long
		m.failed(w, i)
		return
	}
	for _, found := range w.Note.Pauses {
		if found.By != 0 && found.By != int8(i+1) && !found.Confirmed && !r.Seen.Note.hasPause(found) {
			w.Note.removePause(mine)
			w.moved(i)
			m.failed(w, i)
			return
		}
	}
	for _, old := range r.Seen.Note.Pauses {
		if old.By != 0 && old.By == r.Seen.Note.paused().By && !(&note{Pauses: [2]ownPause{mine}}).hasPause(old) {
			w.Note.removePause(old)
		}
	}
	w.moved(i)
	r.Seen.Note.Pauses = [2]ownPause{mine}
	r.PC = pause
}

// conflict is a step that fails because of another run: it is tried again, if at all, after a while.
func (m *Model) conflict(w *World, i int) {
	if m.failed(w, i); w.Runs[i].PC == readPlatform {
		w.Runs[i].PC, w.Runs[i].Backoff = await, true
	}
}

func (m *Model) refresh(w *World, i int, f fault) {
	r := &w.Runs[i]
	if !m.staged && w.Lock != int8(i+1) {
		m.conflict(w, i)
		return
	}
	m.checkRefresh(w, i)
	if f == refused {
		m.failed(w, i)
		return
	}
	r.keepPause(i, m.decide(r, i).valid)
	r.Critical, r.Sent, r.SentOver, r.SentAge, r.SentFor = true, true, r.intent(i).Over, 0, r.intent(i).Answers
	w.SentFor = r.Seen.Request
	switch f {
	case fine:
		m.carryOut(w, 0)
		r.Answer, r.Seen.Maia, r.Seen.Connected = w.Maia, w.Maia, false
		w.moved(i)
		m.proceed(w, i)
		return
	case lost:
		m.carryOut(w, 0)
		w.moved(i)
	case late1, late2:
		w.Late = int8(f - late1 + 1)
	case fails:
		w.Open = quietTicks
	}
	r.PC = readPlatform
}

func (m *Model) store(w *World, i int, f fault) {
	r := &w.Runs[i]
	valid := m.decide(r, i).valid
	held := r.Seen.Store == valid
	if r.ours(i, valid) && !held || !r.Seen.Connected {
		r.Critical = true
	}
	r.Stored = true
	if f == fails {
		m.failed(w, i)
		return
	}
	if !m.enter(w, i) {
		m.conflict(w, i)
		return
	}
	m.checkStore(w, i, valid)
	before := w.Store
	switch {
	case r.Mode == modeStage && w.stale(r):
		m.giveUp(w, i)
		return
	case r.Mode == modeStage && w.Pending != 0 && w.Pending != valid:
		r.Refusal = refusalPasses
		m.giveUp(w, i) // it is frozen
		return
	case r.Mode == modeStage:
		w.Pending = valid
	case w.Store == valid:
	case w.staging() && w.Pending == valid:
		w.Promoted = true
		w.put(valid)
	case w.Phase == phaseCreate && w.Pending == 0 && r.ours(i, valid):
		w.Pending, w.Promoted = valid, true // it is the rotation's whose refresh made it
		w.put(valid)
	default:
		w.Promoted = false
		w.put(valid)
	}
	if w.Store != before {
		r.Ordered, r.Partly, r.Wrote = false, false, true
	}
	w.moved(i)
	if f != fine {
		m.failed(w, i)
		return
	}
	if held || r.Mode != modeStage && r.Seen.Connected && r.Seen.Note.Applied == valid {
		r.PC = readPlatform
		return
	}
	r.Seen.Store, r.Seen.Pending, r.Seen.Staged, r.Seen.Read = valid, 0, r.Mode == modeStage, readOlder
	m.proceed(w, i)
}

func (m *Model) restart(w *World, i int, f fault) {
	r := &w.Runs[i]
	r.keepPause(i, m.decide(r, i).valid)
	if f == fails {
		m.failed(w, i)
		return
	}
	if !m.enter(w, i) {
		m.conflict(w, i)
		return
	}
	covered := w.Two && (r.Partly || r.Seen.Note.Ordered.For == r.Seen.Store) // the second service
	if !covered {
		m.checkRestart(w, i)
	}
	if w.Stuck {
		m.restartSecond(w, i, f, covered)
		return
	}
	if w.State != stopped {
		w.State, w.Older, w.Rollout = rolling, false, 0
	}
	w.Starting = w.Starting || w.Two && !covered
	w.moved(i)
	if f != fine {
		m.failed(w, i)
		return
	}
	r.Order, r.Wrote = order{For: r.Seen.Store, After: true}, false
	r.PC = noteOrder
}

// restartSecond is a restart of two services, of which the first cannot be restarted: the other is, unless it was.
func (m *Model) restartSecond(w *World, i int, f fault, covered bool) {
	r := &w.Runs[i]
	if m.alone || covered {
		m.conflict(w, i)
		return
	}
	w.Starting = true
	w.moved(i)
	if f != fine {
		m.failed(w, i)
		return
	}
	r.Order, r.Partly, r.Wrote = order{For: r.Seen.Store, After: true, Second: true}, true, false
	r.PC = notePartOfOrder
}

// noteOrder notes what was ordered, and with it the outcome of a refresh that is known.
func (m *Model) noteOrder(w *World, i int, f fault) {
	r := &w.Runs[i]
	valid := m.decide(r, i).valid
	r.Counts = r.Counts || r.resolved(i, valid)
	m.save(w, i, f, r.closed(i, valid))
}

// restarted goes on after a restart whose order was noted, or was not.
func (m *Model) restarted(w *World, i int) {
	r := &w.Runs[i]
	r.Ordered = true
	r.Restarts, r.RestAge, r.Reads = min(r.Restarts+1, 2), 0, 0
	r.Seen.State, r.Seen.Read = rolling, readCurrent
	r.Critical = false
	m.proceed(w, i)
}
