package ecs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awstest"
	"github.com/maia-rotate/maia-rotate/internal/emulator/ecs"
)

// quirkTests say for each quirk how the wire shows it. The service "runner" is there, with a task that runs.
func quirkTests() map[string]func(t *testing.T, w *world) {
	rollout := func(start, roll time.Duration) func(t *testing.T, w *world) {
		return func(t *testing.T, w *world) {
			w.mustUpdate(t)
			pass(start - time.Millisecond)
			w.want(t, "PRIMARY/IN_PROGRESS 1/1/0, ACTIVE/COMPLETED 1/0/1")
			pass(time.Millisecond)
			w.want(t, "PRIMARY/IN_PROGRESS 1/0/1, ACTIVE/COMPLETED 1/0/1")
			pass(roll)
			w.want(t, "PRIMARY/COMPLETED 1/0/1, INACTIVE/COMPLETED 0/0/0")
		}
	}
	const old, ordered = "PRIMARY/COMPLETED 1/0/1", "PRIMARY/IN_PROGRESS 1/1/0, ACTIVE/COMPLETED 1/0/1"
	lag := func(lag time.Duration) func(t *testing.T, w *world) {
		return func(t *testing.T, w *world) {
			if got := deployments(w.mustUpdate(t)); got != ordered {
				t.Errorf("the answer of UpdateService has %s", got)
			}
			pass(lag - time.Millisecond)
			w.want(t, old)
			pass(time.Millisecond)
			if got := deployments(w.describe(t)); got == old {
				t.Errorf("after %s still %s", lag, got)
			}
		}
	}
	stuck := func(t *testing.T, w *world) {
		w.mustUpdate(t)
		pass(time.Hour)
		w.want(t, ordered)
		if event := aws.ToString(w.describe(t).Events[0].Message); !strings.Contains(event, "minimumHealthyPercent or maximumPercent") {
			t.Errorf("the newest event is %q", event)
		}
	}
	strategy := func(want types.DeploymentStrategy) func(t *testing.T, w *world) {
		return func(t *testing.T, w *world) {
			if got := w.describe(t).DeploymentConfiguration.Strategy; got != want {
				t.Errorf("the strategy is %s, want %s", got, want)
			}
		}
	}
	return map[string]func(t *testing.T, w *world){
		"rollout-1s":         rollout(500*time.Millisecond, 500*time.Millisecond),
		"rollout-9m":         rollout(3*time.Minute, 6*time.Minute),
		"rollout-60m":        rollout(20*time.Minute, 40*time.Minute),
		"protected-tasks":    rollout(startDelay, 2*time.Hour),
		"lag-5s":             lag(5 * time.Second),
		"lag-30s":            lag(30 * time.Second),
		"cannot-move":        stuck,
		"cannot-move-daemon": stuck,
		"blue-green":         strategy(types.DeploymentStrategyBlueGreen),
		"canary":             strategy(types.DeploymentStrategyCanary),
		"lag-back": func(t *testing.T, w *world) {
			w.mustUpdate(t)
			for _, want := range []string{old, ordered, ordered, old, ordered, ordered} {
				w.want(t, want)
			}
		},
		"short-of-tasks": func(t *testing.T, w *world) {
			w.want(t, "PRIMARY/COMPLETED 2/0/1")
			if s := w.describe(t); s.DesiredCount != 2 || s.RunningCount != 1 || s.Deployments[0].FailedTasks != 57 {
				t.Errorf("%d of %d running, %d failed", s.RunningCount, s.DesiredCount, s.Deployments[0].FailedTasks)
			}
		},
		"tasks-fail-first": func(t *testing.T, w *world) {
			w.mustUpdate(t)
			pass(2 * startDelay)
			if d := w.describe(t).Deployments[0]; d.FailedTasks != 2 || d.RunningCount != 0 {
				t.Errorf("%d failed, %d running", d.FailedTasks, d.RunningCount)
			}
			pass(startDelay)
			w.want(t, "PRIMARY/IN_PROGRESS 1/0/1, ACTIVE/COMPLETED 1/0/1")
		},
		"breaker-once": func(t *testing.T, w *world) {
			w.mustUpdate(t)
			pass(2 * rollDelay)
			w.want(t, "PRIMARY/FAILED 1/0/0, ACTIVE/COMPLETED 1/0/1")
			w.mustUpdate(t)
			pass(2 * rollDelay)
			if got := deployments(w.describe(t)); !strings.HasPrefix(got, "PRIMARY/COMPLETED 1/0/1") {
				t.Errorf("the second ends as %s", got)
			}
		},
		"sibling-fails": func(t *testing.T, w *world) {
			w.create(func(spec *ecs.ServiceSpec) { spec.Name = "runner-b" })
			for range 4 {
				_, err := w.update(t)
				awstest.WantError(t, err, "InvalidParameterException", "cannot be updated")
			}
			_, err := w.client.UpdateService(t.Context(), &sdk.UpdateServiceInput{
				Cluster: aws.String("runners"), Service: aws.String("runner-b"), ForceNewDeployment: true,
			})
			awstest.WantError(t, err, "", "")
			w.mustUpdate(t)
		},
		"draining-sibling": func(t *testing.T, w *world) {
			out, err := w.client.ListServices(t.Context(), &sdk.ListServicesInput{Cluster: aws.String("runners")})
			if err != nil || len(out.ServiceArns) != 2 || !strings.HasSuffix(out.ServiceArns[1], "/runner-old") {
				t.Fatalf("%v, %v", out.ServiceArns, err)
			}
			described, err := w.client.DescribeServices(t.Context(),
				&sdk.DescribeServicesInput{Cluster: aws.String("runners"), Services: out.ServiceArns[1:]})
			if err != nil || aws.ToString(described.Services[0].Status) != "DRAINING" || described.Services[0].DesiredCount != 0 {
				t.Errorf("%+v, %v", described, err)
			}
			_, err = w.client.UpdateService(t.Context(), &sdk.UpdateServiceInput{
				Cluster: aws.String("runners"), Service: &out.ServiceArns[1], ForceNewDeployment: true,
			})
			awstest.WantError(t, err, "ServiceNotActiveException", "")
		},
		"throttled": func(t *testing.T, w *world) {
			for n := range 20 {
				_, err := w.client.ListServices(t.Context(), &sdk.ListServicesInput{Cluster: aws.String("runners")})
				if throttled := n%5 < 2; throttled {
					awstest.WantError(t, err, "ThrottlingException", "")
				} else {
					awstest.WantError(t, err, "", "")
				}
			}
		},
		"slow-answers": func(t *testing.T, w *world) {
			for n := range 14 {
				began := time.Now()
				_, err := w.client.ListServices(t.Context(), &sdk.ListServicesInput{Cluster: aws.String("runners")})
				awstest.WantError(t, err, "", "")
				if took := time.Since(began); (took == 25*time.Second) != (n%7 == 6) {
					t.Errorf("call %d took %s", n, took)
				}
			}
		},
	}
}

func TestEachQuirkShowsOnTheWire(t *testing.T) {
	tests := quirkTests()
	for _, quirk := range ecs.Quirks() {
		t.Run(quirk.Name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.create(nil)
				if err := w.Play(quirk.Name); err != nil {
					t.Fatal(err)
				}
				if test := tests[quirk.Name]; test == nil {
					t.Error("the quirk has no test")
				} else {
					test(t, w)
				}
				if quirk.Behaviour == "" || quirk.Source == "" {
					t.Errorf("%+v does not say what it is, or where it comes from", quirk)
				}
			})
		})
	}
}

func TestHastenedRollout(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(nil)
		if err := w.Play("rollout-60m"); err != nil {
			t.Fatal(err)
		}
		w.Hasten(8)
		w.mustUpdate(t)
		pass(150*time.Second - time.Millisecond)
		w.want(t, "PRIMARY/IN_PROGRESS 1/1/0, ACTIVE/COMPLETED 1/0/1")
		pass(time.Millisecond)
		w.want(t, "PRIMARY/IN_PROGRESS 1/0/1, ACTIVE/COMPLETED 1/0/1")
		pass(5 * time.Minute)
		w.want(t, "PRIMARY/COMPLETED 1/0/1, INACTIVE/COMPLETED 0/0/0")
	})
}

func TestAQuirkThatNobodyKnows(t *testing.T) {
	w := newWorld(t, ecs.Options{})
	if err := w.Play("rollout-1s", "rollout-2s"); err == nil || !strings.Contains(err.Error(), `"rollout-2s"`) {
		t.Errorf("err = %v", err)
	}
}
