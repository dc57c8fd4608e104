package containerapp_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/containerapp"
)

// variable sets a variable of the runner's container; without a value or a reference it takes the variable out.
func variable(name string, entries ...string) func(*containerapps.Spec) {
	return func(spec *containerapps.Spec) {
		container := spec.Containers[0].(map[string]any)
		env := slices.DeleteFunc(slices.Clone(container["env"].([]any)), func(one any) bool { return one.(map[string]any)["name"] == name })
		if len(entries) > 0 {
			env = append(env, map[string]any{"name": name, entries[0]: entries[1]})
		}
		container["env"] = env
	}
}

// secret replaces a secret of the app, or takes it out if one is nil.
func secret(name string, one *containerapps.Secret) func(*containerapps.Spec) {
	return func(spec *containerapps.Spec) {
		spec.Secrets = slices.DeleteFunc(spec.Secrets, func(secret containerapps.Secret) bool { return secret.Name == name })
		if one != nil {
			spec.Secrets = append(spec.Secrets, *one)
		}
	}
}

func TestAppsThatAreRefused(t *testing.T) {
	vault := func(name string) *containerapps.Secret {
		return &containerapps.Secret{Name: name, KeyVaultURL: "https://vault.example/secrets/s", Identity: "system"}
	}
	for name, test := range map[string]struct {
		spec func(*containerapps.Spec)
		then func(w *world)
		kind rotate.Kind
		says []string
	}{
		"no client secret": {variable("OAUTH_CLIENT_SECRET"), nil, rotate.Configuration,
			[]string{"no container of app runner has the variable OAUTH_CLIENT_SECRET"}},
		"client secret as a value": {variable("OAUTH_CLIENT_SECRET", "value", "in-clear"), nil, rotate.Configuration,
			[]string{"OAUTH_CLIENT_SECRET of app runner is no reference to a secret", "secretref:"}},
		"secretRef to nowhere": {variable("OAUTH_CLIENT_SECRET", "secretRef", "nowhere"), nil, rotate.Configuration,
			[]string{"app runner has no secret nowhere"}},
		"client secret in Key Vault": {secret(clientSecret, vault(clientSecret)), nil, rotate.Configuration,
			[]string{"the secret " + clientSecret + " of app runner is a reference to Key Vault", "az containerapp secret set", "30 minutes"}},
		"client ID in Key Vault": {secret("matillion-client-id", vault("matillion-client-id")), nil, rotate.Configuration,
			[]string{"matillion-client-id", "Key Vault"}},
		"empty client secret": {secret(clientSecret, &containerapps.Secret{Name: clientSecret}), nil, rotate.Configuration,
			[]string{"the secret " + clientSecret + " of app runner is empty"}},
		"another secret is empty": {secret("other", &containerapps.Secret{Name: "other"}), nil, rotate.Configuration,
			[]string{"the secret other of app runner is empty"}},
		"no client ID": {variable("OAUTH_CLIENT_ID"), nil, rotate.Configuration, []string{"OAUTH_CLIENT_ID"}},
		"client ID of nowhere": {variable("OAUTH_CLIENT_ID", "secretRef", "nowhere"), nil, rotate.Configuration,
			[]string{"has no secret nowhere"}},
		"another's client ID": {variable("OAUTH_CLIENT_ID", "value", "another"), nil, rotate.Configuration, []string{`"another"`}},
		"no agent ID":         {variable("AGENT_ID"), nil, rotate.Configuration, []string{"AGENT_ID"}},
		"agent ID as a secret": {variable("AGENT_ID", "secretRef", "other"), nil, rotate.Configuration,
			[]string{"AGENT_ID", "expected a plain value"}},
		"agent ID is no UUID": {variable("AGENT_ID", "value", "runner-1"), nil, rotate.Configuration,
			[]string{"AGENT_ID", `"runner-1"`, "UUID"}},
		"no containers": {func(spec *containerapps.Spec) { spec.Containers = nil }, nil, rotate.Configuration,
			[]string{"OAUTH_CLIENT_SECRET"}},
		"two do not agree": {func(spec *containerapps.Spec) {
			spec.Containers = append(spec.Containers,
				map[string]any{"name": "second", "env": []any{map[string]any{"name": "OAUTH_CLIENT_SECRET", "secretRef": "other"}}})
		}, nil, rotate.Configuration, []string{"do not agree", "OAUTH_CLIENT_SECRET"}},
		"two do not agree on the region": {func(spec *containerapps.Spec) {
			spec.Containers = append(spec.Containers,
				map[string]any{"name": "second", "env": []any{map[string]any{"name": "MATILLION_REGION", "value": "US1"}}})
		}, nil, rotate.Configuration, []string{"do not agree", "MATILLION_REGION"}},
		"a revision with another secret": {stray("secretRef", "other", 1), nil, rotate.Configuration,
			[]string{"the active revision runner--stray of app runner has its client secret from other", "from " + clientSecret,
				"revision deactivate"}},
		"a revision with a value": {stray("value", "in-clear", 1), nil, rotate.Configuration,
			[]string{"runner--stray", "from (a plain value)"}},
		"scaled to zero": {nil, func(w *world) { w.apps.Scale(appID, 0) }, rotate.NotReady, []string{"scaled to zero", "runner--1"}},
		"stopped":        {nil, func(w *world) { w.apps.Stop(appID) }, rotate.NotReady, []string{"scaled to zero"}},
		"no active revision": {func(spec *containerapps.Spec) {
			spec.Revisions, spec.Others = nil, []containerapps.Revision{{Name: "runner--1", Inactive: true, Replicas: 2}}
		}, nil, rotate.NotReady, []string{"no revision of app runner"}},
		"operation in progress": {nil, func(w *world) { w.apps.Begin(appID, nil) }, rotate.NotReady,
			[]string{"a change of the app is in progress"}},
		"replicas that crash": {nil, func(w *world) { w.apps.BreakRestarts(appID, 9); w.apps.RestartAll(appID) }, rotate.NotReady,
			[]string{"not connected"}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, test.spec, func(w *world) {
				if test.then != nil {
					test.then(w)
					w.finishRestarts()
				}
				_, err := w.run(rotate.Rotate)
				w.mustFail(err, test.kind, test.says...)
				w.mustBeUntouched()
			})
		})
	}
}

// stray adds an active revision that has its client secret from elsewhere.
func stray(field, value string, replicas int) func(*containerapps.Spec) {
	return func(spec *containerapps.Spec) {
		spec.Others = []containerapps.Revision{{Name: "runner--stray", Replicas: replicas, Containers: []any{map[string]any{
			"name": "runner", "env": []any{map[string]any{"name": "OAUTH_CLIENT_SECRET", field: value}},
		}}}}
	}
}

func TestARevisionWithAnotherSecretAndWithoutReplicasIsNoneOfOurs(t *testing.T) {
	inWorld(t, stray("secretRef", "other", 0), func(w *world) { w.mustRotate() })
}

func TestARevisionOfWhichAnInitContainerUsesTheSecretIsRestarted(t *testing.T) {
	inWorld(t, func(spec *containerapps.Spec) {
		spec.Others = []containerapps.Revision{{Name: "runner--init", Replicas: 1, Containers: []any{map[string]any{"name": "other"}}}}
	}, func(w *world) {
		w.alter = items(listOfRevisions, func(revision map[string]any) {
			template := revision["template"].(map[string]any)
			if template["containers"].([]any)[0].(map[string]any)["name"] == "other" {
				template["initContainers"] = []any{map[string]any{"name": "init",
					"env": []any{map[string]any{"name": "SECRET", "secretRef": clientSecret}}}}
			}
		})
		w.mustRotate()
		if got := w.apps.Restarts(appID); fmt.Sprint(got) != "map[runner--1:1 runner--2:1 runner--init:1]" {
			t.Errorf("restarts %v", got)
		}
	})
}

func TestAChangeThatHasFailedIsRepairedFirst(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.apps.FailUpdates(appID, 1)
		runner := w.runner()
		if _, err := runner.Observe(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		w.mustFail(runner.Store(w.t.Context(), credentials("another")), rotate.Internal, "ended as Failed")
		runner.Release(w.t.Context())
		_, err := w.run(rotate.Rotate)
		w.mustFail(err, rotate.NotReady, "the provisioning state of app runner is Failed", "put it right")
		if n := w.maia.Refreshes(agentID); n > 0 {
			t.Errorf("%d refreshes", n)
		}
	})
}

func TestResourceIDsThatAreRefused(t *testing.T) {
	for id, says := range map[string]string{
		"":                                  "is not a resource ID",
		"runner":                            "is not a resource ID",
		strings.TrimPrefix(appID, "/"):      "is not a resource ID",
		"/subscriptions/s/resourceGroups/g": "is not the resource ID of a Container App",
		"/subscriptions/s/resourceGroups/g/providers/Microsoft.App/jobs/j": "is not the resource ID of a Container App",
		appID + "/revisions/r": "is not the resource ID of a Container App",
		"/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerInstance/containerGroups/run": "Container Instances",
	} {
		t.Run(id, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				_, err := w.discover(func(c *containerapp.Config) { c.App = id })
				w.mustFail(err, rotate.Configuration, says)
				if n := len(w.apps.Calls()); n > 0 {
					t.Errorf("%d calls were made", n)
				}
			})
		})
	}
}

func TestAppThatIsNotThere(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		_, err := w.discover(func(c *containerapp.Config) { c.App = resourceApps + "nobody" })
		w.mustFail(err, rotate.Configuration, "read app nobody", "ResourceNotFound", "404", "check the resource ID")
	})
}

func TestAgentAndRegionAreTheApps(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		runner, err := w.discover()
		if err != nil || runner.AgentID() != agentID || runner.Region() != "eu1" {
			t.Errorf("%v, %v", runner, err)
		}
	})
}

// Azure shows "West Europe" where "westeurope" was sent, and the other way round: the location is sent as it is shown.
func TestPatchHoldsAllSecretsAndTheLocationAndNothingElse(t *testing.T) {
	inWorld(t, func(spec *containerapps.Spec) {
		spec.Tags["maia-rotate"] = "enabled"
		spec.Config = map[string]any{"ingress": map[string]any{"external": false, "of a later version": true}}
		for i := range 18 {
			spec.Secrets = append(spec.Secrets, containerapps.Secret{Name: fmt.Sprintf("other-%d", i), Value: fmt.Sprintf("value \"%d\" <é>", i)})
		}
		spec.Secrets = append(spec.Secrets, containerapps.Secret{Name: "second-of-the-vault",
			KeyVaultURL: "https://vault.example/secrets/y/1", Identity: "/subscriptions/s/i"})
	}, func(w *world) {
		before := w.apps.Secrets(appID)
		var bodies []string
		w.apps.Inject(wire.Fault{Operation: "write", Match: func(raw []byte) bool { bodies = append(bodies, string(raw)); return false }})
		w.mustRotate()
		if len(bodies) != 2 {
			t.Fatalf("%d changes, want one that asks and one that is carried out", len(bodies))
		}
		var sent struct {
			Location   string
			Properties struct {
				Configuration struct{ Secrets []containerapps.Secret }
			}
		}
		mustHaveOnly(t, bodies[1], &sent)
		if sent.Location != "West Europe" {
			t.Errorf("location %q", sent.Location)
		}
		after := w.apps.Secrets(appID)
		if !slices.Equal(sent.Properties.Configuration.Secrets, after) {
			t.Errorf("sent other secrets than there are now")
		}
		if len(before) != 23 || len(after) != len(before) {
			t.Fatalf("%d secrets, were %d", len(after), len(before))
		}
		for i, one := range before {
			if one.Name == clientSecret {
				one.Value = w.maia.LiveSecret(agentID)
			}
			if after[i] != one {
				t.Errorf("the secret %s was changed", one.Name)
			}
		}
	})
}

func TestEveryActiveRevisionThatUsesTheSecretIsRestarted(t *testing.T) {
	inWorld(t, func(spec *containerapps.Spec) {
		spec.Revisions = []string{"runner--1", "runner--2", "runner--3"}
		spec.Others = []containerapps.Revision{
			{Name: "runner--0", Inactive: true},
			{Name: "runner--foreign", Replicas: 1,
				Containers: []any{map[string]any{"name": "foreign", "env": []any{map[string]any{"name": "X", "secretRef": "other"}}}}},
		}
	}, func(w *world) {
		w.mustRotate()
		if got := w.apps.Restarts(appID); fmt.Sprint(got) != "map[runner--0:0 runner--1:1 runner--2:1 runner--3:1 runner--foreign:0]" {
			t.Errorf("restarts %v", got)
		}
	})
}

func TestARevisionThatIsActivatedMeanwhileIsRestartedToo(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		added := false
		w.apps.Inject(before("write", func() {
			if w.maia.Refreshes(agentID) > 0 && !added {
				added = true
				w.apps.AddRevision(appID, containerapps.Revision{Name: "runner--new", Replicas: 1}) // reads the old value
			}
		}))
		w.mustRotate()
		if got := w.apps.Restarts(appID); fmt.Sprint(got) != "map[runner--1:1 runner--2:1 runner--new:1]" {
			t.Errorf("restarts %v", got)
		}
	})
}

func TestRestartsAreSeenInWhateverWayTheyShow(t *testing.T) {
	for name, options := range map[string]containerapps.Options{
		"containers are restarted in place": {InPlace: true},
		"new replicas of the same names":    {SameNames: true},
		"no replica for a moment":           {Recreate: true},
		"replaced ones linger":              {Linger: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, options, nil)
				if report := w.mustRotate(); report.Downtime == 0 || report.Downtime > time.Minute {
					t.Errorf("down for %s", report.Downtime)
				}
			})
		})
	}
}

func TestReplicasOfWhichAzureDoesNotSayWhenTheyWereCreated(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.alter = items(listOfReplicas, func(replica map[string]any) { delete(replica, "createdTime") })
		w.mustRotate()
	})
}

// A revision without replicas does not count as scaled to zero while ordered ones start, whoever ordered them.
func TestNoReplicaForAMomentIsNotScaledToZero(t *testing.T) {
	for name, change := range map[string]func(revision map[string]any){
		"no template":            func(revision map[string]any) { delete(revision, "template") },
		"nothing said of scale":  func(revision map[string]any) { delete(revision["template"].(map[string]any), "scale") },
		"may be scaled to zero":  func(revision map[string]any) { scale(revision)["minReplicas"] = nil },
		"and is said to be so":   func(revision map[string]any) { scale(revision)["minReplicas"] = 0 },
		"and is said to be down": func(revision map[string]any) { revision["runningState"] = "Stopped" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, containerapps.Options{Recreate: true}, nil)
				w.alter = items(listOfRevisions, change)
				w.mustRotate()
			})
		})
	}
	for name, change := range map[string]func(revision map[string]any){
		"activating": func(revision map[string]any) {
			revision["runningState"] = "Activating"
			scale(revision)["minReplicas"] = 0
		},
		"only the app shows the scale": func(revision map[string]any) { revision["runningState"] = "Unknown"; delete(revision, "template") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, containerapps.Options{Recreate: true}, nil)
				w.apps.RestartAll(appID)
				time.Sleep(2 * time.Second)
				w.alter = items(listOfRevisions, change)
				platform, err := w.runner().Observe(t.Context())
				if err != nil || platform.Instances.State != rotate.Rolling {
					t.Errorf("%+v, %v", platform.Instances, err)
				}
			})
		})
	}
}

func scale(revision map[string]any) map[string]any {
	return revision["template"].(map[string]any)["scale"].(map[string]any)
}

func TestARevisionThatIsScaledToZeroAmongOthersIsLeftAlone(t *testing.T) {
	inWorld(t, func(spec *containerapps.Spec) {
		spec.Others = []containerapps.Revision{{Name: "runner--idle", Replicas: 0}}
	}, func(w *world) {
		w.mustRotate()
		if got := w.apps.Restarts(appID); fmt.Sprint(got) != "map[runner--1:1 runner--2:1 runner--idle:0]" {
			t.Errorf("restarts %v", got)
		}
	})
}

func TestARevisionWhoseActivationFailedHasFailed(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.apps.BreakRestarts(appID, 9)
		w.apps.RestartAll(appID)
		w.finishRestarts()
		w.alter = items(listOfRevisions, func(revision map[string]any) {
			revision["runningState"], revision["healthState"] = "ActivationFailed", "None"
		})
		platform, err := w.runner().Observe(w.t.Context())
		if err != nil || platform.Instances.State != rotate.Failed {
			t.Errorf("%+v, %v", platform.Instances, err)
		}
	})
}

func TestReplicasThatAzureReplacesMeanwhileAreNotTakenForRestarted(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		replaced := false
		w.apps.Inject(before("write", func() {
			if w.maia.Refreshes(agentID) > 0 && !replaced {
				replaced = true
				w.apps.RestartAll(appID) // reads the old value
				time.Sleep(3 * time.Second)
			}
		}))
		w.mustRotate()
	})
}
