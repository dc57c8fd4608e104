package containerapp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/maia-rotate/maia-rotate/internal/emulator/blobs"
	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/containerapp"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/rotatetest"
)

func TestConformance(t *testing.T) {
	quirks := slices.Concat(rotatetest.QuirksOf("apps", containerapps.Quirks()), rotatetest.QuirksOf("blobs", blobs.Quirks()))
	rotatetest.Run(t, func(t *testing.T, setup rotatetest.Setup) rotatetest.Platform { return newAzure(t, setup) },
		rotatetest.WithQuirks(quirks))
}

const (
	token        = "token-of-the-identity"
	resourceApps = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/runners/providers/Microsoft.App/containerApps/"
	appID        = resourceApps + "runner"
	clientSecret = "matillion-client-secret"
	stateName    = "maia-rotate"
)

// identity is the function's.
type identity struct{}

// GetToken implements azcore.TokenCredential.
func (identity) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: token, ExpiresOn: time.Now().Add(24 * time.Hour)}, nil
}

// azurePlatform is a runner in the emulated Azure: an app with two replicas in each of two active revisions. It has other secrets, one of
// them Key Vault's, and another app.
type azurePlatform struct {
	t     *testing.T
	setup rotatetest.Setup
	apps  *containerapps.Server
	state *blobs.Server
}

func newAzure(t *testing.T, setup rotatetest.Setup) *azurePlatform {
	h := &azurePlatform{t: t, setup: setup, state: blobs.New(token)}
	h.apps = containerapps.New(containerapps.Options{
		Token: token, Provision: 1300 * time.Millisecond, Hang: 10 * time.Minute, Start: 1100 * time.Millisecond, Roll: 1700 * time.Millisecond,
		StartReplica: func(app string, environment map[string]string) (func(), error) {
			if app != "runner" {
				return func() {}, nil
			}
			stop, _ := setup.Start(environment["OAUTH_CLIENT_ID"], environment["OAUTH_CLIENT_SECRET"]) // one that is refused runs on
			return stop, nil
		},
	})
	t.Cleanup(h.apps.Close)
	t.Cleanup(h.state.End)
	h.apps.Add(runnerSpec(setup.AgentID, setup.ClientID, setup.Secret))
	h.apps.Add(containerapps.Spec{ID: resourceApps + "web", Location: "westeurope",
		Secrets: []containerapps.Secret{{Name: "password", Value: "of another"}}, Replicas: 1})
	if err := errors.Join(h.apps.Play(setup.QuirksFor("apps")...), h.state.Play(setup.QuirksFor("blobs")...)); err != nil {
		t.Fatal(err)
	}
	return h
}

// runnerSpec is the app of a runner.
func runnerSpec(agentID, clientID, secret string) containerapps.Spec {
	return containerapps.Spec{
		ID: appID, Location: "West Europe", Tags: map[string]string{"team": "data"}, Replicas: 2, Revisions: []string{"runner--1", "runner--2"},
		Secrets: []containerapps.Secret{
			{Name: "matillion-client-id", Value: clientID},
			{Name: "other", Value: "of another"},
			{Name: clientSecret, Value: secret},
			{Name: "from-the-vault", KeyVaultURL: "https://vault.example/secrets/x", Identity: "system"},
		},
		Containers: []any{map[string]any{"name": "runner", "image": "runner", "env": []any{
			map[string]any{"name": "AGENT_ID", "value": agentID}, map[string]any{"name": "MATILLION_REGION", "value": "EU1"},
			map[string]any{"name": "OAUTH_CLIENT_ID", "secretRef": "matillion-client-id"},
			map[string]any{"name": "OAUTH_CLIENT_SECRET", "secretRef": clientSecret},
		}}},
	}
}

var paths = regexp.MustCompile(`(?i)/containerApps/[^/]+(/.*)?$`)

// nameOf names a call.
func nameOf(request *http.Request) string {
	query := request.URL.Query()
	switch {
	case query.Get("comp") == "lease":
		return request.Header.Get("x-ms-lease-action") + " lease"
	case query.Get("restype") == "container":
		return request.Method + " container"
	case strings.HasSuffix(request.URL.Path, ".wishes.json"):
		return request.Method + " wishes"
	}
	parts := paths.FindStringSubmatch(request.URL.Path)
	if parts == nil {
		return request.Method + " blob"
	}
	segments := strings.Split(parts[1], "/")
	return strings.TrimSpace(request.Method + " app " + segments[len(segments)-1])
}

func (h *azurePlatform) Runner(ctx context.Context, process *rotatetest.Process) (rotate.Runner, error) {
	config := configuration(func(server http.Handler) http.RoundTripper { return process.Transport(wire.Transport(server), nameOf) },
		h.apps, h.state)
	runner, err := containerapp.Discover(ctx, config)
	if err != nil {
		return nil, err
	}
	return runner, nil
}

// configuration is that of the runner on a Resource Manager and a storage account.
func configuration(transport func(http.Handler) http.RoundTripper, apps, state http.Handler) containerapp.Config {
	options := func(server http.Handler) azcore.ClientOptions {
		return azcore.ClientOptions{
			Transport: &http.Client{Transport: transport(server)}, Cloud: cloud.AzurePublic,
			Retry: policy.RetryOptions{MaxRetries: 2, RetryDelay: 300 * time.Millisecond, MaxRetryDelay: 30 * time.Second},
		}
	}
	client, err := container.NewClient("https://account.blob.example/"+stateName, identity{},
		&container.ClientOptions{ClientOptions: options(state)})
	if err != nil {
		panic(err) // of a fixed URL
	}
	return containerapp.Config{Credential: identity{}, Client: arm.ClientOptions{ClientOptions: options(apps)}, App: appID, State: client}
}

func (h *azurePlatform) Stored() maia.Credentials {
	return maia.Credentials{ClientID: h.apps.Secret(appID, "matillion-client-id").Value,
		ClientSecret: maia.NewSecret(h.apps.Secret(appID, clientSecret).Value)}
}

func (h *azurePlatform) Put(secret string) { h.apps.SetSecret(appID, clientSecret, secret) }

func (h *azurePlatform) Replace() { h.apps.RestartAll(appID) }

// BreakRestarts implements rotatetest.Platform: of both revisions.
func (h *azurePlatform) BreakRestarts(n int) { h.apps.BreakRestarts(appID, n) }

// Wish implements rotatetest.Platform.
func (h *azurePlatform) Wish(wishes rotate.Wishes) error {
	runner, err := containerapp.Discover(h.t.Context(), configuration(wire.Transport, h.apps, h.state))
	if err != nil {
		return err
	}
	return runner.Wish(h.t.Context(), func(present *rotate.Wishes) { *present = wishes })
}

// Kept implements rotatetest.Platform. It leaves out when the app was changed last, because the question before a refresh is a
// change that alters nothing, and empty blobs, which are only locks.
func (h *azurePlatform) Kept() string {
	document := h.apps.Shown(appID)
	delete(document, "systemData")
	delete(document["properties"].(map[string]any), "provisioningState")
	kept := h.state.Blobs(stateName)
	maps.DeleteFunc(kept, func(_, content string) bool { return content == "" })
	return fmt.Sprint(document, kept)
}

func (h *azurePlatform) Foreign() string {
	document := h.apps.Shown(appID)
	delete(document, "systemData")
	delete(document["properties"].(map[string]any), "provisioningState")
	text, err := json.MarshalIndent(document, "", " ")
	if err != nil {
		h.t.Error(err)
	}
	other := h.apps.Secrets(appID)
	for i := range other {
		if other[i].Name == clientSecret {
			other[i].Value = ""
		}
	}
	return fmt.Sprintf("%s\n%+v\n%+v", text, other, h.apps.Secrets(resourceApps+"web"))
}
