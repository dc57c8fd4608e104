package azure_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/maia-rotate/maia-rotate/functions/azure/rotation"
	"github.com/maia-rotate/maia-rotate/internal/emulator/blobs"
	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/containerapp"
)

const (
	token        = "token-of-the-identity"
	clientID     = "matillion-runner-client"
	clientSecret = "matillion-client-secret"
)

// identity is the function app's.
type identity struct{}

// GetToken implements azcore.TokenCredential.
func (identity) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: token, ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// world is a runner on Container Apps, and a function app with the settings of a deployment.
type world struct {
	maia     *maiatest.Server
	apps     *containerapps.Server
	blobs    *blobs.Server
	function *rotation.Handler
}

// azure is Azure Resource Manager and the function app's storage account, by their hosts.
func (w *world) azure(writer http.ResponseWriter, request *http.Request) {
	switch host := request.Host; {
	case host == "management.azure.com":
		w.apps.ServeHTTP(writer, request)
	case host == "maiarotate"+unique+".blob.core.windows.net":
		w.blobs.ServeHTTP(writer, request)
	default:
		http.Error(writer, "there is no "+host, http.StatusBadGateway)
	}
}

func newWorld(t *testing.T, d deployed) *world {
	t.Helper()
	apiSecret := rand.Text()
	w := &world{maia: maiatest.New(maiatest.WithAPICredential("the-client-id", apiSecret)), blobs: blobs.New(token)}
	t.Cleanup(w.maia.Close)
	maia := httptest.NewServer(w.maia)
	t.Cleanup(maia.Close)
	w.maia.AddAgent(maiatest.AgentSpec{ID: sandbox.AgentID, Name: "runner", ClientID: clientID})
	w.apps = containerapps.New(containerapps.Options{Token: token, StartReplica: func(_ string, env map[string]string) (func(), error) {
		replica, err := w.maia.Connect(sandbox.AgentID, env["OAUTH_CLIENT_ID"], env["OAUTH_CLIENT_SECRET"])
		if err != nil {
			return func() {}, nil // it runs on, and tries
		}
		return replica.Close, nil
	}})
	t.Cleanup(w.apps.Close)
	w.apps.Add(containerapps.Spec{
		ID: app, Location: location, Replicas: 2, Revisions: []string{"runner--1"},
		Tags: map[string]string{containerapp.Tag: containerapp.TagValue},
		Secrets: []containerapps.Secret{{Name: "matillion-client-id", Value: clientID},
			{Name: clientSecret, Value: w.maia.LiveSecret(sandbox.AgentID)}},
		Containers: []any{map[string]any{"name": "runner", "image": "runner", "env": []any{
			map[string]any{"name": "AGENT_ID", "value": sandbox.AgentID}, map[string]any{"name": "MATILLION_REGION", "value": "eu1"},
			map[string]any{"name": "OAUTH_CLIENT_ID", "secretRef": "matillion-client-id"},
			map[string]any{"name": "OAUTH_CLIENT_SECRET", "secretRef": clientSecret},
		}}},
	})
	environ := append(d.environ(), "MAIA_API_URL="+maiatest.APIURL(maia.URL), "MAIA_TOKEN_URL="+maiatest.TokenURL(maia.URL))
	for i, variable := range environ {
		if strings.HasPrefix(variable, "MAIA_CLIENT_SECRET=") {
			environ[i] = "MAIA_CLIENT_SECRET=" + apiSecret // as the platform puts it there
		}
	}
	var printed bytes.Buffer // by one call at a time
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the function's output:\n%s", printed.String())
		}
	})
	w.function = rotation.New(environ, &printed)
	w.function.WithCredential(identity{}, &http.Client{Transport: wire.Transport(http.HandlerFunc(w.azure))})
	return w
}

// call has the host call the function once.
func (w *world) call(t *testing.T) {
	t.Helper()
	answer := httptest.NewRecorder()
	w.function.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/"+rotation.FunctionName,
		strings.NewReader(`{"Data":{"timer":{"IsPastDue":false}},"Metadata":{}}`)))
	if answer.Code != http.StatusOK {
		body, _ := io.ReadAll(answer.Body)
		t.Fatalf("HTTP %d: %s", answer.Code, body)
	}
}

// right is one to do something with a resource.
type right struct{ action, resource string }

// scenarios are what the function does, in this order and in one world.
//
// A NEW ENTRY POINT OF THE FUNCTION GOES HERE.
var scenarios = []struct {
	name string
	play func(*testing.T, *world)
}{
	{"plan", func(t *testing.T, w *world) {
		if result, err := w.function.Plan(t.Context()); err != nil || result.Failed() {
			t.Errorf("%+v, %v", result, err)
		}
	}},
	{"rotation", func(t *testing.T, w *world) {
		w.call(t)
		if n := w.maia.Refreshes(sandbox.AgentID); n != 1 {
			t.Errorf("%d refreshes", n)
		}
	}},
	{"healing of a secret that another writer reverted", func(t *testing.T, w *world) {
		w.apps.SetSecret(app, clientSecret, w.maia.Revoked(sandbox.AgentID)[0])
		w.apps.RestartAll(app)
		w.call(t)
		if stored := w.apps.Secret(app, clientSecret).Value; stored != w.maia.LiveSecret(sandbox.AgentID) ||
			w.maia.Refreshes(sandbox.AgentID) != 1 {
			t.Errorf("%d refreshes, and the app has another secret: %t", w.maia.Refreshes(sandbox.AgentID),
				stored != w.maia.LiveSecret(sandbox.AgentID))
		}
	}},
}

// record plays all scenarios with the settings of a deployment: what the function asked for, of Azure Resource Manager and of
// the storage account.
func record(t *testing.T, d deployed) (apps, storage []right) {
	t.Helper()
	w := newWorld(t, d)
	for _, scenario := range scenarios {
		scenario.play(t, w)
		if t.Failed() {
			t.Fatalf("%s failed", scenario.name)
		}
	}
	rights := func(calls []wire.Call) (all []right) {
		for _, call := range calls {
			if call.Action == "" || call.Status == http.StatusUnauthorized || call.Status == http.StatusForbidden {
				t.Errorf("%s of %s: HTTP %d, needs %q", call.Operation, call.Resource, call.Status, call.Action)
			}
			if asked := (right{call.Action, call.Resource}); !slices.Contains(all, asked) {
				all = append(all, asked)
			}
		}
		return all
	}
	return rights(w.apps.Calls()), rights(w.blobs.Calls())
}

// grant allows actions on a resource and what is below it.
type grant struct {
	actions []string
	scope   string
}

func (g grant) allows(asked right) bool {
	return slices.Contains(g.actions, asked.action) && strings.HasPrefix(strings.ToLower(asked.resource)+"/", strings.ToLower(g.scope)+"/")
}

// differences are what is asked for and not granted, and what is granted and not asked for.
func differences(grants []grant, asked []right) (what []string) {
	for _, one := range asked {
		if !slices.ContainsFunc(grants, func(g grant) bool { return g.allows(one) }) {
			what = append(what, fmt.Sprintf("not granted: %s on %s", one.action, one.resource))
		}
	}
	for _, g := range grants {
		for _, action := range g.actions {
			if !slices.ContainsFunc(asked, func(one right) bool { return grant{[]string{action}, g.scope}.allows(one) }) {
				what = append(what, fmt.Sprintf("granted for nothing: %s on %s", action, g.scope))
			}
		}
	}
	return what
}

// runnerGrants are those of the custom role to the function's identity.
func (d deployed) runnerGrants() (all []grant) {
	for _, text := range d.grants {
		if scope, ok := strings.CutPrefix(text, "ServicePrincipal "+principal+" has "+customRole+" on "); ok {
			all = append(all, grant{d.role["actions"], scope})
		}
	}
	return all
}

// documented are the actions that Microsoft's documentation and the maintainers of the runner's package name.
var documented = []string{
	"Microsoft.App/containerApps/listSecrets/action",
	"Microsoft.App/containerApps/read",
	"Microsoft.App/containerApps/revisions/read",
	"Microsoft.App/containerApps/revisions/replicas/read",
	"Microsoft.App/containerApps/revisions/restart/action",
	"Microsoft.App/containerApps/write",
}

// The role has exactly the actions that the code uses, where it uses them.
func TestTheRoleIsWhatTheCodeNeeds(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles and runs the function")
	}
	for _, name := range []string{"an app", "resource group"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			deployments := both(t, variants[name])
			apps, storage := record(t, deployments["template"]) // those of the module are the same, which a test proves
			for by, d := range deployments {
				for kind, actions := range d.role {
					if kind != "actions" {
						t.Errorf("%s: the role has %s: %v", by, kind, actions)
					}
				}
				if actions := slices.Sorted(slices.Values(d.role["actions"])); !slices.Equal(actions, documented) {
					t.Errorf("%s: the role has %v", by, actions)
				}
				for _, what := range differences(d.runnerGrants(), apps) {
					t.Errorf("%s: %s", by, what)
				}
			}
			if got := len(deployments["template"].runnerGrants()); got != 1 {
				t.Errorf("%d grants", got)
			}
			checkComparison(t, deployments["template"].runnerGrants(), apps)

			// Of Storage Blob Data Owner, as Microsoft documents it.
			const blobService = "Microsoft.Storage/storageAccounts/blobServices/"
			for _, asked := range storage {
				if !strings.HasPrefix(asked.action, blobService+"containers/") {
					t.Errorf("not granted: %s on %s", asked.action, asked.resource)
				}
			}
			if !slices.ContainsFunc(storage, func(asked right) bool { return asked.action == blobService+"containers/blobs/write" }) {
				t.Errorf("the function wrote no note: %v", storage)
			}
		})
	}
}

// checkComparison checks that the comparison reports a difference.
func checkComparison(t *testing.T, grants []grant, asked []right) {
	t.Helper()
	for name, test := range map[string]struct {
		grants []grant
		asked  []right
		want   string
	}{
		"the code does more": {grants, append(slices.Clone(asked), right{"Microsoft.App/containerApps/delete", app}),
			"not granted: Microsoft.App/containerApps/delete on " + app},
		"the code does it elsewhere": {grants, append(slices.Clone(asked), right{"Microsoft.App/containerApps/read", group}),
			"not granted: Microsoft.App/containerApps/read on " + group},
		"the role allows more": {[]grant{{append(slices.Clone(grants[0].actions), "Microsoft.App/jobs/read"), grants[0].scope}}, asked,
			"granted for nothing: Microsoft.App/jobs/read on " + grants[0].scope},
		"the role is for a longer name": {[]grant{{grants[0].actions, grants[0].scope + "-2"}}, asked,
			"not granted: " + asked[0].action + " on " + asked[0].resource},
		"a grant too many": {append(slices.Clone(grants), grant{[]string{"Microsoft.App/containerApps/read"}, subscription}), asked,
			"granted for nothing: Microsoft.App/containerApps/read on " + subscription},
	} {
		if what := differences(test.grants, test.asked); !slices.Contains(what, test.want) {
			t.Errorf("%s: the comparison reports %q", name, what)
		}
	}
	for i, action := range grants[0].actions {
		less := []grant{{slices.Delete(slices.Clone(grants[0].actions), i, i+1), grants[0].scope}}
		if what := differences(less, asked); len(what) == 0 || !strings.Contains(what[0], "not granted: "+action) {
			t.Errorf("without %s the comparison reports %q", action, what)
		}
	}
}
