package rotatetest

import (
	"context"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// contract are the scenarios that take rotate.Runner by its word, without the engine: what each method promises, so that
// a failure names the method.
func contract() []scenario {
	return []scenario{
		{name: "contract-SaveNote", play: contractSaveNote},
		{name: "contract-SaveNote-of-two-runs", play: contractTwoIntents},
		{name: "contract-Observe-and-Check", play: contractObserve},
		{name: "contract-Store-and-Restart", play: contractStore},
		{name: "contract-Restart-by-another-run", play: contractRestartedMeanwhile},
		{name: "contract-Restart-that-fails", play: contractRestartFails},
		{name: "contract-errors", play: contractErrors},
		{name: "contract-lock", play: contractLock},
		{name: "contract-wishes", play: contractWishes},
	}
}

// runner is the Runner of a fresh process, and what it observes, a moment after whatever came before.
func (w *world) runner() (rotate.Runner, rotate.Platform) {
	time.Sleep(soon)
	runner, err := w.platform.Runner(w.t.Context(), newProcess(nil))
	if err != nil {
		w.t.Fatalf("Platform.Runner: %v", err) // nothing can follow
	}
	w.t.Cleanup(func() { w.release(runner) })
	return runner, w.observe(runner)
}

// release ends the run of a Runner that has a lock.
func (w *world) release(runner rotate.Runner) {
	if locker, ok := runner.(rotate.Locker); ok {
		locker.Release(context.WithoutCancel(w.t.Context()))
	}
}

func (w *world) observe(runner rotate.Runner) rotate.Platform {
	platform, err := runner.Observe(w.t.Context())
	if err != nil {
		w.t.Fatalf("Observe: %v", err)
	}
	return platform
}

func (w *world) must(method string, err error) {
	if err != nil {
		w.failf("%s: %v", method, err)
	}
}

// mustRestart orders a restart and notes it, as the engine does.
func (w *world) mustRestart(runner rotate.Runner) {
	ids, err := runner.Restart(w.t.Context())
	w.must("Restart", err)
	platform := w.observe(runner)
	platform.Note.Ordered = &rotate.Order{At: time.Now().UTC().Truncate(time.Millisecond), For: platform.Stored.ClientSecret.Fingerprint(),
		IDs: ids}
	w.must("SaveNote", runner.SaveNote(w.t.Context(), platform.Note))
}

func contractSaveNote(w *world) {
	at := time.Now().UTC().Truncate(time.Millisecond).Add(7 * time.Millisecond)
	pause := rotate.OwnPause{At: at, By: "0123abcd"}
	confirmed := rotate.OwnPause{At: at, By: "0123abcd", Confirmed: true, Until: at.Add(time.Hour)}
	stands := rotate.OwnPause{At: at, By: "0123abcd", Confirmed: true, Until: at.Add(time.Hour), Stands: true}
	endless := rotate.OwnPause{At: at, By: "0123abcd", Confirmed: true}
	intent := rotate.Intent{At: at.Add(time.Minute), Over: "aaaaaaaaaaaa", By: "0123abcd"}
	runner, platform := w.runner()
	if !platform.Note.Equal(rotate.Note{}) {
		w.failf("the note of a platform that was never touched is not the zero Note: %s", describe(platform.Note))
	}
	for _, note := range []rotate.Note{
		{Applied: "aaaaaaaaaaaa"},
		{Applied: "aaaaaaaaaaaa", Paused: &pause},
		{Applied: "aaaaaaaaaaaa", Paused: &confirmed},
		{Applied: "aaaaaaaaaaaa", Paused: &confirmed, Intent: &intent},
		{Applied: rotate.AppliedNothing, Paused: &endless, LastRotation: &rotate.Rotation{At: at, Over: "aaaaaaaaaaaa", New: "bbbbbbbbbbbb"}},
		{Applied: "bbbbbbbbbbbb", LastRotation: &rotate.Rotation{At: at, Over: "aaaaaaaaaaaa", New: "bbbbbbbbbbbb"}},
		{Applied: "cccccccccccc", LastRotation: &rotate.Rotation{At: at.Add(time.Hour), Over: "bbbbbbbbbbbb", New: "cccccccccccc"}},
		{Applied: "cccccccccccc", Ordered: &rotate.Order{At: at, For: "cccccccccccc", IDs: []string{"one", "two-2"}}, Paused: &stands},
		{Applied: "cccccccccccc", Ordered: &rotate.Order{At: at, For: "dddddddddddd"},
			Adopted: &rotate.Adoption{At: at, Over: "cccccccccccc", New: "dddddddddddd"}},
		{},
	} {
		w.must("SaveNote", runner.SaveNote(w.t.Context(), note))
		if got := w.observe(runner).Note; !got.Equal(note) {
			w.failf("SaveNote: the same process reads %s, saved was %s", describe(got), describe(note))
		}
		if _, platform := w.runner(); !platform.Note.Equal(note) {
			w.failf("SaveNote: a fresh process reads %s, saved was %s", describe(platform.Note), describe(note))
		}
	}
}

// contractTwoIntents: of two runs at most one gets past the note of its intent.
func contractTwoIntents(w *world) {
	save := func(runner rotate.Runner, platform rotate.Platform, by string) error {
		note := platform.Note
		note.Intent = &rotate.Intent{At: time.Now().UTC().Truncate(time.Millisecond), Over: "aaaaaaaaaaaa", By: by}
		return runner.SaveNote(w.t.Context(), note)
	}
	standing := func() string {
		if _, platform := w.runner(); platform.Note.Intent != nil {
			return platform.Note.Intent.By
		}
		return ""
	}
	one, platform := w.runner()
	two, _ := w.runner()
	w.must("SaveNote", save(one, platform, "one"))
	if err := save(two, platform, "two"); rotate.KindOf(err) != rotate.NotReady || err == nil {
		w.broken(2, "SaveNote of an intent next to that of another run, which had not been observed: error %v, want one of kind %q", err,
			rotate.NotReady)
	}
	if by := standing(); by != "one" {
		w.broken(2, "the intent that stands is that of %q, want that of the first run", by)
	}
	w.release(one)
	// What was observed is the engine's to judge: an intent that has grown old is replaced.
	three, platform := w.runner()
	w.must("SaveNote over an intent that was observed", save(three, platform, "three"))
	if by := standing(); by != "three" {
		w.broken(2, "the intent that stands is that of %q, want the one that replaced it", by)
	}
	w.release(three)
	// At the very same time both may give up, but not both may stand.
	four, platform := w.runner()
	five, _ := w.runner()
	first := make(chan error, 1)
	go func() { first <- save(four, platform, "four") }()
	fifth := save(five, platform, "five")
	if err := <-first; err == nil && fifth == nil {
		w.broken(2, "two runs have both noted an intent at the same time")
	} else if by := standing(); err == nil && by != "four" || fifth == nil && by != "five" {
		w.broken(2, "the intent that stands is that of %q, though SaveNote confirmed to another run that its own does", by)
	}
}

// contractObserve: reading and proving change nothing.
func contractObserve(w *world) {
	was, kept := w.read(), w.platform.Kept()
	runner, platform := w.runner()
	w.must("Check", runner.Check(w.t.Context()))
	again := w.observe(runner)
	time.Sleep(rollout) // what was ordered would show
	if now := w.read(); !now.stored.Equal(was.stored) || now.instances != was.instances || w.platform.Kept() != kept ||
		w.platform.Foreign() != w.foreign {
		w.broken(3, "Observe or Check has changed something")
	}
	if runner.AgentID() != agentID {
		w.failf("AgentID is %q, want %q", runner.AgentID(), agentID)
	}
	for _, platform := range []rotate.Platform{platform, again} {
		if !platform.Stored.Equal(w.platform.Stored()) || !platform.Pending.ClientSecret.IsZero() || platform.Staged {
			w.failf("Observe does not show what is stored, or something that is staged")
		}
		if platform.Instances.State != rotate.Steady || platform.Instances.Read == rotate.ReadOlder {
			w.failf("Observe: steady instances that read the store are %+v", platform.Instances)
		}
	}
}

// contractStore: what is stored is what the next instances read, and what Observe says of them is true at any time.
func contractStore(w *world) {
	w.consoleRefresh()
	next := maia.Credentials{ClientID: clientID, ClientSecret: maia.NewSecret(w.maia.LiveSecret(agentID))}
	runner, _ := w.runner()
	for range 2 { // storing what is stored is a success
		w.must("Store", runner.Store(w.t.Context(), next))
		if !w.platform.Stored().Equal(next) {
			w.broken(1, "Store succeeded, and an instance that starts now would read something else")
		}
		_, fresh := w.runner()
		for _, platform := range []rotate.Platform{w.observe(runner), fresh} {
			if !platform.Stored.Equal(next) {
				w.failf("Observe after Store shows something else")
			}
			if platform.Instances.Read == rotate.ReadCurrent {
				w.broken(5, "Observe says that the instances have read the store, and they have not")
			}
		}
	}
	ordered := time.Now()
	w.mustRestart(runner)
	if took := time.Since(ordered); took > time.Minute {
		w.broken(4, "Restart took %s: it orders, and does not wait", took)
	}
	if platform := w.observe(runner); platform.Instances.State == rotate.Failed || platform.Instances.State == rotate.Stopped ||
		platform.Instances.Read != rotate.ReadCurrent {
		w.failf("Observe right after Restart says %+v, want instances on their way that read what is stored", platform.Instances)
	}
	time.Sleep(rollout)
	w.checkInstances(5, "after Restart ")
	if platform := w.observe(runner); platform.Instances.State != rotate.Steady || platform.Instances.Read != rotate.ReadCurrent {
		w.failf("Observe after Restart and %s says %+v", rollout, platform.Instances)
	}
	if _, fresh := w.runner(); fresh.Instances.State != rotate.Steady || fresh.Instances.Read == rotate.ReadOlder {
		w.failf("Observe of a fresh process after a restart and %s says %+v", rollout, fresh.Instances)
	}
	if foreign := w.platform.Foreign(); foreign != w.foreign {
		w.broken(8, "Store or Restart has changed what is not ours:\n%s\nit was\n%s", foreign, w.foreign)
	}
	w.checkLeaks()
}

// contractRestartFails: instances that do not come up are not steady, whatever runs next to them.
func contractRestartFails(w *world) {
	w.platform.BreakRestarts(9)
	runner, _ := w.runner()
	w.mustRestart(runner)
	for range 3 {
		time.Sleep(rollout)
		_, fresh := w.runner()
		for _, platform := range []rotate.Platform{w.observe(runner), fresh} {
			if platform.Instances.State == rotate.Steady {
				w.broken(5, "Observe says %+v of instances that have not come up", platform.Instances)
			}
		}
	}
}

// contractRestartedMeanwhile: a Runner that has stored, and has slept while another run restarted what runs with the secret, orders no
// other restart.
func contractRestartedMeanwhile(w *world) {
	next := maia.Credentials{ClientID: clientID, ClientSecret: maia.NewSecret(otherSecret)}
	w.keepSecret(otherSecret)
	slow, platform := w.runner()
	platform.Note.Applied = rotate.AppliedNothing
	w.must("SaveNote", slow.SaveNote(w.t.Context(), platform.Note))
	w.must("Store", slow.Store(w.t.Context(), next))
	w.release(slow)
	other, _ := w.runner()
	w.mustRestart(other)
	w.release(other)
	time.Sleep(rollout)
	if seen := w.observe(slow).Instances; seen.Read != rotate.ReadCurrent {
		w.broken(6, "Observe says %+v of instances that another run has restarted since this one stored", seen)
	}
	was := w.read()
	_, err := slow.Restart(w.t.Context())
	w.must("Restart", err)
	time.Sleep(rollout)
	if now := w.read(); now.instances != was.instances {
		w.broken(6, "what another run has restarted since this one stored is restarted again")
	}
}

// contractErrors: a method whose calls do not get through says so, and shows no secret.
func contractErrors(w *world) {
	process := newProcess(nil)
	runner, err := w.platform.Runner(w.t.Context(), process)
	w.must("Platform.Runner", err)
	w.t.Cleanup(func() { w.release(runner) })
	note := w.observe(runner).Note
	note.Applied = "aaaaaaaaaaaa"
	was := w.read()
	process.kill()
	for _, method := range []struct {
		name string
		call func() error
	}{
		{"Observe", func() error { _, err := runner.Observe(w.t.Context()); return err }},
		{"SaveNote", func() error { return runner.SaveNote(w.t.Context(), note) }},
		{"Store", func() error {
			return runner.Store(w.t.Context(), maia.Credentials{ClientID: clientID, ClientSecret: maia.NewSecret(otherSecret)})
		}},
		{"Restart", func() error { _, err := runner.Restart(w.t.Context()); return err }},
	} {
		if err := method.call(); err != nil {
			w.published(err.Error())
		} else {
			w.broken(9, "%s succeeded, though none of its calls got through", method.name)
		}
	}
	time.Sleep(rollout)
	if now := w.read(); !now.stored.Equal(was.stored) || now.instances != was.instances {
		w.failf("something was changed by a process that was cut off: does every call go through Process?")
	}
	w.keepSecret(otherSecret)
	w.checkLeaks()
}

// contractLock: of a platform with a lock, one Runner at a time changes something.
func contractLock(w *world) {
	process := newProcess(nil)
	one, err := w.platform.Runner(w.t.Context(), process)
	w.must("Platform.Runner", err)
	locker, ok := one.(rotate.Locker)
	if !ok {
		return
	}
	w.t.Cleanup(func() { w.release(one) }) // the dead process has a goroutine that renews the lock
	note := w.observe(one).Note
	note.Applied = "aaaaaaaaaaaa"
	two, _ := w.runner()
	w.must("SaveNote", one.SaveNote(w.t.Context(), note))
	w.must("Hold", locker.Hold(w.t.Context(), maia.RefreshTimeout))
	other := maia.Credentials{ClientID: clientID, ClientSecret: maia.NewSecret(otherSecret)}
	if err := two.Store(w.t.Context(), other); rotate.KindOf(err) != rotate.NotReady || err == nil {
		w.broken(2, "Store next to the holder of the lock: error %v, want one of kind %q", err, rotate.NotReady)
	}
	time.Sleep(rollout) // the holder lives, and so does its lock
	if err := two.Store(w.t.Context(), other); rotate.KindOf(err) != rotate.NotReady || err == nil {
		w.broken(2, "Store next to the holder of the lock, %s later: error %v, want one of kind %q", rollout, err, rotate.NotReady)
	}
	process.kill()
	if err := locker.Hold(w.t.Context(), 24*time.Hour); err == nil {
		w.broken(2, "Hold for longer than a lease lasts succeeded without a call")
	}
	three, _ := w.runner()
	w.must("SaveNote after the holder of the lock has died", three.SaveNote(w.t.Context(), rotate.Note{}))
	w.release(three)
	four, _ := w.runner()
	began := time.Now()
	w.must("SaveNote after the lock was given back", four.SaveNote(w.t.Context(), rotate.Note{Applied: "bbbbbbbbbbbb"}))
	if waited := time.Since(began); waited > time.Minute {
		w.broken(4, "a lock that was given back was waited for, %s", waited)
	}
	if !w.platform.Stored().Equal(maia.Credentials{ClientID: clientID, ClientSecret: maia.NewSecret(firstSecret)}) {
		w.broken(2, "something was stored next to the holder of the lock")
	}
}

// contractWishes: what operators ask for shows at the next read, also while a run holds the lock, and no note that a run writes loses it.
func contractWishes(w *world) {
	runner, platform := w.runner()
	if platform.Wishes != (rotate.Wishes{}) {
		w.broken(8, "a runner of which nobody wished anything has the wishes %+v", platform.Wishes)
	}
	w.must("SaveNote", runner.SaveNote(w.t.Context(), rotate.Note{Applied: "aaaaaaaaaaaa"})) // takes the lock, if there is one
	until := time.Now().UTC().Add(time.Hour).Truncate(time.Second)
	hold := &rotate.Hold{At: until.Add(-time.Hour), Until: until, By: "jo@example.org", Why: "month-end run: 100 % of it, until 6/7"}
	request := &rotate.Request{ID: "r1", At: hold.At, By: "jo", Why: "it leaked"}
	mustShow := func(when string, want *rotate.Hold) {
		_, fresh := w.runner()
		for process, wishes := range map[string]rotate.Wishes{"the same": w.observe(runner).Wishes, "a fresh": fresh.Wishes} {
			held, requested := wishes.Held, wishes.Requested
			if (held == nil) != (want == nil) || held != nil && *held != *want || requested != nil && *requested != *request {
				w.broken(8, "%s: %s process reads the hold %+v and the request %+v, want %+v", when, process, held, requested, want)
			}
		}
	}
	w.must("Wish", w.platform.Wish(rotate.Wishes{Held: hold, Requested: request}))
	time.Sleep(soon)
	mustShow("after it was written", hold)
	w.must("SaveNote after a wish", runner.SaveNote(w.t.Context(), rotate.Note{Applied: "bbbbbbbbbbbb"}))
	w.must("Store", runner.Store(w.t.Context(), w.observe(runner).Stored))
	mustShow("after a run has written its note", hold)
	longer := *hold
	longer.At, longer.Until = hold.At.Add(time.Second), until.Add(time.Hour)
	w.must("Wish", w.platform.Wish(rotate.Wishes{Held: &longer, Requested: request}))
	time.Sleep(soon)
	mustShow("after it was changed", &longer)
	w.must("Wish", w.platform.Wish(rotate.Wishes{Requested: request}))
	time.Sleep(soon)
	mustShow("after it was taken back", nil)
	if note := w.observe(runner).Note; note.Applied != "bbbbbbbbbbbb" {
		w.broken(8, "the note was changed by a wish: %s", describe(note))
	}
}
