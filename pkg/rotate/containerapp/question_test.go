package containerapp_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/containerapp"
)

// TestTheQuestionIsAValidChangeThatAltersNothing: all secrets are sent as they are, before anything is refreshed.
func TestTheQuestionIsAValidChangeThatAltersNothing(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		before := w.apps.Secrets(appID)
		var bodies []string
		w.apps.Inject(wire.Fault{Operation: "write", Match: func(raw []byte) bool {
			if w.maia.Refreshes(agentID) == 0 {
				bodies = append(bodies, string(raw))
			}
			return false
		}})
		runner := w.runner()
		observed, err := runner.Observe(w.t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := runner.Check(w.t.Context()); err != nil {
			t.Fatal(err)
		}
		after, err := runner.Observe(w.t.Context())
		runner.Release(w.t.Context())
		if err != nil || after.Instances != observed.Instances {
			t.Errorf("the question has changed what is observed: %+v, %v", after.Instances, err)
		}
		var sent struct {
			Location   string
			Properties struct {
				Configuration struct{ Secrets []containerapps.Secret }
			}
		}
		if len(bodies) != 1 {
			t.Fatalf("%d questions", len(bodies))
		}
		mustHaveOnly(t, bodies[0], &sent)
		if !slices.Equal(sent.Properties.Configuration.Secrets, before) || !slices.Equal(w.apps.Secrets(appID), before) {
			t.Error("the question alters a secret")
		}
	})
}

// TestPoliciesOfBothKindsRefuseBeforeTheRefresh: one that judges apps, and one that judges the secrets in a request.
func TestPoliciesOfBothKindsRefuseBeforeTheRefresh(t *testing.T) {
	for name, says := range map[string]string{
		"policy-on-apps": "az policy exemption create", "policy-on-secrets": "az policy exemption create", "deny-assignment": "no role overrides",
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				if err := w.apps.Play(name); err != nil {
					t.Fatal(err)
				}
				_, err := w.run(rotate.Rotate)
				w.mustFail(err, rotate.Configuration, "app runner: ", says)
				w.mustBeUntouched()
			})
		})
	}
}

// TestAQuestionWithoutAnAnswerEndsTheRun: it may be carried out late, and is not to arrive after a refresh.
func TestAQuestionWithoutAnAnswerEndsTheRun(t *testing.T) {
	for _, kind := range []wire.Kind{wire.DropBefore, wire.DropAfter, wire.Status5xx, wire.Status5xxAfter} {
		t.Run(kind.String(), func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				w.apps.Inject(wire.Fault{Operation: "write", Times: 1, Kind: kind})
				_, err := w.run(rotate.Rotate)
				w.mustFail(err, rotate.NotReady, "change app runner")
				w.mustBeUntouched()
				time.Sleep(time.Minute)
				w.mustRotate()
			})
		})
	}
}

// TestAQuestionThatEndsAsFailedIsSentAgain: else the app would stay one whose last change has failed, by our doing.
func TestAQuestionThatEndsAsFailedIsSentAgain(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.apps.FailUpdates(appID, 2)
		w.mustRotate()
	})
	inWorld(t, nil, func(w *world) {
		w.apps.FailUpdates(appID, 1000)
		_, err := w.run(rotate.Rotate)
		w.mustFail(err, rotate.NotReady, "a change of app runner that alters nothing ended as Failed", "activity log")
		w.mustBeUntouched()
	})
}

// TestAQuestionThatWasOneOfTooManyIsAskedAgain: with a fresh list.
func TestAQuestionThatWasOneOfTooManyIsAskedAgain(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.apps.Inject(wire.Fault{Operation: "write", Times: 2, Kind: wire.Throttle, RetryAfter: 40 * time.Second, Before: func() {
			w.apps.SetSecret(appID, "other", "a newer one")
		}})
		w.mustRotate()
		if got := w.apps.Secret(appID, "other").Value; got != "a newer one" {
			t.Errorf("the other secret is %q again", got)
		}
	})
}

// TestNothingOldIsSentAgain: after a refusal or a lost answer another writer's change made meanwhile survives.
func TestNothingOldIsSentAgain(t *testing.T) {
	for name, fault := range map[string]wire.Fault{
		"429":              {Kind: wire.Throttle, RetryAfter: 20 * time.Second},
		"500":              {Kind: wire.Status5xx},
		"the answer lost":  {Kind: wire.DropAfter},
		"the request lost": {Kind: wire.DropBefore},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				fault.Operation, fault.Match, fault.Nth = "write", w.ownChange, 1
				fault.After = func() {
					time.AfterFunc(200*time.Millisecond, func() {
						w.apps.SetSecret(appID, "other", "a newer one")
						w.apps.SetSecret(appID, "added", "meanwhile")
					})
				}
				if fault.Kind == wire.DropAfter { // a change that is under way replaces all when it ends
					fault.After = func() {
						time.AfterFunc(1500*time.Millisecond, func() {
							w.apps.SetSecret(appID, "other", "a newer one")
							w.apps.SetSecret(appID, "added", "meanwhile")
						})
					}
				}
				w.apps.Inject(fault)
				w.mustRotate()
				if other, added := w.apps.Secret(appID, "other").Value, w.apps.Secret(appID, "added").Value; other != "a newer one" ||
					added != "meanwhile" {
					t.Errorf("the other secrets are %q and %q", other, added)
				}
			})
		})
	}
}

// TestRestartsAreSentOnce: the SDK repeats none, and the time that Azure asks to wait is waited.
func TestRestartsAreSentOnce(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.apps.Inject(wire.Fault{Operation: "revisions/restart/action", Match: func([]byte) bool { return w.maia.Refreshes(agentID) > 0 },
			Nth: 1, Times: 2, Kind: wire.Throttle, RetryAfter: 37 * time.Second})
		w.mustRotate()
		calls := slices.DeleteFunc(w.apps.Calls(), func(call wire.Call) bool { return call.Operation != "revisions/restart/action" })
		var last, next time.Time
		for _, call := range calls {
			if call.Status == http.StatusTooManyRequests {
				last = call.Time
			} else if !last.IsZero() && next.IsZero() {
				next = call.Time
			}
		}
		if last.IsZero() || next.Sub(last) < 37*time.Second {
			t.Errorf("the next restart came %s after the refusal", next.Sub(last))
		}
	})
}

// TestACallAfterAFailedOneWaitsForNobody: the lease was given back, so that nobody is at work.
func TestACallAfterAFailedOneWaitsForNobody(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		repair := w.apps.Inject(wire.Fault{Operation: "write", Match: w.ownChange, Kind: wire.BadRequest})
		if _, err := w.run(rotate.Rotate); err == nil {
			t.Fatal("no error")
		}
		repair()
		began := time.Now()
		if _, err := w.run(rotate.Heal); err != nil {
			t.Fatal(err)
		}
		w.mustBeBack()
		if took := time.Since(began); took > 25*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// TestFree: the runner is free if this run holds its lock, and not if another does.
func TestFree(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		mustBeFree := func(runner *containerapp.Runner, want bool) {
			t.Helper()
			platform, err := runner.Observe(w.t.Context())
			if err != nil || platform.Free != want {
				t.Errorf("free %t, %v", platform.Free, err)
			}
		}
		one, other := w.runner(), w.runner()
		mustBeFree(one, true) // there is no blob
		if err := one.SaveNote(w.t.Context(), rotate.Note{}); err != nil {
			t.Fatal(err)
		}
		mustBeFree(one, true)
		mustBeFree(other, false)
		one.Release(w.t.Context())
		mustBeFree(other, true)
	})
}

// TestErrorsAfterManyTriesNameTheLastAnswer: the SDK itself would say that the request was canceled.
func TestErrorsAfterManyTriesNameTheLastAnswer(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		runner := w.runner()
		w.apps.Inject(wire.Fault{Operation: "listSecrets/action", Kind: wire.Throttle, RetryAfter: 20 * time.Second})
		ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
		defer cancel()
		_, err := runner.Observe(ctx)
		w.mustFail(err, rotate.NotReady, "list the secrets of app runner: TooManyRequests (HTTP 429), until the time was up")
	})
}

// TestTheNoteSaysInWhichFormARestartIsKnown: readable, and without a secret.
func TestTheNoteSaysInWhichFormARestartIsKnown(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		if err := w.apps.Play("rollout-9m"); err != nil {
			t.Fatal(err)
		}
		w.connectTimeout = 20 * time.Second
		_, err := w.run(rotate.Rotate)
		if err == nil {
			t.Fatal("no error")
		}
		var note struct{ Ordered rotate.Order }
		if err := json.Unmarshal([]byte(w.state.Blobs(stateName)[blobName]), &note); err != nil {
			t.Fatal(err)
		}
		if ids := note.Ordered.IDs; len(ids) != 2 || !strings.HasPrefix(ids[0], "runner--1@20") || !strings.HasPrefix(ids[1], "runner--2@20") {
			t.Errorf("%q", ids)
		}
	})
}
