package rotation

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	ecsemulator "github.com/maia-rotate/maia-rotate/internal/emulator/ecs"
	smemulator "github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// A slow rollout is no failure: this run and later ones wait for it, and order nothing else.
func TestRolloutOfNineMinutesIsOneDeployment(t *testing.T) {
	for name, test := range map[string]struct {
		start, roll time.Duration
		environ     string
	}{
		"start after 9 minutes":         {start: 9 * time.Minute, roll: 10 * time.Second},
		"start after 3 minutes, 6 more": {start: 3 * time.Minute, roll: 6 * time.Minute},
		"15 minutes":                    {start: 15 * time.Minute, roll: 10 * time.Second},
		"an hour":                       {start: 20 * time.Minute, roll: 40 * time.Minute},
		"14 minutes, a connect time-out of 13 min": {start: 14 * time.Minute, roll: 10 * time.Second, environ: "MAIA_ROTATE_CONNECT_TIMEOUT=13m"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(_ *world, _ *smemulator.Options, ecs *ecsemulator.Options) {
					ecs.StartDelay, ecs.RollDelay = test.start, test.roll
				})
				if test.environ != "" {
					w.environ = append(w.environ, test.environ, "MAIA_ROTATE_DRAIN_TIMEOUT=1m")
				}
				w.rotate()
				w.healUntilBack()
				for range 6 {
					time.Sleep(healEvery)
					if err := w.healOnce(); err != nil {
						t.Error(errorText(err))
					}
				}
				w.mustBeBack(1)
				if got := w.deployments(); got != 1 {
					t.Errorf("%d deployments", got)
				}
			})
		})
	}
}

// Foreign tags and labels change LastChangedDate. A runner that came back after the end of the run is not restarted because of them.
func TestATagAfterASlowRolloutRestartsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(_ *world, sm *smemulator.Options, ecs *ecsemulator.Options) {
			ecs.StartDelay, sm.Attempts = 12*time.Minute, 1
		})
		w.rotate()
		time.Sleep(20 * time.Minute)
		if agent := w.agent(); !agent.Connected {
			t.Fatal("the runner is not back by itself")
		}
		_, err := w.handler().secrets.UpdateSecretVersionStage(t.Context(), &secretsmanager.UpdateSecretVersionStageInput{
			SecretId: &w.arn, VersionStage: aws.String("of-another-writer"), MoveToVersionId: aws.String(w.secrets.Versions(w.arn)[0].ID),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.healOnce(); err != nil {
			t.Error(errorText(err))
		}
		w.mustBeBack(1)
		if got := w.deployments(); got != 1 {
			t.Errorf("%d deployments", got)
		}
	})
}

func TestReadsFromBeforeTheOrderAreWaitedFor(t *testing.T) {
	for _, quirk := range []string{"lag-5s", "lag-30s", "lag-back"} {
		t.Run(quirk, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				if err := w.ecs.Play(quirk); err != nil {
					t.Fatal(err)
				}
				if end := w.rotate(); end != smemulator.RotationSucceeded {
					t.Error(end)
				}
				w.mustBeBack(1)
				if got := w.deployments(); got != 1 {
					t.Errorf("%d deployments", got)
				}
			})
		})
	}
}

// A service that cannot be restarted does not keep another one down. Later runs restart only the one that could not be.
func TestASiblingThatCannotBeRestartedHoldsBackNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rotateOnce)
		w.ecs.CreateService(ecsemulator.ServiceSpec{Cluster: "matillion", Name: "runner-b", TaskDefinition: "runner", DesiredCount: 1})
		refuse := w.ecs.Inject(wire.Fault{
			Operation: "UpdateService", Kind: wire.AccessDenied, Match: func(raw []byte) bool { return strings.Contains(string(raw), `/runner"`) },
		})
		w.rotate()
		time.Sleep(time.Minute) // what was ordered starts
		if agent := w.agent(); !agent.Connected {
			t.Error("the runner is down, though one of its services could be restarted")
		}
		if text := strings.Join(w.errors, "\n"); !strings.Contains(text, "ecs:UpdateService on matillion/runner") {
			t.Errorf("errors %s", text)
		}
		refuse()
		w.healUntilBack()
		w.mustBeBack(1)
		restarted := map[string]int{}
		for _, call := range w.ecs.Calls() {
			if call.Operation == "UpdateService" && call.Status == http.StatusOK {
				restarted[call.Resource[strings.LastIndex(call.Resource, "/")+1:]]++
			}
		}
		if restarted["runner"] != 1 || restarted["runner-b"] != 1 {
			t.Errorf("restarted %v, want each once", restarted)
		}
	})
}

// The error of a run that waited in vain has the service's own reason, and nothing is restarted again.
func TestTasksThatFailAreWaitedForAndQuoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(_ *world, _ *smemulator.Options, ecs *ecsemulator.Options) { ecs.StartDelay = 5 * time.Minute })
		if err := w.ecs.Play("tasks-fail-first"); err != nil {
			t.Fatal(err)
		}
		w.rotate()
		w.healUntilBack()
		w.mustBeBack(1)
		if text := strings.Join(w.errors, "\n"); !strings.Contains(text, "the image could not be pulled") {
			t.Errorf("no error quotes the service's event: %s", text)
		}
		if got := w.deployments(); got > 2 {
			t.Errorf("%d deployments", got)
		}
		if agent := w.agent(); agent.Status != maia.StatusRunning {
			t.Errorf("status %q", agent.Status)
		}
	})
}
