package rotate

import (
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// refresh goes through everything that must hold before a secret is revoked.
func (f *facts) refresh() Step {
	if !f.Maia.Equal(f.valid) {
		// Such reads would not show what became of a refresh.
		return f.awaitOutcome("Maia still shows the secret that the last rotation revoked", f.Run.Started.Add(f.policy.QuietTime))
	}
	budget := f.budget()
	switch {
	case f.Agent.Status != maia.StatusRunning && !f.paused():
		return refuse(Errorf(NotReady, "Maia says that the runner's status is %q, expected running or paused", f.Agent.Status).
			WithHint("wait, or check the runner in Maia's console"))
	case f.left() < budget:
		return refuse(Errorf(NotReady, "%s are left in this run, a refresh needs %s", f.left().Round(time.Second), budget).
			WithHint("give the function more time"))
	case !f.Run.Checked:
		return Step{Kind: Check, Reason: "a rotation is due"}
	}
	if step, decided := f.drain(budget); decided {
		return step
	}
	until := f.Agent.PausedUntil
	if f.policy.Drain == DrainPause && !until.IsZero() && until.Before(f.now.Add(f.policy.downtimeBudget(f.Run.StoreTime))) {
		return refuse(Errorf(NotReady, "the runner's pause ends at %s, before it could be back", until.UTC().Format(time.RFC3339)).
			WithHint("if pauses are always that short, lower the connect time-out (%s now): a pause must outlast it", f.policy.ConnectTimeout))
	}
	return Step{Kind: Refresh, Reason: "a rotation is due and the way is clear"}
}

// drain sees to it that no pipeline runs; decided is false when that is so. reserve is the time that must be left then.
func (f *facts) drain(reserve time.Duration) (step Step, decided bool) {
	if f.policy.Drain == DrainNone {
		return Step{}, false
	}
	concurrent := f.concurrentPause() && f.left() > 0
	if !f.paused() {
		switch {
		case f.Agent.Status != maia.StatusRunning:
			return refuse(Errorf(NotReady, "Maia says that the runner's status is %q: it cannot be drained", f.Agent.Status).
				WithHint("wait, or check the runner in Maia's console")), true
		case f.Run.Pause != PauseNotSent:
			return refuse(Errorf(NotReady, "the runner was resumed by another writer while it drained").
				WithHint("nothing: the next run tries again")), true
		case concurrent:
			return Step{Kind: AwaitDrained, Reason: "another run is about to pause the runner"}, true
		}
		return Step{Kind: Pause, Reason: "running pipelines must finish first"}, true
	}
	drained := f.Agent.Status == maia.StatusPaused
	if note := f.Platform.Note.Paused; note != nil && !note.Confirmed && f.pause == PauseOurs && (drained || !f.Agent.PausedUntil.IsZero()) {
		if concurrent {
			return Step{Kind: AwaitDrained, Reason: "another run is about to confirm that the pause is ours"}, true
		}
		return Step{Kind: Pause, Reason: "the pause has taken effect: confirm that it is ours"}, true
	}
	if drained && f.pauseUndecided() {
		return Step{Kind: AwaitDrained, Reason: "the end of the pause has changed: whose pause it is shows in whether it stands still"}, true
	}
	if drained {
		return Step{}, false
	}
	since := f.Run.DrainSince
	if since.IsZero() {
		since = f.now
	}
	limit := since.Add(f.policy.DrainTimeout)
	if latest := f.Run.Deadline.Add(-reserve); latest.Before(limit) {
		limit = latest
	}
	if !f.now.Before(limit) {
		return refuse(Errorf(NotReady, "pipelines were still running after %s", f.now.Sub(since).Round(time.Second)).
			WithHint("rotate when the runner is quiet, or allow a longer drain time-out")), true
	}
	return Step{Kind: AwaitDrained, Reason: "pipelines are running"}, true
}
