package azure_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/maia-rotate/maia-rotate/functions/azure/rotation"
	"github.com/maia-rotate/maia-rotate/internal/doctor"
	"github.com/maia-rotate/maia-rotate/internal/doctor/azure"
	"github.com/maia-rotate/maia-rotate/internal/doctor/azure/azuretest"
	"github.com/maia-rotate/maia-rotate/internal/emulator/appservice"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

type installation = azuretest.Installation

func checker(i *installation) *azure.Checker {
	return &azure.Checker{Credential: azuretest.Operator{}, ManagerURL: i.ManagerURL}
}

func notOK(report doctor.Report) (all []string) {
	for _, finding := range report.Findings {
		if finding.Level != doctor.OK {
			all = append(all, string(finding.Level)+" "+finding.Check)
		}
	}
	return all
}

// set sets a setting of the function app.
func set(name, value string) func(i *installation) {
	return func(i *installation) { i.Site.Settings[name] = value }
}

func both(one, another func(i *installation)) func(i *installation) {
	return func(i *installation) { one(i); another(i) }
}

func unset(name string) func(i *installation) {
	return func(i *installation) { delete(i.Site.Settings, name) }
}

func property(name string, value any) func(i *installation) {
	return func(i *installation) { i.Site.Properties[name] = value }
}

func reference(status, details string) func(i *installation) {
	return func(i *installation) {
		i.Site.References["MAIA_CLIENT_SECRET"] = appservice.Reference{Status: status, Details: details}
	}
}

func deny(action string) func(i *installation) {
	return func(i *installation) { i.Deny(action) }
}

// role changes the role of the function's identity on the app.
func role(permissions ...appservice.Permission) func(i *installation) {
	return func(i *installation) { i.Manager.Roles[0].Permissions = permissions }
}

// all does one thing after the other.
func all(steps ...func(i *installation)) func(i *installation) {
	return func(i *installation) {
		for _, step := range steps {
			step(i)
		}
	}
}

const other = azuretest.Runners + "/providers/Microsoft.App/containerApps/other"

func TestCheck(t *testing.T) {
	for title, test := range map[string]struct {
		break_ func(i *installation)
		wants  []string // what is not in order
		words  string   // that are printed
	}{
		"in order": {func(*installation) {}, nil,
			"runner in runners: a call would: check, pause, await drained, refresh, store, restart, await connected, resume"},

		// The function app.
		"no function app": {func(i *installation) { i.Manager.Sites = nil }, []string{"problem function-app"},
			"there is no function app " + azuretest.FunctionApp},
		"a web app": {func(i *installation) { i.Site.Kind = "app,linux" }, []string{"problem function-app"}, `its kind is "app,linux"`},
		"for Windows": {func(i *installation) { i.Site.Kind = "functionapp" }, []string{"problem function-app"},
			"expected functionapp,linux"},
		"stopped": {property("state", "Stopped"), []string{"problem function-app"},
			"az functionapp start --resource-group maia-rotate --name maia-rotate-abcdefgh"},
		"not enabled": {property("enabled", false), []string{"problem function-app"}, "nothing is rotated and nothing is healed"},
		"another runtime": {
			property("functionAppConfig", map[string]any{"runtime": map[string]any{"name": "python", "version": "3.12"}}), []string{"problem plan"},
			`its runtime is "python"`,
		},
		"Consumption plan": {
			all(property("functionAppConfig", nil), property("sku", "Dynamic"), set("FUNCTIONS_WORKER_RUNTIME", "custom")), []string{"problem plan"},
			"10 minutes at most",
		},
		"Premium plan": {
			all(property("functionAppConfig", nil), property("sku", "ElasticPremium"), set("FUNCTIONS_WORKER_RUNTIME", "custom")),
			[]string{"warning plan"}, `sku "ElasticPremium"`,
		},
		"Premium plan, no worker runtime": {
			all(property("functionAppConfig", nil), property("sku", "ElasticPremium")), []string{"warning plan", "problem worker"},
			`FUNCTIONS_WORKER_RUNTIME is "", expected custom`,
		},
		"worker runtime on Flex Consumption": {set("FUNCTIONS_WORKER_RUNTIME", "custom"), []string{"problem worker"},
			"--setting-names FUNCTIONS_WORKER_RUNTIME"},
		"no identity": {func(i *installation) { i.Site.Identity = nil }, []string{"problem identity"},
			"az functionapp identity assign"},
		"only an identity of others": {
			func(i *installation) {
				i.Site.Identity = map[string]any{"type": "UserAssigned",
					"userAssignedIdentities": map[string]any{"/x": map[string]any{"principalId": azuretest.Principal, "clientId": "c"}}}
			}, []string{"problem identity"}, "no system-assigned identity",
		},
		"the identity of others": {
			func(i *installation) {
				i.Site.Identity = map[string]any{"type": "UserAssigned",
					"userAssignedIdentities": map[string]any{"/x": map[string]any{"principalId": azuretest.Principal, "clientId": "C"}}}
				i.Site.Settings["AZURE_CLIENT_ID"] = "c"
			}, nil, "user-assigned, principal " + azuretest.Principal,
		},
		"an identity that it has not": {set("AZURE_CLIENT_ID", "c"), []string{"problem identity"}, `AZURE_CLIENT_ID is "c", which is none`},

		// Its settings.
		"storage by a key": {set("AzureWebJobsStorage", "AccountKey=of-application-insights"), []string{"warning storage"},
			"connection string"},
		"no storage":         {unset("AzureWebJobsStorage__accountName"), []string{"problem storage"}, "runs no timer"},
		"no schedule":        {unset("ROTATION_SCHEDULE"), []string{"problem schedule"}, "ROTATION_SCHEDULE is not set"},
		"a schedule of Unix": {set("ROTATION_SCHEDULE", "*/30 * * * *"), []string{"problem schedule"}, "it has 5 fields, expected six"},
		"a schedule out of time": {set("ROTATION_SCHEDULE", "0 61 * * * *"), []string{"problem schedule"},
			`its minute is "61", expected numbers from 0 to 59`},
		"a schedule of Quartz": {set("ROTATION_SCHEDULE", "0 0 * ? * *"), []string{"problem schedule"}, `its day is "?"`},
		"never":                {set("ROTATION_SCHEDULE", "0 0 0 31 2 *"), []string{"problem schedule"}, "it never comes"},
		"daily":                {set("ROTATION_SCHEDULE", "0 0 3 * * *"), []string{"warning schedule"}, "up to 24h0m0s pass between two calls"},
		"not at weekends":      {set("ROTATION_SCHEDULE", "0 */30 * * * Mon-Fri"), []string{"warning schedule"}, "up to 48h30m0s"},
		"every second":         {set("ROTATION_SCHEDULE", "* * * * * *"), []string{"warning schedule"}, "it comes after 1s"},
		"a window": {set("MAIA_ROTATE_WINDOW", "Sat 02:00-05:00 Europe/London"), nil,
			"Sat 02:00-05:00 Europe/London; a rotation needs 15m40s of it"},
		"a window that is short": {set("MAIA_ROTATE_WINDOW", "02:00-02:15"), []string{"problem window"},
			"MAIA_ROTATE_WINDOW is 02:00-02:15, and a rotation may take 15m40s"},
		"a window without a call": {both(set("MAIA_ROTATE_WINDOW", "Sat 02:00-05:00 Europe/London"),
			set("ROTATION_SCHEDULE", "0 */30 6-20 * * *")),
			[]string{"warning schedule", "warning window"}, "no call comes in a year"},
		"hourly":          {set("ROTATION_SCHEDULE", "0 17 * * * *"), nil, "0 17 * * * *, in UTC"},
		"no app named":    {set("MAIA_CONTAINER_APPS", ""), []string{"problem environment"}, "MAIA_CONTAINER_APPS is not set"},
		"apps and groups": {set("MAIA_RESOURCE_GROUPS", azuretest.Runners), []string{"problem environment"}, "both set"},
		"misspelt": {set("MAIA_AGENTS", "x"), []string{"problem environment"},
			"MAIA_AGENTS is not known; did you mean MAIA_AGENT_IDS?"},
		"another age": {set("MAIA_ROTATE_EVERY", "30d"), []string{"problem environment"}, `MAIA_ROTATE_EVERY is "30d"`},
		"any agent":   {set("MAIA_AGENT_IDS", ""), []string{"warning agents"}, "any agent"},
		"too long a drain": {set("MAIA_ROTATE_DRAIN_TIMEOUT", "25m"), []string{"problem timeout"},
			"a call has 29m30s, and a rotation may take 35m40s"},
		"another time-out": {set("AzureFunctionsJobHost__functionTimeout", "00:05:00"), []string{"problem timeout"},
			`"00:05:00", in place of the 30 minutes`},
		"credential in the open": {
			func(i *installation) { _, i.Site.Settings["MAIA_CLIENT_SECRET"] = i.Maia.APICredential() }, []string{"warning plain-secret"},
			"whoever may list the settings can read",
		},
		"another cloud": {
			set("AZURE_RESOURCE_MANAGER_URL", "https://management.usgovcloudapi.net"), []string{"warning app"},
			"the function asks https://management.usgovcloudapi.net, and this check http://127.0.0.1:",
		},
		"state elsewhere": {set("MAIA_STATE_CONTAINER_URL", "https://blobs.example/state"), []string{"warning app"},
			"your token is not sent there"},

		// Key Vault.
		"reference without a right": {
			reference("AccessToKeyVaultDenied", "The vault's firewall denies it."), []string{"problem key-vault"},
			"Azure does not resolve the reference of MAIA_CLIENT_SECRET: AccessToKeyVaultDenied: The vault's firewall denies it.",
		},
		"reference to nothing":   {reference("SecretNotFound", ""), []string{"problem key-vault"}, "SecretNotFound"},
		"reference, no identity": {reference("MSINotEnabled", ""), []string{"problem key-vault"}, "turn on the app's system-assigned identity"},
		"reference, just set":    {func(i *installation) { i.Site.References = nil }, []string{"warning key-vault"}, "does not say yet"},
		"reference of another app": {set("OTHER", "@Microsoft.KeyVault(SecretUri=https://x.vault.azure.net/secrets/y)"), nil,
			"(MAIA_CLIENT_SECRET)"},
		"reference to elsewhere": {
			set("MAIA_CLIENT_SECRET", "@Microsoft.KeyVault(SecretUri=https://vault.azure.net.example/secrets/x)"), []string{"warning app"},
			"its SecretUri is not on https://VAULT.vault.azure.net",
		},
		"reference to a key": {
			set("MAIA_CLIENT_SECRET", "@Microsoft.KeyVault(SecretUri=https://x.vault.azure.net/keys/x)"), []string{"warning app"},
			"no address of a secret",
		},
		"reference in two parts": {
			set("MAIA_CLIENT_SECRET", "@Microsoft.KeyVault(VaultName=x)"), []string{"warning app"}, "it names no secret",
		},
		"reference without an end": {set("MAIA_CLIENT_SECRET", "@Microsoft.KeyVault(SecretUri"), []string{"warning app"}, "it does not end in )"},
		"references may not be read": {
			deny("Microsoft.Web/sites/config/read"), []string{"warning key-vault"}, "your credentials do not allow Microsoft.Web/sites/config/read",
		},
		"the vault lets nobody read": {
			deny("Microsoft.KeyVault/vaults/secrets/getSecret/action"), []string{"warning app"},
			"check with credentials that allow Microsoft.KeyVault/vaults/secrets/getSecret/action",
		},

		// The function.
		"no function": {
			func(i *installation) { i.Site.Functions = nil }, []string{"problem function"},
			"its package is not deployed, or the host does not start",
		},
		"disabled by a setting": {
			set("AzureWebJobs.RotateRunnerSecrets.Disabled", "true"), []string{"problem function"},
			"--setting-names AzureWebJobs.RotateRunnerSecrets.Disabled",
		},
		"enabled by a setting": {set("AzureWebJobs.RotateRunnerSecrets.Disabled", "false"), nil, "and enabled"},
		"disabled": {
			func(i *installation) { i.Site.Functions[rotation.FunctionName]["isDisabled"] = true }, []string{"problem function"},
			"RotateRunnerSecrets is disabled",
		},
		"another function": {
			func(i *installation) {
				i.Site.Functions[rotation.FunctionName]["config"] = map[string]any{"bindings": []any{map[string]any{"type": "httpTrigger"}}}
			}, []string{"problem function"}, "of another package",
		},
		"a function of which no more is known": {
			func(i *installation) { delete(i.Site.Functions[rotation.FunctionName], "config") }, nil, "RotateRunnerSecrets is there, and enabled",
		},
		"functions may not be read": {deny("Microsoft.Web/sites/functions/read"), []string{"warning function"},
			"your credentials do not allow Microsoft.Web/sites/functions/read"},

		// The apps, and Maia.
		"no app": {set("MAIA_CONTAINER_APPS", azuretest.Runners+"/providers/Microsoft.App/containerApps/none"),
			[]string{"problem app", "problem role"}, "none in runners: in the way of a rotation: configuration: read app none"},
		"another agent": {set("MAIA_AGENT_IDS", "00000000-0000-4000-8000-000000000000"), []string{"problem app"},
			"which this function may not serve"},
		"two apps of one agent": {
			func(i *installation) {
				i.Add(other, i.Maia.LiveSecret(azuretest.AgentID), nil)
				i.Site.Settings["MAIA_CONTAINER_APPS"] += "," + other
				i.Manager.Assignments = append(i.Manager.Assignments, appservice.Assignment{Principal: azuretest.Principal, Role: azuretest.RunnerRole,
					Scope: other})
			}, []string{"problem app", "problem app"}, "other in runners: in the way of a rotation: ",
		},
		"no credential of the Maia API": {
			set("MAIA_CLIENT_ID", "another client"), []string{"problem app"}, "in the way of a rotation",
		},
		"rotated yesterday": {
			func(i *installation) {
				secret := maia.NewSecret(i.Maia.LiveSecret(azuretest.AgentID)).Fingerprint()
				note, err := json.Marshal(rotate.Note{Applied: secret, LastRotation: &rotate.Rotation{At: time.Now().Add(-24 * time.Hour),
					New: secret}})
				if err != nil {
					panic(err)
				}
				i.State.Put("maia-rotate", azuretest.AgentID+".json", string(note))
			}, nil, "runner in runners: a call does not rotate it before 20",
		},
		"scaled to zero":     {func(i *installation) { i.Apps.Scale(azuretest.App, 0) }, []string{"warning app"}, "scaled to zero"},
		"a change under way": {func(i *installation) { i.Apps.Begin(azuretest.App, nil) }, []string{"warning app"}, "in progress"},
		"a group without an app": {
			all(set("MAIA_CONTAINER_APPS", ""), set("MAIA_RESOURCE_GROUPS", azuretest.Runners)), []string{"problem app", "problem role"},
			"no Container App in " + azuretest.Runners + " has the tag",
		},
		"a group": {
			func(i *installation) {
				i.Add(azuretest.Group+"/providers/Microsoft.App/containerApps/tagged", i.Maia.LiveSecret(azuretest.AgentID),
					map[string]string{"maia-rotate": "enabled"})
				i.Site.Settings["MAIA_CONTAINER_APPS"], i.Site.Settings["MAIA_RESOURCE_GROUPS"] = "", azuretest.Group
				i.Manager.Assignments[1].Scope = azuretest.Group
			}, nil, "tagged in maia-rotate: a call would: ",
		},
		"apps may not be read": {
			all(deny("Microsoft.App/containerApps/read"), func(i *installation) { i.Manager.Permissions = nil }), []string{"warning app"},
			"check with credentials that allow Microsoft.App/containerApps/read, Microsoft.App/containerApps/write",
		},
		"secrets may not be listed": {
			all(deny("Microsoft.App/containerApps/listSecrets/action"), func(i *installation) {
				i.Manager.Permissions[azuretest.App] = []appservice.Permission{{Actions: []string{"*/read"}},
					{Actions: []string{"Microsoft.App/*/write"}}, {Actions: []string{"Microsoft.Web/*"}}}
			}), []string{"warning app"},
			"check with credentials that allow Microsoft.App/containerApps/listSecrets/action, " +
				"Microsoft.App/containerApps/revisions/restart/action on it",
		},
		"notes may not be read": {
			deny("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"), []string{"warning app"},
			"check with credentials that allow Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
		},
		"of Terraform": {
			func(i *installation) {
				i.Add(other, i.Maia.LiveSecret(azuretest.AgentID), map[string]string{"managed-by": "Terraform", "team": "data"})
				i.Site.Settings["MAIA_CONTAINER_APPS"] = other
				i.Manager.Assignments[1].Scope = other
			}, []string{"warning terraform"}, "ignore_changes = [secret]",
		},

		// The roles of the function's identity.
		"no role on the app": {
			func(i *installation) { i.Manager.Assignments[1].Scope = other }, []string{"problem role"},
			"no role of it allows Microsoft.App/containerApps/read, Microsoft.App/containerApps/write",
		},
		"a role without restarts": {
			role(appservice.Permission{Actions: []string{"Microsoft.App/containerApps/*"}, NotActions: []string{"Microsoft.App/*/restart/ACTION"}}),
			[]string{"problem role"},
			"no role of it allows Microsoft.App/containerApps/revisions/restart/action",
		},
		"two parts of a role": {
			role(appservice.Permission{Actions: []string{"*"}, NotActions: []string{"*/action"}},
				appservice.Permission{Actions: []string{"microsoft.app/containerapps/*/action"}}), nil, "6 actions tested",
		},
		"a role for data": {role(appservice.Permission{DataActions: []string{"*"}}), []string{"problem role"},
			"no role of it allows Microsoft.App/containerApps/read"},
		"a role on the group": {
			func(i *installation) { i.Manager.Assignments[1].Scope = azuretest.Runners }, nil, "may rotate runner in runners",
		},
		"a role on a group of a like name": {
			func(i *installation) {
				i.Manager.Assignments[1].Scope = azuretest.Runners + "-2"
				i.Manager.Assignments = append(i.Manager.Assignments, appservice.Assignment{Principal: azuretest.Principal, Role: azuretest.RunnerRole,
					Scope: azuretest.App + "/revisions/x"})
			}, []string{"problem role"}, "may not rotate runner in runners",
		},
		"a role on a management group": {
			func(i *installation) {
				i.Manager.Assignments[1].Scope = "/providers/Microsoft.Management/managementGroups/x"
			}, nil, "may rotate runner in runners",
		},
		"three roles": {
			func(i *installation) {
				i.Manager.Assignments = append([]appservice.Assignment{
					{Principal: azuretest.Principal, Role: azuretest.BlobRole, Scope: azuretest.Subscription},
					{Principal: azuretest.Principal, Role: azuretest.BlobRole, Scope: azuretest.Runners},
				}, i.Manager.Assignments...)
			}, nil, "may rotate runner in runners",
		},
		"a role on a condition": {
			func(i *installation) { i.Manager.Assignments[1].Condition = "@Resource[…] StringEquals 'x'" }, []string{"warning role"},
			"depends on a condition, for Microsoft.App/containerApps/read",
		},
		"assignments may not be read": {
			deny("Microsoft.Authorization/roleAssignments/read"), []string{"warning role", "warning role"},
			"your credentials do not allow Microsoft.Authorization/roleAssignments/read",
		},
		"definitions may not be read": {
			deny("Microsoft.Authorization/roleDefinitions/read"), []string{"warning role", "warning role"},
			"your credentials do not allow Microsoft.Authorization/roleDefinitions/read",
		},
		"no role on the storage": {
			func(i *installation) { i.Manager.Assignments = i.Manager.Assignments[:2] }, []string{"problem role"},
			"may not keep locks and notes in maiarotateabcdefgh",
		},
		"reads the storage only": {
			func(i *installation) {
				i.Manager.Roles[1].Permissions[0].DataActions = []string{"*/read"}
			}, []string{"problem role"}, "no role of it allows Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write",
		},
		"storage elsewhere": {
			func(i *installation) { i.Manager.Accounts = nil }, nil, "is not in the function app's resource group",
		},
		"storage may not be read": {deny("Microsoft.Storage/storageAccounts/read"), []string{"warning role"}, "could not be tested"},
	} {
		t.Run(title, func(t *testing.T) {
			i := azuretest.New(t)
			test.break_(i)
			report, err := checker(i).Check(t.Context(), azuretest.FunctionApp)
			if err != nil {
				t.Fatal(err)
			}
			text := fmt.Sprintf("%+v", report)
			if got := notOK(report); !slices.Equal(got, test.wants) {
				t.Errorf("found %s, expected %s", got, test.wants)
			}
			if !strings.Contains(text, test.words) {
				t.Errorf("%q is missing", test.words)
			}
			if leaks := i.Leaks(text); len(leaks) > 0 {
				t.Errorf("printed: %s", leaks)
			}
			if changed := i.Changed(); len(changed) > 0 {
				t.Errorf("asked for %s", changed)
			}
			if t.Failed() {
				t.Log(text)
			}
		})
	}
}

// none is a credential of nobody.
type none struct{}

func (none) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{}, errors.New("nobody is logged in: az login\nTrace: something that need not be seen")
}

func TestNotCarriedOut(t *testing.T) {
	for title, test := range map[string]struct {
		change      func(i *installation, c *azure.Checker)
		check, plan string // what the errors say; empty: none
	}{
		"may not read the app": {
			func(i *installation, _ *azure.Checker) { i.Deny("Microsoft.Web/sites/read") }, "your credentials do not allow Microsoft.Web/sites/read",
			"",
		},
		"may not read the settings": {
			func(i *installation, _ *azure.Checker) { i.Deny("Microsoft.Web/sites/config/list/action") },
			"your credentials do not allow Microsoft.Web/sites/config/list/action",
			"your credentials do not allow Microsoft.Web/sites/config/list/action",
		},
		"wrong token": {
			func(i *installation, _ *azure.Checker) { i.Manager.Token = "another" }, "your credentials do not allow Microsoft.Web/sites/read",
			"your credentials do not allow Microsoft.Web/sites/config/list/action",
		},
		"nobody": {
			func(_ *installation, c *azure.Checker) { c.Credential = none{} }, "nobody is logged in: az login", "nobody is logged in: az login",
		},
		"no function app": {
			func(i *installation, _ *azure.Checker) { i.Manager.Sites = nil }, "", "there is no function app " + azuretest.FunctionApp,
		},
		"no vault": {
			func(i *installation, _ *azure.Checker) { i.Deny("Microsoft.KeyVault/vaults/secrets/getSecret/action") }, "",
			"the value of MAIA_CLIENT_SECRET is in Key Vault, and could not be read there: your credentials do not allow",
		},
		"plain http": {
			func(_ *installation, c *azure.Checker) { c.ManagerURL = "http://management.example" },
			"AZURE_RESOURCE_MANAGER_URL is plain http to management.example", "AZURE_RESOURCE_MANAGER_URL is plain http",
		},
		"Azure fails": {
			func(i *installation, _ *azure.Checker) {
				i.Manager.Inject(wire.Fault{Kind: wire.BadRequest})
			}, "Microsoft.Web/sites/read: InvalidRequestContent (HTTP 400)", "InvalidRequestContent (HTTP 400)",
		},
	} {
		t.Run(title, func(t *testing.T) {
			i := azuretest.New(t)
			c := checker(i)
			test.change(i, c)
			_, err := c.Check(t.Context(), azuretest.FunctionApp)
			if (err != nil) != (test.check != "") || err != nil && (!strings.Contains(err.Error(), test.check) ||
				strings.Contains(err.Error(), "\n")) {
				t.Errorf("Check: %v", err)
			}
			_, err = c.Plan(t.Context(), azuretest.FunctionApp)
			if (err != nil) != (test.plan != "") || err != nil && (!strings.Contains(err.Error(), test.plan) ||
				strings.Contains(err.Error(), "\n")) {
				t.Errorf("Plan: %v", err)
			}
		})
	}
}

func TestPlan(t *testing.T) {
	i := azuretest.New(t)
	plan, err := checker(i).Plan(t.Context(), azuretest.FunctionApp)
	if err != nil || plan.InTheWay() || len(plan.Targets) != 1 || plan.Targets[0].Rotation == nil ||
		doctor.Steps(*plan.Targets[0].Rotation) == "" {
		t.Errorf("got %+v, %v", plan, err)
	}
	delete(i.Site.Settings, "MAIA_CONTAINER_APPS")
	plan, err = checker(i).Plan(t.Context(), azuretest.FunctionApp)
	if err != nil || !plan.InTheWay() || !strings.Contains(plan.Error.What, "MAIA_CONTAINER_APPS is not set") {
		t.Errorf("got %+v, %v", plan, err)
	}
	if changed := i.Changed(); len(changed) > 0 {
		t.Errorf("asked for %s", changed)
	}
}

// TestRevoked checks a runner whose secret an operator has refreshed, so that the app holds a revoked one.
func TestRevoked(t *testing.T) {
	i := azuretest.New(t)
	before := i.Maia.LiveSecret(azuretest.AgentID)
	i.Maia.ConsoleRefresh(azuretest.AgentID)
	report, err := checker(i).Check(t.Context(), azuretest.FunctionApp)
	if text := fmt.Sprint(report); err != nil || strings.Contains(text, before) ||
		!strings.Contains(text, "the next run brings it to the runner") {
		t.Errorf("got %s, %v", text, err)
	}
	if i.Apps.Secret(azuretest.App, azuretest.ClientSecret).Value != before {
		t.Error("the app's secret was changed")
	}
}

// TestLinkAway has the next page of a list on another host: no token is sent there.
func TestLinkAway(t *testing.T) {
	i := azuretest.New(t)
	asked := false
	away := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer away.Close()
	front := httptest.NewServer(http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		if strings.HasSuffix(request.URL.Path, "/roleAssignments") {
			_, _ = fmt.Fprintf(writer, `{"value":[],"nextLink":%q}`, away.URL+request.URL.Path)
			return
		}
		i.Manager.ServeHTTP(writer, request)
	}))
	defer front.Close()
	i.Site.Settings["AZURE_RESOURCE_MANAGER_URL"], i.ManagerURL = front.URL, front.URL
	report, err := checker(i).Check(t.Context(), azuretest.FunctionApp)
	if text := fmt.Sprint(report); err != nil || asked || !strings.Contains(text, "leads away from Azure Resource Manager") {
		t.Errorf("got %s, %v; asked %t", text, err, asked)
	}
}

// TestClouds checks installations in the cloud for all and in others, at the addresses that Azure has there.
func TestClouds(t *testing.T) {
	for manager, domains := range map[string]struct{ vault, blob string }{
		"":                                     {"vault.azure.net", "blob.core.windows.net"},
		"https://management.usgovcloudapi.net": {"vault.usgovcloudapi.net", "blob.core.usgovcloudapi.net"},
		"https://management.chinacloudapi.cn":  {"vault.azure.cn", "blob.core.chinacloudapi.cn"},
	} {
		i := azuretest.New(t)
		hosts := map[string]http.Handler{
			strings.TrimPrefix(cmp.Or(manager, "https://management.azure.com"), "https://"): i.Manager, "maia." + domains.vault: i.Vault,
			"maiarotateabcdefgh." + domains.blob: i.State,
		}
		i.Site.Settings["AZURE_RESOURCE_MANAGER_URL"] = manager
		i.Site.Settings["MAIA_CLIENT_SECRET"] = "@Microsoft.KeyVault(VaultName=maia;SecretName=maia-client-secret)"
		delete(i.Site.Settings, "MAIA_STATE_CONTAINER_URL")
		report, err := (&azure.Checker{Credential: azuretest.Operator{}, ManagerURL: manager,
			Transport: &http.Client{Transport: byHost(hosts)}}).Check(t.Context(), azuretest.FunctionApp)
		if err != nil || len(notOK(report)) > 0 || len(report.NotChecked) > 0 {
			t.Errorf("%s: %+v, %v", manager, report, err)
		}
	}
}

// byHost serves requests by the hosts that they name, and no others.
type byHost map[string]http.Handler

func (b byHost) RoundTrip(request *http.Request) (*http.Response, error) {
	handler := b[request.URL.Host]
	if handler == nil || request.URL.Scheme != "https" {
		return nil, fmt.Errorf("unexpected: %s", request.URL)
	}
	return wire.Transport(handler).RoundTrip(request)
}
