package model

import "fmt"

var promises = []string{
	1: "never lost", 2: "at most one refresh for each rotation that was due", 3: "nothing is revoked before the way is clear",
	5: "success means back", 6: "heals, gently", 8: "only ours", 9: "no failure is swallowed",
}

// broken notes that a promise is broken by the transition that is being taken.
func (m *Model) broken(promise int, format string, args ...any) {
	if m.violation == "" {
		m.violation = fmt.Sprintf("promise %d (%s): %s", promise, promises[promise], fmt.Sprintf(format, args...))
	}
}

// slack is how much sooner than everyTicks after the last refresh the next may come: its age counts from the noted intent.
const slack = 2

// carryOut is a refresh of ours at Maia, sent so long ago.
func (m *Model) carryOut(w *World, age int8) {
	m.checkDue(w, "was carried out")
	if w.connected() && (w.Until == notPaused || !w.Drained) && !w.Operator && !w.Confused {
		m.broken(3, "pipelines were running when a refresh was carried out")
	}
	w.revoke(false)
	w.Answered = max(w.Answered, w.SentFor)
	w.Refreshes, w.Refreshed, w.Unreported, w.Age, w.Open = w.Refreshes+1, true, true, age, 0
}

func (m *Model) checkDue(w *World, what string) {
	if m.staged && w.Refreshed {
		m.broken(2, "a second refresh %s for one rotation of Secrets Manager's", what)
	}
	if !m.staged && w.Refreshes > 0 && w.Age < everyTicks-slack && w.Requests == w.Answered {
		m.broken(2, "a refresh %s %d minutes after the one before", what, w.Age)
	}
}

// checkRefresh checks a refresh that is about to be sent. What changed since the run's last read it could not see.
func (m *Model) checkRefresh(w *World, i int) {
	r, s := &w.Runs[i], &w.Runs[i].Seen
	if !r.mayRefresh() {
		m.broken(2, "a run of mode %s sends a refresh", modes[r.Mode])
	}
	noted := false
	for _, found := range w.Note.Intents {
		noted = noted || found.By == int8(i+1) && (found.Over == w.Maia || r.Moved)
	}
	if !noted {
		m.broken(2, "a refresh is sent without an intent in the note over what Maia holds")
	}
	if (w.Late > 0 || w.Open > 0) && !w.Confused {
		m.broken(2, "a refresh is sent while one before may still be carried out")
	}
	m.checkDue(w, "is sent")
	for _, wrong := range []struct {
		is   bool
		what string
	}{
		{!r.Checked, "nothing was checked"},
		{s.Foreign, "the store names another client"},
		{s.Store != s.Maia, "the store was not seen to hold what Maia does"},
		{s.State != steady, "the deployment was not seen steady"},
		{!s.Connected, "the runner was not seen connected"},
		{s.Status != statusPaused, "the runner was not seen drained"},
		{s.Held, "the runner was seen held"},
		{!r.Moved && w.Held, "the runner is held"},
		{s.Until == untilSoon, "the pause ends too soon"},
		{!r.Moved && s.Maia != w.Maia, "the read of Maia lags"},
		{!r.Moved && w.Store != w.Maia, "the store does not hold what Maia does"},
		{!r.Moved && w.ConnectedLag == 0 && !w.connected(), "the runner is not connected"},
		{!r.Moved && w.State != steady, "the deployment is not steady"},
		{!r.Moved && (w.Until == notPaused || !w.Drained), "the runner is not drained"},
	} {
		if wrong.is {
			m.broken(3, "a refresh is sent, and %s", wrong.what)
		}
	}
}

func (m *Model) checkPause(w *World, i int) {
	r := &w.Runs[i]
	switch {
	case !r.Seen.Connected, !r.Moved && !w.connected() && w.ConnectedLag == 0:
		m.broken(6, "a disconnected runner is paused: it cannot drain")
	case r.paused(), !r.Moved && w.Until != notPaused:
		m.broken(8, "a runner that is paused is paused again")
	}
}

func (m *Model) checkResume(w *World, i int) {
	if (w.Until == untilOperators || w.Until == untilSoon) && !w.Runs[i].Moved && !w.Mistaken {
		m.broken(8, "an operator's pause is undone")
	}
}

// checkAdoption checks what a run decides to store, before it notes anything.
func (m *Model) checkAdoption(w *World, i int, valid int8) {
	r := &w.Runs[i]
	if n := r.Seen.Note; r.OnlyKnown && !r.ours(i, valid) && n.Applied == 0 && n.Intents[0].By == 0 && n.LastRotation.New == 0 {
		m.broken(8, "a secret is adopted while another target is unknown that may be the runner's")
	}
}

func (m *Model) checkStore(w *World, i int, valid int8) {
	r := &w.Runs[i]
	n := r.Seen.Note
	switch {
	case valid == 0:
		m.broken(1, "something is stored though what Maia holds is not known")
	case r.Seen.Foreign:
		m.broken(8, "the secret is stored for another client")
	case r.Seen.Maia == 0, r.WentBack, w.lagsBehindConsole(): // it could not be known better
	case !r.Moved && valid != w.Maia && w.Store == w.Maia:
		m.broken(1, "the valid secret in the store is replaced by one that was revoked")
	case !r.Moved && valid != w.Maia && w.Lag == 0:
		m.broken(1, "a revoked secret is stored")
	case !r.Sent && n.Applied == 0 && n.Intents[0].By == 0 && n.LastRotation.New == 0 && r.Seen.Connected:
		m.broken(6, "a secret is adopted that explains nothing, of a Maia that was never seen to agree with the store")
	}
}

// lagsBehindConsole reports whether reads lag behind a refresh in the console, or show one from before ours: nothing distinguishes such
// a read from a true one.
func (w *World) lagsBehindConsole() bool { return w.Lag > 0 && (w.Console[0] || w.Console[1]) }

// checkOrdered checks the decision to order a restart, before the note is changed for it.
func (m *Model) checkOrdered(w *World, i int) {
	r := &w.Runs[i]
	ordered := w.Note.Ordered
	if !r.Moved && ordered.For == w.Store && r.Seen.Note.Ordered == ordered && !ordered.Second && !w.Older {
		switch {
		case w.State == rolling:
			m.broken(6, "a restart is ordered though one was, and is on its way")
		case w.State == steady && w.connected() && r.Seen.Connected:
			m.broken(6, "a restart is ordered though one was, and the runner is back")
		}
	}
}

func (m *Model) checkRestart(w *World, i int) {
	r := &w.Runs[i]
	if r.Moved || !r.Seen.Connected || !w.connected() || w.State == rolling {
		return
	}
	switch {
	case w.Store == w.Maia && r.Seen.Note.Applied == w.Maia && w.State == steady:
		m.broken(6, "a connected runner whose instances hold Maia's secret is restarted")
	case r.Seen.Status == statusWord: // it could not be drained
	case w.Until == notPaused || !w.Drained:
		m.broken(3, "a runner is restarted while pipelines run")
	}
}

// end ends a run: it was done, or it gave up.
func (m *Model) end(w *World, i int, done bool) {
	r := w.Runs[i]
	w.Runs[i] = Run{}
	if done {
		m.checkDone(w, &r)
	}
	w.forget(i)
	if w.Lock == int8(i+1) {
		w.Lock = 0
	}
	switch {
	case r.Refusal == refusalPerson:
		w.Settled = 2
	case done:
		w.Settled = 1
	default:
		w.Settled = 3
	}
	if !m.staged || !done || r.Refusal != refusalNone {
		return
	}
	switch {
	case r.Mode == modeStage && r.Token == w.Token && w.Phase == phaseCreate && w.Pending == 0: // its next step finds nothing
	case r.Mode == modeStage && r.Token == w.Token && w.Phase == phaseCreate:
		w.Phase = phaseFinish
	case r.Mode == modeFinish && r.Token == w.Token && w.Phase == phaseFinish:
		w.Phase, w.Pending, w.Promoted = phaseNone, 0, false // abandoned, if it is not promoted
	case r.Mode == modeHeal && w.staging() && w.Store == w.Maia && w.Pending != w.Maia && w.alone():
		w.Phase, w.Pending = phaseNone, 0 // a dead value is cleared
	}
}

// forget ends a process.
func (w *World) forget(i int) {
	w.Runs[i] = Run{}
	w.Note.rename(int8(i+1), gone)
	w.eachNote(func(n *note) { n.rename(int8(i+1), gone) })
}

func (w *World) alone() bool { return w.Runs[0].PC == none && w.Runs[1].PC == none }

// checkDone checks a success.
func (m *Model) checkDone(w *World, r *Run) {
	if r.Counts && r.Mode != modeStage {
		if !w.Unreported {
			m.broken(6, "a rotation is reported, and there was none: healing is none")
		}
		w.Unreported = !w.alone() // concurrent runs may each report it
	}
	if r.Moved || r.WentBack || w.lagsBehindConsole() {
		return
	}
	if r.Mode == modeStage {
		if w.Pending != w.Maia && w.Store != w.Maia {
			m.broken(5, "done, and what is staged is not what Maia holds")
		}
		return
	}
	switch {
	case w.Store != w.Maia || w.Foreign:
		m.broken(5, "done, and the store does not hold what Maia does")
	case !w.connected():
		m.broken(5, "done, and the runner is not connected")
	case w.Note.Applied != w.Maia:
		m.broken(5, "done, and the note does not say so")
	case w.Two && (w.Instance != w.Maia || w.Other != w.Maia):
		m.broken(5, "done, and one of two services does not run with what Maia holds")
	case w.Until == untilOurs && r.Refusal == refusalNone && !w.Mistaken &&
		!(r.Mode == modeHeal && w.Note.paused().By != 0 && w.Note.paused().Age < pausedTicks):
		if !(w.Note.Intents[0].By != 0 && w.Note.Intents[0].Age < quietTicks) {
			m.broken(5, "done, and our pause is left")
		}
	}
}
