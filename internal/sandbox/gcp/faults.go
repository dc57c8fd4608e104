package gcp

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/release"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// Fault is one of this cloud.
type Fault = sandbox.Fault[*World]

// Faults are all of them.
func Faults() sandbox.Faults[*World] {
	first, last := sandbox.OfMaia(func(w *World) *sandbox.Trial { return &w.Trial }, func(w *World) { w.Function.Kill() })
	return append(append(first, []Fault{
		{
			Name: "killed-in-upgrade", Refreshes: 1,
			What:   "The function is killed in the middle of the Helm upgrade: its revision stays pending, until the next call.",
			Inject: killedInUpgrade,
		},
		{
			Name: "upgrade-answer-lost", Refreshes: 1,
			What:   "The Secret is changed by the upgrade, but the answer is lost: Helm takes the upgrade for failed.",
			Inject: upgradeAnswerLost,
		},
		{
			Name: "api-server-away", Refreshes: 1,
			What:   "The Kubernetes API does not answer eight times, right after the refresh.",
			Inject: apiServerAway,
		},
		{
			Name: "crash-loop", Refreshes: 1,
			What:   "The pods that the restart starts crash.",
			Inject: crashLoop,
		},
		{
			Name: "no-room", Refreshes: 1,
			What:   "The new pods find no node for three seconds, for old ones take their time to end.",
			Inject: noRoom,
		},
		{
			Name: "helm-busy", Refreshes: 1,
			What:   "Another writer's Helm upgrade is in progress: nothing is refreshed until it has ended.",
			Inject: helmBusy,
			Play:   helmBusyPlay,
		},
		{
			Name: "called-twice", Refreshes: 1,
			What: "Cloud Scheduler delivers a call twice, to the same instance and to another one.",
			Play: calledTwice,
		},
		{
			Name: "drain-never-ends", Refreshes: 1,
			What:    "A pipeline does not end in time: nothing is refreshed until it has.",
			Env:     []string{"MAIA_ROTATE_DRAIN_TIMEOUT=3s"},
			Endless: true,
			Play:    drainNeverEnds,
		},
		{
			Name: "reverted-by-helm", Refreshes: 1,
			What: "After a rotation another writer upgrades the release with the values of before: the revoked secret is back.",
			Play: revertedByHelm,
		},
		{
			Name: "refreshed-in-console", Refreshes: 1,
			What: "After a rotation a person refreshes in Maia's console.",
			Play: refreshedInConsole,
		},
	}...), last)
}

// Play calls the function with the world's fault, and once more: then nothing is due. An error means that it could not be
// played; [World.Proofs] says how it came out.
func (w *World) Play(ctx context.Context) error {
	play := w.Fault.Play
	if play == nil {
		play = callUntilOK
	}
	if err := play(ctx, w); err != nil {
		return err
	}
	return w.NothingDue(ctx, w.pods.count, w.succeeds)
}

// succeeds calls, and reports whether the call succeeds.
func (w *World) succeeds(ctx context.Context) bool {
	status, _ := w.Call(ctx)
	return status == http.StatusOK
}

func callUntilOK(ctx context.Context, w *World) error { return w.CallUntilOK(ctx, w.succeeds) }

// expect calls, and makes a proof of the status.
func (w *World) expect(ctx context.Context, want int) error {
	status, _ := w.Call(ctx)
	w.Prove(fmt.Sprintf("the call is answered with %d", want), status == want, fmt.Sprintf("it is %d", status))
	return ctx.Err()
}

func (w *World) kill() { w.Kill(w.Function.Kill) }

// ofSecret is the change of the runner's Secret.
func ofSecret(r Request) bool { return r.Changes() && r.Resource == "secrets" && r.Name == Secret }

func killedInUpgrade(_ context.Context, w *World) error {
	w.proxy.inject(requestFault{of: ofSecret, times: 1, after: func(Request) { w.kill() }})
	return nil
}

func upgradeAnswerLost(_ context.Context, w *World) error {
	w.proxy.inject(requestFault{of: ofSecret, times: 1, after: func(Request) {
		w.Inject("answer-lost", "the Secret is changed, and the answer is lost")
	}})
	return nil
}

func apiServerAway(_ context.Context, w *World) error {
	var once sync.Once
	w.proxy.inject(requestFault{of: func(Request) bool { return w.Refreshes() > 0 }, times: 8, before: true,
		after: func(Request) {
			once.Do(func() { w.Inject("api-away", "the Kubernetes API does not answer") })
		}})
	return nil
}

func crashLoop(ctx context.Context, w *World) error {
	w.Happened()
	return w.annotate(ctx, "break", "1")
}

func noRoom(ctx context.Context, w *World) error {
	if err := w.annotate(ctx, "terminate", "20s"); err != nil {
		return err
	}
	if err := w.annotate(ctx, "hang", "true"); err != nil {
		return err
	}
	w.Once(maiatest.RefreshCredentials, func() {
		w.Inject("no-room", "no node has room for new pods")
		time.AfterFunc(4*time.Second, func() {
			if w.annotate(ctx, "hang", nil) == nil {
				w.Journal.Add(sandbox.FromFault, "room", "a node has room again")
			}
		})
	})
	return nil
}

func helmBusy(_ context.Context, w *World) error {
	last, err := w.helm.Releases.Last(Release)
	if err != nil {
		return err
	}
	begun := *last
	info := *last.Info
	info.Status, info.Description = release.StatusPendingUpgrade, "Preparing upgrade"
	begun.Version, begun.Info = last.Version+1, &info
	return w.helm.Releases.Create(&begun)
}

func helmBusyPlay(ctx context.Context, w *World) error {
	if err := w.expect(ctx, http.StatusInternalServerError); err != nil {
		return err
	}
	w.ProveNothingRefreshed("while it is in progress nothing is refreshed")
	last, err := w.helm.Releases.Last(Release)
	if err != nil {
		return err
	}
	w.Prove("another writer's revision is left alone", last.Info.Status == release.StatusPendingUpgrade, "it is "+last.Info.Status.String())
	w.Inject("upgrade-ended", "another writer's upgrade fails")
	last.SetStatus(release.StatusFailed, "Upgrade failed")
	if err := w.helm.Releases.Update(last); err != nil {
		return err
	}
	return w.expect(ctx, http.StatusOK)
}

func calledTwice(ctx context.Context, w *World) error {
	other := w.Another()
	type answer struct {
		status int
		says   string
	}
	answers := make(chan answer, 2)
	w.Once(maiatest.Pause, func() {
		w.Inject("called-again", "the call is delivered again, to the same instance and to another one")
		for _, function := range []*Function{w.Function, other} {
			w.working.Go(func() {
				status, body := w.call(ctx, function)
				says := body.Note
				for _, target := range body.Targets {
					says += target.Text()
				}
				answers <- answer{status, says}
			})
		}
	})
	if err := w.expect(ctx, http.StatusOK); err != nil {
		return err
	}
	for range 2 {
		select {
		case got := <-answers:
			w.Prove("a duplicate is answered with 200 and says why it did nothing", got.status == http.StatusOK && got.says != "",
				fmt.Sprint(got.status, " ", got.says))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func drainNeverEnds(ctx context.Context, w *World) error {
	if err := w.expect(ctx, http.StatusInternalServerError); err != nil {
		return err
	}
	w.ProveNothingRefreshed("it refreshed nothing")
	w.ProveLeftAsItWas(ctx)
	w.Maia.FinishTasks(sandbox.AgentID)
	w.Inject("pipeline-ended", "the pipeline ends at last")
	return w.expect(ctx, http.StatusOK)
}

func revertedByHelm(ctx context.Context, w *World) error {
	before, err := w.deployed()
	if err != nil {
		return err
	}
	if err := w.expect(ctx, http.StatusOK); err != nil {
		return err
	}
	w.Inject("reverted", "another writer upgrades the release with the values of before, which scales it to the chart's 2 replicas too")
	upgrade := action.NewUpgrade(w.helm)
	upgrade.Namespace = w.namespace
	if _, err := upgrade.RunWithContext(ctx, Release, before.Chart, before.Config); err != nil {
		return err
	}
	if err := w.Healed(ctx, w.succeeds); err != nil {
		return err
	}
	if err := w.scale(ctx, Replicas); err != nil { // as an autoscaler does, in its own time
		return err
	}
	return w.settle(ctx)
}

func refreshedInConsole(ctx context.Context, w *World) error {
	if err := w.expect(ctx, http.StatusOK); err != nil {
		return err
	}
	w.RefreshedInConsole()
	return w.Healed(ctx, w.succeeds)
}
