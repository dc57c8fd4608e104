package rotatetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Quirk is a way in which a platform or Maia may behave between its documented lines.
type Quirk struct {
	Name      string // as in a test's name
	Behaviour string // in a sentence
	Source    string // a public report, a page of the documentation, or "not documented"
	// Refused is what the error of a run holds that ends before the refresh because of it. Empty: the runner is rotated, and is back
	// in the end.
	Refused string
}

// WithQuirks has the suite play a rotation, healing and a sample of faults under each of the platform's quirks and each of Maia's,
// and a rotation under a sample of their pairs. The platform plays those that [Setup].Quirks names.
func WithQuirks(platform []Quirk) Option {
	return func(c *choice) { c.platform, c.quirks = platform, true }
}

// QuirksOf are the quirks of one service of a platform, named after it. Their type is the emulators' own.
func QuirksOf[Q ~struct{ Name, Behaviour, Source, Refused string }](service string, quirks []Q) (named []Quirk) {
	for _, q := range quirks {
		quirk := Quirk(q)
		quirk.Name = service + "-" + quirk.Name
		named = append(named, quirk)
	}
	return named
}

// QuirksFor are the names of those that a service of the platform is to play, as it knows them.
func (s Setup) QuirksFor(service string) (names []string) {
	for _, name := range s.Quirks {
		if own, ok := strings.CutPrefix(name, service+"-"); ok {
			names = append(names, own)
		}
	}
	return names
}

const (
	quirkSeed   = 1
	quirkFaults = 4  // for each quirk
	quirkPairs  = 24 // in all
	quirkRuns   = 8  // after the first, half an hour apart, until the runner must be back
)

// setting is the quirks under which a scenario is played.
type setting struct {
	platform, maia []Quirk
}

func (s setting) all() []Quirk { return slices.Concat(s.platform, s.maia) }

// namesOf is what the platform, or Maia, is to play.
func namesOf(quirks []Quirk) (names []string) {
	for _, q := range quirks {
		names = append(names, q.Name)
	}
	return names
}

// refused is what one of the quirks has a rotation refused with; empty if none does.
func (s setting) refused() string {
	for _, q := range s.all() {
		if q.Refused != "" {
			return q.Refused
		}
	}
	return ""
}

// unclearPauses reports whether the end of a pause may show nothing, so that a run has to leave a pause to a person.
func (s setting) unclearPauses() bool {
	return slices.ContainsFunc(s.maia, func(q Quirk) bool { return strings.HasPrefix(q.Name, "paused-until") })
}

func maiasQuirks() (all []Quirk) {
	for _, q := range maiatest.Quirks() {
		all = append(all, Quirk(q))
	}
	return all
}

// quirkScenarios are those under quirks, and a line about them.
func (c choice) quirkScenarios(t *testing.T, newPlatform func(*testing.T, Setup) Platform, calls []Call) (list []scenario, summary string) {
	if !c.quirks {
		return nil, "no quirks"
	}
	var settings []setting
	for _, q := range c.platform {
		settings = append(settings, setting{platform: []Quirk{q}})
	}
	for _, q := range maiasQuirks() {
		settings = append(settings, setting{maia: []Quirk{q}})
	}
	random := rand.New(rand.NewPCG(quirkSeed, 0))
	for _, s := range settings {
		list = append(list, s.scenario("rotation", (*world).rotateUnderQuirks))
		if s.refused() != "" {
			continue
		}
		list = append(list, s.scenario("console-refresh", (*world).consoleRefreshUnderQuirks))
		for range quirkFaults {
			call, v := calls[random.IntN(len(calls))], variants()[random.IntN(len(variants()))]
			list = append(list, s.scenario(nameOf(call, v.name), func(w *world) {
				f := v.fault
				f.call, f.nth = call.Name, call.Nth
				w.until(w.runWith(rotate.Rotate, &f))
			}))
		}
	}
	pairs := 0
	for pairs < quirkPairs && len(settings) > 1 {
		a, b := settings[random.IntN(len(settings))], settings[random.IntN(len(settings))]
		both := setting{platform: slices.Concat(a.platform, b.platform), maia: slices.Concat(a.maia, b.maia)}
		if a.all()[0].Name >= b.all()[0].Name || slices.ContainsFunc(list, func(s scenario) bool { return s.name == both.name("rotation") }) {
			continue
		}
		list, pairs = append(list, both.scenario("rotation", (*world).rotateUnderQuirks)), pairs+1
	}
	return list, fmt.Sprintf("%d quirks, %d pairs of them (seed %d)", len(settings), pairs, quirkSeed)
}

func (s setting) name(what string) string {
	return "quirk-" + strings.Join(namesOf(s.all()), "+") + "-" + what
}

func (s setting) scenario(what string, play func(*world)) scenario {
	var options []maiatest.Option
	if len(s.maia) > 0 {
		options = append(options, maiatest.WithQuirk(namesOf(s.maia)...))
	}
	return scenario{name: s.name(what), maia: options, quirks: s, play: play}
}

// runWith is a process that has ended or was cut off, and was not checked for more than what every run must keep.
func (w *world) runWith(mode rotate.Mode, f *fault) *run {
	w.busy(taskDuration)
	time.Sleep(soon)
	return w.wait(w.start(mode, f))
}

// rotateUnderQuirks is a rotation that comes to what the quirks make of it.
func (w *world) rotateUnderQuirks() {
	r := w.runWith(rotate.Rotate, nil)
	refused := w.quirks.refused()
	if refused == "" {
		w.until(r)
		return
	}
	if r.err == nil || !strings.Contains(r.err.Error(), refused) {
		w.broken(3, "the run ended as %q with error %v, want one that says %q", r.report.Outcome, r.err, refused)
	}
	w.checkRefreshes(0)
	w.checkInstances(3, "after a refusal ")
	if status := w.actual(); status != maia.StatusRunning {
		w.broken(3, "after a refusal the runner is left %s", status)
	}
	w.checkLeaks()
}

// consoleRefreshUnderQuirks is the healing of a runner whose secret a person has refreshed.
func (w *world) consoleRefreshUnderQuirks() {
	w.due = 0
	w.consoleRefresh()
	w.due = w.maia.Refreshes(agentID)
	time.Sleep(later)
	w.until(w.run(rotate.Heal))
}

// until has runs follow until the runner is back, and checks what must be true then. Those that follow a refresh only heal.
func (w *world) until(r *run) {
	for n := 0; !w.isBack(r); n++ {
		if n == quirkRuns {
			w.broken(1, "after %d more runs the runner is not back; the last one ended as %q with error %v", n, r.report.Outcome, r.err)
			return
		}
		if !r.process.isDead() && asksToResume(r.err) {
			w.resumeAsReported(r)
		}
		time.Sleep(later)
		mode := rotate.Heal
		if w.maia.Refreshes(agentID) < w.due {
			mode = rotate.Rotate
		}
		r = w.run(mode)
	}
	for _, r := range w.runs {
		<-r.done
	}
	w.checkInstances(1, "in the end ")
	w.checkRefreshes(w.due)
	if platform, ok := w.platform.(Whole); ok {
		if wrong := platform.Whole(); wrong != "" {
			w.broken(1, "in the end the store is not whole: %s", wrong)
		}
	}
	if note := r.note; note.Intent != nil || note.Applied != fingerprint(w.maia.LiveSecret(agentID)) {
		w.broken(1, "in the end the note is %s", describe(note))
	}
	if lost := w.maia.Lost(agentID); lost > 0 && w.console == 0 {
		w.broken(3, "%d pipelines were running when the secret was revoked", lost)
	}
	if restarts := w.restarts(); restarts > maxRestarts {
		w.broken(6, "%d restarts were ordered", restarts)
	}
	w.checkLeaks()
}

// maxRestarts is how many restarts a rotation may take in which something failed: the one, and, where that failed or a process
// ended before it could note it, another.
const maxRestarts = 2

// restarts is how often all that runs with the secret was ordered anew.
func (w *world) restarts() (n int) {
	for _, r := range w.runs {
		n += r.restarts
	}
	return n
}

// actual is the runner's status, whatever Maia shows.
func (w *world) actual() maia.AgentStatus {
	status, _ := w.maia.Actual(agentID)
	return status
}

// enoughWork reports whether as many instances as there were in the beginning are logged in with what Maia holds. Old ones may run on
// for a while under some quirks.
func (w *world) enoughWork() bool {
	working := 0
	for _, i := range w.running() {
		if i.connected() {
			working++
		}
	}
	return working >= w.wanted
}

// isBack reports whether the runner is back after a run that said so.
func (w *world) isBack(r *run) bool {
	live := w.maia.LiveSecret(agentID)
	return !r.process.isDead() && r.err == nil && w.maia.Refreshes(agentID) >= w.due && w.platform.Stored().ClientSecret.Reveal() == live &&
		w.enoughWork() && w.actual() == maia.StatusRunning
}
