package rotation

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
	ecsemulator "github.com/maia-rotate/maia-rotate/internal/emulator/ecs"
	smemulator "github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if got := w.rotate(); got != smemulator.RotationSucceeded {
			t.Fatalf("%s: %v", got, w.errors)
		}
		if got, want := strings.Join(w.steps, " "), "createSecret setSecret testSecret finishSecret"; got != want {
			t.Errorf("steps %s, want %s", got, want)
		}
		w.mustBeBack(1)
		if got := w.deployments(); got != 1 {
			t.Errorf("%d deployments were ordered, want 1", got)
		}
		for _, want := range []string{`"RotationDowntimeSeconds":`, `"Outcome":"rotated"`, `"RotationDurationSeconds":`, `"runner":"` + agentID,
			`"step":"createSecret"`, `"rotation":"`, `"secret":"` + w.arn} {
			if !strings.Contains(w.output.String(), want) {
				t.Errorf("the output lacks %s", want)
			}
		}
		// A second rotation replaces the note of the first.
		before := len(w.labels())
		if got := w.rotate(); got != smemulator.RotationSucceeded {
			t.Fatalf("%s: %v", got, w.errors)
		}
		w.mustBeBack(2)
		if got := len(w.labels()); got != before {
			t.Errorf("%d labels after the second rotation, %d after the first: %v", got, before, w.labels())
		}
	})
}

// serviceCall is the nth call of one operation in a rotation.
type serviceCall struct {
	service, name string
	n             int
}

func (c serviceCall) String() string { return fmt.Sprintf("%s-%s-%02d", c.service, c.name, c.n) }

// rotationCalls are the calls of a rotation in which nothing goes wrong. Of those that wait, twelve are enough.
func rotationCalls(t *testing.T) (calls []serviceCall) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.rotate()
		nth := map[serviceCall]int{}
		add := func(service, name string) {
			c := serviceCall{service: service, name: name}
			if nth[c]++; nth[c] <= 12 || name != "DescribeServices" && name != string(maiatest.GetAgent) {
				calls = append(calls, serviceCall{service, name, nth[c]})
			}
		}
		for _, c := range w.secrets.Calls() {
			add("secretsmanager", c.Operation)
		}
		for _, c := range w.ecs.Calls() {
			add("ecs", c.Operation)
		}
		for _, c := range w.maia.Calls() {
			add("maia", string(c.Name))
		}
	})
	return calls
}

// callFault is one fault of a call.
type callFault struct {
	name   string
	inject func(w *world)
}

func (c serviceCall) faults() []callFault {
	if c.service == "maia" {
		fault := func(name string, kind maiatest.Kind) callFault {
			return callFault{name, func(w *world) { w.maia.Inject(maiatest.Fault{Call: maiatest.Name(c.name), Nth: c.n, Kind: kind}) }}
		}
		return []callFault{
			fault("drop-before", maiatest.DropBefore), fault("drop-after", maiatest.DropAfter), fault("5xx-after", maiatest.Status5xxAfter),
			{"killed-before", func(w *world) { w.maia.Inject(maiatest.Fault{Call: maiatest.Name(c.name), Nth: c.n, Before: w.kill}) }},
			{"killed-after", func(w *world) { w.maia.Inject(maiatest.Fault{Call: maiatest.Name(c.name), Nth: c.n, After: w.kill}) }},
		}
	}
	fault := func(name string, kind awsjson.Kind, times int) callFault {
		return callFault{name, func(w *world) {
			service := w.secrets.Handler
			if c.service == "ecs" {
				service = w.ecs.Handler
			}
			service.Inject(awsjson.Fault{Operation: c.name, Nth: c.n, Times: times, Kind: kind})
		}}
	}
	return []callFault{
		fault("drop-before-through-all-retries", awsjson.DropBefore, 3), fault("drop-after-through-all-retries", awsjson.DropAfter, 3),
		fault("denied", awsjson.AccessDenied, 1),
		{"killed-before", func(w *world) { w.deadly = deadlyCall{c.name, c.n, false} }},
		{"killed-after", func(w *world) { w.deadly = deadlyCall{c.name, c.n, true} }},
	}
}

// mustReportThatItIsLeftPaused checks the end of a rotation whose process was killed between its PAUSE and the note of it. Its
// next try came so late that the pause may be an operator's: so the runner is back, an error reports the pause, and a person
// resumes it.
func (w *world) mustReportThatItIsLeftPaused(fault string) {
	w.t.Helper()
	if agent := w.agent(); !strings.HasPrefix(fault, "killed") || !agent.Connected || agent.Status != maia.StatusPaused {
		w.t.Errorf("the agent is %q, connected %t", agent.Status, agent.Connected)
	}
	if !strings.Contains(w.output.String(), `"LeftPaused":1`) {
		w.t.Error("it is not measured")
	}
	if err := w.maia.Client(w.t).Command(w.t.Context(), agentID, maia.CommandResume); err != nil {
		w.t.Fatal(err)
	}
	if err := w.healOnce(); err != nil {
		w.t.Error(err)
	}
}

// Every call of a rotation to Secrets Manager, ECS and Maia fails before it is carried out, or after it, or kills the process. Secrets
// Manager's retries must bring the runner back.
func TestPromise1EveryCallOfARotationMayFail(t *testing.T) {
	scenarios := 0
	for _, c := range rotationCalls(t) {
		for _, fault := range c.faults() {
			if scenarios++; testing.Short() && scenarios%8 != 0 {
				continue
			}
			t.Run(c.String()+"-"+fault.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					fault.inject(w)
					got := w.rotate()
					if strings.Contains(strings.Join(w.errors, ""), "the runner is left paused") {
						w.mustReportThatItIsLeftPaused(fault.name)
					} else if got != smemulator.RotationSucceeded {
						t.Errorf("%s: %v", got, w.errors)
					}
					w.mustBeBack(1)
					if strings.Contains(fault.name, "killed") != strings.Contains(strings.Join(w.errors, ""), "the process was killed") {
						t.Errorf("errors %v; was the process killed?", w.errors)
					}
				})
			})
		}
	}
	t.Logf("%d scenarios", scenarios)
}

// kill ends the goroutine of the function on the spot. Faults of Maia's run in it, for its transport is in memory.
func (w *world) kill() {
	if w.inFunction() {
		runtime.Goexit()
	}
}

// inFunction reports whether the caller runs below the handler.
func (w *world) inFunction() bool {
	frames := make([]uintptr, 64)
	found := runtime.CallersFrames(frames[:runtime.Callers(0, frames)])
	for {
		frame, more := found.Next()
		if strings.HasSuffix(frame.Function, ".(*Handler).Invoke") {
			return true
		}
		if !more {
			return false
		}
	}
}

func TestPromise2FrozenPendingIsAbandonedAndHealed(t *testing.T) {
	for _, step := range []string{stepSet, stepTest, stepFinish} {
		t.Run("refreshed in the console before "+step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(_ *world, sm *smemulator.Options, _ *ecsemulator.Options) { sm.RotationToken = true })
				done := false
				w.hook = func(at string) error {
					if at == step && !done {
						done = true
						w.maia.ConsoleRefresh(agentID)
					}
					return nil
				}
				if got := w.rotate(); got == smemulator.RotationSucceeded {
					t.Errorf("the rotation succeeded, want it abandoned")
				}
				if text := strings.Join(w.errors, "\n"); !strings.Contains(text, "RotationAbandoned") {
					t.Errorf("errors %s", text)
				}
				w.mustBeBack(1)
				if got := w.rotate(); got != smemulator.RotationSucceeded {
					t.Fatalf("the next rotation: %s %v", got, w.errors)
				}
				w.mustBeBack(2)
			})
		})
	}
}

func TestPromise8PendingOfAnotherClientIsRefused(t *testing.T) {
	for _, step := range []string{stepCreate, stepSet, stepTest} {
		t.Run(step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(_ *world, sm *smemulator.Options, _ *ecsemulator.Options) { sm.Attempts = 1 })
				stopped := errors.New("the step is not called")
				w.hook = func(at string) error {
					if at != stepCreate {
						return stopped
					}
					w.post("PutSecretValue", fmt.Sprintf(`{"SecretId":%q,"ClientRequestToken":%q,"VersionStages":["AWSPENDING"],"SecretString":%q}`,
						w.arn, w.token("AWSPENDING"), strings.ReplaceAll(document, clientID, "another-client")))
					return stopped
				}
				w.rotate()
				w.hook = nil
				w.errors = nil
				event := fmt.Appendf(nil, `{"Step":%q,"SecretId":%q,"ClientRequestToken":%q}`, step, w.arn, w.token("AWSPENDING"))
				if err := w.invoke(t.Context(), functionARN, event); err == nil {
					t.Error("the step succeeded")
				}
				if text := strings.Join(w.errors, ""); !strings.Contains(text, `is for client`) || !strings.Contains(text, "another-client") {
					t.Errorf("errors %s", text)
				}
				if w.maia.Refreshes(agentID) != 0 || w.current() != document || w.deployments() != 0 {
					t.Error("something was changed")
				}
			})
		})
	}
}

// Concurrent runs on one token, as after a time-out of the caller, refresh once in all. None resumes a runner that another is about to
// refresh.
func TestPromise2OverlappingInvocationsRefreshOnce(t *testing.T) {
	for _, apart := range []time.Duration{0, 700 * time.Millisecond, 5 * time.Second, 33 * time.Second} {
		for _, runs := range []int{2, 5} {
			t.Run(fmt.Sprintf("%d runs %s apart", runs, apart), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					concurrent := make(chan error, runs)
					started := 0
					w.hook = func(step string) error {
						if step != stepCreate || started > 0 {
							return nil
						}
						event := fmt.Appendf(nil, `{"Step":"createSecret","SecretId":%q,"ClientRequestToken":%q}`, w.arn, w.token("AWSPENDING"))
						for started = 1; started < runs; started++ {
							after := time.Duration(started) * apart
							go func() {
								time.Sleep(after)
								_, err := w.handler().Invoke(t.Context(), event)
								concurrent <- err
							}()
						}
						return nil
					}
					if got := w.rotate(); got != smemulator.RotationSucceeded {
						t.Errorf("%s: %v", got, w.errors)
					}
					for range runs - 1 {
						if err := <-concurrent; err != nil && errorType(err) != "NotReadyError" && errorType(err) != "UnknownOutcomeError" {
							t.Errorf("error of a concurrent run: %v", err)
						}
					}
					if w.maia.Refreshes(agentID) != 1 || w.maia.Lost(agentID) != 0 {
						t.Errorf("%d refreshes, %d pipelines lost", w.maia.Refreshes(agentID), w.maia.Lost(agentID))
					}
					// The next rotation clears what the concurrent runs have left.
					if got := w.rotate(); got != smemulator.RotationSucceeded {
						t.Errorf("%s: %v", got, w.errors)
					}
					w.mustBeBack(2)
				})
			})
		}
	}
}

func TestPromise2ANewTokenAdoptsWhatTheLastOneLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(w *world, sm *smemulator.Options, _ *ecsemulator.Options) { sm.Attempts = 1 })
		w.hook = func(step string) error {
			if step == stepSet {
				return fmt.Errorf("the function could not be started")
			}
			return nil
		}
		if got := w.rotate(); got != smemulator.RotationFailed {
			t.Fatal(got)
		}
		w.hook = nil
		// An operator clears the stuck label, as the documentation says, and starts another rotation.
		w.clearPending()
		if got := w.rotate(); got != smemulator.RotationSucceeded {
			t.Fatalf("%s: %v", got, w.errors)
		}
		w.mustBeBack(1)
	})
}

func (w *world) clearPending() {
	w.t.Helper()
	for _, version := range w.secrets.Versions(w.arn) {
		for _, stage := range version.Stages {
			if stage == "AWSPENDING" {
				w.post("UpdateSecretVersionStage", fmt.Sprintf(`{"SecretId":%q,"VersionStage":"AWSPENDING","RemoveFromVersionId":%q}`, w.arn,
					version.ID))
			}
		}
	}
}

// configurationTest is a request to Secrets Manager that sets up the rotation of a secret by a function, and rotates nothing yet.
const configurationTest = `{"SecretId":%q,"RotationLambdaARN":%q,"RotationRules":{"AutomaticallyAfterDays":30},"RotateImmediately":false,` +
	`"ClientRequestToken":"11111111-2222-3333-4444-555555555555"}`

// post sends a call to Secrets Manager as an operator's command line would.
func (w *world) post(operation, body string) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://127.0.0.1/", strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	request.Header.Set("X-Amz-Target", "secretsmanager."+operation)
	request.Header.Set("X-Amz-Date", time.Now().UTC().Format("20060102T150405Z"))
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"+time.Now().UTC().Format("20060102")+
		"/eu-west-1/secretsmanager/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, Signature="+strings.Repeat("0", 64))
	response, err := wire.Transport(w.secrets).RoundTrip(request)
	if err != nil || response.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %v %v", operation, response, err)
	}
}

func TestPromise3ConfigurationTestChangesNothing(t *testing.T) {
	for name, options := range map[string]smemulator.Options{
		"the pending version is empty":           {},
		"the pending version is a copy":          {TestCopiesValue: true},
		"rotation is not enabled yet":            {TestBeforeEnabled: true},
		"not enabled yet, the version is a copy": {TestBeforeEnabled: true, TestCopiesValue: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(_ *world, sm *smemulator.Options, _ *ecsemulator.Options) {
					sm.TestCopiesValue, sm.TestBeforeEnabled = options.TestCopiesValue, options.TestBeforeEnabled
				})
				w.post("RotateSecret", fmt.Sprintf(configurationTest, w.arn, functionARN))
				event, err := w.secrets.WaitRotation(t.Context(), w.arn)
				if err != nil || event.Name != smemulator.TestRotationSucceeded {
					t.Errorf("%s: %v %v", event.Name, err, w.errors)
				}
				if got := strings.Join(w.steps, " "); got != stepTest {
					t.Errorf("steps %s", got)
				}
				if w.maia.Refreshes(agentID) != 0 || len(w.labels()) != 0 || w.deployments() != 0 || w.current() != document {
					t.Errorf("something was changed")
				}
				for _, call := range w.maia.Calls() {
					if call.Method == http.MethodPost && call.Name != maiatest.Token {
						t.Errorf("%s was called", call.Name)
					}
				}
			})
		})
	}
}

func TestPromise3ConfigurationTestSaysWhatIsInTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.maia.ConsoleRefresh(agentID)
		w.post("RotateSecret", fmt.Sprintf(configurationTest, w.arn, functionARN))
		event, err := w.secrets.WaitRotation(t.Context(), w.arn)
		if err != nil || event.Name != smemulator.TestRotationFailed ||
			!strings.Contains(strings.Join(w.errors, ""), "a rotation would first have to store") {
			t.Errorf("%s: %v %v", event.Name, err, w.errors)
		}
	})
}

func TestPromise3NothingIsRefreshed(t *testing.T) {
	tests := map[string]struct {
		prepare func(w *world)
		says    string
	}{
		"the service is scaled to zero": {func(w *world) { w.ecs.ScaleTo("matillion", "runner", 0) }, "scaled to zero"},
		"the service is being deployed": {func(w *world) { w.ecs.HangNextDeployment("matillion", "runner"); w.ecs.Deploy("matillion", "runner") },
			"the deployment is rolling"},
		"AGENT_ID is not allowed": {func(w *world) { w.environ[3] = "MAIA_AGENT_IDS=ffffffff-5c1f-4b0a-9a55-0c6f3a1d2e3f" },
			"which this function may not serve"},
		"another client ID": {func(w *world) {
			w.secrets.Put(w.arn, strings.ReplaceAll(document, clientID, "another-client"))
		}, `credentials of client \"another-client\"`},
		"the region differs": {func(w *world) { w.environ = append(w.environ, "MAIA_REGION=us1") },
			"MAIA_REGION is us1, but that in the runner's task definition is eu1"},
		"too little time": {func(w *world) { w.timeout = 30 * time.Second }, "are left in this run"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				test.prepare(w)
				before := w.current()
				if got := w.rotate(); got != smemulator.RotationFailed {
					t.Errorf("%s", got)
				}
				if text := strings.Join(w.errors, "\n"); !strings.Contains(text, test.says) {
					t.Errorf("errors %s\nwant one that says %s", text, test.says)
				}
				if w.maia.Refreshes(agentID) != 0 || w.current() != before || w.deployments() != 0 {
					t.Errorf("something was changed")
				}
				w.mustNotLeak()
			})
		})
	}
}

func TestPromise5RestartIsMadeSureOfAfterTheLabelMoved(t *testing.T) {
	tests := map[string]func(w *world){
		"UpdateService is refused throughout one invocation": func(w *world) {
			w.ecs.Inject(awsjson.Fault{Operation: "UpdateService", Nth: 1, Times: 3, Kind: awsjson.AccessDenied})
		},
		"the deployment fails":                  func(w *world) { w.ecs.FailNextDeployment("matillion", "runner", false) },
		"the deployment fails, is rolled back":  func(w *world) { w.ecs.FailNextDeployment("matillion", "runner", true) },
		"killed between the move and the order": func(w *world) { w.deadly = deadlyCall{"UpdateService", 1, false} },
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				prepare(w)
				if got := w.rotate(); got != smemulator.RotationSucceeded {
					t.Errorf("%s: %v", got, w.errors)
				}
				w.mustBeBack(1)
			})
		})
	}
}

func TestPromise6RevertedSecretIsHealedWithoutARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.rotate()
		time.Sleep(24 * time.Hour)
		w.secrets.Put(w.arn, document) // as Terraform does
		if got := w.rotate(); got != smemulator.RotationSucceeded {
			t.Fatalf("%s: %v", got, w.errors)
		}
		w.mustBeBack(1)
		if got := w.deployments(); got != 1 {
			t.Errorf("%d deployments were ordered, want only that of the first rotation", got)
		}
	})
}

func TestPromise6ConsoleRefreshIsAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.maia.ConsoleRefresh(agentID)
		if got := w.rotate(); got != smemulator.RotationSucceeded {
			t.Fatalf("%s: %v", got, w.errors)
		}
		if !strings.Contains(w.output.String(), `"Outcome":"healed"`) {
			t.Errorf("the metrics do not say healed")
		}
		w.maia.FinishTasks(agentID)
		live := w.maia.LiveSecret(agentID)
		if w.current() != strings.ReplaceAll(document, firstSecret, live) || !w.agent().Connected || w.maia.Refreshes(agentID) != 0 {
			t.Errorf("connected %t, refreshes %d", w.agent().Connected, w.maia.Refreshes(agentID))
		}
	})
}

func TestPromise8OperatorsPauseStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.maia.ConsolePause(agentID, 3*time.Hour)
		until := w.agent().PausedUntil
		if got := w.rotate(); got != smemulator.RotationSucceeded {
			t.Fatalf("%s: %v", got, w.errors)
		}
		if agent := w.agent(); agent.Status != maia.StatusPaused || !agent.Connected || !agent.PausedUntil.Equal(until) {
			t.Errorf("the agent is %q until %s, connected %t; want the operator's pause kept until %s", agent.Status, agent.PausedUntil,
				agent.Connected, until)
		}
		if got := w.maia.Refreshes(agentID); got != 1 {
			t.Errorf("%d refreshes, want 1", got)
		}
	})
}

// An operator's edit of another key during a rotation is kept.
func TestPromise8AnEditOfAnotherKeySurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		done := false
		w.hook = func(step string) error {
			if step == stepFinish && !done {
				done = true
				w.secrets.Put(w.arn, strings.ReplaceAll(document, "kept", "edited"))
			}
			return nil
		}
		if got := w.rotate(); got == smemulator.RotationSucceeded || !strings.Contains(strings.Join(w.errors, ""), "start another now") {
			t.Errorf("%s: %v; want that the edit ends the rotation", got, w.errors)
		}
		if got := w.rotate(); got != smemulator.RotationSucceeded {
			t.Errorf("the next rotation: %s: %v", got, w.errors)
		}
		want := strings.ReplaceAll(strings.ReplaceAll(document, "kept", "edited"), firstSecret, w.maia.LiveSecret(agentID))
		if got := w.current(); got != want || !w.agent().Connected || w.maia.Refreshes(agentID) != 1 {
			t.Errorf("AWSCURRENT is %s, want %s; connected %t, %d refreshes", got, want, w.agent().Connected, w.maia.Refreshes(agentID))
		}
	})
}

func TestSeveralServicesAreAllRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.ecs.CreateService(ecsemulator.ServiceSpec{Cluster: "matillion", Name: "runner-2", TaskDefinition: "runner", DesiredCount: 1})
		if got := w.rotate(); got != smemulator.RotationSucceeded {
			t.Fatalf("%s: %v", got, w.errors)
		}
		w.mustBeBack(1)
		if got := w.deployments(); got != 2 {
			t.Errorf("%d deployments were ordered, want one for each service", got)
		}
	})
}

func TestReadsThatLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(w *world, sm *smemulator.Options, _ *ecsemulator.Options) {
			sm.ReadLag, sm.RotationToken = 2*time.Second, true
			w.maia = maiatest.New(apiCredential, maiatest.WithReadLag(40*time.Second), maiatest.WithConnectedLag(10*time.Second))
		})
		time.Sleep(time.Minute)
		if got := w.rotate(); got != smemulator.RotationSucceeded {
			t.Fatalf("%s: %v", got, w.errors)
		}
		w.mustBeBack(1)
		if len(w.errors) > 0 {
			t.Errorf("errors %v", w.errors)
		}
	})
}

// After the refresh no step waits for a Maia that limits its rate: its answer is not essential, and the runner is down in that
// time.
func TestPromise4ALimitedMaiaDoesNotDelayTheRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var refreshed, restarted time.Time
		w.maia.OnCall(func(call maiatest.Call) {
			if call.Name == maiatest.RefreshCredentials {
				refreshed = call.Time
				for nth := range 4 {
					w.maia.Inject(maiatest.Fault{Call: maiatest.GetCredentials, Nth: nth + 1, Kind: maiatest.RateLimited, RetryAfter: "50"})
				}
			}
		})
		w.ecs.OnCall(func(call awsjson.Call) {
			if call.Operation == "UpdateService" {
				restarted = call.Time
			}
		})
		if end := w.rotate(); end != smemulator.RotationSucceeded {
			t.Errorf("the rotation ends as %s", end)
		}
		if delay := restarted.Sub(refreshed); delay > 10*time.Second {
			t.Errorf("the restart is ordered %s after the refresh", delay)
		}
	})
}
