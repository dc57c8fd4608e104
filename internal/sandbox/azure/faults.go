package azure

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/functionshost"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// Fault is one of this cloud.
type Fault = sandbox.Fault[*World]

// Faults are all of them.
func Faults() sandbox.Faults[*World] {
	first, last := sandbox.OfMaia(func(w *World) *sandbox.Trial { return &w.Trial }, func(w *World) { w.Host.Kill() })
	return append(append(first, []Fault{
		{
			Name: "killed-in-patch", Refreshes: 1,
			What:   "The function is killed when Azure has accepted the change of the app's secrets.",
			Inject: sandbox.Does(killedInPatch),
		},
		{
			Name: "killed-by-timeout", Refreshes: 1,
			What:    "Azure hangs after the refresh, until the host kills the function at functionTimeout.",
			Timeout: 10 * time.Second,
			Inject:  sandbox.Does(killedByTimeout),
		},
		{
			Name: "patch-fails", Refreshes: 1,
			What:   "The new secret cannot be stored: Azure fails six times.",
			Inject: sandbox.Does(patchFails),
		},
		{
			Name: "patch-ends-failed", Refreshes: 1,
			What:   "Azure accepts the change of the app's secrets, and it fails afterwards.",
			Inject: sandbox.Does(patchEndsFailed),
		},
		{
			Name: "patch-answer-lost", Refreshes: 1,
			What:   "Azure changes the app's secrets, but its answer is lost.",
			Inject: sandbox.Does(patchAnswerLost),
		},
		{
			Name: "conflict", Refreshes: 1,
			What:   "Azure refuses the change of the app's secrets twice, because of another operation (409).",
			Inject: sandbox.Does(conflict),
		},
		{
			Name: "secret-changed-midway", Refreshes: 1,
			What: "Another person changes another secret of the app, between the list of the secrets and their change.",
			Play: otherSecretChanged,
		},
		{
			Name: "change-in-progress", Refreshes: 1,
			What: "Another writer's change of the app is in progress: nothing is refreshed until it has ended.",
			Play: changeInProgress,
		},
		{
			Name: "restart-fails", Refreshes: 1,
			What:   "The replicas that the restart starts crash.",
			Inject: sandbox.Does(restartFails),
		},
		{
			Name: "drain-never-ends", Refreshes: 1,
			What:    "A pipeline does not end in time: nothing is refreshed until it has.",
			Env:     []string{"MAIA_ROTATE_DRAIN_TIMEOUT=3s"},
			Endless: true,
			Inject:  drainNeverEnds,
		},
		{
			Name: "lease-held", Refreshes: 1,
			What:   "A run on a machine that is gone holds the lease of the runner's blob: nothing is done until it has ended.",
			Inject: sandbox.Does(leaseHeld),
		},
		{
			Name: "lease-lost", Refreshes: 1,
			What:   "An operator breaks the lease of the runner's blob in the middle: nothing is refreshed by that run.",
			Inject: sandbox.Does(leaseLost),
		},
		{
			Name: "timer-replayed", Refreshes: 1,
			What: "The timer is replayed during a call, on the same machine and on another one.",
			Play: timerReplayed,
		},
		{
			Name: "identity-away", Refreshes: 1,
			What:   "The function's identity gets no token: nothing is done until it does.",
			Inject: sandbox.Does(identityAway),
		},
		{
			Name: "right-missing", Refreshes: 1,
			What:   "The function may not restart revisions: nothing is refreshed, and the error names the action.",
			Inject: sandbox.Does(rightMissing),
		},
		{
			Name: "reverted-by-terraform", Refreshes: 1,
			What: "After a rotation another writer puts the revoked secret back into the app.",
			Play: revertedByTerraform,
		},
		{
			Name: "refreshed-in-console", Refreshes: 1,
			What: "After a rotation a person refreshes in Maia's console.",
			Play: refreshedInConsole,
		},
	}...), last)
}

// Play has the timer fire with the world's fault, and once more: then nothing is due. An error means that it could not be
// played; [World.Proofs] says how it came out.
func (w *World) Play(ctx context.Context) error {
	play := w.Fault.Play
	if play == nil {
		play = callUntilOK
	}
	if err := play(ctx, w); err != nil {
		return err
	}
	return w.NothingDue(ctx, w.fleet.count, w.CallPastDue)
}

func callUntilOK(ctx context.Context, w *World) error { return w.CallUntilOK(ctx, w.Call) }

// storing reports whether a body changes the runner's secret. One that sends all secrets as they are asks only whether a change is
// allowed.
func (w *World) storing(body []byte) bool {
	return bytes.Contains(body, []byte(`"secrets"`)) && !bytes.Contains(body, []byte(`"`+w.Apps.Secret(App, Secret).Value+`"`))
}

func killedInPatch(w *World) {
	w.Apps.Inject(wire.Fault{Operation: opWrite, Match: w.storing, Nth: 1, Kind: wire.DropAfter, After: func() { w.Kill(w.Host.Kill) }})
}

func killedByTimeout(w *World) {
	w.Apps.Inject(wire.Fault{Operation: opWrite, Match: w.storing, Nth: 1, Kind: wire.Slow, Delay: time.Hour})
	w.between = func(result functionshost.Result) {
		if result.TimedOut {
			w.Happened()
		}
		w.Host.KeepFunctionTimeout()
	}
}

func patchFails(w *World) {
	// More than the SDK tries: the function must try again by itself, or fail and be called again.
	const failures = 6
	count := 0
	w.Apps.Inject(wire.Fault{Operation: opWrite, Match: w.storing, Kind: wire.Status5xx, Times: failures, After: func() {
		if count++; count == failures {
			w.Happened()
		}
	}})
}

func patchEndsFailed(w *World) {
	w.Apps.Inject(wire.Fault{Operation: opWrite, Match: w.storing, Nth: 1, Before: func() { w.Apps.FailUpdates(App, 1) }, After: func() {
		w.Inject("change-fails", "the change of the app's secrets is accepted, and will fail")
	}})
}

func patchAnswerLost(w *World) {
	w.Apps.Inject(wire.Fault{Operation: opWrite, Match: w.storing, Nth: 1, Kind: wire.DropAfter, After: w.Happened})
}

func conflict(w *World) {
	w.Apps.Inject(wire.Fault{Operation: opWrite, Match: w.storing, Kind: wire.Conflict, Times: 2, After: w.Happened})
}

// otherSecretChanged has another person's change begin when the function has listed the secrets and is about to send them,
// and end when the function has read the app again.
func otherSecretChanged(ctx context.Context, w *World) error {
	before, after := w.Apps.Secret(App, otherSecret).Value, w.newSecret("another secret of the app")
	var mu sync.Mutex
	end, reads := func() {}, 0
	w.Apps.Inject(wire.Fault{Operation: opWrite, Match: w.storing, Nth: 1, Before: func() {
		w.Inject("changed-midway", "another person changes the secret "+otherSecret)
		mu.Lock()
		defer mu.Unlock()
		reads, end = 2, w.Apps.Begin(App, func() { w.Apps.SetSecret(App, otherSecret, after) })
	}})
	w.Apps.OnCall(func(call wire.Call) {
		mu.Lock()
		defer mu.Unlock()
		if call.Operation != opRead || reads == 0 {
			return
		}
		if reads--; reads == 0 {
			end()
			w.Journal.Add(sandbox.FromFault, "change-ended", "the other person's change has ended")
		}
	})
	if err := callUntilOK(ctx, w); err != nil {
		return err
	}
	w.Prove("the other person's change is there still", w.Apps.Secret(App, otherSecret).Value == after, "it is lost")
	w.others = strings.Replace(w.others, before, after, 1)
	return nil
}

// changeInProgress has another writer's change end when the function has read it some times.
func changeInProgress(ctx context.Context, w *World) error {
	w.Inject("change-begun", "another writer changes the app")
	end := w.Apps.Begin(App, nil)
	var mu sync.Mutex
	reads := 8
	w.Apps.OnCall(func(call wire.Call) {
		mu.Lock()
		defer mu.Unlock()
		if call.Operation != opRead || reads == 0 {
			return
		}
		if reads--; reads == 0 {
			w.ProveNothingRefreshed("while it is in progress nothing is refreshed")
			end()
			w.Journal.Add(sandbox.FromFault, "change-ended", "another writer's change has ended")
		}
	})
	return callUntilOK(ctx, w)
}

func restartFails(w *World) {
	w.Apps.BreakRestarts(App, 1)
	var once sync.Once
	w.Apps.OnCall(func(call wire.Call) {
		if call.Operation == opRestart && call.Status == http.StatusOK {
			once.Do(func() { w.Inject("crash", "the replicas that are started crash") })
		}
	})
}

func drainNeverEnds(ctx context.Context, w *World) error {
	w.between = func(result functionshost.Result) {
		w.proveFailed(result)
		w.ProveLeftAsItWas(ctx)
		w.Maia.FinishTasks(sandbox.AgentID)
		w.Inject("pipeline-ended", "the pipeline ends at last")
	}
	return nil
}

// proveFailed adds that the first call failed and changed nothing.
func (w *World) proveFailed(result functionshost.Result) {
	w.Prove("the first try fails", result.Failure != "", "it succeeds")
	w.ProveNothingRefreshed("it refreshed nothing")
	w.Prove("it changed nothing of the app", w.untouched() == w.others && w.storeIsMaia(), "it did")
}

// blob is the name of the runner's.
const blob = sandbox.AgentID + ".json"

func leaseHeld(w *World) {
	const left = 8 * time.Second
	w.State.Put(StateContainer, blob, "")
	until := time.Now().Add(left)
	w.State.Lease(StateContainer, blob, left)
	w.Once(maiatest.Pause, func() {
		w.Inject("lease-ended", "the lease of the run that is gone has ended")
		w.Prove("until it had ended nothing was done to the runner", !time.Now().Before(until), "it was")
	})
}

func leaseLost(w *World) {
	w.Once(maiatest.Pause, func() {
		w.State.Break(StateContainer, blob)
		w.Inject("lease-broken", "an operator breaks the lease of the runner's blob")
	})
	w.between = func(result functionshost.Result) { w.proveFailed(result) }
}

func timerReplayed(ctx context.Context, w *World) error {
	other, err := w.Machine(ctx)
	if err != nil {
		return err
	}
	type answer struct {
		functionshost.Result
		err error
	}
	answers := make(chan answer, 2)
	w.Once(maiatest.Pause, func() {
		w.Inject("replayed", "the timer is replayed, on the same machine and on another one")
		for _, host := range []*functionshost.Host{w.Host, other} {
			w.working.Go(func() {
				result, err := host.Invoke(ctx, function, functionshost.Timer{PastDue: true})
				answers <- answer{result, err}
			})
		}
	})
	if err := callUntilOK(ctx, w); err != nil {
		return err
	}
	for range 2 {
		select {
		case got := <-answers:
			w.Keep(got.Body)
			w.Keep([]byte(got.Failure))
			w.Prove("a replayed call succeeds and says why it did nothing", got.err == nil && got.Failure == "" && len(got.Logs) > 0,
				fmt.Sprint(got.Failure, got.err))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func identityAway(w *World) {
	repair := w.Identity.Inject(wire.Fault{Kind: wire.Status5xx, After: w.Happened})
	w.between = func(result functionshost.Result) {
		w.proveFailed(result)
		repair()
	}
}

func rightMissing(w *World) {
	repair := w.Apps.Inject(wire.Fault{Operation: opRestart, Kind: wire.AccessDenied, After: w.Happened})
	w.between = func(result functionshost.Result) {
		w.proveFailed(result)
		w.Prove("it names the action", bytes.Contains(result.Body, []byte("Microsoft.App/containerApps/"+opRestart)), "it does not")
		repair()
	}
}

func revertedByTerraform(ctx context.Context, w *World) error {
	before := w.Apps.Secret(App, Secret).Value
	if err := callUntilOK(ctx, w); err != nil {
		return err
	}
	w.Inject("reverted", "an operator applies the Terraform of before: the revoked secret is back in the app")
	w.Apps.SetSecret(App, Secret, before)
	w.onStored()
	replicas := w.fleet.count()
	if err := w.Healed(ctx, w.Call); err != nil {
		return err
	}
	w.Prove("it did not restart the connected runner", w.fleet.count() == replicas, "it did")
	return nil
}

func refreshedInConsole(ctx context.Context, w *World) error {
	if err := callUntilOK(ctx, w); err != nil {
		return err
	}
	w.RefreshedInConsole()
	return w.Healed(ctx, w.Call)
}
