// Package model checks the logic of a rotation exhaustively: rotate.Next decides, and everything around it (Maia, the store,
// the instances, the note, the run that acts, other runs, other people, time) is a small model of which every state that can
// be reached is visited.
//
// A state is a World, which is comparable. The micro-steps of a run are those of rotate.Rotator, each external effect one of
// its own (see run.go); what can go wrong, and what others do meanwhile, are disturbances, of which a world has a budget
// (see moves.go). What must hold is checked on every transition (check.go), and from every state the run of things without
// further disturbances must end well (fair.go).
//
// What it takes for granted, because nothing in the world could show it:
//
//   - A refresh is carried out, and a read shows it, within the quiet time. A read that goes back later is known by the note.
//   - A refresh in the console is as the outcome of ours that is open, and a read that lags behind it like a true one.
//   - A RESUME, and where there is no lock a refresh, follows the read from which it comes before another run does anything.
//   - A secret that was valid only between two others of which we know, and that no run has seen, is not shown later.
//   - A run that sleeps past its lease does not wake up between noting a pause and sending it.
//   - A PAUSE that takes effect only after its run has given up may meet another pause, and is then taken for neither.
//   - An operator's pause that follows ours within a rotation's time is taken for ours, where the end of ours was not seen to stand
//     still, or where we have cut the runner off since.
//
// Time is counted in ticks of a minute, and only ages are kept, each up to where it makes no difference any more. Secrets are
// numbered in the order in which Maia made them.
package model

import (
	"fmt"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Times, in ticks.
const (
	tick = time.Minute

	drainTicks    = 2
	connectTicks  = 3
	quietTicks    = 3
	everyTicks    = 8
	deadlineTicks = 12
	pausedTicks   = 6 // after which a pause is no running rotation's any more
	wedgedTicks   = 7 // which stand for the hour after which instances that run without a connection are given up
	backTicks     = 6 // which stand for the hour for which an adoption overrules reads
	slowTicks     = 5 // of a rollout that is slow: more than the connect time-out
	recentTicks   = 2 // for which a read may go back to the secret before, whether that is noted or not

	rotations = 2 // that are due, at most
)

const nothing = -1 // rotate.AppliedNothing, among secrets

// gone marks what a run has written that is no more.
const gone = 9

// The kinds of a pause's end, which show whose it is.
const (
	notPaused = iota
	untilOurs
	untilOperators
	untilSoon  // an operator's, too short for a rotation
	untilStale // ours, of a pause that is over, or an end that is another now
	untilMoves // of the last read, where it is computed anew at every read
)

// The forms of a pause's end: whether it stands still is not documented.
const (
	formStill = iota
	formMoves
	formAbsent
	formReconnects // it is another when the runner connects again
)

const (
	steady = iota
	rolling
	failed
	stopped
	failing // the instances do not come up, and the platform goes on trying
)

const (
	readUnknown = iota
	readCurrent
	readOlder
)

const (
	statusNone = iota
	statusRunning
	statusPausing
	statusPaused
	statusUnknown
	statusWord // an unknown one
)

// World is everything outside of a process, and the processes.
type World struct {
	// Maia.
	Maia           int8 // the valid secret
	Before         int8 // the one before, which a lagging read shows
	Lag            int8 // ticks for which reads lag
	ConnectedLag   int8 // ticks for which Maia says connected whatever is true
	Blink          bool // until the next tick Maia says not connected whatever is true
	Word           bool // until the next tick the status of a connected runner is an unknown word
	Recent         int8 // ticks for which a read may go back to the secret before
	Form           int8 // of a pause's end
	Until          int8 // of the pause; 0: not paused
	Drained        bool // no pipeline runs
	LatePause      bool // a PAUSE takes effect at the next tick
	LateConcurrent bool // … and an operator paused or resumed meanwhile
	Late           int8 // ticks until a refresh is carried out; 0: none is under way
	LateAge        int8 // ticks since that one was sent

	// The platform.
	Store     int8
	Foreign   bool // the store names another client than Maia does
	Pending   int8 // staged
	Promoted  bool // the staged version is what instances read
	State     int8 // of the newest deployment
	Older     bool // the newest deployment began before the store was changed last
	Instance  int8 // the secret that instances run with
	Rollout   int8 // ticks that a rollout takes which is slow
	Duplicate bool // another target of the function's, which may be this agent's, cannot be opened
	Two       bool // there is a second service
	Stuck     bool // … and the first cannot be restarted
	Other     int8 // the secret that the second's instances run with
	Starting  bool // the second is rolling
	Note      note
	Lock      int8 // the run that holds it; gone if it is no more

	// Operators.
	Requests int8 // rotations that were asked for; the last of them stands
	Held     bool

	// Secrets Manager.
	Token int8 // rotations begun
	Phase int8 // what it does next for this rotation

	Runs [2]Run

	Budget int8 // of disturbances

	// What no run can see.
	Refreshes  int8    // carried out
	Refreshed  bool    // for this rotation of Secrets Manager's a refresh was carried out
	Age        int8    // since the refresh that was carried out last was sent
	Open       int8    // ticks for which a refresh that was sent without an answer may be carried out
	Unreported bool    // a refresh of ours, or one in the console while an intent was open, was not reported yet
	SentFor    int8    // the request that the refresh which was sent last answers
	Answered   int8    // the request that a refresh which was carried out has answered
	Mistaken   bool    // nothing can show any more whose the pause is: see moves.go
	Console    [2]bool // whether the valid secret, and the one before, were made in the console
	Confused   bool    // an operator refreshed in the console while a refresh of ours might still be carried out, as whose outcome it shows
	ByHand     bool    // an operator put the valid secret into the store, and nothing was restarted since
	Operator   bool    // an operator resumed, or a pause of his ended, since we paused last
	Settled    int8    // fair.go: how the last run ended
	Beat       int8    // fair.go: whose turn it is
}

// Phases of Secrets Manager.
const (
	phaseNone = iota
	phaseCreate
	phaseFinish
)

type note struct {
	Applied      int8
	Intents      [2]intent   // a platform that keeps labels may hold those of two runs
	Pauses       [2]ownPause // alike
	LastRotation rotation
	Adopted      rotation
	Ordered      order
}

// order is a restart that was ordered.
type order struct {
	For, Age int8
	After    bool // the pause that is noted
	Second   bool // of the second service alone
}

// same is rotate.Order's equality.
func (o order) same(as order) bool {
	return o.For == as.For && o.Age == as.Age && o.Second == as.Second
}

type intent struct{ By, Over, Age, Answers int8 }

type ownPause struct {
	By, Age   int8
	Second    bool // noted after the other, within the same tick
	Confirmed bool
	Until     int8
	Stands    bool
}

type rotation struct {
	Over, New, Age int8
	Answers        int8 // the request that was answered last; 0 of what was adopted
	After          bool // the pause that is noted
}

func (n *note) tick(most int8) {
	for i := range n.Intents {
		if n.Intents[i].By != 0 {
			older(&n.Intents[i].Age, quietTicks)
		}
	}
	for i := range n.Pauses {
		if n.Pauses[i].By != 0 {
			older(&n.Pauses[i].Age, pausedTicks)
		}
	}
	if n.LastRotation.New != 0 {
		older(&n.LastRotation.Age, most)
	}
	n.Adopted.tick()
	n.Ordered.tick()
}

func (a *rotation) tick() {
	if a.New != 0 {
		older(&a.Age, backTicks)
	}
}

func (o *order) tick() {
	if o.For != 0 {
		older(&o.Age, wedgedTicks)
	}
}

// rename marks what a run has written as that of one that is no more.
func (n *note) rename(from, to int8) {
	for i := range n.Intents {
		if n.Intents[i].By == from {
			n.Intents[i].By = to
		}
	}
	for i := range n.Pauses {
		if n.Pauses[i].By == from {
			n.Pauses[i].By = to
		}
	}
	n.sort()
}

// sort orders what is a set, so that equal worlds are the same.
func (n *note) sort() {
	if a, b := &n.Intents[0], &n.Intents[1]; a.By == 0 || b.By != 0 && (b.By < a.By || b.By == a.By && b.Age < a.Age) {
		*a, *b = *b, *a
	}
	a, b := &n.Pauses[0], &n.Pauses[1]
	if a.By == 0 || b.By != 0 && b.newer(*a) {
		*a, *b = *b, *a
	}
	if b.By == 0 {
		a.Second = false
	}
}

func (p ownPause) newer(than ownPause) bool {
	return p.Age < than.Age || p.Age == than.Age && p.Second && !than.Second
}

// paused is the pause that counts: the newest.
func (n *note) paused() ownPause { return n.Pauses[0] }

// intent is the one that counts for a run: its own, else the newest.
func (n *note) intent(own int8) intent {
	a, b := n.Intents[0], n.Intents[1]
	switch {
	case b.By == 0, own != 0 && a.By == own:
		return a
	case own != 0 && b.By == own, b.Age < a.Age:
		return b
	}
	return a
}

func older(age *int8, most int8) { *age = min(*age+1, most) }

// connected is what is true, whatever Maia shows.
func (w *World) connected() bool {
	return (w.Instance == w.Maia || w.Two && w.Other == w.Maia) && w.State != stopped && !w.Foreign
}

// agent is what Maia shows.
func (w *World) agent() (status, until int8, connected bool) {
	connected = (w.connected() || w.ConnectedLag > 0) && !w.Blink
	switch {
	case !connected:
		return statusUnknown, 0, false
	case w.Word:
		return statusWord, 0, true
	case w.Until == notPaused:
		return statusRunning, 0, true
	case w.Drained:
		return statusPaused, w.Until, true
	}
	return statusPausing, w.Until, true
}

// credentials is what Maia shows.
func (w *World) credentials() int8 {
	if w.Lag > 0 {
		return w.Before
	}
	return w.Maia
}

// revoke makes a new secret valid.
func (w *World) revoke(console bool) {
	w.Before, w.Maia, w.Lag, w.Recent = w.Maia, w.Maia+1, 0, recentTicks
	w.Console = [2]bool{console, w.Console[0]}
	w.Drained = w.Until != notPaused
}

func (w *World) pause(until int8) {
	drained := w.Drained || !w.connected()
	w.unpause()
	w.Until, w.Operator, w.Drained = until, w.Operator && until != untilOurs, drained
}

// unpause ends the pause. One of ours that is over is another than the next one.
func (w *World) unpause() {
	if w.Until == untilOurs {
		w.passes(untilOurs)
	}
	w.Until, w.Drained = notPaused, false
}

// passes marks an end that was read, or noted, as one that is no more.
func (w *World) passes(until int8) {
	w.eachNote(func(n *note) {
		for i := range n.Pauses {
			if n.Pauses[i].Until == until {
				n.Pauses[i].Until = untilStale
			}
		}
	})
	for i := range w.Runs {
		r := &w.Runs[i]
		if r.Seen.Until == until {
			r.Seen.Until = untilStale
		}
		if r.PauseReads.Until == until {
			r.PauseReads.Until = untilStale
		}
	}
}

func (w *World) eachNote(do func(*note)) {
	do(&w.Note)
	for i := range w.Runs {
		if w.Runs[i].PC != 0 {
			do(&w.Runs[i].Seen.Note)
		}
	}
}

// put changes what instances read.
func (w *World) put(secret int8) {
	if w.Store != secret {
		w.Store, w.Older = secret, true
	}
}

// tick lets time pass. What is being drained has finished, what was rolling is there.
func (w *World) tick(m *Model) {
	if w.Late > 0 {
		w.LateAge++
		if w.Late--; w.Late == 0 {
			m.carryOut(w, w.LateAge)
			w.LateAge = 0
		}
	}
	w.Confused = w.Confused && (w.Late > 0 || w.Open > 1)
	w.Lag, w.ConnectedLag, w.Open, w.Blink = max(w.Lag-1, 0), max(w.ConnectedLag-1, 0), max(w.Open-1, 0), false
	w.Word = false
	w.Recent = max(w.Recent-1, 0)
	if w.Until == untilSoon {
		w.unpause()
		w.Operator = true
	}
	if w.Until != notPaused {
		w.Drained = true
	}
	if w.LatePause {
		w.Mistaken = w.Mistaken || w.LateConcurrent || w.Until != notPaused
		w.LatePause, w.LateConcurrent = false, false
		w.pause(untilOurs)
	}
	if w.Starting {
		w.Starting, w.Other = false, w.Store
	}
	switch {
	case w.State == rolling && w.Rollout > 0:
		w.Rollout--
	case w.State == rolling:
		w.State, w.Instance, w.ByHand = steady, w.Store, false
	default:
		w.Rollout = 0
	}
	if w.Lock == gone {
		w.Lock = 0
	}
	older(&w.Age, everyTicks)
	most := int8(everyTicks)
	if w.Refreshes >= rotations {
		most-- // so that none is due any more
	}
	w.eachNote(func(n *note) { n.tick(most) })
	for i := range w.Runs {
		w.Runs[i].tick()
	}
}

// Seen is what a run has seen.
type Seen struct {
	Store, Pending  int8
	Staged, Foreign bool
	State, Read     int8
	Free            bool
	Note            note
	Status, Until   int8
	Connected       bool
	Maia            int8
	Request         int8
	Held            bool
}

var (
	epoch        = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	credentials  = numbered("client")
	others       = numbered("another client")
	fingerprints = func() (all [16]maia.Fingerprint) {
		for i := range all {
			all[i] = credentials[i].ClientSecret.Fingerprint()
		}
		return all
	}()
	requestIDs = [...]string{"", "request 1", "request 2"}
	runIDs     = map[int8]string{1: "run-1", 2: "run-2", gone: "a run that is gone"}
	untils     = [...]time.Time{
		notPaused: {}, untilOurs: epoch.Add(100 * time.Hour), untilOperators: epoch.Add(200 * time.Hour), untilSoon: epoch.Add(tick),
		untilStale: epoch.Add(300 * time.Hour), untilMoves: epoch.Add(24 * time.Hour),
	}
	states   = [...]rotate.InstanceState{rotate.Steady, rotate.Rolling, rotate.Failed, rotate.Stopped, rotate.Failing}
	reads    = [...]rotate.ReadState{rotate.ReadUnknown, rotate.ReadCurrent, rotate.ReadOlder}
	statuses = [...]maia.AgentStatus{"", maia.StatusRunning, maia.StatusPausing, maia.StatusPaused, maia.StatusUnknown, "provisioning"}
)

func numbered(client string) (all [16]maia.Credentials) {
	for i := 1; i < len(all); i++ {
		all[i] = maia.Credentials{ClientID: client, ClientSecret: maia.NewSecret(fmt.Sprintf("secret %d", i))}
	}
	return all
}

func ago(age int8) time.Time { return epoch.Add(-time.Duration(age) * tick) }

func applied(secret int8) maia.Fingerprint {
	if secret == nothing {
		return rotate.AppliedNothing
	}
	return fingerprints[secret]
}

func (n note) real(own int8) rotate.Note {
	real := rotate.Note{Applied: applied(n.Applied)}
	if i := n.intent(own); i.By != 0 {
		real.Intent = &rotate.Intent{At: ago(i.Age), Over: fingerprints[i.Over], By: runIDs[i.By], Answers: requestIDs[i.Answers]}
	}
	if p := n.paused(); p.By != 0 {
		real.Paused = &rotate.OwnPause{At: ago(p.Age), By: runIDs[p.By], Confirmed: p.Confirmed, Until: untils[p.Until], Stands: p.Stands}
	}
	if o := n.Ordered; o.For != 0 {
		real.Ordered = &rotate.Order{At: ago(o.Age), For: fingerprints[o.For], IDs: []string{"all"}}
		if o.Age == wedgedTicks {
			real.Ordered.At = epoch.Add(-2 * time.Hour)
		}
		follow(real.Paused, &real.Ordered.At, o.After)
	}
	if a := n.Adopted; a.New != 0 {
		real.Adopted = &rotate.Adoption{At: ago(a.Age), Over: fingerprints[a.Over], New: fingerprints[a.New]}
		if a.Age == backTicks {
			real.Adopted.At = epoch.Add(-2 * time.Hour)
		}
	}
	if r := n.LastRotation; r.New != 0 {
		real.LastRotation = &rotate.Rotation{At: ago(r.Age), Over: fingerprints[r.Over], New: fingerprints[r.New], Answers: requestIDs[r.Answers]}
		follow(real.Paused, &real.LastRotation.At, r.After)
	}
	return real
}

// follow has a time be after that of a pause, or before, which ages that are not counted on do not say.
func follow(pause *rotate.OwnPause, at *time.Time, after bool) {
	switch {
	case pause == nil:
	case after && at.Before(pause.At):
		pause.At = *at
	case !after && !at.Before(pause.At):
		*at = pause.At.Add(-time.Millisecond)
	}
}

// String is a world in one line.
func (w World) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "Maia %d", w.Maia)
	if w.Lag > 0 {
		fmt.Fprintf(&text, " (shows %d)", w.Before)
	}
	status, _, connected := w.agent()
	fmt.Fprintf(&text, ", store %d, instances %s with %d, %s, connected %t", w.Store, states[w.State], w.Instance, statuses[status], connected)
	if w.Late > 0 {
		text.WriteString(", a refresh is under way")
	}
	if w.Token > 0 {
		fmt.Fprintf(&text, ", rotation %d phase %d pending %d promoted %t", w.Token, w.Phase, w.Pending, w.Promoted)
	}
	fmt.Fprintf(&text, "; applied %d", w.Note.Applied)
	for _, i := range w.Note.Intents {
		if i.By != 0 {
			fmt.Fprintf(&text, ", intent over %d of %d, age %d", i.Over, i.By, i.Age)
		}
	}
	for _, p := range w.Note.Pauses {
		if p.By == 0 {
			break
		}
		fmt.Fprintf(&text, ", paused by %d age %d confirmed %t until %d stands %t", p.By, p.Age, p.Confirmed, p.Until, p.Stands)
	}
	if r := w.Note.LastRotation; r.New != 0 {
		fmt.Fprintf(&text, ", rotated %d to %d age %d", r.Over, r.New, r.Age)
	}
	if a := w.Note.Adopted; a.New != 0 {
		fmt.Fprintf(&text, ", adopted %d after %d age %d", a.New, a.Over, a.Age)
	}
	if o := w.Note.Ordered; o.For != 0 {
		fmt.Fprintf(&text, ", ordered for %d age %d", o.For, o.Age)
	}
	if w.Requests > w.Answered {
		fmt.Fprintf(&text, "; requested (%d)", w.Requests)
	}
	if w.Held {
		text.WriteString("; held")
	}
	if w.Two {
		fmt.Fprintf(&text, "; the second service with %d, starting %t, the first stuck %t", w.Other, w.Starting, w.Stuck)
	}
	return text.String()
}
