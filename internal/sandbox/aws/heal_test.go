package aws

import (
	"context"
	"github.com/maia-rotate/maia-rotate/internal/sandbox/sandboxtest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
	"github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/internal/runnerstate"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// untilResumed is when a healing event takes a pause back whose rotation cannot be alive any more, with the time-outs
// below: drain + 40 s + connect. In production the events are further apart.
const untilResumed = 56 * time.Second

// untilShown is when a PAUSE that was noted and did not show does not take effect any more, in the eyes of the function.
const untilShown = 125 * time.Second

// patience is how long a test waits for a healing event that can heal, unless MAIA_ROTATE_PROVE=1 is set.
const patience = 90 * time.Second

// The states are those of the rotation package's own test: all that a rotation can be cut off in.
func TestTheCompiledFunctionHealsEveryState(t *testing.T) {
	if testing.Short() {
		t.Skip("the compiled function takes minutes")
	}
	t.Parallel()
	binary, err := Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile("../../../functions/aws-lambda/rotation/testdata/states.golden")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("figure: states, ways to cut a rotation of Secrets Manager's off, healed: %d", strings.Count(string(golden), "\n"))
	for line := range strings.Lines(string(golden)) {
		way, state, _ := strings.Cut(strings.TrimSpace(line), ": ")
		t.Run(strings.ReplaceAll(way, " ", "-"), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			// A state that passes by itself lasts until it was read, also where the machine is busy.
			options := Options{
				Binary: binary, Attempts: 1, pipeline: 4 * time.Second, rollDelay: 3 * time.Second, // longer than the function waits between two reads
				Env:     []string{"MAIA_ROTATE_DRAIN_TIMEOUT=5s", "MAIA_ROTATE_CONNECT_TIMEOUT=10s"},
				OnEvent: sandboxtest.LogIfFailed(t),
			}
			again := untilResumed
			if strings.HasSuffix(state, "in_progress") {
				options.startDelay, options.rollDelay = 8*time.Second, 8*time.Second
				options.Env[1] = "MAIA_ROTATE_CONNECT_TIMEOUT=40s"
				again += 30 * time.Second
			}
			world, err := New(ctx, options)
			if err != nil {
				t.Fatal(err)
			}
			defer world.Close()
			arrange, special := world.specialWays()[state]
			if !special {
				arrange = world.cutOff(t, strings.Fields(way))
			}
			arrange(t)
			ended := time.Now()
			if got := world.State(t); got != state {
				t.Fatalf("the state is\n%s, want\n%s", got, state)
			}
			refreshes := world.Refreshes()
			world.mustHeal(ctx, t, ended.Add(again))
			if world.Refreshes() != refreshes {
				t.Error("healing has refreshed")
			}
		})
	}
}

// mustHeal sends the first healing event at once and the second, if it is needed, when the rotation that has ended cannot
// be alive any more in the eyes of the function, which knows only when it paused; or, if it has noted that it is about to
// refresh, when that cannot be carried out any more.
func (w *World) mustHeal(ctx context.Context, t *testing.T, dead time.Time) {
	t.Helper()
	ended := time.Now()
	if first := w.Heal(ctx); first != nil || len(w.wrong()) > 0 {
		switch versions := w.Secrets.Versions(w.SecretARN); {
		case slices.ContainsFunc(versions, notesIntent):
			dead = ended.Add(rotate.DefaultPolicy().QuietTime)
		case slices.ContainsFunc(versions, notesPausing):
			dead = ended.Add(untilShown)
		}
		if left := time.Until(dead); left > patience && os.Getenv("MAIA_ROTATE_PROVE") != "1" {
			t.Skipf("what is left heals in %s: make prove waits for it", left.Round(time.Second))
		}
		select {
		case <-time.After(time.Until(dead)):
		case <-ctx.Done():
		}
		err := w.Heal(ctx)
		if err != nil && strings.Contains(err.Error(), `{"command":"RESUME"}`) &&
			slices.ContainsFunc(w.Secrets.Versions(w.SecretARN), notesPausing) {
			w.Maia.ConsoleResume(sandbox.AgentID) // as the error says: the process has ended before it could note that the pause has shown
			err = w.Heal(ctx)
		}
		if err != nil {
			t.Errorf("the second healing event: %v", err)
		}
	}
	for _, wrong := range w.wrong() {
		t.Errorf("not true: %s", wrong)
	}
}

// cutOff has a rotation meet the fault: service, operation, which of them, what.
func (w *World) cutOff(t *testing.T, way []string) func(*testing.T) {
	t.Helper()
	if len(way) != 4 {
		t.Fatalf("the way %q has %d words, want 4", way, len(way))
	}
	nth, err := strconv.Atoi(way[2])
	if err != nil {
		t.Fatal(err)
	}
	kill, times := w.Function.Kill, 1
	if strings.HasPrefix(way[3], "drop") {
		kill, times = func() {}, 5 // the SDK's tries, in the function
	}
	before := strings.Contains(way[3], "before")
	if way[0] == "maia" {
		fault := maiatest.Fault{Call: maiatest.Name(way[1]), Nth: nth, Kind: maiatest.DropAfter, After: kill}
		if before {
			fault.Kind, fault.Before, fault.After = maiatest.DropBefore, kill, nil
		}
		w.Maia.Inject(fault)
		return w.rotateInVain
	}
	service := w.Secrets.Handler
	if way[0] == "ecs" {
		service = w.ECS.Handler
	}
	fault := awsjson.Fault{Operation: way[1], Nth: nth, Times: times, Kind: awsjson.DropAfter, After: kill}
	if before {
		fault.Kind, fault.Before, fault.After = awsjson.DropBefore, kill, nil
	}
	service.Inject(fault)
	return w.rotateInVain
}

// rotateInVain is a rotation that its fault ends, or nearly.
func (w *World) rotateInVain(t *testing.T) {
	t.Helper()
	if _, err := w.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// specialWays are other ways to states that would take minutes, or luck, in real time.
func (w *World) specialWays() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		// A run that gave up after the quiet time of a refresh that was never carried out.
		"store live, pending empty, note [agent intent-live], runner running connected, 0 refreshed, completed": func(t *testing.T) {
			w.cutOff(t, []string{"maia", "RefreshCredentials", "1", "killed-before"})(t)
			w.Maia.ConsoleResume(sandbox.AgentID)
			for _, version := range w.Secrets.Versions(w.SecretARN) {
				for _, stage := range version.Stages {
					if strings.HasPrefix(stage, "maia-rotate/paused/") {
						w.removeLabel(t, stage, version.ID)
					}
				}
			}
		},
		// The new task is connected, and the old one not stopped yet.
		"store live, pending current, note [agent paused rotated-live], runner paused connected, 1 refreshed, in_progress": func(t *testing.T) {
			back := func([]byte) bool { return len(w.Downtimes()) > 0 }
			w.Secrets.Inject(awsjson.Fault{Operation: "DescribeSecret", Match: back, Nth: 1, Kind: awsjson.DropBefore, Before: w.Function.Kill})
			w.rotateInVain(t)
		},
	}
}

// State is the runner's, see [runnerstate.Places.State].
func (w *World) State(t *testing.T) string {
	t.Helper()
	agent, err := w.Maia.Client.Agent(t.Context(), sandbox.AgentID)
	if err != nil {
		t.Fatal(err)
	}
	places := runnerstate.Places{Maia: w.Maia.Server, Secrets: w.Secrets, ECS: w.ECS, AgentID: sandbox.AgentID, SecretARN: w.SecretARN,
		Cluster: Cluster, Service: Service}
	return places.State(agent)
}

func (w *World) removeLabel(t *testing.T, label, version string) {
	t.Helper()
	_, err := w.client.UpdateSecretVersionStage(t.Context(), &awssecrets.UpdateSecretVersionStageInput{
		SecretId: &w.SecretARN, VersionStage: &label, RemoveFromVersionId: &version,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// wrong lists what is not as it must be when a runner has been healed.
func (w *World) wrong() (wrong []string) {
	agent, err := w.Maia.Client.Agent(w.ctx, sandbox.AgentID)
	for what, ok := range map[string]bool{
		"Maia can be asked":                err == nil,
		"the store holds what Maia holds":  w.storeIsMaia(),
		"the runner is connected":          agent.Connected && w.connected(),
		"the runner is resumed":            agent.Status == maia.StatusRunning,
		"no pipeline was lost":             w.Maia.Lost(sandbox.AgentID) == 0,
		"no secret is in output or labels": len(w.leaks(nil)) == 0,
		"no note of a pause is left":       !slices.ContainsFunc(w.Secrets.Versions(w.SecretARN), notesPause),
	} {
		if !ok {
			wrong = append(wrong, what)
		}
	}
	return wrong
}

func notesPause(version secretsmanager.Version) bool { return notes(version, "maia-rotate/paus") }

func notesPausing(version secretsmanager.Version) bool {
	return notes(version, "maia-rotate/pausing/")
}

func notesIntent(version secretsmanager.Version) bool { return notes(version, "maia-rotate/intent/") }

func notes(version secretsmanager.Version, prefix string) bool {
	return slices.ContainsFunc(version.Stages, func(stage string) bool { return strings.HasPrefix(stage, prefix) })
}
