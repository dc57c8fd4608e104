package model

import "github.com/maia-rotate/maia-rotate/pkg/rotate"

// moves are all transitions from a world.
func (m *Model) moves(w *World, emit func(name string, to *World)) {
	live, waiting := 0, 0
	urgent := m.urgent(w)
	for i := range w.Runs {
		r := &w.Runs[i]
		if r.PC == none {
			continue
		}
		live++
		if r.PC.waits() {
			waiting++
		} else if urgent < 0 || urgent == i {
			m.runMoves(w, i, emit)
		}
		if w.Budget > 0 {
			m.try(w, 1, "run "+slot(i)+" is killed before it "+r.PC.String(), emit, func(to *World) { m.kill(to, i) })
		}
	}
	if waiting == live {
		m.time(w, "", 0, emit)
	} else if w.Budget > 0 {
		m.time(w, " while a call takes long", 1, emit)
	}
	m.triggers(w, live, emit)
	if w.Budget > 0 {
		m.people(w, emit)
	}
}

// urgent is the run that alone goes on; -1: none. A RESUME follows the read from which it comes at once, and so does a refresh
// where no lock is held: no other run does anything in between. People do, and time may pass.
func (m *Model) urgent(w *World) int {
	for i := range w.Runs {
		if pc := w.Runs[i].PC; pc == resume || pc == refresh && m.staged {
			return i
		}
	}
	return -1
}

func slot(i int) string { return string(rune('A' + i)) }

// try emits what becomes of a world by a change.
func (m *Model) try(w *World, cost int8, name string, emit func(string, *World), change func(to *World)) {
	to := *w
	to.Settled = 0
	to.Budget -= cost
	connected := w.connected()
	change(&to)
	if !connected && to.connected() && to.Form == formReconnects && to.Until != notPaused {
		to.passes(to.Until)
	}
	to.mistake()
	emit(name, &to)
	if to.Maia == w.Maia || to.Budget == 0 {
		return
	}
	// What was revoked may show for a while.
	for _, lag := range []int8{1, 2} {
		if oldest := to.oldestIntent(); to.Refreshes > w.Refreshes && lag+oldest >= quietTicks {
			continue
		}
		lagging := to
		lagging.Lag = lag
		lagging.Budget--
		emit(name+"; reads lag", &lagging)
	}
	if w.connected() {
		for _, lag := range []int8{1, 2} {
			lagging := to
			lagging.ConnectedLag = lag
			lagging.Budget--
			emit(name+"; Maia says connected for a while", &lagging)
		}
	}
}

// mistake remembers what nothing in the world can distinguish. A refresh in the console is as one of ours where an intent is open
// over what was valid before. Where an operator pauses the runner while a run of ours has noted that it will, nothing distinguishes
// the two pauses, unless ours was seen to stand still and the runner was not cut off by us since.
func (w *World) mistake() {
	for _, open := range w.Note.Intents {
		readsDone := open.By != 0 && open.Over != w.Maia
		w.Unreported = w.Unreported || readsDone
		w.Confused = w.Confused || readsDone && (w.Late > 0 || w.Open > 0)
	}
	operators := w.Until == untilOperators || w.Until == untilSoon
	switch noted := w.Note.paused(); {
	case operators && noted.By != 0 && !noted.Confirmed && noted.Age > 0 && noted.By == gone: // the note claims it no more
	case operators && noted.By != 0 && (!noted.Confirmed || !noted.Stands || w.cutOff()):
		w.Mistaken = true
	case w.Until == notPaused && noted.By == 0:
		w.Mistaken = false
	}
}

// mayGoBack reports whether a read may show once more what was before: for a while after a change, and whenever the note shows it.
func (w *World) mayGoBack() bool {
	switch {
	case w.Before == 0 || w.Lag > 0:
		return false
	case w.replacedByNote(w.Before):
		return true
	}
	seen := w.Note.Adopted.New == w.Maia || w.Note.LastRotation.New == w.Maia
	return w.Recent > 0 && !seen && w.oldestIntent()+1 < quietTicks
}

// replacedByNote reports whether by the note a secret was replaced by the one that is valid.
func (w *World) replacedByNote(old int8) bool {
	n := w.Note
	return n.LastRotation.New == w.Maia && n.LastRotation.Over == old ||
		n.Adopted.New == w.Maia && n.Adopted.Over == old && n.Adopted.Age+drainTicks+1 < backTicks
}

// cutOff reports whether a refresh or a restart of ours may have cut the runner off since it was paused, and it was not seen back.
func (w *World) cutOff() bool {
	n := w.Note
	off := n.Ordered.For != 0 || n.LastRotation.New != 0 && n.Applied != n.LastRotation.New ||
		n.Intents[0].By != 0 && n.Intents[0].Over != w.Maia
	for _, r := range w.Runs {
		off = off || r.PauseKept == rotate.PauseOurs
	}
	return off
}

func (w *World) oldestIntent() (age int8) {
	for _, i := range w.Note.Intents {
		if i.By != 0 {
			age = max(age, i.Age)
		}
	}
	return age
}

func (m *Model) runMoves(w *World, i int, emit func(string, *World)) {
	pc := w.Runs[i].PC
	name := "run " + slot(i) + " " + pc.String()
	m.try(w, 0, name, emit, func(to *World) { m.step(to, i, fine) })
	if w.Budget == 0 {
		return
	}
	for _, f := range pc.faults() {
		if (f == late1 || f == late2) && pc == refresh && int8(f-late1+1)+w.oldestIntent() >= quietTicks {
			continue // a refresh is carried out within the quiet time
		}
		if f == goesBack && !w.mayGoBack() {
			continue
		}
		m.try(w, 1, name+faultNames[f], emit, func(to *World) { m.step(to, i, f) })
	}
}

// time lets a tick pass.
func (m *Model) time(w *World, name string, cost int8, emit func(string, *World)) {
	pass := func(to *World) {
		for i := range to.Runs {
			r := &to.Runs[i]
			switch {
			case r.PC == await:
				r.PC, r.Backoff = readPlatform, false
			case r.PC == awaitDrained:
				r.PC = readAgentDraining
			case r.PC != none:
				r.Moved = true
			}
			r.PauseReads.Apart = r.PauseReads.Since > 0
		}
	}
	short := false // a wait that ends before a tick has passed: the second read that says connected
	for i := range w.Runs {
		r := &w.Runs[i]
		short = short || r.PC == await && !r.Backoff && r.Seen.Connected && r.Seen.State == steady && r.Reads == 1
	}
	if short && cost == 0 {
		m.try(w, 0, "a moment passes", emit, pass)
		return
	}
	m.try(w, cost, "a minute passes"+name, emit, func(to *World) { to.tick(m); pass(to) })
	if w.Budget <= cost {
		return
	}
	if w.State == rolling {
		m.try(w, cost+1, "a minute passes"+name+", and the instances fail to start", emit, func(to *World) {
			to.State = failed
			to.tick(m)
			pass(to)
		})
		m.try(w, cost+1, "a minute passes"+name+", and the instances are starting still", emit, func(to *World) {
			to.Rollout = max(to.Rollout, 1)
			to.tick(m)
			pass(to)
		})
		m.try(w, cost+1, "a minute passes"+name+", and the instances crash again and again", emit, func(to *World) {
			to.State = failing
			to.tick(m)
			pass(to)
		})
		if w.Rollout == 0 {
			m.try(w, cost+1, "a minute passes"+name+", and the rollout is slow", emit, func(to *World) {
				to.Rollout = slowTicks
				to.tick(m)
				pass(to)
			})
		}
	}
	if w.State == failing {
		m.try(w, cost, "a minute passes"+name+", and the instances come up after all", emit, func(to *World) {
			to.State, to.Rollout = rolling, 0
			to.tick(m)
			pass(to)
		})
	}
	if w.Until != notPaused && w.Until != untilSoon && !w.Drained {
		m.try(w, cost+1, "a minute passes"+name+", and pipelines run on", emit, func(to *World) {
			to.tick(m)
			to.Drained = false
			pass(to)
		})
	}
}

func (m *Model) kill(w *World, i int) {
	w.forget(i)
	if w.Lock == int8(i+1) {
		w.Lock = gone
	}
}

// start starts a run.
func (w *World) start(mode int8) {
	for i := range w.Runs {
		if w.Runs[i].PC == none {
			w.Runs[i] = Run{PC: readPlatform, Mode: mode, OnlyKnown: w.Duplicate}
			if mode == modeStage || mode == modeFinish {
				w.Runs[i].Token = w.Token
			}
			return
		}
	}
}

// triggers start runs: one at a time, unless it is a disturbance.
func (m *Model) triggers(w *World, live int, emit func(string, *World)) {
	cost := int8(live) * m.concurrent
	if live == len(w.Runs) || w.Budget < cost {
		return
	}
	m.try(w, cost, "a healing run starts", emit, func(to *World) { to.start(modeHeal) })
	if !m.staged {
		m.try(w, cost, "a rotation starts", emit, func(to *World) { to.start(modeRotate) })
		return
	}
	m.secretsManager(w, cost, emit)
}

// secretsManager does the next thing that it would do for its rotation.
func (m *Model) secretsManager(w *World, cost int8, emit func(string, *World)) {
	switch {
	case w.Phase == phaseNone && w.Token < rotations &&
		(w.Token == 0 || w.Age >= quietTicks && w.Late == 0 && w.Open == 0): // Secrets Manager's are hours apart
		m.try(w, 0, "a rotation begins", emit, func(to *World) {
			to.Token, to.Phase, to.Refreshed, to.Pending, to.Promoted = to.Token+1, phaseCreate, false, 0, false
		})
	case w.Phase == phaseCreate && w.Pending != 0:
		m.try(w, 0, "createSecret finds the value staged", emit, func(to *World) { to.Phase = phaseFinish })
	case w.Phase == phaseCreate:
		m.try(w, cost, "createSecret starts", emit, func(to *World) { to.start(modeStage) })
	case w.Phase == phaseFinish:
		m.try(w, cost, "finishSecret starts", emit, func(to *World) { to.start(modeFinish) })
	}
}

// putByHand is a value that another writer stores. It ends a rotation that has staged nothing yet.
func (w *World) putByHand(secret int8) {
	if w.Phase == phaseCreate && w.Pending == 0 {
		w.Phase = phaseNone
	}
	w.Promoted, w.ByHand = false, false
	w.put(secret)
}

// people are other people and tools, and what happens by itself.
func (m *Model) people(w *World, emit func(string, *World)) {
	foreign := func(name string, change func(to *World)) {
		m.try(w, 1, name, emit, func(to *World) {
			change(to)
			to.moved(-1)
		})
	}
	foreign("an operator refreshes in the console", func(to *World) {
		to.revoke(true)
	})
	for _, old := range []int8{1, w.Maia - 1} {
		if old >= 1 && old < w.Maia && old != w.Store {
			foreign("Terraform puts a revoked secret back", func(to *World) {
				to.putByHand(old)
			})
		}
	}
	if w.Store != w.Maia {
		foreign("an operator puts the valid secret into the store", func(to *World) {
			to.putByHand(to.Maia)
			to.ByHand = true
		})
	}
	if w.Until == notPaused || w.Until == untilOurs {
		for _, until := range []int8{untilOperators, untilSoon} {
			name := "an operator pauses the runner"
			if until == untilSoon {
				name += " for a moment"
			}
			foreign(name, func(to *World) {
				to.pause(until)
				to.LateConcurrent = to.LatePause
			})
		}
	}
	if w.Until != notPaused {
		foreign("an operator resumes the runner", func(to *World) {
			to.unpause()
			to.Operator, to.LateConcurrent = true, to.LatePause
		})
	}
	if !m.staged && w.Refreshes < rotations && int(w.Requests) < len(requestIDs)-1 {
		foreign("an operator asks for a rotation", func(to *World) { to.Requests++ })
	}
	if !w.Held {
		foreign("an operator holds the runner", func(to *World) { to.Held = true })
	} else {
		foreign("an operator takes the hold off", func(to *World) { to.Held = false })
	}
	if w.State != stopped {
		foreign("another writer deploys the runner anew", func(to *World) { to.State, to.Older, to.Rollout = rolling, false, 0 })
		foreign("an operator scales the runner to zero", func(to *World) { to.State, to.Drained = stopped, to.Until != notPaused })
	} else {
		foreign("an operator scales the runner up", func(to *World) { to.State, to.Older, to.Rollout = rolling, false, 0 })
	}
	if w.Stuck {
		foreign("an operator repairs the first service", func(to *World) { to.Stuck = false })
	}
	if !w.Blink {
		foreign("the connection blinks", func(to *World) { to.Blink = true })
	}
	if !w.Word {
		foreign("the status is an unknown word", func(to *World) { to.Word = true })
	}
	if w.Lock != 0 && w.Lock != gone {
		foreign("a run sleeps past its lease", func(to *World) { to.Lock = 0 })
	}
}
