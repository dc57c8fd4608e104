package rotation

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/function/functiontest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

const (
	agentID   = "0b7a1f6e-3d52-4c1b-9a37-2f8f3f5b6c10"
	groupID   = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/runners"
	appID     = groupID + "/providers/Microsoft.App/containerApps/runner"
	apiSecret = "KZXW6YTBOJRGC6TJNZTQ"
)

// valid is an environment with everything set that can be set together.
func valid() map[string]string {
	return map[string]string{
		"MAIA_CONTAINER_APPS":              appID + ", " + appID + "-2",
		"MAIA_AGENT_IDS":                   agentID,
		"MAIA_CLIENT_ID":                   "api",
		"MAIA_CLIENT_SECRET":               apiSecret,
		"MAIA_STATE_CONTAINER_URL":         "https://state.blob.core.windows.net/notes/",
		"MAIA_REGION":                      "EU1",
		"MAIA_ROTATE_EVERY":                "240h",
		"MAIA_ROTATE_DRAIN":                "none",
		"MAIA_ROTATE_DRAIN_TIMEOUT":        "90s",
		"MAIA_ROTATE_CONNECT_TIMEOUT":      "10m",
		"AZURE_RESOURCE_MANAGER_URL":       "https://management.usgovcloudapi.net/",
		"AZURE_CLIENT_ID":                  "00000000-0000-0000-0000-00000000000d",
		"IDENTITY_ENDPOINT":                "http://127.0.0.1:41/msi/token",
		"AzureWebJobsStorage__accountName": "hoststorage",
		"ROTATION_SCHEDULE":                "0 */30 * * * *",
		"PATH":                             "/usr/bin",
	}
}

// with is the valid environment with changes; an empty value unsets a variable.
func with(changes map[string]string) []string {
	env := valid()
	maps.Copy(env, changes)
	maps.DeleteFunc(env, func(_, value string) bool { return value == "" })
	return functiontest.Environ(env)
}

func TestParseConfig(t *testing.T) {
	config, err := ParseConfig(functiontest.Environ(valid()))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(config.Apps, []string{appID, appID + "-2"}) || config.Groups != nil || !slices.Equal(config.AgentIDs, []string{agentID}) {
		t.Errorf("got %+v", config)
	}
	if config.Credentials.ClientID != "api" || config.Credentials.ClientSecret.Reveal() != apiSecret || config.Endpoints.Region != "eu1" {
		t.Errorf("got %+v", config)
	}
	if config.StateContainerURL != "https://state.blob.core.windows.net/notes" || config.ManagerURL != "https://management.usgovcloudapi.net" {
		t.Errorf("got %s, %s", config.StateContainerURL, config.ManagerURL)
	}
	if !config.ManagedIdentity || config.IdentityClientID != "00000000-0000-0000-0000-00000000000d" {
		t.Errorf("the identity is %t, %s", config.ManagedIdentity, config.IdentityClientID)
	}
	if p := config.Policy; p.Every != 240*time.Hour || p.Drain != rotate.DrainNone || p.DrainTimeout != 90*time.Second ||
		p.ConnectTimeout != 10*time.Minute {
		t.Errorf("the policy is %+v", p)
	}
}

func TestDefaults(t *testing.T) {
	config, err := ParseConfig([]string{"MAIA_CONTAINER_APPS=" + appID, "MAIA_CLIENT_ID=api", "MAIA_CLIENT_SECRET=" + apiSecret,
		"AzureWebJobsStorage__accountName=hoststorage"})
	if err != nil {
		t.Fatal(err)
	}
	if config.ManagerURL != "https://management.azure.com" ||
		config.StateContainerURL != "https://hoststorage.blob.core.windows.net/maia-rotate" || config.ManagedIdentity || config.AgentIDs != nil {
		t.Errorf("got %+v", config)
	}
	if config.Policy.Every != 720*time.Hour || config.Policy.Drain != rotate.DrainPause {
		t.Errorf("the policy is %+v", config.Policy)
	}
}

func TestStateContainer(t *testing.T) {
	const (
		china   = "https://management.chinacloudapi.cn"
		gov     = "https://management.usgovcloudapi.net"
		private = "https://management.azurestack.example"
	)
	for name, test := range map[string]struct {
		state, service, account, manager string
		want, words                      string
	}{
		"given": {state: "https://x.blob.core.windows.net/notes", service: "https://y.example", account: "hoststorage",
			want: "https://x.blob.core.windows.net/notes"},
		"given, emulated": {state: "http://127.0.0.1:10000/devstoreaccount1/notes", want: "http://127.0.0.1:10000/devstoreaccount1/notes"},
		"given, IPv6":     {state: "http://[::1]:10000/notes", want: "http://[::1]:10000/notes"},
		"the host's service": {service: "https://hoststorage.blob.core.windows.net/", account: "other",
			want: "https://hoststorage.blob.core.windows.net/maia-rotate"},
		"the host's account":   {account: "hoststorage", want: "https://hoststorage.blob.core.windows.net/maia-rotate"},
		"in China":             {account: "hoststorage", manager: china, want: "https://hoststorage.blob.core.chinacloudapi.cn/maia-rotate"},
		"of the US government": {account: "hoststorage", manager: gov, want: "https://hoststorage.blob.core.usgovcloudapi.net/maia-rotate"},
		"in other letters": {account: "hoststorage", manager: "https://Management.USGovCloudAPI.net",
			want: "https://hoststorage.blob.core.usgovcloudapi.net/maia-rotate"},

		"none": {words: "MAIA_STATE_CONTAINER_URL is not set, and neither is AzureWebJobsStorage__accountName nor " +
			"AzureWebJobsStorage__blobServiceUri"},
		"an unknown cloud": {account: "hoststorage", manager: private,
			words: "the storage accounts of the cloud of AZURE_RESOURCE_MANAGER_URL have no address that is known"},
		"no name of an account": {account: "https://x",
			words: `AzureWebJobsStorage__accountName is "https://x", expected the name of a storage account`},
		"an account and a domain": {account: "x.blob.core.windows.net", words: "AzureWebJobsStorage__accountName"},
		"plain http": {state: "http://x.blob.core.windows.net/notes",
			words: "MAIA_STATE_CONTAINER_URL is plain http to x.blob.core.windows.net, expected https"},
		"a service in plain http": {service: "http://x.example", words: "AzureWebJobsStorage__blobServiceUri is plain http"},
		"no URL": {state: "notes",
			words: "MAIA_STATE_CONTAINER_URL is not an https URL, expected one like https://ACCOUNT.blob.core.windows.net/maia-rotate"},
		"no container":           {state: "https://x.blob.core.windows.net", words: `the path ""`},
		"a blob":                 {state: "https://x.blob.core.windows.net/a/b/c", words: `the path "/a/b/c"`},
		"no name of a container": {state: "https://x.blob.core.windows.net/Notes", words: `the path "/Notes"`},
		"with a signature": {state: "https://x.blob.core.windows.net/notes?sig=" + apiSecret,
			words: "MAIA_STATE_CONTAINER_URL has a user, a query or a fragment"},
		"with a user": {state: "https://user:" + apiSecret + "@x.blob.core.windows.net/notes",
			words: "MAIA_STATE_CONTAINER_URL has a user, a query or a fragment"},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := ParseConfig(with(map[string]string{
				"MAIA_STATE_CONTAINER_URL": test.state, "AzureWebJobsStorage__blobServiceUri": test.service,
				"AzureWebJobsStorage__accountName": test.account, "AZURE_RESOURCE_MANAGER_URL": test.manager,
			}))
			check(t, err, test.words)
			if config.StateContainerURL != test.want {
				t.Errorf("got %s, expected %s", config.StateContainerURL, test.want)
			}
		})
	}
}

// check checks that an error is a Configuration error with these words and without the secret, or, without words, that there is none.
func check(t *testing.T, err error, words ...string) {
	t.Helper()
	if len(words) == 0 || words[0] == "" {
		if err != nil {
			t.Errorf("got %v", err)
		}
		return
	}
	if rotate.KindOf(err) != rotate.Configuration {
		t.Fatalf("got %v, expected an error of the configuration", err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q is missing in: %.500v", word, err)
		}
	}
	if strings.Contains(err.Error(), apiSecret) {
		t.Errorf("a secret is in: %v", err)
	}
}

func TestTargets(t *testing.T) {
	const form = "expected /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.App/containerApps/NAME"
	for text, test := range map[string]struct {
		want  []string
		words string
	}{
		appID:                  {want: []string{appID}},
		" " + appID + " ,":     {want: []string{appID}},
		strings.ToLower(appID): {want: []string{strings.ToLower(appID)}},
		"/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/Läufer_(1).x/providers/microsoft.app/containerapps/a-1": {
			want: []string{"/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/Läufer_(1).x" +
				"/providers/microsoft.app/containerapps/a-1"},
		},

		"":                                     {words: "MAIA_CONTAINER_APPS is not set"},
		" , ":                                  {words: "MAIA_CONTAINER_APPS is not set"},
		"runner":                               {words: `item 1 of MAIA_CONTAINER_APPS is "runner", ` + form},
		appID + ",x":                           {words: `item 2 of MAIA_CONTAINER_APPS is "x", ` + form},
		appID + "/":                            {words: "item 1"},
		appID + "/revisions/a":                 {words: "item 1"},
		appID + "?x":                           {words: "item 1"},
		"https://management.azure.com" + appID: {words: "item 1"},
		strings.TrimPrefix(appID, "/"):         {words: "item 1"},
		groupID:                                {words: "item 1"},
		groupID + "/providers/Microsoft.App/jobs/runner":                                   {words: "item 1"},
		groupID + "/providers/Microsoft.App/containerApps/":                                {words: "item 1"},
		groupID + "/providers/Microsoft.App/containerApps/..":                              {words: "item 1"},
		"/subscriptions/s/resourceGroups/../providers/Microsoft.App/containerApps/runner":  {words: "item 1"},
		"/subscriptions/../resourceGroups/g/providers/Microsoft.App/containerApps/runner":  {words: "item 1"},
		"/subscriptions/s/resourceGroups/a b/providers/Microsoft.App/containerApps/runner": {words: "item 1"},
		groupID + "/providers/Microsoft.ContainerInstance/containerGroups/runner":          {words: "which is on Container Instances"},
		appID + "," + strings.ToUpper(appID): {words: "MAIA_CONTAINER_APPS names " +
			strings.ToUpper(appID) + " twice"},
		appID + " " + appID:                       {words: "item 1"},
		strings.Repeat("/subscriptions", 100_000): {words: "item 1"},
	} {
		config, err := ParseConfig(with(map[string]string{"MAIA_CONTAINER_APPS": text}))
		check(t, err, test.words)
		if !slices.Equal(config.Apps, test.want) {
			t.Errorf("%.200s: got %q, expected %q", text, config.Apps, test.want)
		}
	}
	for text, test := range map[string]struct {
		want  []string
		words string
	}{
		groupID:                                  {want: []string{groupID}},
		groupID + "," + groupID + "2":            {want: []string{groupID, groupID + "2"}},
		appID:                                    {words: "item 1 of MAIA_RESOURCE_GROUPS is"},
		"runners":                                {words: `is "runners", expected /subscriptions/SUBSCRIPTION/resourceGroups/GROUP`},
		groupID + "/":                            {words: "item 1"},
		groupID + "/..":                          {words: "item 1"},
		groupID + "," + strings.ToLower(groupID): {words: "twice"},
		",":                                      {words: "is not set"},
	} {
		config, err := ParseConfig(with(map[string]string{"MAIA_CONTAINER_APPS": "", "MAIA_RESOURCE_GROUPS": text}))
		check(t, err, test.words)
		if !slices.Equal(config.Groups, test.want) || config.Apps != nil {
			t.Errorf("%.200s: got %q, expected %q", text, config.Groups, test.want)
		}
	}
}

func TestBadConfig(t *testing.T) {
	for name, test := range map[string]struct {
		change map[string]string // empty: unset
		words  []string
	}{
		"both ways of naming apps": {map[string]string{"MAIA_RESOURCE_GROUPS": groupID},
			[]string{"MAIA_CONTAINER_APPS and MAIA_RESOURCE_GROUPS are both set, expected one of the two"}},
		"several apps and no agents": {map[string]string{"MAIA_AGENT_IDS": ""},
			[]string{"MAIA_AGENT_IDS is not set", "several apps"}},
		"a resource group and no agents": {map[string]string{"MAIA_CONTAINER_APPS": "", "MAIA_RESOURCE_GROUPS": groupID,
			"MAIA_AGENT_IDS": ""}, []string{"MAIA_AGENT_IDS is not set", "resource groups"}},
		"no credential": {map[string]string{"MAIA_CLIENT_ID": "", "MAIA_CLIENT_SECRET": ""},
			[]string{"MAIA_CLIENT_ID and MAIA_CLIENT_SECRET are not set"}},
		"half a credential": {map[string]string{"MAIA_CLIENT_ID": ""},
			[]string{"MAIA_CLIENT_SECRET is set and MAIA_CLIENT_ID is not"}},
		"an unresolved secret": {map[string]string{"MAIA_CLIENT_SECRET": "@Microsoft.KeyVault(SecretUri=https://vault.example/secrets/" +
			apiSecret + ")"}, []string{"MAIA_CLIENT_SECRET is a Key Vault reference that Azure has not resolved", "Key Vault Secrets User"}},
		"an unresolved ID, other letters": {map[string]string{"MAIA_CLIENT_ID": " @microsoft.keyvault(VaultName=v;SecretName=s)"},
			[]string{"MAIA_CLIENT_ID is a Key Vault reference"}},
		"another setting, unresolved": {map[string]string{"MAIA_AGENT_IDS": "@Microsoft.KeyVault(SecretUri=x)"},
			[]string{"MAIA_AGENT_IDS is a Key Vault reference"}},
		"a typing error": {map[string]string{"MAIA_CONTAINER_APP": appID},
			[]string{"MAIA_CONTAINER_APP is not known", "MAIA_CONTAINER_APPS"}},
		"a manager in plain http": {map[string]string{"AZURE_RESOURCE_MANAGER_URL": "http://management.azure.com"},
			[]string{"AZURE_RESOURCE_MANAGER_URL is plain http to management.azure.com, expected https (http only to a loopback host)"}},
		"a manager that only resembles loopback": {map[string]string{"AZURE_RESOURCE_MANAGER_URL": "http://127.0.0.1.example"},
			[]string{"is plain http"}},
		"no URL of a manager": {map[string]string{"AZURE_RESOURCE_MANAGER_URL": "management.azure.com"},
			[]string{"AZURE_RESOURCE_MANAGER_URL is not an https URL"}},
		"another scheme": {map[string]string{"AZURE_RESOURCE_MANAGER_URL": "ftp://management.azure.com"},
			[]string{"AZURE_RESOURCE_MANAGER_URL is not an https URL"}},
		"a manager with a path": {map[string]string{"AZURE_RESOURCE_MANAGER_URL": "https://management.azure.com/subscriptions"},
			[]string{"AZURE_RESOURCE_MANAGER_URL has a path"}},
		"a manager with a user": {map[string]string{"AZURE_RESOURCE_MANAGER_URL": "https://u:" + apiSecret +
			"@management.azure.com"}, []string{"AZURE_RESOURCE_MANAGER_URL has a user"}},
		"every": {map[string]string{"MAIA_ROTATE_EVERY": "1s"}, []string{"MAIA_ROTATE_EVERY", "1h0m0s or more"}},
		"drain": {map[string]string{"MAIA_ROTATE_DRAIN": "x"}, []string{"MAIA_ROTATE_DRAIN"}},
		"longer than an invocation": {map[string]string{"MAIA_ROTATE_CONNECT_TIMEOUT": "31m"},
			[]string{"MAIA_ROTATE_CONNECT_TIMEOUT", "at most 30m0s"}},
		"region": {map[string]string{"MAIA_REGION": "x"}, []string{"MAIA_REGION"}},
		"agent":  {map[string]string{"MAIA_AGENT_IDS": "x"}, []string{"MAIA_AGENT_IDS"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseConfig(with(test.change))
			check(t, err, test.words...)
		})
	}
}

func TestOneAppNeedsNoAgents(t *testing.T) {
	if _, err := ParseConfig(with(map[string]string{"MAIA_CONTAINER_APPS": appID, "MAIA_AGENT_IDS": ""})); err != nil {
		t.Error(err)
	}
}

func TestManagers(t *testing.T) {
	for _, url := range []string{"https://management.chinacloudapi.cn", "http://127.0.0.1:8080", "http://localhost:8080/", "http://[::1]:1",
		"HTTPS://management.azure.com"} {
		if _, err := ParseConfig(with(map[string]string{"AZURE_RESOURCE_MANAGER_URL": url})); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}
