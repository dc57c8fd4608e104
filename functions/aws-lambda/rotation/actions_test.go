package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
	ecsemulator "github.com/maia-rotate/maia-rotate/internal/emulator/ecs"
	smemulator "github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// healEvery is the pace of the healing schedule.
const healEvery = 30 * time.Minute

// act invokes the function as a schedule or an operator does.
func (w *world) act(payload string) (Result, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), w.timeout)
	defer cancel()
	ctx = lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{InvokedFunctionArn: functionARN + ":live"})
	reply, err := w.handler().Invoke(ctx, []byte(payload))
	if err != nil {
		w.mu.Lock()
		w.errors = append(w.errors, payload+": "+err.Error())
		w.mu.Unlock()
		return Result{}, err
	}
	var result Result
	if err := json.Unmarshal(reply, &result); err != nil {
		w.t.Fatalf("reply %s: %v", reply, err)
	}
	return result, nil
}

func (w *world) heal() (Result, error) { return w.act(`{"action":"heal"}`) }

// rotateOnce rotates without retries.
func rotateOnce(_ *world, sm *smemulator.Options, _ *ecsemulator.Options) { sm.Attempts = 1 }

// At every call of a rotation the process is killed, or the call never gets an answer, and the rotation is not retried. Two
// healing events bring the runner back.
func TestPromise1TwoHealingEventsRepairEveryState(t *testing.T) {
	scenarios := 0
	for _, c := range rotationCalls(t) {
		for _, fault := range c.faults() {
			if scenarios++; testing.Short() && scenarios%8 != 0 {
				continue
			}
			t.Run(c.String()+"-"+fault.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, rotateOnce)
					fault.inject(w)
					w.rotate()
					if strings.Contains(fault.name, "killed") != strings.Contains(strings.Join(w.errors, ""), "the process was killed") {
						t.Errorf("errors %v; was the process killed?", w.errors)
					}
					refreshes := w.maia.Refreshes(agentID)
					_, _ = w.heal()
					time.Sleep(healEvery)
					if _, err := w.heal(); err != nil {
						t.Error(err)
					}
					w.mustBeBack(refreshes)
				})
			})
		}
	}
	t.Logf("%d scenarios", scenarios)
}

// A healing event may come at any moment of a rotation. Both end well, and there is one refresh.
func TestPromise2HealingDuringARotation(t *testing.T) {
	for after := 100 * time.Millisecond; after < 110*time.Second; after += 1700 * time.Millisecond {
		t.Run(after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				healed := make(chan error)
				go func() {
					time.Sleep(after)
					_, err := w.heal()
					healed <- err
				}()
				if got := w.rotate(); got != smemulator.RotationSucceeded {
					t.Errorf("%s: %v", got, w.errors)
				}
				if err := <-healed; err != nil {
					t.Errorf("the healing event: %v", err)
				}
				if got := w.maia.Refreshes(agentID); got != 1 {
					t.Errorf("%d refreshes", got)
				}
				time.Sleep(healEvery)
				if _, err := w.heal(); err != nil {
					t.Error(err)
				}
				w.mustBeBack(1)
			})
		})
	}
}

func TestPromise6HealingFindsItsSecrets(t *testing.T) {
	for name, list := range map[string]string{
		"by the function's ARN": "",
		"by a list":             "ARN,ARN",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.secrets.AddSecret("another-function", `{"not":"ours"}`)
				w.environ = append(w.environ, "MAIA_SECRET_ARNS="+strings.ReplaceAll(list, "ARN", w.arn))
				w.rotate()
				time.Sleep(time.Hour)
				w.secrets.Put(w.arn, document) // as Terraform does
				versions := len(w.secrets.Versions(w.arn))
				result, err := w.heal()
				if err != nil {
					t.Fatal(err)
				}
				if len(result.Secrets) != 1 || result.Secrets[0].Secret != w.arn || result.Secrets[0].Report.Outcome != rotate.Healed ||
					!slices.Equal(result.Secrets[0].Services, []string{"matillion/runner"}) {
					t.Errorf("result %+v", result)
				}
				w.mustBeBack(1)
				if w.deployments() != 1 {
					t.Errorf("%d deployments, want only that of the rotation", w.deployments())
				}
				if got := len(w.secrets.Versions(w.arn)); got <= versions {
					t.Errorf("%d versions, want one more than %d: the healed value under a fresh token", got, versions)
				}
			})
		})
	}
}

func TestHealingAnIdleRunnerCostsTwoCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.rotate()
		time.Sleep(time.Hour)
		before, changes := len(w.maia.Calls()), w.changes()
		result, err := w.heal()
		if err != nil || result.Secrets[0].Report.Outcome != rotate.NoOp {
			t.Fatalf("result %+v, error %v", result, err)
		}
		calls := 0
		for _, call := range w.maia.Calls()[before:] {
			if call.Name != maiatest.Token {
				calls++
			}
		}
		if calls > 2 || w.changes() != changes {
			t.Errorf("%d calls of Maia, %d changes", calls, w.changes()-changes)
		}
		for _, want := range []string{`"DowntimeSeconds":0`, `"CredentialAgeDays":0.04`, `"RunnerConnected":1`, `"Step":"heal"`,
			`"Function":"maia-rotate"`} {
			if !strings.Contains(w.output.String(), want) {
				t.Errorf("the output lacks %s", want)
			}
		}
	})
}

// changes is how many calls changed something at AWS.
func (w *world) changes() (n int) {
	for _, call := range append(w.secrets.Calls(), w.ecs.Calls()...) {
		if slices.Contains([]string{"PutSecretValue", "UpdateSecretVersionStage", "UpdateService"}, call.Operation) {
			n++
		}
	}
	return n
}

// Without healing, Secrets Manager would go on with the version of a frozen AWSPENDING, which can never be used.
func TestPromise6HealingFreesAFrozenPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rotateOnce)
		w.hook = func(step string) error {
			if step != stepSet {
				return nil
			}
			w.maia.ConsoleRefresh(agentID)
			return errors.New("the function could not be started")
		}
		if got := w.rotate(); got != smemulator.RotationFailed {
			t.Fatal(got)
		}
		w.hook = nil
		for range 2 {
			if _, err := w.heal(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(healEvery)
		}
		w.mustBeBack(1)
		if id := w.token("AWSPENDING"); id != "" && id != w.token("AWSCURRENT") {
			t.Errorf("AWSPENDING is still on %s", id)
		}
		if got := w.rotate(); got != smemulator.RotationSucceeded {
			t.Errorf("the next rotation: %s %v", got, w.errors)
		}
		w.mustBeBack(2)
	})
}

// A value that an operator puts after the refresh ends the rotation. The healing schedule brings the runner back.
func TestPromise1HealingAfterAPersonsValueEndedTheRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hook = func(step string) error {
			if step == stepSet && w.current() == document {
				w.secrets.Put(w.arn, strings.ReplaceAll(document, "kept", "edited"))
			}
			return nil
		}
		if got := w.rotate(); got == smemulator.RotationSucceeded {
			t.Fatal(got)
		}
		if _, err := w.heal(); err != nil {
			t.Fatal(err)
		}
		want := strings.ReplaceAll(strings.ReplaceAll(document, "kept", "edited"), firstSecret, w.maia.LiveSecret(agentID))
		if w.current() != want || !w.agent().Connected || w.maia.Refreshes(agentID) != 1 {
			t.Errorf("AWSCURRENT is %s, want %s; connected %t", w.current(), want, w.agent().Connected)
		}
	})
}

func TestHealingLeavesAStoppedRunnerAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.rotate()
		w.ecs.ScaleTo("matillion", "runner", 0)
		time.Sleep(time.Minute)
		changes := w.changes()
		result, err := w.heal()
		if err != nil || w.changes() != changes || result.Secrets[0].Error != nil {
			t.Errorf("result %+v, error %v", result, err)
		}
		if !strings.Contains(w.output.String(), "there is nothing to heal") {
			t.Errorf("the log does not say so")
		}
	})
}

func TestPromise9HealingOneThatFailsDoesNotStopTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.rotate()
		w.maia.ConsoleRefresh(agentID)
		orphan := w.secrets.AddSecret("a-secret-without-a-service", document)
		w.environ = append(w.environ, "MAIA_SECRET_ARNS="+orphan+","+w.arn)
		_, err := w.heal()
		if errorType(err) != "ConfigurationError" || !strings.Contains(err.Error(), "no service takes a variable from secret "+orphan) {
			t.Errorf("error %v", err)
		}
		if !w.agent().Connected || !strings.Contains(w.current(), w.maia.LiveSecret(agentID)) {
			t.Errorf("the other runner was not healed")
		}
		w.mustNotLeak()
	})
}

func TestDowntimeIsMeasuredWhileItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rotateOnce)
		w.hook = func(step string) error {
			if step == stepSet {
				return errors.New("the function could not be started")
			}
			return nil
		}
		w.rotate()
		time.Sleep(20 * time.Minute)
		w.ecs.FailNextDeployment("matillion", "runner", false)
		w.ecs.Inject(awsjson.Fault{Operation: "UpdateService", Nth: 2, Times: 100, Kind: awsjson.AccessDenied})
		if _, err := w.heal(); err == nil {
			t.Fatal("the runner cannot be back")
		}
		var line struct {
			DowntimeSeconds float64
			Step            string
		}
		for text := range strings.Lines(w.output.String()) {
			if strings.Contains(text, `"DowntimeSeconds"`) {
				if err := json.Unmarshal([]byte(text), &line); err != nil {
					t.Fatal(err)
				}
			}
		}
		if line.Step != actionHeal || line.DowntimeSeconds < 1200 || line.DowntimeSeconds > 2400 {
			t.Errorf("the last metric is %+v, want the time since the refresh", line)
		}
	})
}

func TestPlan(t *testing.T) {
	tests := map[string]struct {
		prepare func(w *world)
		steps   string
		says    string // the error
	}{
		"a rotation": {func(*world) {}, "check pause await_drained refresh store restart await_connected resume done", ""},
		"a revoked value": {func(w *world) {
			w.rotate()
			w.secrets.Put(w.arn, document)
		}, "store done", ""},
		"an operator's pause": {func(w *world) {
			w.maia.ConsolePause(agentID, 2*time.Hour)
			w.maia.FinishTasks(agentID)
		}, "check refresh store restart await_connected done", ""},
		"scaled to zero": {func(w *world) { w.ecs.ScaleTo("matillion", "runner", 0) }, "refuse", "scaled to zero"},
		"too many labels": {func(w *world) {
			for n := range 18 {
				w.post("UpdateSecretVersionStage", fmt.Sprintf(`{"SecretId":%q,"VersionStage":"label-%d","MoveToVersionId":%q}`, w.arn, n,
					w.token("AWSCURRENT")))
			}
		}, "check", "staging labels"},
		"no service": {func(w *world) {
			w.ecs.AddCluster("empty")
			w.environ[2] = "MAIA_ECS_CLUSTERS=empty"
		}, "", "no service takes a variable"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				test.prepare(w)
				time.Sleep(time.Minute)
				changes, labels, refreshes, before := w.changes(), w.labels(), w.maia.Refreshes(agentID), len(w.maia.Calls())
				result, err := w.act(fmt.Sprintf(`{"action":"plan","secret":%q}`, w.arn))
				if err != nil || len(result.Secrets) != 1 {
					t.Fatalf("result %+v, error %v", result, err)
				}
				planned := result.Secrets[0]
				var steps []string
				if planned.Report != nil {
					for _, step := range planned.Report.Steps {
						steps = append(steps, string(step.Kind))
					}
				}
				if got := strings.Join(steps, " "); got != test.steps {
					t.Errorf("the plan is %s, want %s", got, test.steps)
				}
				if (planned.Error == nil) != (test.says == "") || planned.Error != nil && !strings.Contains(planned.Error.Error(), test.says) {
					t.Errorf("error %q, want one that says %q", planned.Error, test.says)
				}
				if w.changes() != changes || !slices.Equal(w.labels(), labels) || w.maia.Refreshes(agentID) != refreshes {
					t.Errorf("something was changed")
				}
				for _, call := range w.maia.Calls()[before:] {
					if call.Method == http.MethodPost && call.Name != maiatest.Token {
						t.Errorf("%s was called", call.Name)
					}
				}
				w.mustNotLeak()
			})
		})
	}
}

func TestActionsThatAreRefused(t *testing.T) {
	tests := map[string]struct {
		payload, says string
	}{
		"an unknown action":    {`{"action":"refresh"}`, `the event has the unknown action "refresh", expected heal or plan`},
		"a step and an action": {`{"action":"heal","Step":"createSecret"}`, "a Step and an action"},
		"a name":               {`{"action":"plan","secret":"matillion"}`, `the event's secret is "matillion", expected the ARN`},
		"a secret not served": {`{"action":"heal","secret":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:other-abcdef"}`,
			"is not among those that this function serves"},
		"a rotation not served": {`{"Step":"createSecret","SecretId":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:other-abcdef",` +
			`"ClientRequestToken":"11111111-2222-3333-4444-555555555555"}`, "is not among those that this function serves"},
		"a type": {`{"action":true}`, "wrong type"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.environ = append(w.environ, "MAIA_SECRET_ARNS="+w.arn)
				_, err := w.act(test.payload)
				if errorType(err) != "ConfigurationError" || !strings.Contains(errorText(err), test.says) {
					t.Errorf("error %v, want one that says %s", err, test.says)
				}
				if len(w.secrets.Calls())+len(w.ecs.Calls())+len(w.maia.Calls()) > 0 {
					t.Errorf("calls were made before the event was checked")
				}
			})
		})
	}
}

// A pause that Maia has refused is not ours: a later one of an operator stays.
func TestPromise8AnOperatorsPauseAfterOursWasRefused(t *testing.T) {
	for _, status := range []int{400, 403, 429} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, rotateOnce)
				w.maia.Inject(maiatest.Fault{Call: maiatest.Pause, Kind: maiatest.Status5xx, Status: status})
				w.rotate()
				time.Sleep(5 * time.Minute)
				w.maia.ConsolePause(agentID, 6*time.Hour)
				w.maia.FinishTasks(agentID)
				for range 2 {
					time.Sleep(healEvery)
					if _, err := w.heal(); err != nil {
						t.Error(err)
					}
				}
				if agent := w.agent(); agent.Status != "paused" {
					t.Errorf("the operator's pause is gone: the runner is %s; labels %v", agent.Status, w.labels())
				}
			})
		})
	}
}

// That a spare service is scaled to zero is no reason to leave the one that works down.
func TestPromise1HealingWithASpareServiceAtZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rotateOnce)
		w.ecs.RegisterTaskDefinition("spare", runnerContainer(w.arn))
		w.createService("spare")
		time.Sleep(2 * time.Minute)
		w.ecs.ScaleTo("matillion", "spare", 0)
		w.hook = func(step string) error {
			if step == stepSet {
				return errors.New("the function could not be started")
			}
			return nil
		}
		w.rotate()
		time.Sleep(healEvery)
		if _, err := w.heal(); err != nil {
			t.Error(err)
		}
		w.mustBeBack(1)
	})
}

// Of a runner that could not be observed nothing is measured: a zero would end an alarm.
func TestMetricsOfARunnerThatCannotBeObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.rotate()
		time.Sleep(time.Hour)
		w.maia.Inject(maiatest.Fault{Call: maiatest.GetAgent, Kind: maiatest.Status5xx})
		before := w.output.Len()
		if _, err := w.heal(); err == nil {
			t.Fatal("no error")
		}
		text := w.output.String()[before:]
		for _, metric := range []string{MetricDownNow, MetricAge, MetricConnected} {
			if strings.Contains(text, metric) {
				t.Errorf("%s is written: %s", metric, text)
			}
		}
		if !strings.Contains(text, MetricOutcome) {
			t.Errorf("%s is not written: %s", MetricOutcome, text)
		}
	})
}
