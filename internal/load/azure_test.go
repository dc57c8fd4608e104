package load_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/maia-rotate/maia-rotate/functions/azure/rotation"
	"github.com/maia-rotate/maia-rotate/internal/emulator/blobs"
	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// identity is a credential, and the token that it gives.
type identity string

func (i identity) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(i), ExpiresOn: time.Now().Add(24 * time.Hour)}, nil
}

const (
	owner = identity("the-token-that-is-accepted")
	group = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/runners"

	// How far Azure's services are away.
	managerAway = 150 * time.Millisecond
	storageAway = 25 * time.Millisecond
)

// delayed is a service some way away.
type delayed struct {
	http.RoundTripper
	away time.Duration
}

// RoundTrip implements http.RoundTripper.
func (d delayed) RoundTrip(request *http.Request) (*http.Response, error) {
	if err := sleep(request.Context(), d.away); err != nil {
		return nil, err
	}
	return d.RoundTripper.RoundTrip(request)
}

// environment is a resource group of Container Apps, and the function that serves them.
type environment struct {
	account *account
	apps    *containerapps.Server
	state   *blobs.Server
	handler *rotation.Handler

	mu        sync.Mutex
	instances map[string]*maiatest.Instance // by runner
	ends      map[int]func()                // of what is under way, by runner
}

func appID(i int) string { return group + "/providers/Microsoft.App/containerApps/" + name(i) }

func newEnvironment(t *testing.T, n int) *environment {
	a := newAccount(t, n)
	e := &environment{account: a, state: blobs.New(string(owner)), instances: map[string]*maiatest.Instance{}, ends: map[int]func(){}}
	e.apps = containerapps.New(containerapps.Options{
		Token: string(owner), Provision: 15 * time.Second, Hang: 10 * time.Minute, Start: 20 * time.Second, Roll: 5 * time.Second,
		StartReplica: e.start,
	})
	for i, id := range a.ids {
		e.apps.Add(containerapps.Spec{
			ID: appID(i), Location: "westeurope", Tags: map[string]string{"maia-rotate": "enabled"}, Replicas: 1,
			Secrets: []containerapps.Secret{{Name: "matillion-client-id", Value: clientID},
				{Name: "matillion-client-secret", Value: a.LiveSecret(id)}},
			Containers: []any{map[string]any{"name": "runner", "env": []any{
				map[string]any{"name": "AGENT_ID", "value": id}, map[string]any{"name": "MATILLION_REGION", "value": "EU1"},
				map[string]any{"name": "OAUTH_CLIENT_ID", "secretRef": "matillion-client-id"},
				map[string]any{"name": "OAUTH_CLIENT_SECRET", "secretRef": "matillion-client-secret"},
			}}},
		})
	}
	t.Cleanup(e.state.End)
	t.Cleanup(e.apps.Close)
	e.handler = rotation.New(a.environ("MAIA_RESOURCE_GROUPS="+group, "MAIA_AGENT_IDS="+strings.Join(a.ids, ","),
		"MAIA_STATE_CONTAINER_URL=https://state.blob.core.windows.net/maia-rotate"), io.Discard)
	manager, storage := delayed{wire.Transport(e.apps), managerAway}, delayed{wire.Transport(e.state), storageAway}
	way := &azureWay{manager: manager, storage: storage}
	t.Cleanup(func() { *way = azureWay{} }) // whoever keeps the handler does not keep Azure
	e.handler.WithCredential(owner, way)
	return e
}

// azureWay is that to Azure; it implements policy.Transporter.
type azureWay struct{ manager, storage http.RoundTripper }

// Do implements policy.Transporter.
func (w *azureWay) Do(request *http.Request) (*http.Response, error) {
	if strings.Contains(request.URL.Host, ".blob.") {
		return w.storage.RoundTrip(request)
	}
	return w.manager.RoundTrip(request)
}

// start starts a replica, which logs in in place of the one before.
func (e *environment) start(_ string, environment map[string]string) (func(), error) {
	instance, err := e.account.login(environment["AGENT_ID"], environment["OAUTH_CLIENT_SECRET"])
	if err != nil {
		return func() {}, nil // one that is refused runs on
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.instances[environment["AGENT_ID"]] = instance
	return instance.Close, nil
}

const invocation = `{"Data":{"timer":{"Schedule":{"AdjustForDST":true},"ScheduleStatus":null,"IsPastDue":false}},"Metadata":{}}`

func (e *environment) call() (said string, failed bool) {
	request := httptest.NewRequest(http.MethodPost, "/"+rotation.FunctionName, strings.NewReader(invocation))
	answer := httptest.NewRecorder()
	e.handler.ServeHTTP(answer, request)
	return answer.Body.String(), answer.Code != http.StatusOK
}

// forbid has a change of the app be under way, for as long as it lasts.
func (e *environment) forbid(i int, forbidden bool) {
	if end := e.ends[i]; end != nil {
		end()
		delete(e.ends, i)
	}
	if forbidden {
		e.ends[i] = e.apps.Begin(appID(i), nil)
	}
}

func (e *environment) breakRestarts(i int, broken bool) {
	n := 0
	if broken {
		n = 1000
	}
	e.apps.BreakRestarts(appID(i), n)
}

func (e *environment) stored(i int) string {
	return e.apps.Secret(appID(i), "matillion-client-secret").Value
}

func (e *environment) connected(i int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.instances[e.account.ids[i]].Connected()
}

func TestAzureKeepsNothing(t *testing.T) {
	mustKeepNothing(t, "Azure", func(t *testing.T, n int) (function any) {
		e := newEnvironment(t, n)
		e.call()
		return e.handler
	})
}

func TestAzure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnvironment(t, size(30))
		play(t, "Azure", e.account, e, &timer{every: 30 * time.Minute, again: 5 * time.Minute, retries: 2})
	})
}
