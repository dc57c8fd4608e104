package containerapp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/containerapp"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

const blobName = agentID + ".json"

func TestTheContainerAndTheBlobAreMade(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.mustRotate()
		var note struct {
			App string
			rotate.Note
		}
		err := json.Unmarshal([]byte(w.state.Blobs(stateName)[blobName]), &note)
		if err != nil || note.App != appID || note.Applied != maia.NewSecret(w.maia.LiveSecret(agentID)).Fingerprint() ||
			note.LastRotation == nil {
			t.Errorf("note %+v, %v", note, err)
		}
		w.mustRotate() // in the same
	})
}

func TestAPlanLeavesNoBlobAndNoChange(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		runner, err := w.discover(func(c *containerapp.Config) { c.Dry = true })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := runner.Observe(w.t.Context()); err != nil {
			t.Error(err)
		}
		if err := runner.Check(w.t.Context()); err != nil {
			t.Error(err)
		}
		if _, busy, err := runner.Busy(w.t.Context()); busy || err != nil {
			t.Errorf("busy %t, %v", busy, err)
		}
		runner.Release(w.t.Context())
		for _, call := range w.state.Calls() {
			if call.Operation != "get" {
				t.Errorf("%s %s", call.Operation, call.Resource)
			}
		}
		if n := w.calls("write"); n > 0 {
			t.Errorf("%d changes of the app", n)
		}
	})
}

func TestALeaseThatIsHeld(t *testing.T) {
	for name, test := range map[string]struct {
		lease time.Duration
		waits time.Duration
		says  []string
	}{
		"by one that renews it":           {time.Hour, 50 * time.Second, []string{"another run is at work"}},
		"by one that has just gone":       {40 * time.Second, 0, nil},
		"and ends while it is waited for": {47 * time.Second, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				w.state.Put(stateName, blobName, "{}")
				w.state.Lease(stateName, blobName, test.lease)
				if test.says == nil {
					w.mustRotate()
					return
				}
				began := time.Now()
				if _, busy, err := w.runner().Busy(w.t.Context()); !busy || err != nil || time.Since(began) < test.waits {
					t.Errorf("busy %t after %s, %v", busy, time.Since(began), err)
				}
				_, err := w.run(rotate.Rotate)
				w.mustFail(err, rotate.NotReady, test.says...)
				w.mustBeUntouched()
			})
		})
	}
}

// Such a lease belongs to no run, and none must be reported.
func TestALeaseWithoutAnEndIsAFailureOfEveryCall(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.state.Put(stateName, blobName, "{}")
		w.state.Lease(stateName, blobName, 0)
		says := []string{"leased without an end", "az storage blob lease break"}
		_, busy, err := w.runner().Busy(w.t.Context())
		w.mustFail(err, rotate.NotReady, says...)
		if busy {
			t.Error("another run is reported at work")
		}
		_, err = w.run(rotate.Rotate)
		w.mustFail(err, rotate.NotReady, says...)
		rotator := &rotate.Rotator{Maia: w.maia.Client(w.t), Policy: rotate.DefaultPolicy()}
		served := fleet.Fleet{Policy: rotate.DefaultPolicy()}.Run(w.t.Context(), []fleet.Target{{
			Name: "runner", Open: func(context.Context) (fleet.Runner, *rotate.Rotator, error) { return w.runner(), rotator, nil },
		}})
		if !served.Failed() {
			t.Error("the call has not failed")
		}
		w.mustFail(served.Targets[0].Error, rotate.NotReady, says...)
		w.mustBeUntouched()
	})
}

// Whatever happens to the lease between the note of the intent and the refresh, nothing is refreshed then.
func TestPromise2NoRefreshWithoutTheLease(t *testing.T) {
	for name, happens := range map[string]func(w *world){
		"broken":     func(w *world) { w.state.Break(stateName, blobName) },
		"taken over": func(w *world) { w.state.Break(stateName, blobName); w.state.Lease(stateName, blobName, time.Minute) },
		"taken over, and the note changed": func(w *world) {
			w.state.Break(stateName, blobName)
			over := maia.NewSecret(w.maia.LiveSecret(agentID)).Fingerprint()
			w.state.Put(stateName, blobName, fmt.Sprintf(`{"intent":{"at":%q,"over":%q,"by":"another"}}`,
				time.Now().UTC().Format(time.RFC3339), over))
			w.state.Lease(stateName, blobName, time.Hour)
		},
		"cannot be renewed":          func(w *world) { w.state.Inject(wire.Fault{Operation: "renew", Kind: wire.Status5xx}) },
		"is renewed too slowly":      func(w *world) { w.state.Inject(wire.Fault{Operation: "renew", Kind: wire.Slow, Delay: time.Minute}) },
		"the right to it taken away": func(w *world) { w.state.Inject(wire.Fault{Operation: "renew", Kind: wire.AccessDenied}) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				w.state.Inject(wire.Fault{
					Operation: "put", Nth: 1, Match: func(raw []byte) bool { return strings.Contains(string(raw), `"intent"`) },
					After: func() { happens(w) },
				})
				_, err := w.run(rotate.Rotate)
				if kind := rotate.KindOf(err); err == nil || kind != rotate.NotReady && kind != rotate.Permission {
					t.Errorf("error %v", err)
				}
				w.mustBeUntouched()
			})
		})
	}
}

func TestALeaseThatIsLostAfterTheRefreshDoesNotKeepTheRunnerDown(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.maia.OnCall(func(call maiatest.Call) {
			if call.Name == maiatest.RefreshCredentials {
				w.state.Break(stateName, blobName)
			}
		})
		w.mustRotate()
	})
}

func TestABlobThatIsDeletedMeanwhile(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.mustRotate()
		runner := w.runner()
		if _, err := runner.Observe(w.t.Context()); err != nil {
			t.Fatal(err)
		}
		w.state.Delete(stateName)
		err := runner.SaveNote(w.t.Context(), rotate.Note{Applied: "aaaaaaaaaaaa"})
		w.mustFail(err, rotate.NotReady, "the blob "+blobName, "has been deleted since this run read it")
		w.mustRotate() // with a new one
	})
	inWorld(t, nil, func(w *world) {
		runner := w.runner()
		for range 2 { // under the lease too, seen or not
			if _, err := runner.Observe(w.t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := runner.SaveNote(w.t.Context(), rotate.Note{}); err != nil {
				t.Fatal(err)
			}
			w.state.Remove(stateName, blobName)
			w.mustFail(runner.SaveNote(w.t.Context(), rotate.Note{}), rotate.NotReady, "has been deleted since this run read it")
			if err := runner.SaveNote(w.t.Context(), rotate.Note{}); err != nil {
				t.Fatal(err)
			}
			w.state.Delete(stateName)
			w.mustFail(runner.Hold(w.t.Context(), time.Second), rotate.NotReady, "has been deleted since this run read it")
		}
		runner.Release(w.t.Context())
	})
	inWorld(t, nil, func(w *world) {
		w.maia.OnCall(func(call maiatest.Call) {
			if call.Name == maiatest.RefreshCredentials {
				w.state.Delete(stateName)
			}
		})
		w.mustRotate()
	})
}

// A proxy between the function and its account may strip codes and ETags.
func TestAnswersOfTheAccountWithoutACodeOrAnETag(t *testing.T) {
	for name, change := range map[string]func(answer *http.Response){
		"no code": func(answer *http.Response) {
			if answer.StatusCode >= 300 {
				answer.Header.Del("x-ms-error-code")
				replaceBody(answer, nil)
			}
		},
		"no ETag of what was written": func(answer *http.Response) {
			if answer.Request.Method != http.MethodGet {
				answer.Header.Del("ETag")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				w.alter = func(request *http.Request, answer *http.Response) {
					if strings.HasSuffix(nameOf(request), "blob") || strings.HasSuffix(nameOf(request), "lease") ||
						strings.HasSuffix(nameOf(request), "container") {
						change(answer)
					}
				}
				w.state.Inject(wire.Fault{Operation: "put", Match: func(raw []byte) bool { return strings.Contains(string(raw), `"intent"`) },
					Nth: 1, Kind: wire.DropAfter})
				w.mustRotate()
				w.state.Lease(stateName, blobName, 20*time.Second)
				w.mustRotate()
				w.state.Lease(stateName, blobName, time.Hour)
				_, err := w.run(rotate.Rotate)
				w.mustFail(err, rotate.NotReady, "another run is at work")
			})
		})
	}
	inWorld(t, nil, func(w *world) {
		w.mustRotate()
		w.alter = func(request *http.Request, answer *http.Response) { answer.Header.Del("ETag") }
		_, err := w.run(rotate.Rotate)
		w.mustFail(err, rotate.NotReady, "without an ETag")
		if n := w.maia.Refreshes(agentID); n != 1 {
			t.Errorf("%d refreshes", n)
		}
	})
}

func TestTheLockIsGivenBackWhileARenewalHangs(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		runner := w.runner()
		if err := runner.SaveNote(w.t.Context(), rotate.Note{Applied: "aaaaaaaaaaaa"}); err != nil {
			t.Fatal(err)
		}
		w.state.Inject(wire.Fault{Operation: "renew", Kind: wire.Slow, Delay: time.Minute})
		time.Sleep(11 * time.Second) // the first one hangs
		began := time.Now()
		ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
		defer cancel()
		runner.Release(ctx)
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %s", took)
		}
		if _, busy, err := w.runner().Busy(w.t.Context()); busy || err != nil || time.Since(began) > time.Second {
			t.Errorf("the lease was not given back: %v", err)
		}
	})
}

// Once the store holds what was refreshed, the account is needed for the note only.
func TestPromise1TheRunnerComesBackThoughTheAccountIsDown(t *testing.T) {
	for name, faults := range map[string][]wire.Fault{
		"down":             {{Kind: wire.Status5xx}},
		"takes no one":     {{Kind: wire.AccessDenied}},
		"cannot be leased": {{Operation: "acquire", Kind: wire.Status5xx}, {Operation: "renew", Kind: wire.Status5xx}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				repair := func() {}
				w.once("read", func() {
					for _, fault := range faults {
						also := repair
						remove := w.state.Inject(fault)
						repair = func() { also(); remove() }
					}
					w.state.Break(stateName, blobName)
					time.Sleep(25 * time.Second)
				})
				w.once("write", func() { time.Sleep(25 * time.Second) }) // whatever lease there was has ended
				report, err := w.run(rotate.Rotate)
				if !report.Refreshed || err == nil { // the note could not be written
					t.Errorf("%+v, %v", report, err)
				}
				w.mustBeBack()
				if got := w.apps.Restarts(appID); fmt.Sprint(got) != "map[runner--1:1 runner--2:1]" {
					t.Errorf("restarts %v", got)
				}
				repair()
				if _, err := w.run(rotate.Heal); err != nil {
					t.Error(err)
				}
				w.mustBeBack()
			})
		})
	}
}

// Another run's lock is respected, whether the runner is down or not.
func TestNothingIsRestartedDuringAConcurrentRun(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		runner := w.runner()
		if _, err := runner.Observe(w.t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := runner.Store(w.t.Context(), credentials("another")); err != nil {
			t.Fatal(err)
		}
		runner.Release(w.t.Context())
		w.state.Lease(stateName, blobName, time.Hour)
		_, err := runner.Restart(w.t.Context())
		w.mustFail(err, rotate.NotReady, "another run is at work")
	})
}

// A run lists the secrets and then hangs; another run takes over, and people go on. It must not send what it listed.
func TestPromise8NothingIsStoredDuringAConcurrentRun(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		hung := false
		w.apps.Inject(wire.Fault{Operation: "listSecrets/action", After: func() {
			if w.maia.Refreshes(agentID) == 0 || hung {
				return
			}
			hung = true
			w.state.Break(stateName, blobName)
			other := w.runner()
			platform, err := other.Observe(w.t.Context())
			platform.Note.Applied = rotate.AppliedNothing
			if err := errors.Join(err, other.SaveNote(w.t.Context(), platform.Note),
				other.Store(w.t.Context(), credentials(w.maia.LiveSecret(agentID)))); err != nil {
				t.Error(err)
			}
			other.Release(w.t.Context())
			w.apps.SetSecret(appID, "other", "a newer one")
			time.Sleep(15 * time.Second)
		}})
		if report, err := w.run(rotate.Rotate); !report.Refreshed || !hung {
			t.Errorf("%+v, %v", report, err)
		}
		w.mustBeBack()
		if got := w.apps.Secret(appID, "other").Value; got != "a newer one" {
			t.Errorf("the other secret is %q again", got)
		}
		if n := w.writes; n != 1 {
			t.Errorf("%d changes of the app, expected one", n)
		}
	})
}

// A lease that has ended while the account was down is taken again, and kept.
func TestALeaseThatIsTakenAgainIsKept(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		runner := w.runner()
		if _, err := runner.Observe(w.t.Context()); err != nil {
			t.Fatal(err)
		}
		save := func(applied maia.Fingerprint) {
			if err := runner.SaveNote(w.t.Context(), rotate.Note{Applied: applied}); err != nil {
				t.Error(err)
			}
		}
		save("aaaaaaaaaaaa")
		repair := w.state.Inject(wire.Fault{Operation: "renew", Kind: wire.Status5xx})
		time.Sleep(2 * time.Minute)
		repair()
		save("bbbbbbbbbbbb")
		time.Sleep(2 * time.Minute)
		if _, busy, err := w.runner().Busy(w.t.Context()); !busy || err != nil {
			t.Errorf("the lease was not kept: %v", err)
		}
		runner.Release(w.t.Context())
		if _, busy, err := w.runner().Busy(w.t.Context()); busy || err != nil {
			t.Errorf("the lease was not given back: %v", err)
		}
	})
}

func TestPromise3NothingIsRefreshedWithoutARightToTheBlob(t *testing.T) {
	const actions = "Microsoft.Storage/storageAccounts/blobServices/containers/"
	for operation, action := range map[string]string{
		"get": actions + "blobs/read", "create container": actions + "write", "put": actions + "blobs/write", "acquire": actions + "blobs/write",
	} {
		t.Run(operation, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				allow := w.state.Inject(wire.Fault{Operation: operation, Kind: wire.AccessDenied})
				_, err := w.run(rotate.Rotate)
				w.mustFail(err, rotate.Permission, "allow the function's identity "+action, "HTTP 403")
				w.mustBeUntouched()
				allow()
				w.mustRotate()
			})
		})
	}
}

func TestABlobThatIsNoNote(t *testing.T) {
	for _, content := range []string{"no JSON", `{"unknown":1}`, "[]"} {
		t.Run(content, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				w.state.Put(stateName, blobName, content)
				_, err := w.run(rotate.Rotate)
				w.mustFail(err, rotate.Configuration, "the blob "+blobName, "cannot be read", "delete the blob")
				w.mustBeUntouched()
			})
		})
	}
}

// Nothing is healed into an app that names the agent of another app, even if that one is not served any more.
func TestPromise8TheRunnerOfAnotherApp(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.mustRotate()
		kept := w.state.Blobs(stateName)[blobName]
		w.state.Put(stateName, blobName, strings.Replace(kept, "containerApps/runner", "containerApps/another", 1))
		w.maia.ConsoleRefresh(agentID)
		_, err := w.run(rotate.Heal)
		w.mustFail(err, rotate.Configuration, "says that the runner is app", "another", "delete the blob")
		if w.apps.Secret(appID, clientSecret).Value == w.maia.LiveSecret(agentID) {
			t.Error("the live secret was stored")
		}
		w.state.Put(stateName, blobName, strings.Replace(kept, "containerApps/runner", "containerApps/RUNNER", 1))
		if _, err := w.run(rotate.Heal); err != nil {
			t.Error(err)
		}
	})
}

func TestPromise3NothingIsRefreshedWhileTheAccountFails(t *testing.T) {
	for _, kind := range []wire.Kind{wire.Status5xx, wire.Throttle, wire.DropBefore} {
		for _, operation := range []string{"get", "put", "acquire"} {
			t.Run(operation+" "+kind.String(), func(t *testing.T) {
				inWorld(t, nil, func(w *world) {
					repair := w.state.Inject(wire.Fault{Operation: operation, Kind: kind, RetryAfter: time.Hour})
					_, err := w.run(rotate.Rotate)
					w.mustFail(err, rotate.NotReady, "blob "+blobName)
					w.mustBeUntouched()
					repair()
					w.mustRotate()
				})
			})
		}
	}
}
