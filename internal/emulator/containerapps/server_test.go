package containerapps_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/appcontainers/armappcontainers/v3"

	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

const (
	group = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/runners"
	appID = group + "/providers/Microsoft.App/containerApps/runner"
)

type credential string

func (c credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(c), ExpiresOn: time.Now().Add(24 * time.Hour)}, nil
}

// rig is a server with the SDK's clients of it, and the environments with which replicas have started.
type rig struct {
	t       *testing.T
	server  *containerapps.Server
	started []map[string]string
	stopped atomic.Int32
	refuse  bool

	apps      *armappcontainers.ContainerAppsClient
	revisions *armappcontainers.ContainerAppsRevisionsClient
	replicas  *armappcontainers.ContainerAppsRevisionReplicasClient
}

// inRig is a test in a bubble, with an app of two replicas.
func inRig(t *testing.T, change func(*containerapps.Options, *containerapps.Spec), test func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t}
		options := containerapps.Options{Token: "token", Provision: 3 * time.Second, Hang: 10 * time.Minute, Start: 5 * time.Second,
			Roll: 7 * time.Second, PageSize: 2}
		var mu sync.Mutex // replicas may start at one instant
		options.StartReplica = func(app string, environment map[string]string) (func(), error) {
			mu.Lock()
			defer mu.Unlock()
			r.started = append(r.started, environment)
			if r.refuse {
				return nil, errors.New("refused")
			}
			return func() { r.stopped.Add(1) }, nil
		}
		spec := containerapps.Spec{
			ID: appID, Location: "West Europe", Tags: map[string]string{"team": "data"}, Replicas: 2, Revisions: []string{"runner--1"},
			Secrets: []containerapps.Secret{{Name: "one", Value: "1"}, {Name: "two", Value: "2"},
				{Name: "vault", KeyVaultURL: "https://vault.example/s", Identity: "system"}},
			Containers: []any{map[string]any{"name": "runner", "image": "i", "env": []any{
				map[string]any{"name": "PLAIN", "value": "p"}, map[string]any{"name": "SECRET", "secretRef": "one"},
			}}},
		}
		if change != nil {
			change(&options, &spec)
		}
		r.server = containerapps.New(options)
		t.Cleanup(r.server.Close)
		r.server.Add(spec)
		r.connect("token")
		test(r)
	})
}

func (r *rig) connect(token string) {
	factory, err := armappcontainers.NewClientFactory("00000000-0000-0000-0000-000000000001", credential(token), &arm.ClientOptions{
		ClientOptions: azcore.ClientOptions{
			Cloud: cloud.AzurePublic, Transport: &http.Client{Transport: wire.Transport(r.server)}, Retry: policy.RetryOptions{MaxRetries: -1},
		},
		DisableRPRegistration: true,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.apps = factory.NewContainerAppsClient()
	r.revisions, r.replicas = factory.NewContainerAppsRevisionsClient(), factory.NewContainerAppsRevisionReplicasClient()
}

func (r *rig) get() armappcontainers.ContainerApp {
	r.t.Helper()
	found, err := r.apps.Get(r.t.Context(), "runners", "runner", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return found.ContainerApp
}

func (r *rig) state() armappcontainers.ContainerAppProvisioningState {
	r.t.Helper()
	return *r.get().Properties.ProvisioningState
}

// patch changes the secrets.
func (r *rig) patch(location string, secrets ...*armappcontainers.Secret) error {
	change := armappcontainers.ContainerApp{Properties: &armappcontainers.ContainerAppProperties{
		Configuration: &armappcontainers.Configuration{Secrets: secrets}}}
	if location != "" {
		change.Location = &location
	}
	_, err := r.apps.BeginUpdate(r.t.Context(), "runners", "runner", change, nil)
	return err
}

func secret(name, value string) *armappcontainers.Secret {
	return &armappcontainers.Secret{Name: &name, Value: &value}
}

func vault(name string) *armappcontainers.Secret {
	return &armappcontainers.Secret{Name: &name, KeyVaultURL: to.Ptr("https://vault.example/s"), Identity: to.Ptr("system")}
}

func (r *rig) mustBe(err error, status int, code string, says ...string) {
	r.t.Helper()
	var failed *azcore.ResponseError
	if !errors.As(err, &failed) {
		r.t.Fatalf("error %v, want %d %s", err, status, code)
	}
	if failed.StatusCode != status || failed.ErrorCode != code {
		r.t.Errorf("%d %s, want %d %s", failed.StatusCode, failed.ErrorCode, status, code)
	}
	for _, text := range says {
		if !strings.Contains(failed.Error(), text) {
			r.t.Errorf("the error does not say %q: %v", text, err)
		}
	}
}

func TestGetHasNoValues(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		app := r.get()
		text, _ := json.Marshal(app.Properties.Configuration.Secrets)
		if string(text) != `[{"name":"one"},{"name":"two"},{"identity":"system","keyVaultUrl":"https://vault.example/s","name":"vault"}]` {
			t.Errorf("secrets %s", text)
		}
		if *app.Location != "West Europe" || *app.Tags["team"] != "data" || r.state() != "Succeeded" ||
			*app.Properties.RunningStatus != "Running" || app.SystemData.LastModifiedAt == nil {
			t.Errorf("%+v", app)
		}
		listed, err := r.apps.ListSecrets(r.t.Context(), "runners", "RUNNER", nil) // names have no case
		if err != nil {
			t.Fatal(err)
		}
		text, _ = json.Marshal(listed.Value)
		if string(text) != `[{"name":"one","value":"1"},{"name":"two","value":"2"},`+
			`{"identity":"system","keyVaultUrl":"https://vault.example/s","name":"vault"}]` {
			t.Errorf("secrets %s", text)
		}
	})
}

func TestPatchReplacesTheArrayWhole(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		before := r.get()
		time.Sleep(time.Minute)
		if err := r.patch("westeurope", vault("vault"), secret("one", "new")); err != nil {
			t.Fatal(err)
		}
		if r.state() != "InProgress" || r.server.Secret(appID, "one").Value != "1" {
			t.Error("the change is carried out at once")
		}
		time.Sleep(3100 * time.Millisecond)
		want := []containerapps.Secret{{Name: "vault", KeyVaultURL: "https://vault.example/s", Identity: "system"}, {Name: "one", Value: "new"}}
		if got := r.server.Secrets(appID); r.state() != "Succeeded" || !slices.Equal(got, want) {
			t.Errorf("%s %v", r.state(), got)
		}
		after := r.get()
		if !after.SystemData.LastModifiedAt.After(*before.SystemData.LastModifiedAt) {
			t.Error("the time of the change does not show")
		}
		after.SystemData, after.Properties.Configuration.Secrets = before.SystemData, before.Properties.Configuration.Secrets
		was, _ := json.Marshal(before)
		if is, _ := json.Marshal(after); string(is) != string(was) {
			t.Errorf("something else was changed:\n%s\n%s", is, was)
		}
		if len(r.started) != 2 {
			t.Error("a change of secrets restarts something")
		}
	})
}

func TestPatchesThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		location string
		secrets  []*armappcontainers.Secret
		status   int
		code     string
	}{
		"no location":      {"", []*armappcontainers.Secret{secret("one", "n")}, 400, "LocationRequired"},
		"another location": {"northeurope", []*armappcontainers.Secret{secret("one", "n")}, 409, "InvalidResourceLocation"},
		"no value":         {"westeurope", []*armappcontainers.Secret{{Name: to.Ptr("one")}}, 400, "ContainerAppSecretInvalid"},
		"an empty value":   {"westeurope", []*armappcontainers.Secret{secret("one", "")}, 400, "ContainerAppSecretInvalid"},
		"no name":          {"westeurope", []*armappcontainers.Secret{{Value: to.Ptr("n")}}, 400, "ContainerAppSecretInvalid"},
		"a bad name":       {"westeurope", []*armappcontainers.Secret{secret("One", "n")}, 400, "ContainerAppSecretInvalid"},
		"a name twice":     {"westeurope", []*armappcontainers.Secret{secret("one", "n"), secret("one", "n")}, 400, "ContainerAppSecretInvalid"},
		"no identity": {"westeurope", []*armappcontainers.Secret{{Name: to.Ptr("one"), KeyVaultURL: to.Ptr("https://vault.example/s")}}, 400,
			"ContainerAppSecretInvalid"},
		"both": {"westeurope", []*armappcontainers.Secret{{Name: to.Ptr("one"), Value: to.Ptr("n"),
			KeyVaultURL: to.Ptr("https://vault.example/s"), Identity: to.Ptr("system")}}, 400, "ContainerAppSecretInvalid"},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, nil, func(r *rig) {
				before := r.server.Secrets(appID)
				r.mustBe(r.patch(test.location, test.secrets...), test.status, test.code)
				time.Sleep(time.Hour)
				if r.state() != "Succeeded" || !slices.Equal(before, r.server.Secrets(appID)) {
					t.Error("it was changed")
				}
			})
		})
	}
}

func TestOneThatLosesItsReferenceBecomesAPlainValue(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		if err := r.patch("westeurope", secret("one", "1"), secret("vault", "plain")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		if got := r.server.Secret(appID, "vault"); got != (containerapps.Secret{Name: "vault", Value: "plain"}) {
			t.Errorf("%+v", got)
		}
	})
}

func TestADroppedSecretThatIsInUseHangs(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		if err := r.patch("westeurope", secret("two", "2")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Minute)
		if r.state() != "InProgress" {
			t.Errorf("state %s", r.state())
		}
		time.Sleep(2 * time.Minute)
		if r.state() != "Failed" || len(r.server.Secrets(appID)) != 3 {
			t.Errorf("state %s, %d secrets", r.state(), len(r.server.Secrets(appID)))
		}
	})
}

func TestAChangeDuringAnotherIsAConflict(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		if err := r.patch("westeurope", secret("one", "first")); err != nil {
			t.Fatal(err)
		}
		r.mustBe(r.patch("westeurope", secret("one", "second")), 409, "ContainerAppOperationInProgress")
		time.Sleep(4 * time.Second)
		if err := r.patch("westeurope", secret("one", "second")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		end := r.server.Begin(appID, func() { r.server.SetSecret(appID, "three", "3") })
		r.mustBe(r.patch("westeurope", secret("one", "third")), 409, "ContainerAppOperationInProgress")
		end()
		if r.state() != "Succeeded" || r.server.Secret(appID, "one").Value != "second" || r.server.Secret(appID, "three").Value != "3" {
			t.Errorf("%s %v", r.state(), r.server.Secrets(appID))
		}
		r.server.FailUpdates(appID, 1)
		if err := r.patch("westeurope", secret("one", "third")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		if r.state() != "Failed" || r.server.Secret(appID, "one").Value != "second" {
			t.Errorf("%s %v", r.state(), r.server.Secrets(appID))
		}
	})
}

// The operation's own status needs a right on the subscription, which nobody has here.
func TestTheOperationItselfIsNotToBeAsked(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		poller, err := r.apps.BeginUpdate(r.t.Context(), "runners", "runner", armappcontainers.ContainerApp{Location: to.Ptr("westeurope")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = poller.PollUntilDone(r.t.Context(), nil)
		r.mustBe(err, 403, "AuthorizationFailed", "Microsoft.App/locations/containerappOperationResults/read")
	})
}

func TestReplicasReadTheSecretsWhenTheyStart(t *testing.T) {
	for _, inPlace := range []bool{false, true} {
		t.Run(fmt.Sprint("in place ", inPlace), func(t *testing.T) {
			inRig(t, func(o *containerapps.Options, _ *containerapps.Spec) { o.InPlace = inPlace }, func(r *rig) {
				before := r.list("runner--1")
				if len(before) != 2 || len(r.started) != 2 || r.started[0]["SECRET"] != "1" || r.started[0]["PLAIN"] != "p" {
					t.Fatalf("%v, started %v", before, r.started)
				}
				if err := r.patch("westeurope", secret("one", "new"), secret("two", "2")); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				if len(r.started) != 2 {
					t.Fatal("a changed secret restarts replicas")
				}
				if _, err := r.revisions.RestartRevision(r.t.Context(), "runners", "runner", "runner--1", nil); err != nil {
					t.Fatal(err)
				}
				ordered := time.Now()
				if seen := r.list("runner--1"); !maps.Equal(seen, before) || r.health() != "Running Healthy" {
					t.Errorf("right after a restart: %v", seen)
				}
				time.Sleep(7500 * time.Millisecond) // one is made anew and not ready
				if r.health() != "Processing None" || len(r.list("runner--1")) != 2 {
					t.Errorf("meanwhile %s", r.health())
				}
				time.Sleep(time.Minute)
				after := r.list("runner--1")
				if len(after) != 2 || r.health() != "Running Healthy" || r.stopped.Load() != 2 || len(r.started) != 4 ||
					r.started[2]["SECRET"] != "new" || r.started[3]["SECRET"] != "new" {
					t.Fatalf("%v %s, stopped %d, started %v", after, r.health(), r.stopped.Load(), r.started)
				}
				for name, seen := range after {
					was, here := before[name]
					switch {
					case here != inPlace:
						t.Errorf("replica %s was there before: %t", name, here)
					case inPlace && (seen.restarts != 1 || !seen.created.Equal(was.created)):
						t.Errorf("replica %s: %+v", name, seen)
					case !inPlace && (seen.restarts != 0 || seen.created.Before(ordered)):
						t.Errorf("replica %s: %+v", name, seen)
					}
				}
				if r.server.Restarts(appID)["runner--1"] != 1 {
					t.Errorf("restarts %v", r.server.Restarts(appID))
				}
			})
		})
	}
}

// seen is a replica.
type seen struct {
	created  time.Time
	restarts int32
	ready    bool
}

// Restarts that show in other ways than the usual one.
func TestRestartsThatShowOtherwise(t *testing.T) {
	restart := func(r *rig) {
		if _, err := r.revisions.RestartRevision(r.t.Context(), "runners", "runner", "runner--1", nil); err != nil {
			r.t.Fatal(err)
		}
	}
	inRig(t, func(o *containerapps.Options, _ *containerapps.Spec) { o.SameNames = true }, func(r *rig) {
		before := r.list("runner--1")
		restart(r)
		time.Sleep(time.Minute)
		for name, now := range r.list("runner--1") {
			if was, known := before[name]; !known || !now.created.After(was.created) || now.restarts != 0 {
				t.Errorf("replica %s: %+v, was %+v", name, now, was)
			}
		}
	})
	inRig(t, func(o *containerapps.Options, _ *containerapps.Spec) { o.Recreate = true }, func(r *rig) {
		restart(r)
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if n := len(r.list("runner--1")); n != 0 || r.stopped.Load() != 2 {
			t.Errorf("%d replicas, %d stopped", n, r.stopped.Load())
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(r.list("runner--1")); n != 2 || len(r.started) != 4 || r.health() != "Running Healthy" {
			t.Errorf("%d replicas, %d started, %s", n, len(r.started), r.health())
		}
	})
	inRig(t, func(o *containerapps.Options, _ *containerapps.Spec) { o.Linger = time.Hour }, func(r *rig) {
		before := r.list("runner--1")
		restart(r)
		time.Sleep(time.Minute)
		after := r.list("runner--1")
		for name := range before {
			if after[name].ready {
				t.Errorf("replica %s is ready after its end", name)
			}
		}
		if len(after) != 4 {
			t.Errorf("replicas %v", after)
		}
		time.Sleep(time.Hour)
		if n := len(r.list("runner--1")); n != 2 {
			t.Errorf("%d replicas", n)
		}
	})
}

func (r *rig) list(revision string) map[string]seen {
	r.t.Helper()
	found, err := r.replicas.ListReplicas(r.t.Context(), "runners", "runner", revision, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	all := map[string]seen{}
	for _, one := range found.Value {
		all[*one.Name] = seen{one.Properties.CreatedTime.UTC(), *one.Properties.Containers[0].RestartCount, *one.Properties.Containers[0].Ready}
	}
	return all
}

func (r *rig) health() string {
	r.t.Helper()
	page, err := r.revisions.NewListRevisionsPager("runners", "runner", nil).NextPage(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	properties := page.Value[0].Properties
	return fmt.Sprint(*properties.RunningState, " ", *properties.HealthState)
}

func TestReplicasThatDoNotComeUp(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.server.BreakRestarts(appID, 1)
		r.server.RestartAll(appID)
		time.Sleep(time.Minute)
		if r.health() != "Degraded Unhealthy" || len(r.started) != 2 {
			t.Errorf("%s, %d started", r.health(), len(r.started))
		}
		r.refuse = true
		r.server.RestartAll(appID)
		time.Sleep(time.Minute)
		if r.health() != "Degraded Unhealthy" || len(r.started) != 4 {
			t.Errorf("%s, %d started", r.health(), len(r.started))
		}
		r.refuse = false
		r.server.RestartAll(appID)
		time.Sleep(time.Minute)
		if r.health() != "Running Healthy" {
			t.Error(r.health())
		}
	})
}

func TestScaling(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.server.Scale(appID, 0)
		if r.health() != "Stopped None" || r.stopped.Load() != 2 || *r.get().Properties.Template.Scale.MaxReplicas != 0 {
			t.Errorf("%s, %d stopped", r.health(), r.stopped.Load())
		}
		r.server.Scale(appID, 3)
		if r.health() != "Running Healthy" || len(r.list("runner--1")) != 3 {
			t.Error(r.health())
		}
		r.server.Stop(appID)
		if *r.get().Properties.RunningStatus != "Stopped" || len(r.list("runner--1")) != 0 {
			t.Error("it is not stopped")
		}
	})
}

func TestRevisions(t *testing.T) {
	inRig(t, func(_ *containerapps.Options, spec *containerapps.Spec) {
		spec.Revisions = []string{"runner--1", "runner--2", "runner--3"}
		spec.Others = []containerapps.Revision{{Name: "runner--0", Inactive: true},
			{Name: "runner--x", Replicas: 1, Containers: []any{map[string]any{"name": "x"}}}}
	}, func(r *rig) {
		r.server.AddRevision(appID, containerapps.Revision{Name: "runner--4", Replicas: 1})
		var all []string
		pages := 0
		for pager := r.revisions.NewListRevisionsPager("runners", "runner", nil); pager.More(); pages++ {
			page, err := pager.NextPage(r.t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range page.Value {
				all = append(all, fmt.Sprintf("%s:%t:%d", *one.Name, *one.Properties.Active, *one.Properties.Replicas))
			}
		}
		if got := strings.Join(all, " "); pages != 3 ||
			got != "runner--1:true:2 runner--2:true:2 runner--3:true:2 runner--0:false:0 runner--x:true:1 runner--4:true:1" {
			t.Errorf("%d pages: %s", pages, got)
		}
		if *r.get().Properties.Configuration.ActiveRevisionsMode != "Multiple" {
			t.Error("the mode is not Multiple")
		}
		_, err := r.revisions.RestartRevision(r.t.Context(), "runners", "runner", "runner--0", nil)
		r.mustBe(err, 400, "RevisionInactive")
		_, err = r.revisions.RestartRevision(r.t.Context(), "runners", "runner", "runner--9", nil)
		r.mustBe(err, 404, "RevisionNotFound")
		_, err = r.replicas.ListReplicas(r.t.Context(), "runners", "runner", "runner--9", nil)
		r.mustBe(err, 404, "RevisionNotFound")
	})
}

func TestAppsOfAGroup(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		for _, name := range []string{"b", "c", "d"} {
			r.server.Add(containerapps.Spec{ID: group + "/providers/Microsoft.App/containerApps/" + name, Location: "x",
				Tags: map[string]string{"n": name}})
		}
		r.server.Add(containerapps.Spec{ID: strings.Replace(appID, "/runners/", "/runners-2/", 1), Location: "x"})
		r.server.AddGroup(group + "-3")
		list := func(group string) (names []string, err error) {
			for pager := r.apps.NewListByResourceGroupPager(group, nil); pager.More(); {
				page, err := pager.NextPage(r.t.Context())
				if err != nil {
					return nil, err
				}
				for _, one := range page.Value {
					names = append(names, *one.Name)
				}
			}
			return names, nil
		}
		for group, want := range map[string]string{"runners": "runner b c d", "RUNNERS": "runner b c d", "runners-2": "runner", "runners-3": ""} {
			if names, err := list(group); err != nil || strings.Join(names, " ") != want {
				t.Errorf("%s: %v, %v", group, names, err)
			}
		}
		_, err := list("runners-4")
		r.mustBe(err, 404, "ResourceGroupNotFound")
	})
}

func TestNotFound(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		_, err := r.apps.Get(r.t.Context(), "runners", "nobody", nil)
		r.mustBe(err, 404, "ResourceNotFound", "Microsoft.App/containerApps/nobody", "resource group 'runners'")
		_, err = r.apps.Get(r.t.Context(), "nowhere", "runner", nil)
		r.mustBe(err, 404, "ResourceGroupNotFound")
	})
}

func TestALock(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.server.Lock(appID)
		r.mustBe(r.patch("westeurope", secret("one", "n")), 409, "ScopeLocked")
		_, err := r.revisions.RestartRevision(r.t.Context(), "runners", "runner", "runner--1", nil)
		r.mustBe(err, 409, "ScopeLocked")
		r.get()
	})
}

func TestWithoutTheToken(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.connect("another")
		_, err := r.apps.Get(r.t.Context(), "runners", "runner", nil)
		r.mustBe(err, 401, "AuthenticationFailed")
		_, err = r.apps.ListSecrets(r.t.Context(), "runners", "runner", nil)
		r.mustBe(err, 401, "AuthenticationFailed")
	})
}

// Requests that the SDK does not send.
func TestRequestsThatAreNoneOfTheSDKs(t *testing.T) {
	const version = "?api-version=2025-01-01"
	for name, test := range map[string]struct {
		method, target, media, body string
		status                      int
		code                        string
	}{
		"no version":         {http.MethodGet, appID, "", "", 400, "MissingApiVersionParameter"},
		"a bad version":      {http.MethodGet, appID + "?api-version=latest", "", "", 400, "InvalidApiVersionParameter"},
		"PUT":                {http.MethodPut, appID + version, "application/json", "{}", 405, "MethodNotAllowed"},
		"DELETE":             {http.MethodDelete, appID + version, "", "", 405, "MethodNotAllowed"},
		"GET of the secrets": {http.MethodGet, appID + "/listSecrets" + version, "", "", 405, "MethodNotAllowed"},
		"another type":       {http.MethodGet, group + "/providers/Microsoft.Web/sites/s" + version, "", "", 404, "InvalidResourceType"},
		"no JSON":            {http.MethodPatch, appID + version, "application/json", "no JSON", 400, "InvalidRequestContent"},
		"null":               {http.MethodPatch, appID + version, "application/json", "null", 400, "InvalidRequestContent"},
		"secrets no array": {http.MethodPatch, appID + version, "application/json",
			`{"location":"westeurope","properties":{"configuration":{"secrets":"x"}}}`, 400, "InvalidRequestContent"},
		"a template": {http.MethodPatch, appID + version, "application/json", `{"location":"westeurope","properties":{"template":{}}}`,
			400, "NotEmulated"},
		"another media type": {http.MethodPatch, appID + version, "text/plain", "{}", 415, "UnsupportedMediaType"},
		"a bad page":         {http.MethodGet, appID + "/revisions" + version + "&$skipToken=x", "", "", 400, "InvalidSkipToken"},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, nil, func(r *rig) {
				request := httptest.NewRequest(test.method, test.target, strings.NewReader(test.body))
				request.Header.Set("Authorization", "Bearer token")
				if test.media != "" {
					request.Header.Set("Content-Type", test.media)
				}
				answer := httptest.NewRecorder()
				r.server.ServeHTTP(answer, request)
				var document struct {
					Error struct{ Code, Message string }
				}
				if err := json.Unmarshal(answer.Body.Bytes(), &document); err != nil || answer.Code != test.status ||
					document.Error.Code != test.code || document.Error.Message == "" {
					t.Errorf("%d %s", answer.Code, answer.Body)
				}
			})
		})
	}
}

func TestCallsAndTheirActions(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		var hooked []wire.Call
		r.server.OnCall(func(call wire.Call) { hooked = append(hooked, call) })
		_, _ = r.apps.NewListByResourceGroupPager("runners", nil).NextPage(r.t.Context())
		r.get()
		_, _ = r.apps.ListSecrets(r.t.Context(), "runners", "runner", nil)
		_ = r.patch("westeurope", secret("one", "n"))
		_, _ = r.revisions.NewListRevisionsPager("runners", "runner", nil).NextPage(r.t.Context())
		_, _ = r.revisions.RestartRevision(r.t.Context(), "runners", "runner", "runner--1", nil)
		_, _ = r.replicas.ListReplicas(r.t.Context(), "runners", "runner", "runner--9", nil)
		const app = "Microsoft.App/containerApps/"
		want := [][5]string{
			{"list", app + "read", group, "200", ""},
			{"read", app + "read", appID, "200", ""},
			{"listSecrets/action", app + "listSecrets/action", appID, "200", ""},
			{"write", app + "write", appID, "202", ""},
			{"revisions/read", app + "revisions/read", appID, "200", ""},
			{"revisions/restart/action", app + "revisions/restart/action", appID + "/revisions/runner--1", "200", ""},
			{"revisions/replicas/read", app + "revisions/replicas/read", appID + "/revisions/runner--9", "404", "RevisionNotFound"},
		}
		calls := r.server.Calls()
		if len(calls) != len(want) || !slices.Equal(calls, hooked) {
			t.Fatalf("calls %+v", calls)
		}
		for i, call := range calls {
			got := [5]string{call.Operation, call.Action, call.Resource, fmt.Sprint(call.Status), call.Code}
			if got != want[i] || call.Service != "Microsoft.App" || call.RequestID == "" || !call.Time.Equal(time.Now()) {
				t.Errorf("call %d is %+v", i, call)
			}
		}
	})
}

func TestFaults(t *testing.T) {
	for kind, want := range map[wire.Kind]struct {
		status int
		code   string
		done   bool
	}{
		wire.AccessDenied:   {403, "AuthorizationFailed", false},
		wire.Conflict:       {409, "ContainerAppOperationInProgress", false},
		wire.BadRequest:     {400, "InvalidRequestContent", false},
		wire.Throttle:       {429, "TooManyRequests", false},
		wire.Status5xx:      {500, "InternalServerError", false},
		wire.Status5xxAfter: {500, "InternalServerError", true},
		wire.DropBefore:     {0, "", false},
		wire.DropAfter:      {0, "", true},
		wire.Slow:           {202, "", true},
	} {
		t.Run(kind.String(), func(t *testing.T) {
			inRig(t, nil, func(r *rig) {
				r.server.Inject(wire.Fault{Operation: "write", Nth: 1, Kind: kind, Delay: time.Minute, RetryAfter: 17 * time.Second})
				began := time.Now()
				err := r.patch("westeurope", secret("one", "n"))
				switch want.status {
				case 0:
					if err == nil || errors.As(err, new(*azcore.ResponseError)) {
						t.Errorf("error %v", err)
					}
				case 202:
					if err != nil || time.Since(began) != time.Minute {
						t.Errorf("%v after %s", err, time.Since(began))
					}
				default:
					r.mustBe(err, want.status, want.code)
					var failed *azcore.ResponseError
					errors.As(err, &failed)
					if got := failed.RawResponse.Header.Get("Retry-After"); (got == "17") != (kind == wire.Throttle) {
						t.Errorf("Retry-After %q", got)
					}
				}
				if done := r.state() == "InProgress"; done != want.done {
					t.Errorf("done %t", done)
				}
				if kind == wire.AccessDenied && !strings.Contains(err.Error(), "'Microsoft.App/containerApps/write' over scope '"+appID+"'") {
					t.Errorf("error %v", err)
				}
				call := r.server.Calls()[0]
				if call.Fault != kind {
					t.Errorf("call %+v", call)
				}
			})
		})
	}
}

// Over a network too, where links to the next page are http on loopback.
func TestOverLoopback(t *testing.T) {
	server := containerapps.New(containerapps.Options{Token: "token", PageSize: 1})
	defer server.Close()
	web := httptest.NewServer(server)
	defer web.Close()
	for _, name := range []string{"a", "b", "c"} {
		server.Add(containerapps.Spec{ID: group + "/providers/Microsoft.App/containerApps/" + name, Location: "x"})
	}
	client, err := armappcontainers.NewContainerAppsClient("00000000-0000-0000-0000-000000000001", credential("token"),
		&arm.ClientOptions{ClientOptions: azcore.ClientOptions{
			InsecureAllowCredentialWithHTTP: true,
			Cloud: cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
				cloud.ResourceManager: {Endpoint: web.URL, Audience: "https://management.azure.com"}}},
		}})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for pager := client.NewListByResourceGroupPager("runners", nil); pager.More(); n++ {
		if _, err := pager.NextPage(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n != 3 {
		t.Errorf("%d pages", n)
	}
}
