package aws

import (
	"context"
	"fmt"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
	"github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// Fault is one of this cloud.
type Fault = sandbox.Fault[*World]

// Faults are all of them.
func Faults() sandbox.Faults[*World] {
	first, last := sandbox.OfMaia(func(w *World) *sandbox.Trial { return &w.Trial }, func(w *World) { w.Function.Kill() })
	return append(append(first, []Fault{
		{
			Name: "never-retried", Refreshes: 1,
			What:     "The function is killed right after the refresh, and nobody tries again: the healing schedule brings the runner back.",
			Attempts: 1,
			Inject:   sandbox.Does(func(w *World) { w.KilledAfterRefresh(w.Function.Kill) }),
			Play:     neverRetried,
		},
		{
			Name: "put-fails", Refreshes: 1,
			What:   "The new secret cannot be stored: Secrets Manager fails six times.",
			Inject: putFails,
		},
		{
			Name: "put-answer-lost", Refreshes: 1,
			What:   "Secrets Manager stores the new secret, but its answer is lost.",
			Inject: putAnswerLost,
		},
		{
			Name: "restart-fails", Refreshes: 1,
			What:   "The deployment that restarts the runner fails.",
			Inject: restartFails,
		},
		{
			Name: "drain-never-ends", Refreshes: 1,
			What:    "A pipeline does not end in time: nothing is refreshed until it has.",
			Env:     []string{"MAIA_ROTATE_DRAIN_TIMEOUT=3s"},
			Endless: true,
			Inject:  drainNeverEnds,
		},
		{
			Name: "reverted-by-terraform", Refreshes: 1,
			What: "After a rotation another writer puts the revoked secret back into the store.",
			Play: revertedByTerraform,
		},
		{
			Name: "refreshed-in-console", Refreshes: 2,
			What:   "A person refreshes in Maia's console in the middle of a rotation.",
			Inject: refreshedInConsole,
			Play:   refreshedInConsolePlay,
		},
	}...), last)
}

// Play rotates with the world's fault: once, or as often as the fault needs. An error means that it could not be
// played; [World.Proofs] says how it came out.
func (w *World) Play(ctx context.Context) error {
	if play := w.Fault.Play; play != nil {
		return play(ctx, w)
	}
	return w.expect(ctx, secretsmanager.RotationSucceeded)
}

// expect rotates, and makes a proof of the end.
func (w *World) expect(ctx context.Context, name string) error {
	end, err := w.Rotate(ctx)
	if err != nil {
		return err
	}
	w.Prove("Secrets Manager reports "+name, end.Name == name, "it reports "+end.Name)
	return nil
}

func neverRetried(ctx context.Context, w *World) error {
	if err := w.expect(ctx, secretsmanager.RotationFailed); err != nil {
		return err
	}
	w.Prove("it left the runner cut off", !w.connected(), "it is connected")
	err := w.Heal(ctx)
	w.Prove("the next healing event succeeds", err == nil, fmt.Sprint(err))
	return ctx.Err()
}

func putFails(_ context.Context, w *World) error {
	// One more than the SDK tries: the function must try again by itself, or fail and be invoked again.
	const failures = 6
	count := 0
	w.Secrets.Inject(awsjson.Fault{
		Operation: "PutSecretValue", Kind: awsjson.Status5xx, Times: failures,
		After: func() {
			if count++; count == failures {
				w.Happened()
			}
		},
	})
	return nil
}

func putAnswerLost(_ context.Context, w *World) error {
	w.Secrets.Inject(awsjson.Fault{
		Operation: "PutSecretValue", Kind: awsjson.DropAfter, Times: 1,
		After: w.Happened,
	})
	return nil
}

func restartFails(_ context.Context, w *World) error {
	w.ECS.FailNextDeployment(Cluster, Service, false)
	w.ECS.OnCall(func(awsjson.Call) {
		w.mu.Lock()
		broken := len(w.broken) > 0
		w.mu.Unlock()
		if broken {
			w.Happened()
		}
	})
	return nil
}

func drainNeverEnds(ctx context.Context, w *World) error {
	w.afterStep = func(_ string, err error) {
		w.afterStep = nil
		w.Happened()
		w.Prove("not drained in time, the rotation failed", err != nil, "the step succeeded")
		w.Prove("it refreshed nothing", w.Refreshes() == 0, "it refreshed")
		agent, agentErr := w.Maia.Client.Agent(ctx, sandbox.AgentID)
		w.Prove("it left the runner resumed and connected",
			agentErr == nil && agent.Status == "running" && agent.Connected && w.connected(), "status "+string(agent.Status))
		w.Maia.FinishTasks(sandbox.AgentID)
		w.Journal.Add(sandbox.FromFault, "pipeline-ended", "the pipeline ends at last")
	}
	return nil
}

func revertedByTerraform(ctx context.Context, w *World) error {
	if err := w.expect(ctx, secretsmanager.RotationSucceeded); err != nil {
		return err
	}
	w.Inject("reverted", "another writer puts the revoked secret back into the store")
	w.Secrets.Put(w.SecretARN, w.Document)
	w.onLabels()
	refreshes, tasks := w.Refreshes(), w.fleet.count()
	if err := w.expect(ctx, secretsmanager.RotationSucceeded); err != nil {
		return err
	}
	w.Prove("the rotation that found it refreshed nothing", w.Refreshes() == refreshes, "it refreshed")
	w.Prove("it did not restart the connected runner", w.fleet.count() == tasks, "it did")
	return nil
}

func refreshedInConsole(_ context.Context, w *World) error {
	w.afterStep = func(step string, err error) {
		if step != "createSecret" || err != nil {
			return
		}
		w.afterStep = nil
		w.RefreshedInConsole()
	}
	return nil
}

func refreshedInConsolePlay(ctx context.Context, w *World) error {
	if err := w.expect(ctx, secretsmanager.RotationAbandoned); err != nil {
		return err
	}
	w.Prove("it left the store with what Maia holds, and the runner connected", w.storeIsMaia() && w.connected(), "it did not")
	return w.expect(ctx, secretsmanager.RotationSucceeded)
}
