package model

// fairness answers, for a world, how the run of things ends if nothing disturbs it any more: runs are triggered again and
// again, and time passes.
type fairness struct {
	m    *Model
	ends map[World]string
}

func (m *Model) fairness() *fairness { return &fairness{m: m, ends: map[World]string{}} }

// The ends.
const (
	endsBack   = "the runner is back"
	endsPerson = "refused, and it says what a person must do"
	endsOften  = "promise 2 (at most one refresh for each rotation that was due): one comes after the other, for ever"
	endsNever  = "promise 1 (never lost): the run of things ends neither with the runner back nor with what a person must do"
)

// end is how it ends from a world; if that is wrong, also by which way.
func (f *fairness) end(w World) (end string, wrong []string) {
	w.Budget, w.Settled, w.Beat = 0, 0, 0
	var path []World
	var names []string
	on := map[World]int{}
	for {
		if known, ok := f.ends[w]; ok {
			end = known
			break
		}
		if f.back(&w) {
			end = endsBack
			break
		}
		if since, cycle := on[w]; cycle {
			end = endsNever
			for _, at := range path[since:] {
				if at.Settled == 2 && at.needsPerson() && !at.heldBack() {
					end = endsPerson
				}
			}
			break
		}
		on[w] = len(path)
		path = append(path, w)
		names = append(names, f.next(&w))
		if f.m.violation != "" {
			end, f.m.violation = f.m.violation, ""
		}
		if int(w.Maia) == len(credentials)-1 {
			end = endsOften
		}
		if end != "" {
			break
		}
	}
	for _, passed := range path {
		f.ends[passed] = end
	}
	if end == endsBack || end == endsPerson {
		return end, nil
	}
	for i, passed := range path {
		wrong = append(wrong, "… "+names[i]+"    | "+passed.String())
	}
	return end, append(wrong, "… and so on")
}

// needsPerson reports whether nothing but a person can go on: the runner is scaled to zero, an operator put the valid secret into the
// store and did not restart it, another writer's deployment has failed while instances run, or the store never agreed with Maia.
func (w *World) needsPerson() bool {
	n := w.Note
	neverAgreed := w.Store != w.Maia && n.Applied == 0 && n.Intents[0].By == 0 && n.LastRotation.New == 0
	return w.State == stopped || w.Held || w.ByHand || w.Stuck || w.unclear() || w.Foreign || neverAgreed ||
		(w.State == failed || w.State == failing) && w.connected()
}

// heldBack reports whether a service which can be restarted is not back, because of one that cannot.
func (w *World) heldBack() bool {
	return w.Stuck && w.State != stopped && !w.Foreign && w.Store == w.Maia && w.Other != w.Maia && !w.Starting
}

// unclear reports whether nothing shows whose the pause is: its end does not stand still, or it was never confirmed.
func (w *World) unclear() bool {
	own := w.Note.paused()
	return w.Until != notPaused && own.By != 0 && !(own.Confirmed && own.Stands)
}

// back reports whether nothing is left to do.
func (f *fairness) back(w *World) bool {
	n := w.Note
	half := w.Two && (w.Instance != w.Maia || w.Other != w.Maia)
	return w.alone() && w.Store == w.Maia && w.connected() && w.State != rolling && !w.Starting && !half &&
		(w.Until != untilOurs || w.Mistaken) && w.Late == 0 && !w.LatePause &&
		n.Applied == w.Maia && n.Intents[0].By == 0 && n.paused().By == 0 && w.Phase == phaseNone && (w.Requests == w.Answered || w.Held)
}

// next is the one transition that comes next.
func (f *fairness) next(w *World) (name string) {
	first := true
	take := func(to string, next *World) {
		if first {
			first, name = false, to
			*w = *next
		}
	}
	from := *w
	urgent := f.m.urgent(&from)
	for i := range from.Runs {
		if pc := from.Runs[i].PC; pc != none && !pc.waits() && (urgent < 0 || urgent == i) {
			settled := from.Settled
			f.m.runMoves(&from, i, take)
			if w.Settled == 0 {
				w.Settled = settled
			}
			return name
		}
	}
	if !from.alone() || from.Beat == 0 {
		f.m.time(&from, "", 0, take)
		w.Settled = from.Settled
		if from.alone() {
			w.Beat = 1
		}
		return name
	}
	// Runs take turns.
	switch {
	case !f.m.staged || from.Beat == 1:
		mode := int8(modeHeal)
		if !f.m.staged {
			mode = modeRotate
		}
		f.m.try(&from, 0, "a run starts", take, func(to *World) { to.start(mode) })
		w.Beat = 2
		if !f.m.staged {
			w.Beat = 0
		}
	default:
		if from.Phase == phaseNone {
			f.m.time(&from, "", 0, take)
		} else {
			f.m.secretsManager(&from, 0, take)
		}
		w.Beat = 0
	}
	return name
}
