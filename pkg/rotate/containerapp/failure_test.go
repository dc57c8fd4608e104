package containerapp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/containerapp"
)

var operations = []string{"read", "listSecrets/action", "revisions/read", "revisions/replicas/read", "write", "revisions/restart/action"}

func TestPromise3NothingIsRefreshedWithoutARight(t *testing.T) {
	for _, operation := range operations {
		t.Run(operation, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				allow := w.apps.Inject(wire.Fault{Operation: operation, Kind: wire.AccessDenied})
				_, err := w.run(rotate.Rotate)
				w.mustFail(err, rotate.Permission, "allow the function's identity Microsoft.App/containerApps/"+operation, "AuthorizationFailed")
				w.mustBeUntouched()
				allow()
				w.mustRotate()
			})
		})
	}
}

func TestARightThatIsTakenAwayWhileTheRunnerIsDown(t *testing.T) {
	for _, operation := range operations {
		t.Run(operation, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				var allow func()
				w.maia.OnCall(func(call maiatest.Call) {
					if call.Name == maiatest.RefreshCredentials && allow == nil {
						allow = w.apps.Inject(wire.Fault{Operation: operation, Kind: wire.AccessDenied})
					}
				})
				_, err := w.run(rotate.Rotate)
				w.mustFail(err, rotate.Permission, "Microsoft.App/containerApps/"+operation)
				if state := stateOf(err); state == rotate.Unchanged || state == rotate.NotObserved {
					t.Errorf("state %q after a refresh", state)
				}
				allow()
				if _, err := w.run(rotate.Heal); err != nil {
					w.t.Fatal(err)
				}
				w.mustBeBack()
				if n := w.maia.Refreshes(agentID); n != 1 {
					t.Errorf("%d refreshes", n)
				}
			})
		})
	}
}

func TestPromise3NothingIsRefreshedWhileAzureFails(t *testing.T) {
	for _, operation := range operations[:4] {
		for kind, says := range map[wire.Kind]string{wire.Status5xx: "HTTP 500", wire.Throttle: "HTTP 429", wire.DropBefore: "reset"} {
			t.Run(fmt.Sprint(operation, " ", kind), func(t *testing.T) {
				inWorld(t, nil, func(w *world) {
					repair := w.apps.Inject(wire.Fault{Operation: operation, Kind: kind, RetryAfter: time.Hour})
					_, err := w.run(rotate.Rotate)
					w.mustFail(err, rotate.NotReady, says)
					w.mustBeUntouched()
					repair()
					w.mustRotate()
				})
			})
		}
	}
}

func TestRetryAfterIsKept(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.apps.Inject(wire.Fault{Operation: "listSecrets/action", Times: 2, Kind: wire.Throttle, RetryAfter: 17 * time.Second})
		began := time.Now()
		w.mustRotate()
		var at []time.Duration
		for _, call := range w.apps.Calls() {
			if call.Operation == "listSecrets/action" && len(at) < 3 {
				at = append(at, call.Time.Sub(began))
			}
		}
		if at[1]-at[0] != 17*time.Second || at[2]-at[1] != 17*time.Second {
			t.Errorf("lists of the secrets at %s", at)
		}
	})
}

func TestPromise1A5xxOrALostAnswerAfterTheRefreshIsOvercome(t *testing.T) {
	for _, kind := range []wire.Kind{wire.Status5xx, wire.Status5xxAfter, wire.DropBefore, wire.DropAfter, wire.Throttle, wire.Conflict} {
		t.Run(kind.String(), func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				w.apps.Inject(wire.Fault{Operation: "write", Match: w.ownChange, Nth: 1, Times: 5, Kind: kind, RetryAfter: 2 * time.Second})
				w.mustRotate()
				if n := w.maia.Refreshes(agentID); n != 1 {
					t.Errorf("%d refreshes", n)
				}
			})
		})
	}
}

func TestConflictForEver(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		repair := w.apps.Inject(wire.Fault{Operation: "write", Match: w.ownChange, Kind: wire.Conflict})
		_, err := w.run(rotate.Rotate)
		w.mustFail(err, rotate.NotReady, "write the secrets of app runner")
		if !strings.Contains(w.logged(), "the change was not carried out, or undone") {
			t.Error("the log does not say why")
		}
		if state := stateOf(err); state != rotate.NotStored {
			t.Errorf("state %q", state)
		}
		if w.writes > 0 {
			t.Error("the change was carried out")
		}
		repair()
		if _, err := w.run(rotate.Heal); err != nil {
			w.t.Fatal(err)
		}
		w.mustBeBack()
		if n := w.maia.Refreshes(agentID); n != 1 {
			t.Errorf("%d refreshes", n)
		}
	})
}

func TestAChangeOfAnotherWriterBeforeTheRefreshIsLeftToEnd(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		end := w.apps.Begin(appID, nil)
		_, err := w.run(rotate.Rotate)
		w.mustFail(err, rotate.NotReady, "in progress")
		w.mustBeUntouched()
		end()
		w.mustRotate()
	})
}

// Another writer's change of another secret, whenever it comes during ours, survives or is refused.
func TestPromise8AnotherSecretThatIsChangedMeanwhileSurvives(t *testing.T) {
	theirs := func(w *world) {
		w.apps.SetSecret(appID, "other", "a newer one")
		w.apps.SetSecret(appID, "added", "meanwhile")
	}
	for name, when := range map[string]func(w *world){
		"under way since before the list": func(w *world) {
			w.once("read", func() {
				end := w.apps.Begin(appID, func() { theirs(w) })
				time.AfterFunc(7300*time.Millisecond, end)
			})
		},
		"begins between the list and the change": func(w *world) {
			w.once("write", func() {
				end := w.apps.Begin(appID, func() { theirs(w) })
				time.AfterFunc(7300*time.Millisecond, end)
			})
		},
		"right after ours": func(w *world) {
			w.once("write", func() { time.AfterFunc(1400*time.Millisecond, func() { theirs(w) }) })
		},
		"and puts the old client secret back": func(w *world) {
			old := w.held()
			w.once("write", func() {
				time.AfterFunc(1400*time.Millisecond, func() { theirs(w); w.apps.SetSecret(appID, clientSecret, old) })
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				when(w)
				w.mustRotate()
				for name, want := range map[string]string{"other": "a newer one", "added": "meanwhile"} {
					if got := w.apps.Secret(appID, name).Value; got != want {
						t.Errorf("the secret %s is %q, another writer has set it to %q", name, got, want)
					}
				}
			})
		})
	}
}

// once has something done before the first call of an operation after the refresh.
func (w *world) once(operation string, do func()) {
	done := false
	w.apps.Inject(before(operation, func() {
		if w.maia.Refreshes(agentID) > 0 && !done {
			done = true
			do()
		}
	}))
}

// failUpdates has the next n changes after the refresh fail.
func (w *world) failUpdates(n int) {
	w.maia.OnCall(func(call maiatest.Call) {
		if call.Name == maiatest.RefreshCredentials {
			w.apps.FailUpdates(appID, n)
		}
	})
}

func TestAnOperationThatFailsAfterItWasAccepted(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.failUpdates(1)
		w.mustRotate()
		if n := w.writes; n != 2 {
			t.Errorf("%d changes, want one more than failed", n)
		}
	})
	inWorld(t, nil, func(w *world) {
		w.failUpdates(1000)
		_, err := w.run(rotate.Rotate)
		w.mustFail(err, rotate.Internal, "the change of the secrets of app runner ended as Failed", "activity log")
		if state := stateOf(err); state != rotate.NotStored {
			t.Errorf("state %q", state)
		}
		w.apps.FailUpdates(appID, 0)
		if _, err := w.run(rotate.Heal); err != nil {
			w.t.Fatal(err)
		}
		w.mustBeBack()
	})
}

// Of the successes the SDK accepts only some, and only if it can poll by their answers.
func TestSuccessesThatTheSDKDoesNotKnow(t *testing.T) {
	for name, test := range map[string]struct {
		call   string
		change func(answer *http.Response)
	}{
		"a change with 201": {"PATCH app", func(answer *http.Response) { answer.StatusCode = http.StatusCreated }},
		"a change with 204": {"PATCH app",
			func(answer *http.Response) { answer.StatusCode = http.StatusNoContent; replaceBody(answer, nil) }},
		"a change with a place to nowhere": {"PATCH app", func(answer *http.Response) { answer.Header.Set("Location", "nowhere") }},
		"a restart with 202":               {"POST app restart", func(answer *http.Response) { answer.StatusCode = http.StatusAccepted }},
		"a restart with 204": {"POST app restart",
			func(answer *http.Response) { answer.StatusCode = http.StatusNoContent; replaceBody(answer, nil) }},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				w.alter = func(request *http.Request, answer *http.Response) {
					if nameOf(request) == test.call && answer.StatusCode < 300 {
						test.change(answer)
					}
				}
				w.mustRotate()
				if writes, restarts := w.writes, w.apps.Restarts(appID); writes != 1 || fmt.Sprint(restarts) != "map[runner--1:1 runner--2:1]" {
					t.Errorf("%d changes, restarts %v", writes, restarts)
				}
				if strings.Contains(w.logged(), "tried again") {
					t.Error("what was done is reported as failed")
				}
			})
		})
	}
}

// A change that failed but took effect is sent once more; however that ends, the runner is brought back.
func TestAnOperationThatFailsAndChangesTheSecretAllTheSame(t *testing.T) {
	for fails, name := range map[int]string{1: "once", 1000: "for ever"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, containerapps.Options{FailLate: true}, nil)
				w.failUpdates(fails)
				w.mustRotate()
				if n := w.writes; n != 2 {
					t.Errorf("%d changes, want one more than failed", n)
				}
			})
		})
	}
}

func TestARevisionThatIsDeactivatedMeanwhileIsPassedOver(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.alter = func(request *http.Request, answer *http.Response) {
			if nameOf(request) == listOfReplicas && strings.Contains(request.URL.Path, "runner--1") {
				answer.StatusCode = http.StatusNotFound
			}
		}
		runner := w.runner()
		if _, err := runner.Observe(w.t.Context()); err != nil || fmt.Sprint(runner.Revisions()) != "[runner--2]" {
			t.Errorf("%v, %v", runner.Revisions(), err)
		}
	})
}

// refused is an identity that gets no token.
type refused struct{ err error }

func (r refused) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{}, r.err
}

func TestAnIdentityWithoutAToken(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		kind rotate.Kind
		says string
	}{
		"the function's own error": {rotate.Errorf(rotate.Permission, "no token was issued"), rotate.Permission, "no token was issued"},
		"the SDK's": {errors.New("no token was issued: {the token}\nRESPONSE 200: {the token}"), rotate.Internal,
			"no answer that could be read"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				_, err := w.run(rotate.Rotate, func(c *containerapp.Config) { c.Credential = refused{test.err} })
				w.mustFail(err, test.kind, "read app runner", test.says)
				if n := len(w.apps.Calls()); n > 0 || slices.Contains([]byte(err.Error()), '\n') {
					t.Errorf("%d calls, error %v", n, err)
				}
			})
		})
	}
}

func TestAnIdentityOfAnotherTenant(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		_, err := w.run(rotate.Rotate, func(c *containerapp.Config) { c.Credential = other{} })
		w.mustFail(err, rotate.Permission, "read app runner", "AuthenticationFailed", "tenant")
	})
}

// other is another identity.
type other struct{}

func (other) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "another", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func TestALockedApp(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.apps.Lock(appID)
		_, err := w.run(rotate.Rotate)
		w.mustFail(err, rotate.Configuration, "app runner", "ScopeLocked", "ReadOnly")
		w.mustBeUntouched()
	})
}
