package rotate

import (
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

func TestPlanForesees(t *testing.T) {
	healthy := func() Observation {
		return Observation{
			Platform: Platform{Stored: live, Instances: Instances{State: Steady, Read: ReadCurrent}},
			Agent:    maia.Agent{Status: maia.StatusRunning, Connected: true},
			Maia:     live,
			Run:      RunState{ID: "this-run", Mode: Rotate, Started: epoch, Deadline: epoch.Add(time.Hour)},
		}
	}
	tests := map[string]struct {
		change func(*Observation)
		want   string
	}{
		"a rotation": {func(*Observation) {}, "check; pause; await_drained; refresh; store; restart; await_connected; resume; done"},
		"one in two parts": {func(o *Observation) {
			o.Run.Mode = Stage
		}, "check; pause; await_drained; refresh; store; restart; await_connected; resume; done"},
		"healing with no need": {func(o *Observation) { o.Run.Mode = Heal }, "done"},
		"an operator's pause": {func(o *Observation) {
			o.Agent.Status, o.Agent.PausedUntil = maia.StatusPaused, epoch.Add(time.Hour)
		}, "check; refresh; store; restart; await_connected; done"},
		"reverted, connected": {func(o *Observation) {
			o.Platform.Stored, o.Platform.Note.Applied = before, fp(live)
			o.Run.Mode = Heal
		}, "store; done"},
		"reverted, in two parts": {func(o *Observation) {
			o.Platform.Stored, o.Platform.Note.Applied = before, fp(live)
			o.Run.Mode = Stage
		}, "store; done"},
		"reverted, down": {func(o *Observation) {
			o.Platform.Stored, o.Platform.Note.Applied, o.Agent.Connected = before, fp(live), false
			o.Run.Mode = Heal
		}, "store; restart; await_connected; done"},
		"a refresh that was carried out": {func(o *Observation) {
			o.Run.Mode, o.Platform.Note.Intent = Stage, &Intent{At: epoch.Add(-time.Hour), Over: fp(before), By: "another"}
		}, "await_connected; done"},
		"delivered, not recorded": {func(o *Observation) { o.Run.Mode, o.Platform.Unrecorded = Heal, "a quota" }, "store; done"},
		"scaled to zero":          {func(o *Observation) { o.Platform.Instances.State = Stopped }, "refuse"},
		"a refresh that is not due": {func(o *Observation) {
			o.Platform.Note.Intent = &Intent{At: epoch.Add(-time.Second), Over: fp(live), By: "another"}
		}, "await_outcome"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := healthy()
			test.change(&o)
			var kinds []string
			for _, step := range Plan(o, DefaultPolicy(), epoch) {
				kinds = append(kinds, string(step.Kind))
			}
			if got := strings.Join(kinds, "; "); got != test.want {
				t.Errorf("the plan is\n%s, want\n%s", got, test.want)
			}
		})
	}
}

// TestStoreTimeIsSetAside: a refresh is sent only if run and pause outlast the time that the platform needs for storing, too.
func TestStoreTimeIsSetAside(t *testing.T) {
	const needed = 20*time.Second + 2*time.Minute + 8*time.Minute
	for name, test := range map[string]struct {
		run, pause time.Duration // that are left
		want       StepKind
	}{
		"enough":        {needed, needed, Refresh},
		"a short run":   {needed - time.Second, time.Hour, Refuse},
		"a short pause": {time.Hour, needed - time.Second, Refuse},
	} {
		step := Next(Observation{
			Platform: Platform{Stored: live, Instances: Instances{State: Steady, Read: ReadCurrent}},
			Agent:    maia.Agent{Status: maia.StatusPaused, Connected: true, PausedUntil: epoch.Add(test.pause)},
			Maia:     live,
			Run: RunState{
				ID: "this-run", Mode: Rotate, Started: epoch, Deadline: epoch.Add(test.run), StoreTime: 2 * time.Minute, Checked: true,
			},
		}, DefaultPolicy(), epoch)
		if step.Kind != test.want {
			t.Errorf("%s: %s (%s), want %s", name, step.Kind, step.Reason, test.want)
		}
	}
}
