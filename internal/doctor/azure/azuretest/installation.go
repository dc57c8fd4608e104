// Package azuretest is an installation on Azure for tests, which is in order: a function app, a runner's Container App, a
// storage account, a Key Vault and Maia, each emulated on loopback.
package azuretest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/maia-rotate/maia-rotate/functions/azure/rotation"
	"github.com/maia-rotate/maia-rotate/internal/emulator/appservice"
	"github.com/maia-rotate/maia-rotate/internal/emulator/blobs"
	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
	"github.com/maia-rotate/maia-rotate/internal/emulator/keyvault"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/containerapp"
)

// What there is in an installation.
const (
	Subscription = "/subscriptions/00000000-0000-0000-0000-000000000001"
	Group        = Subscription + "/resourceGroups/maia-rotate"
	FunctionApp  = Group + "/providers/Microsoft.Web/sites/maia-rotate-abcdefgh"
	Account      = Group + "/providers/Microsoft.Storage/storageAccounts/maiarotateabcdefgh"
	Runners      = Subscription + "/resourceGroups/runners"
	App          = Runners + "/providers/Microsoft.App/containerApps/runner"
	AgentID      = "7d3a1c52-94be-4f0a-8a6d-2b5c90e1f374"
	Principal    = "5b1f0a52-0000-4000-8000-00000000000f" // of the function's identity
	ClientSecret = "matillion-client-secret"
	RunnerRole   = Subscription + "/providers/Microsoft.Authorization/roleDefinitions/00000000-0000-4000-8000-000000000002"
	BlobRole     = Subscription + "/providers/Microsoft.Authorization/roleDefinitions/b7e6dc6d-f1e8-4753-8033-0f276bb0955b"

	ManagerToken = "the-operators-token-for-azure-resource-manager"
	BlobToken    = "the-operators-token-for-blobs"
	VaultToken   = "the-operators-token-for-key-vault"
)

// Installation is one. Its parts may be changed before it is checked.
type Installation struct {
	Maia       *maiatest.Server
	Apps       *containerapps.Server
	State      *blobs.Server
	Vault      *keyvault.Server
	Manager    *appservice.Server
	Site       *appservice.Site
	ManagerURL string
	VaultURL   string
}

// New starts an installation.
func New(t *testing.T) *Installation {
	t.Helper()
	i := &Installation{Maia: maiatest.New(), State: blobs.New(BlobToken)}
	t.Cleanup(i.Maia.Close)
	i.Maia.AddAgent(maiatest.AgentSpec{ID: AgentID, ClientID: "runner"})
	i.Apps = containerapps.New(containerapps.Options{
		Token: ManagerToken,
		StartReplica: func(_ string, env map[string]string) (func(), error) {
			instance, err := i.Maia.Connect(env["AGENT_ID"], env["OAUTH_CLIENT_ID"], env["OAUTH_CLIENT_SECRET"])
			if err != nil {
				return nil, err
			}
			return instance.Close, nil
		},
	})
	t.Cleanup(i.Apps.Close)
	i.Add(App, i.Maia.LiveSecret(AgentID), nil)
	serve := func(handler http.Handler) string {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		return server.URL
	}
	api := serve(i.Maia)
	id, secret := i.Maia.APICredential()
	i.Vault = keyvault.New(VaultToken, map[string]string{"maia-client-secret": secret})
	i.VaultURL = serve(i.Vault)
	i.Site = &appservice.Site{
		ID: FunctionApp, Kind: "functionapp,linux", Identity: map[string]any{"type": "SystemAssigned", "principalId": Principal,
			"tenantId": "00000000-0000-0000-0000-00000000000a"},
		Properties: map[string]any{
			"state": "Running", "enabled": true, "sku": "FlexConsumption",
			"functionAppConfig": map[string]any{"runtime": map[string]any{"name": "custom", "version": "1.0"}},
		},
		Settings: map[string]string{
			"ROTATION_SCHEDULE": "0 */30 * * * *", "AzureWebJobsStorage__accountName": "maiarotateabcdefgh",
			"AzureWebJobsStorage__credential":       "managedidentity",
			"APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=of-application-insights",
			"MAIA_CONTAINER_APPS":                   App, "MAIA_RESOURCE_GROUPS": "", "MAIA_AGENT_IDS": AgentID, "MAIA_CLIENT_ID": id,
			"MAIA_CLIENT_SECRET": "@Microsoft.KeyVault(SecretUri=" + i.VaultURL + "/secrets/maia-client-secret)",
			"MAIA_API_URL":       maiatest.APIURL(api), "MAIA_TOKEN_URL": maiatest.TokenURL(api),
			"MAIA_STATE_CONTAINER_URL": serve(i.State) + "/maia-rotate",
		},
		References: map[string]appservice.Reference{"MAIA_CLIENT_SECRET": {Status: "Resolved"}},
		Functions: map[string]map[string]any{rotation.FunctionName: {"isDisabled": false, "config": map[string]any{"bindings": []any{
			map[string]any{"type": "timerTrigger", "direction": "in", "name": "timer", "schedule": "%ROTATION_SCHEDULE%"},
		}}}},
	}
	i.Manager = &appservice.Server{
		Token: ManagerToken, Next: i.Apps, Sites: []*appservice.Site{i.Site}, Accounts: []string{Account},
		Roles: []appservice.Role{
			{ID: RunnerRole, Name: "maia-rotate runner", Permissions: []appservice.Permission{{Actions: containerapp.Actions()}}},
			{ID: BlobRole, Name: "Storage Blob Data Owner", Permissions: []appservice.Permission{{
				Actions:     []string{"Microsoft.Storage/storageAccounts/blobServices/containers/*"},
				DataActions: []string{"Microsoft.Storage/storageAccounts/blobServices/containers/blobs/*"},
			}}},
		},
		Assignments: []appservice.Assignment{
			{Principal: "of another identity", Role: BlobRole, Scope: Subscription},
			{Principal: Principal, Role: RunnerRole, Scope: App},
			{Principal: Principal, Role: BlobRole, Scope: Account},
		},
		Permissions: map[string][]appservice.Permission{App: {{Actions: []string{"*"}}}},
	}
	i.ManagerURL = serve(i.Manager)
	i.Site.Settings["AZURE_RESOURCE_MANAGER_URL"] = i.ManagerURL
	return i
}

// Add adds a runner's app with a secret.
func (i *Installation) Add(id, secret string, tags map[string]string) {
	i.Apps.Add(containerapps.Spec{
		ID: id, Location: "westeurope", Tags: tags, Replicas: 1,
		Secrets: []containerapps.Secret{{Name: "matillion-client-id", Value: "runner"}, {Name: ClientSecret, Value: secret}},
		Containers: []any{map[string]any{"name": "runner", "image": "runner", "env": []any{
			map[string]any{"name": "AGENT_ID", "value": AgentID}, map[string]any{"name": "MATILLION_REGION", "value": "eu1"},
			map[string]any{"name": "OAUTH_CLIENT_ID", "secretRef": "matillion-client-id"},
			map[string]any{"name": "OAUTH_CLIENT_SECRET", "secretRef": ClientSecret},
		}}},
	})
}

// Deny has the operator not be allowed an action.
func (i *Installation) Deny(action string) {
	operation := strings.TrimPrefix(action, "Microsoft.App/containerApps/")
	fault := wire.Fault{Operation: operation, Kind: wire.AccessDenied}
	switch {
	case operation != action:
		i.Apps.Inject(fault)
	case strings.HasPrefix(action, "Microsoft.KeyVault/"):
		i.Vault.Inject(wire.Fault{Kind: wire.AccessDenied})
	case strings.HasPrefix(action, "Microsoft.Storage/storageAccounts/blobServices/"):
		i.State.Inject(wire.Fault{Kind: wire.AccessDenied})
	default:
		i.Manager.Inject(fault)
	}
}

// Changed are the calls so far that have changed something, or that are not known.
func (i *Installation) Changed() (all []string) {
	for _, traffic := range []interface{ Calls() []wire.Call }{i.Manager, i.Apps, i.State, i.Vault} {
		for _, call := range traffic.Calls() {
			changes := strings.HasSuffix(call.Action, "/write") || strings.HasSuffix(call.Action, "/restart/action")
			if call.Action == "" || changes && call.Status < 300 {
				all = append(all, call.Operation+" "+call.Resource)
			}
		}
	}
	if n := i.Maia.Refreshes(AgentID); n > 0 {
		all = append(all, "refresh")
	}
	return all
}

// Leaks are the secrets that are in a text.
func (i *Installation) Leaks(text string) (all []string) {
	_, api := i.Maia.APICredential()
	for name, secret := range map[string]string{
		"the runner's secret": i.Maia.LiveSecret(AgentID), "the API credential's": api, "a token": ManagerToken, "a token for blobs": BlobToken,
		"a token for Key Vault": VaultToken, "a setting": "of-application-insights",
	} {
		if strings.Contains(text, secret) {
			all = append(all, name)
		}
	}
	return all
}

// Operator is the credential of the operator.
type Operator struct{}

// GetToken implements azcore.TokenCredential.
func (Operator) GetToken(_ context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token := ""
	switch scope := strings.Join(options.Scopes, " "); {
	case strings.HasPrefix(scope, "https://management."):
		token = ManagerToken
	case strings.HasPrefix(scope, "https://storage.azure.com"):
		token = BlobToken
	case strings.HasPrefix(scope, "https://vault."):
		token = VaultToken
	}
	return azcore.AccessToken{Token: token, ExpiresOn: time.Now().Add(time.Hour)}, nil
}
