package aws

import (
	"context"
	"fmt"
	"slices"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
	"github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// Fault is something that goes wrong with a rotation, and how it goes on.
type Fault struct {
	Name      string
	What      string // in one sentence
	Refreshes int    // how many may be carried out: as many as rotations were due. A person's do not count

	env      []string                            // of the function
	attempts int                                 // of a rotation; 0: as many as Secrets Manager makes
	endless  bool                                // the runner's pipeline does not end by itself
	inject   func(context.Context, *World) error // before the first rotation
	play     func(context.Context, *World) error // instead of one rotation that succeeds
}

// Faults lists all of them.
func Faults() []Fault { return slices.Clone(faults) }

// FindFault finds one by its name.
func FindFault(name string) (Fault, bool) {
	i := slices.IndexFunc(faults, func(f Fault) bool { return f.Name == name })
	if i < 0 {
		return Fault{}, false
	}
	return faults[i], true
}

var faults = []Fault{
	{
		Name: "refresh-answer-lost", Refreshes: 1,
		What:   "Maia carries the refresh out, but its answer never arrives.",
		inject: sandbox.Does(func(w *World) { w.trial.RefreshAnswerLost() }),
	},
	{
		Name: "refresh-late", Refreshes: 1,
		What:   "The refresh gets no answer and is carried out three seconds later.",
		inject: sandbox.Does(func(w *World) { w.trial.RefreshLate() }),
	},
	{
		Name: "killed-after-refresh", Refreshes: 1,
		What:   "The function is killed right after Maia carried the refresh out.",
		inject: sandbox.Does(func(w *World) { w.trial.KilledAfterRefresh(w.Function.Kill) }),
	},
	{
		Name: "never-retried", Refreshes: 1,
		What:     "The function is killed right after the refresh, and nobody tries again: the healing schedule brings the runner back.",
		attempts: 1,
		inject:   sandbox.Does(func(w *World) { w.trial.KilledAfterRefresh(w.Function.Kill) }),
		play:     neverRetried,
	},
	{
		Name: "put-fails", Refreshes: 1,
		What:   "The new secret cannot be stored: Secrets Manager fails six times.",
		inject: putFails,
	},
	{
		Name: "put-answer-lost", Refreshes: 1,
		What:   "Secrets Manager stores the new secret, but its answer is lost.",
		inject: putAnswerLost,
	},
	{
		Name: "restart-fails", Refreshes: 1,
		What:   "The deployment that restarts the runner fails.",
		inject: restartFails,
	},
	{
		Name: "drain-never-ends", Refreshes: 1,
		What:    "A pipeline does not end in time: nothing is refreshed until it has.",
		env:     []string{"MAIA_ROTATE_DRAIN_TIMEOUT=3s"},
		endless: true,
		inject:  drainNeverEnds,
	},
	{
		Name: "reverted-by-terraform", Refreshes: 1,
		What: "After a rotation another writer puts the revoked secret back into the store.",
		play: revertedByTerraform,
	},
	{
		Name: "refreshed-in-console", Refreshes: 2,
		What:   "A person refreshes in Maia's console in the middle of a rotation.",
		inject: refreshedInConsole,
		play:   refreshedInConsolePlay,
	},
	{
		Name: "paused-by-operator", Refreshes: 1,
		What:   "An operator has paused the runner: it must stay paused.",
		inject: func(ctx context.Context, w *World) error { return w.trial.PausedByOperator(ctx) },
	},
}

// Play rotates with the world's fault: once, or as often as the fault needs. An error means that it could not be
// played; [World.Proofs] says how it came out.
func (w *World) Play(ctx context.Context) error {
	if play := w.options.Fault.play; play != nil {
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
	w.prove("Secrets Manager reports "+name, end.Name == name, "it reports "+end.Name)
	return nil
}

func neverRetried(ctx context.Context, w *World) error {
	if err := w.expect(ctx, secretsmanager.RotationFailed); err != nil {
		return err
	}
	w.prove("it left the runner cut off", !w.connected(), "it is connected")
	err := w.Heal(ctx)
	w.prove("the next healing event succeeds", err == nil, fmt.Sprint(err))
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
				w.trial.Happened()
			}
		},
	})
	return nil
}

func putAnswerLost(_ context.Context, w *World) error {
	w.Secrets.Inject(awsjson.Fault{
		Operation: "PutSecretValue", Kind: awsjson.DropAfter, Times: 1,
		After: w.trial.Happened,
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
			w.trial.Happened()
		}
	})
	return nil
}

func drainNeverEnds(ctx context.Context, w *World) error {
	w.afterStep = func(_ string, err error) {
		w.afterStep = nil
		w.trial.Happened()
		w.prove("not drained in time, the rotation failed", err != nil, "the step succeeded")
		w.prove("it refreshed nothing", w.Maia.Refreshes(sandbox.AgentID) == 0, "it refreshed")
		agent, agentErr := w.Maia.Client.Agent(ctx, sandbox.AgentID)
		w.prove("it left the runner resumed and connected",
			agentErr == nil && agent.Status == "running" && agent.Connected && w.connected(), "status "+string(agent.Status))
		w.Maia.FinishTasks(sandbox.AgentID)
		w.journal.Add(sandbox.FromFault, "pipeline-ended", "the pipeline ends at last")
	}
	return nil
}

func revertedByTerraform(ctx context.Context, w *World) error {
	if err := w.expect(ctx, secretsmanager.RotationSucceeded); err != nil {
		return err
	}
	w.trial.Inject("reverted", "another writer puts the revoked secret back into the store")
	w.Secrets.Put(w.SecretARN, w.Document)
	w.onLabels()
	refreshes, tasks := w.Maia.Refreshes(sandbox.AgentID), w.fleet.count()
	if err := w.expect(ctx, secretsmanager.RotationSucceeded); err != nil {
		return err
	}
	w.prove("the rotation that found it refreshed nothing", w.Maia.Refreshes(sandbox.AgentID) == refreshes, "it refreshed")
	w.prove("it did not restart the connected runner", w.fleet.count() == tasks, "it did")
	return nil
}

func refreshedInConsole(_ context.Context, w *World) error {
	w.afterStep = func(step string, err error) {
		if step != "createSecret" || err != nil {
			return
		}
		w.afterStep = nil
		w.trial.RefreshedInConsole()
	}
	return nil
}

func refreshedInConsolePlay(ctx context.Context, w *World) error {
	if err := w.expect(ctx, secretsmanager.RotationAbandoned); err != nil {
		return err
	}
	w.prove("it left the store with what Maia holds, and the runner connected", w.storeIsMaia() && w.connected(), "it did not")
	return w.expect(ctx, secretsmanager.RotationSucceeded)
}
