package rotatetest

import (
	"fmt"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Run runs the suite: every scenario is a subtest, in a fresh platform, in a bubble of testing/synctest of its own, next to
// others. newPlatform is called in the bubble.
func Run(t *testing.T, newPlatform func(t *testing.T, setup Setup) Platform, options ...Option) {
	t.Helper()
	var o choice
	for _, option := range options {
		option(&o)
	}
	if testing.Short() {
		o.part = max(o.part, shortPart)
	}
	list, summary := scenarios(t, newPlatform, o)
	var played atomic.Int32
	for _, s := range list {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			played.Add(1)
			var failures []string
			var story string
			synctest.Test(t, func(t *testing.T) { failures, story = play(t, newPlatform, s) })
			for _, failure := range failures {
				t.Error(failure)
			}
			if t.Failed() {
				t.Logf("what happened:\n%s\nrepeat with: %s", story, repeat(t.Name()))
			}
		})
	}
	t.Cleanup(func() { t.Logf("%d of %s", played.Load(), summary) })
}

// Calls returns the calls of one rotation that nothing disturbs, in order: what a rotation costs. See [DownCalls] for
// those that count.
func Calls(t *testing.T, newPlatform func(t *testing.T, setup Setup) Platform) []Call {
	t.Helper()
	return record(t, newPlatform, rotate.Rotate, func(w *world) { w.busy(taskDuration) })
}

// record returns the calls of one run that nothing disturbs.
func record(t *testing.T, newPlatform func(*testing.T, Setup) Platform, mode rotate.Mode, prepare func(*world)) (calls []Call) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newPlatform, scenario{})
		prepare(w)
		r := w.run(mode)
		calls = r.process.made()
		if r.err != nil || r.report.Outcome == rotate.NoOp {
			t.Errorf("a run that nothing disturbs does not go well: %s", r)
		}
	})
	return calls
}

// scenarios is the whole list, in the order of the calls, and a line about it.
func scenarios(t *testing.T, newPlatform func(*testing.T, Setup) Platform, o choice) (list []scenario, summary string) {
	t.Helper()
	calls := Calls(t, newPlatform)
	kept, folded := o.fold(calls)
	list = sweep(kept)
	again, more := o.fold(record(t, newPlatform, rotate.Rotate, func(w *world) {
		w.rotate()
		time.Sleep(long)
		w.busy(taskDuration)
	}))
	list, folded = append(list, sweepAgain(again)...), folded+more
	for _, healing := range []struct {
		what    string
		prepare func(*world)
	}{{"repairing-a-reverted-store", (*world).revertedStore}, {"adopting", (*world).refreshedInConsole}} {
		calls, more := o.fold(record(t, newPlatform, rotate.Heal, healing.prepare))
		list, folded = append(list, sweepHealing(calls, healing.what, healing.prepare)...), folded+more
	}
	quirky, quirks := o.quirkScenarios(t, newPlatform, kept)
	list = append(list, quirky...)
	all := len(list)
	list = slices.DeleteFunc(list, func(s scenario) bool { return !o.plays(s) })
	leftOut := all - len(list)
	list = slices.Concat(stories(), contract(), list)
	toStored, toRestarted := DownCalls(calls)
	return list, fmt.Sprintf("%d scenarios (%d are left out of this run), under %s; %d calls in a rotation, %d of them from the "+
		"refresh to the store and %d to the restart; %d calls were not made to fail: %s", len(list), leftOut, quirks, len(calls),
		toStored, toRestarted, folded, o)
}

// repeat is the command that runs one test again.
func repeat(test string) string {
	levels := strings.Split(test, "/")
	for i, level := range levels {
		levels[i] = "^" + regexp.QuoteMeta(level) + "$"
	}
	return fmt.Sprintf("go test %s -run '%s'", packageOfTest(), strings.Join(levels, "/"))
}

// packageOfTest is the package whose test binary this is, as go test wants it from the module's root.
func packageOfTest() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "."
	}
	path := strings.TrimSuffix(info.Path, ".test")
	if below, ok := strings.CutPrefix(path, info.Main.Path); ok {
		return "." + below
	}
	return path
}
