package rotatetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// scenario is one story of a platform. It is played in a bubble of its own.
type scenario struct {
	name         string
	maia         []maiatest.Option
	connectedLag time.Duration // of which maia holds the option
	quirks       setting
	play         func(w *world)
}

// play plays a scenario and returns what is wrong, and, for the reader, what happened.
func play(t *testing.T, newPlatform func(*testing.T, Setup) Platform, s scenario) (failures []string, story string) {
	w := newWorld(t, newPlatform, s)
	s.play(w)
	for _, r := range w.runs {
		<-r.done
		story += "\n" + r.String()
	}
	return w.failures, strings.TrimPrefix(story, "\n")
}

// busy gives the runner pipelines that end by themselves, soon or, for 0, never.
func (w *world) busy(tasks time.Duration) {
	w.maia.SetRunningTasks(agentID, 2)
	if tasks > 0 {
		time.AfterFunc(tasks, func() { w.maia.FinishTasks(agentID) })
	}
}

// rotate is a rotation that must go well.
func (w *world) rotate(change ...func(*run)) *run {
	w.busy(taskDuration)
	r := w.run(rotate.Rotate, change...)
	w.mustEnd(r, 5, rotate.Rotated)
	if r.err == nil && r.report.Downtime == 0 {
		w.broken(4, "a rotation from end to end reports no downtime")
	}
	return r
}

// rotateAgain is the next rotation that is due.
func (w *world) rotateAgain() {
	time.Sleep(long)
	w.due++
	w.rotate()
}

// mustEnd says how a run must end that nothing stands in the way of.
func (w *world) mustEnd(r *run, promise int, outcomes ...rotate.Outcome) {
	if asksToResume(r.err) {
		w.resumeAsReported(r)
		r, outcomes = w.run(r.mode), append(outcomes, rotate.Healed, rotate.NoOp)
	}
	if r.err != nil || !slices.Contains(outcomes, r.report.Outcome) {
		w.broken(promise, "the run ended as %q, want %q; error %v", r.report.Outcome, outcomes, r.err)
	}
}

// mustRefuse says how a run must end in whose way something stands.
func (w *world) mustRefuse(r *run, kinds ...rotate.Kind) {
	if r.err == nil || !slices.Contains(kinds, rotate.KindOf(r.err)) {
		w.broken(9, "the run ended as %q with error %v, want one of kind %q", r.report.Outcome, r.err, kinds)
	}
}

// mustNot says what a run must not have called.
func (w *world) mustNot(r *run, promise int, name string) {
	if slices.ContainsFunc(r.process.made(), func(c Call) bool { return c.Name == name || c.During == name }) {
		w.broken(promise, "%q was called", name)
	}
}

const (
	connectedLag = 9500 * time.Millisecond
	longLag      = 41500 * time.Millisecond
)

// lagging has Maia's reads lag.
func lagging() []maiatest.Option {
	return []maiatest.Option{maiatest.WithReadLag(40 * time.Second), maiatest.WithConnectedLag(connectedLag)}
}

// stories are the scenarios that are about more than one call.
func stories() []scenario {
	list := []scenario{
		{name: "rotation", play: func(w *world) {
			r := w.rotate()
			if toStored, toRestarted := DownCalls(r.process.made()); toStored < 0 || toRestarted < 0 {
				w.broken(4, "after the refresh come other calls than those of Store, and then of Restart: %s", names(r.process.made()))
			}
			for _, method := range []string{DuringObserve, DuringSaveNote, DuringStore, DuringRestart} {
				if !slices.ContainsFunc(r.process.made(), func(c Call) bool { return c.During == method }) {
					w.failf("no call of %s went through the Process: what is not seen cannot be made to fail", method)
				}
			}
			w.finish()
			w.rotateAgain()
			w.finish()
		}},
		{name: "held-while-it-drains", play: func(w *world) {
			w.busy(taskDuration)
			r := w.start(rotate.Rotate, nil)
			time.Sleep(taskDuration / 2)
			hold := &rotate.Hold{At: time.Now().UTC().Truncate(time.Second), Until: time.Now().UTC().Add(long).Truncate(time.Second), By: "jo",
				Why: "x"}
			w.must("Wish", w.platform.Wish(rotate.Wishes{Held: hold}))
			w.mustRefuse(w.wait(r), rotate.NotReady)
			w.mustNot(r, 3, maiaRefresh)
			w.checkPause(8, "after a rotation that was held ", w.agent())
			time.Sleep(later)
			w.mustEnd(w.run(rotate.Heal), 6, rotate.NoOp, rotate.Healed)
			w.mustNot(w.runs[len(w.runs)-1], 2, maiaRefresh)
			w.must("Wish", w.platform.Wish(rotate.Wishes{}))
			time.Sleep(later)
			w.rotate()
			w.finish()
		}},
		{name: "drain-that-does-not-end", play: func(w *world) {
			w.busy(0)
			r := w.run(rotate.Rotate)
			w.mustRefuse(r, rotate.NotReady)
			w.mustNot(r, 3, maiaRefresh)
			w.checkPause(8, "after a drain that did not end ", w.agent())
			w.maia.FinishTasks(agentID)
			time.Sleep(later)
			w.mustEnd(w.run(rotate.Rotate), 1, rotate.Rotated)
			w.finish()
		}},
		{name: "restart-that-does-not-come-back", play: func(w *world) {
			w.platform.BreakRestarts(9)
			r := w.run(rotate.Rotate)
			if r.err == nil {
				w.broken(5, "no error, though no instance has come up")
			}
			w.checkRefreshes(1)
			w.platform.BreakRestarts(0)
			time.Sleep(later)
			w.mustEnd(w.run(rotate.Heal), 1, rotate.Rotated, rotate.Healed)
			w.finish()
		}},
		{name: "restart-that-does-not-come-back-while-Maia-shows-the-connection-still",
			maia: []maiatest.Option{maiatest.WithConnectedLag(longLag)}, connectedLag: longLag,
			play: func(w *world) {
				w.platform.BreakRestarts(9)
				if r := w.run(rotate.Rotate); r.err == nil {
					w.broken(5, "no error, though no instance has come up")
				}
				w.platform.BreakRestarts(0)
				time.Sleep(later)
				w.mustEnd(w.run(rotate.Heal), 1, rotate.Rotated, rotate.Healed)
				time.Sleep(longLag)
				w.finish()
			}},
		{name: "restart-that-comes-back-when-repeated", play: func(w *world) {
			w.platform.BreakRestarts(1)
			if r := w.run(rotate.Rotate); r.err != nil {
				w.mustRefuse(r, rotate.Vendor, rotate.NotReady)
				time.Sleep(later)
				w.mustEnd(w.run(rotate.Rotate), 1, rotate.Rotated)
			}
			w.finish()
		}},
		{name: "reverted-store-connected", play: func(w *world) {
			w.rotate()
			time.Sleep(later)
			w.revert(rotate.Heal)
			w.finish()
		}},
		{name: "reverted-store-connected-when-a-rotation-is-due", play: func(w *world) {
			w.rotate()
			w.platform.Put(firstSecret)
			w.rotateAgain()
			w.finish()
		}},
		{name: "reverted-store-disconnected", play: func(w *world) {
			w.rotate()
			time.Sleep(later)
			w.platform.Put(firstSecret)
			w.platform.Replace()
			time.Sleep(rollout)
			r := w.run(rotate.Heal)
			w.mustEnd(r, 6, rotate.Healed)
			w.mustNot(r, 6, maiaPause)
			w.finish()
		}},
		{name: "console-refresh-before", play: func(w *world) {
			w.consoleRefresh()
			time.Sleep(later)
			r := w.run(rotate.Heal)
			w.mustEnd(r, 6, rotate.Healed)
			w.mustNot(r, 6, maiaPause)
			w.mustNot(r, 2, maiaRefresh)
			w.mustEnd(w.run(rotate.Rotate), 5, rotate.Rotated) // one is due still: healing is no rotation
			w.finish()
		}},
		{name: "console-refresh-before-a-rotation", play: func(w *world) {
			w.consoleRefresh()
			w.mustEnd(w.run(rotate.Rotate), 6, rotate.Rotated)
			w.finish()
		}},
		{name: "console-refresh-after", play: func(w *world) {
			w.rotate()
			w.consoleRefresh()
			time.Sleep(later)
			r := w.run(rotate.Rotate)
			w.mustEnd(r, 6, rotate.Healed)
			w.mustNot(r, 6, maiaPause)
			w.finish()
		}},
		{name: "operator-pauses-before", play: func(w *world) {
			w.busy(taskDuration)
			w.operatorPauses()
			r := w.run(rotate.Rotate)
			w.mustEnd(r, 5, rotate.Rotated)
			w.mustNot(r, 8, maiaPause)
			w.mustNot(r, 8, maiaResume)
			w.finish()
		}},
		{name: "operator-pauses-right-after-ours", play: func(w *world) {
			w.rotate(func(r *run) { r.pausedAfter = w.operatorPauses })
			w.finish()
		}},
		{name: "pause-that-shows-another-end-once-the-runner-is-back", play: func(w *world) {
			w.cutOff = func() { w.maia.ConsolePause(agentID, 9*time.Hour) }
			w.rotate()
			w.finish()
		}},
		{name: "lagging-reads", maia: lagging(), connectedLag: connectedLag,
			play: func(w *world) {
				w.rotate()
				time.Sleep(time.Minute)
				w.finish()
				w.rotateAgain()
				time.Sleep(time.Minute)
				w.finish()
			}},
		{name: "reads-that-lag-beyond-the-run", maia: []maiatest.Option{maiatest.WithReadLag(20 * time.Minute)}, play: func(w *world) {
			w.rotate()
			w.mustEnd(w.run(rotate.Rotate), 2, rotate.NoOp)
			time.Sleep(later)
			w.finish()
		}},
	}
	for _, delay := range []time.Duration{time.Minute, 4 * time.Minute} {
		late := func(w *world) {
			w.maia.Inject(maiatest.Fault{Call: maiatest.RefreshCredentials, Nth: 1, Kind: maiatest.Late, Delay: delay})
		}
		list = append(list,
			scenario{name: "late-refresh-" + delay.String(), play: func(w *world) {
				late(w)
				w.rotate()
				w.finish()
			}},
			scenario{name: "late-refresh-" + delay.String() + "-cut", play: func(w *world) {
				late(w)
				w.wait(w.start(rotate.Rotate, &fault{call: maiaRefresh, nth: 1, after: true, cut: true}))
				w.thenAtOnce()
				w.finish()
			}},
			scenario{name: "late-refresh-" + delay.String() + "-cut-heal", play: func(w *world) {
				late(w)
				w.wait(w.start(rotate.Rotate, &fault{call: maiaRefresh, nth: 1, after: true, cut: true}))
				w.run(rotate.Heal)
				time.Sleep(later)
				w.mustEnd(w.run(rotate.Heal), 1, rotate.Rotated, rotate.Healed, rotate.NoOp)
				w.finish()
			}},
		)
	}
	for _, apart := range []time.Duration{0, 700 * time.Millisecond, 5100 * time.Millisecond, 13300 * time.Millisecond} {
		list = append(list, scenario{name: fmt.Sprintf("two-runs-%s-apart", apart), play: func(w *world) {
			w.overlap = true
			w.busy(taskDuration)
			one := w.start(rotate.Rotate, nil)
			time.Sleep(apart)
			two := w.start(rotate.Rotate, nil)
			for _, r := range []*run{one, two} {
				if w.wait(r); r.err != nil {
					w.mustRefuse(r, rotate.NotReady, rotate.UnknownOutcome)
				}
			}
			w.overlap = false
			time.Sleep(later)
			w.mustEnd(w.run(rotate.Rotate), 1, rotate.Rotated, rotate.Healed, rotate.NoOp)
			w.finish()
		}})
	}
	return list
}

// revert has another writer put the first secret back while the runner is connected, and a run repair that.
func (w *world) revert(mode rotate.Mode) {
	w.platform.Put(firstSecret)
	started := w.started()
	w.mustEnd(w.run(mode), 6, rotate.Healed)
	time.Sleep(rollout)
	if w.started() > started {
		w.broken(6, "a connected runner whose instances hold Maia's secret was restarted")
	}
}

func (w *world) consoleRefresh() {
	w.console++
	w.maia.ConsoleRefresh(agentID)
}

// operatorPauses has an operator pause the runner for longer than any scenario lasts.
func (w *world) operatorPauses() {
	w.maia.ConsolePause(agentID, 9*time.Hour)
	until := time.Now().Add(9 * time.Hour).Truncate(time.Second) // as Maia shows it
	w.mu.Lock()
	defer w.mu.Unlock()
	w.operator = until
}

func names(calls []Call) string {
	var text strings.Builder
	for _, call := range calls {
		text.WriteString(call.Name + "; ")
	}
	return text.String()
}
