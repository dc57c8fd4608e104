package rotate

import (
	"fmt"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

var (
	epoch  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	oldest = credentials("the-oldest-secret")
	before = credentials("the-secret-before")
	live   = credentials("the-live-secret")
	made   = credentials(expected)
)

func credentials(secret string) maia.Credentials {
	return maia.Credentials{ClientID: "client", ClientSecret: maia.NewSecret(secret)}
}

func fp(c maia.Credentials) maia.Fingerprint { return c.ClientSecret.Fingerprint() }

// world plays everything around Next in the kindest way: each step has the effect that it should have.
type world struct {
	Observation
	policy    Policy
	now       time.Time
	refreshes int
}

func (w *world) facts() *facts {
	f := w.Observation.facts(w.policy, w.now)
	return &f
}

// take plays one step and returns what is wrong with its having been decided, if anything is.
func (w *world) take(step Step) (wrong string) {
	w.now = w.now.Add(time.Second)
	f := w.facts()
	switch step.Kind {
	case Refresh:
		if f.announced() {
			w.refreshes++
			wrong = w.wayNotClear()
		}
	case AwaitOutcome:
		w.now = w.now.Add(time.Minute)
	case AwaitDrained, AwaitConnected:
		w.now = w.now.Add(time.Second)
	case Restart:
		if w.Agent.Connected && w.Platform.Note.Applied == f.fingerprint {
			wrong = "a healthy runner is restarted"
		}
	case Resume:
		if f.pause != PauseOurs {
			wrong = "a pause that is not ours is resumed"
		}
	}
	w.Observation = After(w.Observation, step, w.policy, w.now)
	if w.paused() && w.Agent.PausedUntil.IsZero() {
		w.Agent.PausedUntil = w.now.Add(time.Hour)
	}
	return wrong
}

// wayNotClear names the first condition of promise 3 that does not hold at this moment.
func (w *world) wayNotClear() string {
	f := w.facts()
	switch {
	case !f.storeHolds():
		return "the store does not hold what Maia does"
	case !w.Run.Mode.mayRefresh():
		return "the mode does not allow a refresh"
	case !w.Run.Checked:
		return "nothing was checked"
	case !w.Agent.Connected:
		return "the runner is not connected"
	case w.Platform.Instances.State != Steady:
		return "the deployment is not steady"
	case w.policy.Drain == DrainPause && w.Agent.Status != maia.StatusPaused:
		return "the runner is not drained"
	case w.policy.Drain == DrainPause && w.Agent.PausedUntil.Before(w.now.Add(w.policy.downtimeBudget(DefaultStoreTime)-time.Minute)):
		return "the pause does not last"
	case f.left() < f.budget()-time.Minute:
		return "there is not enough time"
	}
	return ""
}

// play takes steps until the end and returns it, or what went wrong.
func (w *world) play() (end Step, wrong string) {
	for range 60 {
		step := Next(w.Observation, w.policy, w.now)
		if step.Kind == Refuse && (step.Refusal == nil || step.Refusal.What == "" || step.Refusal.Kind == "") {
			return step, "a refusal without a reason"
		}
		if step.Kind == Done || step.Kind == Refuse {
			return step, w.wrongEnd(step)
		}
		if wrong := w.take(step); wrong != "" {
			return step, wrong
		}
	}
	return Step{}, "no end"
}

func (w *world) wrongEnd(end Step) string {
	f := w.facts()
	ours := f.pause == PauseOurs
	switch {
	case w.refreshes > 1:
		return "more than one refresh"
	case (end.Kind == Refuse || end.Refusal != nil) && w.refreshes > 0 && f.pause != PauseUnclear:
		return "refused after a refresh, though all went well: " + end.Reason
	case end.Kind == Done && (!f.known || !f.storeHolds()):
		return "done, and the store does not hold what Maia does"
	case end.Kind == Done && w.Run.Mode != Stage && !w.Agent.Connected:
		return "done, and the runner is not connected"
	case end.Kind == Done && ours && (w.Run.Mode == Finish || w.Run.Mode == Rotate):
		return "done, and our pause is left behind"
	case end.Kind == Refuse && ours && w.Agent.Connected && w.Run.Mode != Heal && w.Run.Refusal == nil && w.Run.Resumes == 0 &&
		w.refreshes == 0 && f.intent != intentOpen && !f.concurrentRotation():
		return "refused, and our pause is left behind"
	}
	return ""
}

// TestNextReachesAnEndFromEveryObservation plays observations of every value that Next distinguishes, of reads that show the truth; see
// TestNextDecides for stale reads. With -short it plays one of many.
func TestNextReachesAnEndFromEveryObservation(t *testing.T) {
	every := 1
	if testing.Short() {
		every = 173 // no divisor of how many values anything has
	}
	found, played, ends := 0, 0, map[StepKind]int{}
	eachObservation(func(w *world) {
		if found++; found%every != 0 {
			return
		}
		start := w.Observation
		end, wrong := w.play()
		if wrong != "" {
			t.Fatalf("%s\nat %v\nfrom %s", wrong, end, describe(start))
		}
		if plan := Plan(start, w.policy, epoch); len(plan) > 14 { // healing, and a rotation
			t.Fatalf("a plan of %d steps: %v\nfrom %s", len(plan), plan, describe(start))
		}
		played++
		ends[end.Kind]++
	})
	t.Logf("%d observations: %d end in done, %d in a refusal", played, ends[Done], ends[Refuse])
	if ends[Done] == 0 || ends[Refuse] == 0 {
		t.Errorf("one kind of end was never reached: %v", ends)
	}
}

// eachObservation enumerates worlds.
func eachObservation(do func(w *world)) {
	pausedUntil := epoch.Add(time.Hour)
	agents := enumerateAgents(pausedUntil)
	notes := enumerateNotes(pausedUntil)
	for _, mode := range []Mode{Rotate, Stage, Finish, Heal} {
		for _, platform := range enumeratePlatforms(mode) {
			for _, agent := range agents {
				for _, left := range []time.Duration{time.Hour, 20 * time.Second} {
					for _, drain := range []Drain{DrainPause, DrainNone} {
						for _, note := range notes {
							w := world{policy: DefaultPolicy(), now: epoch}
							w.policy.Drain = drain
							w.Platform, w.Agent, w.Maia = platform, agent, live
							w.Platform.Note = note
							w.Run = RunState{ID: "this-run", Mode: mode, Started: epoch, Deadline: epoch.Add(left)}
							do(&w)
						}
					}
				}
			}
		}
	}
}

// enumeratePlatforms leaves out what no platform has: a staged value in another mode than Stage, and a store that stages and is in
// several places.
func enumeratePlatforms(mode Mode) []Platform {
	stores := []Platform{{Stored: live}, {Stored: before}}
	switch mode {
	case Stage:
		stores = append(stores, Platform{Stored: live, Staged: true}, Platform{Stored: before, Staged: true})
	case Rotate, Heal:
		stores = append(stores, Platform{Stored: live, Unfinished: true})
	}
	var platforms []Platform
	for _, platform := range stores {
		for _, state := range []InstanceState{Steady, Rolling, Short, Failed, Stopped} {
			for _, read := range []ReadState{ReadCurrent, ReadOlder, ReadUnknown} {
				platform.Instances = Instances{State: state, Read: read}
				platforms = append(platforms, platform)
			}
		}
	}
	return platforms
}

func enumerateAgents(pausedUntil time.Time) []maia.Agent {
	var agents []maia.Agent
	for _, connected := range []bool{true, false} {
		agents = append(agents,
			maia.Agent{Status: maia.StatusRunning, Connected: connected},
			maia.Agent{Status: maia.StatusPausing, Connected: connected, PausedUntil: pausedUntil},
			maia.Agent{Status: maia.StatusPaused, Connected: connected, PausedUntil: pausedUntil},
			maia.Agent{Status: maia.StatusUnknown, Connected: connected})
	}
	return agents
}

func enumerateNotes(pausedUntil time.Time) []Note {
	var notes []Note
	for _, applied := range []maia.Fingerprint{"", AppliedNothing, fp(live), fp(before)} {
		for _, intent := range []*Intent{
			nil,
			{At: epoch.Add(-time.Second), Over: fp(live), By: "another"},
			{At: epoch.Add(-time.Hour), Over: fp(live), By: "another"},
			{At: epoch.Add(-time.Second), Over: fp(before), By: "another"},
		} {
			for _, paused := range []*OwnPause{
				nil,
				{At: epoch.Add(-time.Minute)},
				{At: epoch.Add(-time.Minute), Confirmed: true, Until: pausedUntil},
				{At: epoch.Add(-time.Minute), Confirmed: true, Until: pausedUntil.Add(-time.Minute)},
			} {
				for _, rotated := range []*Rotation{
					nil,
					{At: epoch.Add(-time.Hour), Over: fp(before), New: fp(live)},
					{At: epoch.Add(-time.Hour), Over: fp(oldest), New: fp(before)},
				} {
					notes = append(notes, Note{Applied: applied, Intent: intent, Paused: paused, LastRotation: rotated})
				}
			}
		}
	}
	return notes
}

func describe(o Observation) string {
	names := map[maia.Fingerprint]string{fp(live): "live", fp(before): "before", fp(oldest): "oldest", fp(made): "made"}
	text := fmt.Sprintf("mode %s, store %s (unfinished %t), maia %s, staged %t, connected %t, "+
		"status %s, instances %s reading %s, left %s, applied %q",
		o.Run.Mode, names[fp(o.Platform.Stored)], o.Platform.Unfinished, names[fp(o.Maia)], o.Platform.Staged, o.Agent.Connected, o.Agent.Status,
		o.Platform.Instances.State, o.Platform.Instances.Read, o.Run.Deadline.Sub(epoch), names[o.Platform.Note.Applied])
	if intent := o.Platform.Note.Intent; intent != nil {
		text += fmt.Sprintf(", intent over %s %s ago", names[intent.Over], epoch.Sub(intent.At))
	}
	if paused := o.Platform.Note.Paused; paused != nil {
		text += fmt.Sprintf(", paused by us (confirmed %t until %s, Maia says %s)", paused.Confirmed, paused.Until, o.Agent.PausedUntil)
	}
	if rotated := o.Platform.Note.LastRotation; rotated != nil {
		text += fmt.Sprintf(", rotated %s to %s", names[rotated.Over], names[rotated.New])
	}
	return text
}

// TestNextDecides spells out single decisions that an enumeration of ends cannot see.
func TestNextDecides(t *testing.T) {
	// settled is a runner that was rotated an hour ago, is connected, and has nothing due.
	settled := func() Observation {
		return Observation{
			Platform: Platform{
				Stored: live, Instances: Instances{State: Steady, Read: ReadUnknown},
				Note: Note{Applied: fp(live), LastRotation: &Rotation{At: epoch.Add(-time.Hour), Over: fp(before), New: fp(live)}},
			},
			Agent: maia.Agent{Status: maia.StatusRunning, Connected: true},
			Maia:  live,
			Run:   RunState{ID: "this-run", Mode: Finish, Started: epoch, Deadline: epoch.Add(time.Hour)},
		}
	}
	tests := map[string]struct {
		change func(o *Observation)
		want   StepKind
		owes   bool
	}{
		"nothing is left to do": {change: func(*Observation) {}, want: Done},
		"one read that says connected is not enough after a restart": {change: func(o *Observation) {
			o.Run.Restarts, o.Run.RestartedAt, o.Run.ConnectedReads, o.Platform.Instances.Read = 1, epoch, 1, ReadCurrent
		}, want: AwaitConnected},
		"two reads are": {change: func(o *Observation) {
			o.Run.Restarts, o.Run.RestartedAt, o.Run.ConnectedReads, o.Platform.Instances.Read = 1, epoch, 2, ReadCurrent
		}, want: Done},
		"a store that was repaired by hand, the dead instances not restarted": {change: func(o *Observation) {
			o.Agent.Connected, o.Platform.Instances.Read = false, ReadOlder
		}, want: Restart},
		"a reverted store of a connected runner": {change: func(o *Observation) { o.Platform.Stored = before }, want: Store},
		"a reverted store of instances that died of it": {change: func(o *Observation) {
			o.Platform.Stored, o.Agent.Connected = before, false
		}, want: Store, owes: true},
		"a refresh in the console": {change: func(o *Observation) {
			o.Maia, o.Agent.Connected = made, false
		}, want: Store, owes: true},
		"a refresh in the console, noted as owed already": {change: func(o *Observation) {
			o.Maia, o.Agent.Connected, o.Platform.Note.Applied = made, false, AppliedNothing
		}, want: Store},
		"a read that lags behind our refresh": {change: func(o *Observation) { o.Maia = before }, want: Done},
		"a stale read, and the answer is nowhere": {change: func(o *Observation) {
			o.Maia, o.Platform.Stored = before, before
		}, want: AwaitOutcome},
		"staged and not moved, while the read lags": {change: func(o *Observation) {
			o.Maia, o.Platform.Stored, o.Platform.Pending, o.Platform.Note.Applied = before, before, live, fp(before)
		}, want: Store},
		"staged, the note not closed, while the read lags": {change: func(o *Observation) {
			o.Maia, o.Platform.Stored, o.Platform.Pending = before, before, live
			o.Platform.Note = Note{Applied: fp(before), Intent: &Intent{At: epoch, Over: fp(before), By: "another"}}
		}, want: Store},
		"our refresh is stored and the instances are dead, whatever Maia says of the connection": {change: func(o *Observation) {
			o.Platform.Note.Applied, o.Agent.Status = fp(before), maia.StatusUnknown
		}, want: Restart},
		"our refresh is stored, and a runner that came back by itself runs pipelines": {change: func(o *Observation) {
			o.Platform.Note.Applied = fp(before)
		}, want: Pause},
		"never rotated, and the connection blinks": {change: func(o *Observation) {
			o.Platform.Note, o.Run.Mode, o.Agent.Connected = Note{}, Rotate, false
		}, want: Refuse},
		"the connection blinks while pipelines finish": {change: func(o *Observation) {
			o.Platform.Note, o.Run.Mode, o.Agent.Connected, o.Run.DrainSince = Note{}, Rotate, false, epoch
		}, want: AwaitDrained},
		"another secret that a person brought, instances alive": {change: func(o *Observation) {
			o.Platform.Note.Applied, o.Platform.Note.LastRotation = AppliedNothing, nil
		}, want: Pause},
		"another writer's deployment, nothing due": {change: func(o *Observation) { o.Platform.Instances.State = Rolling }, want: Done},
		"another writer's deployment, a rotation due": {change: func(o *Observation) {
			o.Platform.Instances.State, o.Run.Mode = Rolling, Rotate
		}, want: Refuse},
		"a rotation is due": {change: func(o *Observation) { o.Run.Mode = Rotate }, want: Check},
		"an earlier run's refresh was carried out: nothing more is due": {change: func(o *Observation) {
			o.Run.Mode, o.Platform.Note.LastRotation = Rotate, nil
			o.Platform.Note.Intent = &Intent{At: epoch.Add(-time.Hour), Over: fp(before), By: "another"}
			o.Run.ConnectedReads = 2
		}, want: Done},
		"the time is up while a refresh may be under way: the pause stays": {change: func(o *Observation) {
			o.Run.Mode, o.Run.Deadline, o.Agent.Status = Rotate, epoch, maia.StatusPaused
			o.Platform.Note.Intent = &Intent{At: epoch.Add(-time.Minute), Over: fp(live), By: "another"}
			o.Platform.Note.Paused = &OwnPause{At: epoch.Add(-time.Minute), By: "another"}
		}, want: Refuse},
		"a rotation is due, and the read lags behind the last one": {change: func(o *Observation) {
			o.Run.Mode, o.Run.Checked, o.Maia, o.Agent.Status = Rotate, true, before, maia.StatusPaused
		}, want: AwaitOutcome},
		"this run has sent a refresh: nothing more is due": {change: func(o *Observation) {
			o.Run.Mode, o.Run.Sent, o.Run.Answer = Rotate, &Intent{At: epoch, Over: fp(before)}, live
			o.Run.ConnectedReads = 2
		}, want: Done},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := settled()
			test.change(&o)
			if step := Next(o, DefaultPolicy(), epoch); step.Kind != test.want || step.Owes != test.owes {
				t.Errorf("%+v, want %s, owes %t", step, test.want, test.owes)
			}
		})
	}
}
