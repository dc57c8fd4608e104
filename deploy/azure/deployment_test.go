package azure_test

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/functions/azure/rotation"
)

// The template and the module deploy the same.
func TestTemplateAndModuleAgree(t *testing.T) {
	for name, variant := range variants {
		t.Run(name, func(t *testing.T) {
			template, module := byTemplate(t, variant), byModule(t, variant)
			for _, all := range [][]string{template.grants, module.grants, template.containers, module.containers} {
				slices.Sort(all)
			}
			one, other := reflect.ValueOf(template), reflect.ValueOf(module)
			for i := range one.NumField() {
				if text, same := fmt.Sprint(one.Field(i)), fmt.Sprint(other.Field(i)); text != same {
					t.Errorf("%s: the template has\n%s\nand the module\n%s", one.Type().Field(i).Name, text, same)
				}
			}
		})
	}
}

// environ is the environment of the function: the settings, with the reference to the Key Vault followed, and what the
// platform adds.
func (d deployed) environ() (all []string) {
	for name, value := range d.settings {
		if strings.HasPrefix(value, "@Microsoft.KeyVault(") {
			value = "the-client-secret"
		}
		all = append(all, name+"="+value)
	}
	return append(all, "IDENTITY_ENDPOINT=http://127.0.0.1:1/msi/token", "IDENTITY_HEADER=header")
}

// The function takes the settings that a deployment gives it, and finds in them what was deployed.
func TestTheFunctionKnowsItsSettings(t *testing.T) {
	for name, d := range both(t, variants["all"]) {
		config, err := rotation.ParseConfig(d.environ())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(config.Apps) != 1 || config.Apps[0] != app || len(config.Groups) != 0 || len(config.AgentIDs) != 1 {
			t.Errorf("%s: %+v", name, config)
		}
		if want := "https://maiarotate" + unique + ".blob.core.windows.net/maia-rotate"; config.StateContainerURL != want {
			t.Errorf("%s: the locks and notes are in %s, expected %s", name, config.StateContainerURL, want)
		}
		if policy := config.Policy; policy.Every.Hours() != 48 || policy.Drain != "none" || policy.DrainTimeout.Minutes() != 3 ||
			policy.ConnectTimeout.Minutes() != 9 || config.Endpoints.Region != "us1" {
			t.Errorf("%s: %+v", name, config)
		}
		if schedule := config.Schedule; schedule.Window.String() != "Sat 02:00-05:00 Europe/London" || len(schedule.First) != 1 ||
			schedule.Soak.Hours() != 12 {
			t.Errorf("%s: %+v", name, schedule)
		}
		if !config.ManagedIdentity || config.IdentityClientID != "" || config.Credentials.ClientID != "the-client-id" {
			t.Errorf("%s: %+v", name, config)
		}

		// Not to be set: what only tests and other clouds change, and what follows from the rest.
		notSet := []string{"MAIA_API_URL", "MAIA_TOKEN_URL", "MAIA_STATE_CONTAINER_URL", "AZURE_RESOURCE_MANAGER_URL",
			"AzureWebJobsStorage__blobServiceUri", "AZURE_CLIENT_ID"}
		for _, known := range slices.Concat(rotation.Known, rotation.Platform) {
			if _, set := d.settings[known]; set == slices.Contains(notSet, known) {
				t.Errorf("%s: %s: set %t", name, known, set)
			}
		}
		hosts := []string{"AzureWebJobsStorage__credential", "APPLICATIONINSIGHTS_CONNECTION_STRING", "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
			"ROTATION_SCHEDULE"}
		for setting := range d.settings {
			if !slices.Contains(slices.Concat(rotation.Known, rotation.Platform, hosts), setting) {
				t.Errorf("%s: nobody reads %s", name, setting)
			}
		}
	}
	for name, d := range both(t, variants["resource group"]) {
		config, err := rotation.ParseConfig(d.environ())
		if err != nil || len(config.Apps) != 0 || !slices.Equal(config.Groups, []string{runners}) {
			t.Errorf("%s: %+v, %v", name, config, err)
		}
	}

	// The defaults are those of the function.
	for name, d := range both(t, plainVariant) {
		config, err := rotation.ParseConfig(d.environ())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		bare, err := rotation.ParseConfig([]string{"MAIA_CONTAINER_APPS=" + app, "MAIA_CLIENT_ID=i", "MAIA_CLIENT_SECRET=s",
			"AzureWebJobsStorage__accountName=account"})
		if err != nil || config.Policy != bare.Policy || config.Endpoints != bare.Endpoints {
			t.Errorf("%s: %+v, %v, without the settings %+v", name, config, err, bare)
		}
	}

	// As the platform hands on a reference that it cannot follow.
	d := byTemplate(t, plainVariant)
	_, err := rotation.ParseConfig([]string{"MAIA_CONTAINER_APPS=" + app, "MAIA_CLIENT_ID=i",
		"MAIA_CLIENT_SECRET=" + d.settings["MAIA_CLIENT_SECRET"], "AzureWebJobsStorage__accountName=account"})
	if err == nil || !strings.Contains(err.Error(), "Key Vault reference") {
		t.Errorf("got %v", err)
	}
}

// host is what the Functions host reads from the package.
type host struct {
	FunctionTimeout string
	Logging         struct {
		ApplicationInsights struct {
			SamplingSettings struct{ IsEnabled *bool }
		}
	}
}

// The host finds the setting that the timer's schedule names, and sends on every line that the alerts search for.
func TestTheHostKnowsItsSettings(t *testing.T) {
	var function struct {
		Bindings []struct{ Type, Schedule string }
	}
	readJSON(t, "../../functions/azure/"+rotation.FunctionName+"/function.json", &function)
	if len(function.Bindings) != 1 || function.Bindings[0].Type != "timerTrigger" {
		t.Fatalf("got %+v", function)
	}
	for variant, want := range map[string]string{"an app": "0 */30 * * * *", "all": "0 */10 * * * *"} {
		for name, d := range both(t, variants[variant]) {
			if schedule := d.settings[strings.Trim(function.Bindings[0].Schedule, "%")]; schedule != want {
				t.Errorf("%s: the timer's schedule is %q, expected %q", name, schedule, want)
			}
		}
	}
	var read host
	readJSON(t, "../../functions/azure/host.json", &read)
	if enabled := read.Logging.ApplicationInsights.SamplingSettings.IsEnabled; enabled == nil || *enabled {
		t.Error("host.json lets Application Insights leave out lines, which is its default")
	}
}

func TestTheFunctionApp(t *testing.T) {
	for name, d := range both(t, plainVariant) {
		text, err := json.Marshal(d.app["functionAppConfig"])
		if err != nil {
			t.Fatal(err)
		}
		want := `{"deployment":{"storage":{"authentication":{"type":"SystemAssignedIdentity"},"type":"blobContainer",` +
			`"value":"https://maiarotate` + unique + `.blob.core.windows.net/packages"}},` +
			`"runtime":{"name":"custom","version":"1.0"},"scaleAndConcurrency":{"instanceMemoryMB":2048,"maximumInstanceCount":1}}`
		if got := strings.NewReplacer(`"2048"`, "2048", `"1"`, "1").Replace(string(text)); got != want {
			t.Errorf("%s: got\n%s, expected\n%s", name, got, want)
		}
		if d.app["kind"] != "functionapp,linux" || d.app["identity"] != "SystemAssigned" || fmt.Sprint(d.app["httpsOnly"]) != "true" ||
			d.plan != "FC1, Linux: true" {
			t.Errorf("%s: %v, %s", name, d.app, d.plan)
		}
		// The plan has settings of its own for these, and refuses them.
		for _, setting := range []string{"FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_EXTENSION_VERSION", "WEBSITE_RUN_FROM_PACKAGE",
			"AzureWebJobsStorage"} {
			if _, set := d.settings[setting]; set {
				t.Errorf("%s: %s is set", name, setting)
			}
		}
		if want := map[string]any{
			"public blobs": "false", "shared keys": "false", "TLS": "TLS1_2", "https only": "true", "OAuth by default": "true", "kind": "StorageV2",
			"sku": "Standard_LRS", "location": location,
		}; !reflect.DeepEqual(d.storage, want) {
			t.Errorf("%s: got %v, expected %v", name, d.storage, want)
		}
	}
}

// Nobody is granted anything but the function what it and its host need, and that only where it is needed.
func TestGrants(t *testing.T) {
	us := "ServicePrincipal " + principal + " has "
	always := []string{
		us + "Key Vault Secrets User on " + vault + "/secrets/maia-client-secret",
		us + "Monitoring Metrics Publisher on " + component,
		us + "Storage Blob Data Owner on " + storage,
	}
	for name, want := range map[string]struct{ on, assignable []string }{
		"an app":         {[]string{app}, []string{group, runners}},
		"two apps":       {variants["two apps"].apps, []string{group, subscription + "/resourceGroups/other", runners}},
		"resource group": {[]string{runners}, []string{group, runners}},
	} {
		granted := slices.Clone(always)
		for _, scope := range want.on {
			granted = append(granted, us+customRole+" on "+scope)
		}
		slices.Sort(granted)
		for by, d := range both(t, variants[name]) {
			slices.Sort(d.grants)
			if !slices.Equal(d.grants, granted) {
				t.Errorf("%s, %s: granted are\n%s\nexpected\n%s", name, by, strings.Join(d.grants, "\n"), strings.Join(granted, "\n"))
			}
			if !slices.Equal(d.assignable, want.assignable) {
				t.Errorf("%s, %s: the role is for %v, expected %v", name, by, d.assignable, want.assignable)
			}
			if d.roleName != "maia-rotate runner" {
				t.Errorf("%s, %s: the role is %q", name, by, d.roleName)
			}
		}
	}
}

// The commands in the outputs are of the deployed app.
func TestCommands(t *testing.T) {
	module := loadModule(t, plainVariant.variables())
	output, _ := module.Attribute(module.Blocks["output.commands"], "value")
	for name, want := range map[string]string{
		"deploy": "az functionapp deployment source config-zip --subscription 11111111-2222-3333-4444-555555555555 --resource-group " +
			"operations --name maia-rotate-abcdefgh --src maia-rotate.zip",
		"call": "https://maia-rotate-abcdefgh.azurewebsites.net/admin/functions/" + rotation.FunctionName,
		"log":  component,
	} {
		if command := output.GetAttr(name).AsString(); !strings.Contains(command, want) {
			t.Errorf("%s: %s", name, command)
		}
	}
	loaded := loadTemplate(t, plainVariant.parameters())
	if command := loaded.resolve(at(t, loaded.document, "outputs", "deploy", "value")); command != output.GetAttr("deploy").AsString() {
		t.Errorf("the template says %v", command)
	}
	text, err := os.ReadFile("terraform/README.md")
	if err != nil || !strings.Contains(string(text), "az functionapp deployment source config-zip") {
		t.Errorf("README.md does not say how the code is deployed: %v", err)
	}
}
