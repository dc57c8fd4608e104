package rotatetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// variant is one way in which a call can go wrong, and what comes after.
type variant struct {
	name  string
	fault fault
	then  func(w *world)
}

func variants() []variant {
	row := func(after bool) fault { return fault{after: after, times: inARow} }
	once := func(after bool) fault { return fault{after: after, times: 1, early: !after} }
	cut := func(after bool) fault { return fault{after: after, cut: true} }
	return []variant{
		{"fail-before", row(false), (*world).thenLater},
		{"fail-before-heal", row(false), (*world).thenHeal},
		{"fail-after", row(true), (*world).thenLater},
		{"fail-after-heal", row(true), (*world).thenHeal},
		{"fail-before-once", once(false), (*world).thenLater},
		{"fail-after-once", once(true), (*world).thenLater},
		{"cut-before", cut(false), (*world).thenLater},
		{"cut-before-at-once", cut(false), (*world).thenAtOnce},
		{"cut-before-heal", cut(false), (*world).thenHeal},
		{"cut-after", cut(true), (*world).thenLater},
		{"cut-after-at-once", cut(true), (*world).thenAtOnce},
		{"cut-after-heal", cut(true), (*world).thenHeal},
	}
}

// thenLater: a run half an hour later finishes the job alone.
func (w *world) thenLater() {
	time.Sleep(later)
	w.mustEnd(w.run(rotate.Rotate), 1, rotate.Rotated, rotate.Healed, rotate.NoOp)
}

// thenAtOnce: a run that follows at once finishes the job, or says that it is too early; then the next one does.
func (w *world) thenAtOnce() {
	if r := w.run(rotate.Rotate); r.err != nil {
		w.mustRefuse(r, rotate.NotReady, rotate.UnknownOutcome)
	}
	w.thenLater()
}

// thenHeal: two runs that only heal, half an hour apart, leave a runner that works, and refresh nothing.
func (w *world) thenHeal() {
	refreshes := w.maia.Refreshes(agentID)
	if r := w.run(rotate.Heal); r.err != nil {
		w.mustRefuse(r, rotate.NotReady, rotate.UnknownOutcome)
	}
	time.Sleep(later)
	r := w.run(rotate.Heal)
	w.mustEnd(r, 1, rotate.Rotated, rotate.Healed, rotate.NoOp)
	w.checkPause(1, "after two healing runs ", w.agent())
	w.checkRefreshes(refreshes)
	w.mustEnd(w.run(rotate.Rotate), 1, rotate.Rotated, rotate.NoOp)
}

// sweep is one scenario for every way in which each of the calls can go wrong, and for what others may do just then.
func sweep(calls []Call) []scenario {
	var list []scenario
	drained := drainedCalls(calls)
	down := false // from the refresh to the order of the restart
	for i, call := range calls {
		for _, v := range call.variants() {
			list = append(list, scenario{name: nameOf(call, v.name), play: v.play(call)})
		}
		for _, e := range events(call) {
			list = append(list, scenario{name: nameOf(call, e.name), play: func(w *world) {
				w.injection(&fault{call: call.Name, nth: call.Nth, times: 1, event: func() { e.happen(w) }, foreign: e.foreign})
				w.thenLater()
				w.finish()
			}})
		}
		if drained[i] {
			list = append(list, scenario{name: nameOf(call, "resumed"), play: func(w *world) {
				w.injection(&fault{call: call.Name, nth: call.Nth, times: 1, event: w.operatorResumes, foreign: true})
				w.thenLater()
				w.finish()
			}})
		}
		down = down && call.During != DuringObserve || call.Name == maiaRefresh
		for _, v := range variants() {
			if down && v.fault.cut {
				list = append(list, scenario{name: nameOf(call, v.name+"-lagging"), play: v.play(call), maia: lagging(), connectedLag: connectedLag})
			}
		}
	}
	return list
}

func (v variant) play(call Call) func(*world) {
	return func(w *world) {
		f := v.fault
		f.call, f.nth = call.Name, call.Nth
		w.injection(&f)
		v.then(w)
		w.finish()
	}
}

// drainedCalls are those between the pause and the refresh, as long as the agent is read once more in between: what an
// operator does there must be seen.
func drainedCalls(calls []Call) map[int]bool {
	drained, pending := map[int]bool{}, []int(nil)
	paused := false
	for i, call := range calls {
		switch call.Name {
		case maiaPause:
			paused = true
			continue
		case maiaRefresh:
			return drained
		}
		if !paused {
			continue
		}
		if pending = append(pending, i); call.Name == maiaGetAgent {
			for _, i := range pending {
				drained[i] = true
			}
			pending = nil
		}
	}
	return nil // there was no refresh
}

// operatorResumes has an operator end our pause and start pipelines, which end by themselves.
func (w *world) operatorResumes() {
	w.maia.ConsoleResume(agentID)
	w.busy(rollout)
}

// event is something that happens right before a call.
type event struct {
	name    string
	foreign bool // another writer does it, see fault
	happen  func(w *world)
}

func events(call Call) []event {
	if call.folds {
		return nil
	}
	list := []event{
		{"console-refresh", true, (*world).consoleRefresh},
		{"reverted", true, func(w *world) {
			w.platform.Put(firstSecret)
			w.runs[len(w.runs)-1].before.stored.ClientSecret = maia.NewSecret(firstSecret)
		}},
	}
	name, toMaia := strings.CutPrefix(call.Name, maiaPrefix)
	if !toMaia || call.polls > 2 {
		return list
	}
	for _, answer := range []struct {
		name string
		kind maiatest.Kind
	}{{"5xx", maiatest.Status5xx}, {"5xx-after", maiatest.Status5xxAfter}, {"429", maiatest.RateLimited}, {"garbage", maiatest.Garbage},
		{"truncated", maiatest.Truncated}} {
		list = append(list, event{answer.name, false, func(w *world) {
			w.maia.Inject(maiatest.Fault{Call: maiatest.Name(name), Nth: 1, Kind: answer.kind})
		}})
	}
	return list
}

// injection is a rotation with a fault.
func (w *world) injection(f *fault) {
	w.busy(taskDuration)
	w.injectIn(rotate.Rotate, f)
}

func (w *world) injectIn(mode rotate.Mode, f *fault) {
	time.Sleep(soon)
	w.wait(w.start(mode, f))
	if f.injected == 0 {
		w.failf("the fault was not injected: there was no call %d of %s; %s", f.nth, f.call, w.runs[len(w.runs)-1])
	}
}

// sweepHealing is a smaller choice for runs that repair what others did, and only that. prepare brings their work about.
func sweepHealing(calls []Call, what string, prepare func(w *world)) []scenario {
	var list []scenario
	for _, call := range calls {
		chosen := []string{"fail-before", "fail-after", "cut-before", "cut-after"}
		if call.polled() {
			chosen = []string{"fail-before", "cut-after"}
		}
		for _, v := range variants() {
			if !slices.Contains(chosen, v.name) {
				continue
			}
			list = append(list, scenario{name: nameOf(call, what+"-"+v.name), play: func(w *world) {
				prepare(w)
				f := v.fault
				f.call, f.nth = call.Name, call.Nth
				w.injectIn(rotate.Heal, &f)
				w.mustEnd(w.run(rotate.Heal), 1, rotate.Healed, rotate.NoOp)
				if w.maia.Refreshes(agentID) < w.due {
					w.rotate() // healing is none
				}
				w.finish()
			}})
		}
	}
	return list
}

// revertedStore is a runner at work with a secret that a person has made, whose store another writer has reverted.
func (w *world) revertedStore() {
	w.consoleRefresh()
	w.mustEnd(w.run(rotate.Heal), 6, rotate.Healed)
	time.Sleep(later)
	w.platform.Put(firstSecret)
}

// refreshedInConsole is a rotated runner whose secret a person has refreshed.
func (w *world) refreshedInConsole() {
	w.rotate()
	time.Sleep(later)
	w.consoleRefresh()
}

// sweepAgain is a smaller choice for a platform that was rotated before, whose note is full: the calls that write.
func sweepAgain(calls []Call) []scenario {
	var list []scenario
	for _, call := range calls {
		if call.During == DuringStart || call.During == DuringCheck || call.polled() {
			continue
		}
		for _, v := range variants() {
			if v.name != "cut-before" && v.name != "cut-after" && v.name != "fail-after" {
				continue
			}
			list = append(list, scenario{name: nameOf(call, "again-"+v.name), play: func(w *world) {
				w.rotate()
				time.Sleep(long)
				w.due++
				v.play(call)(w)
			}})
		}
	}
	return list
}

// nameOf names a scenario of one call so that it can be given to go test -run.
func nameOf(call Call, what string) string {
	name := strings.Map(func(r rune) rune {
		if r == ' ' || r == '/' {
			return '-'
		}
		return r
	}, call.Name)
	return fmt.Sprintf("%s-%02d-%s", name, call.Nth, what)
}

// DownCalls counts, in the calls of one rotation, those from a refresh's answer to the store's, and from there to the
// order of the restart: of what lies there, the runner's downtime is made. It is -1 where other calls are in between,
// or where there is no such rotation.
func DownCalls(calls []Call) (toStored, toRestarted int) {
	rest := calls
	for i, call := range calls {
		if call.Name == maiaRefresh {
			rest = calls[i+1:]
		}
	}
	count := func(method string) int {
		n := 0
		for ; n < len(rest) && rest[n].During == method; n++ {
		}
		if rest = rest[n:]; n == 0 {
			return -1
		}
		return n
	}
	return count(DuringStore), count(DuringRestart)
}
