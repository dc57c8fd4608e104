package azure_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/internal/terraformtest"
)

const (
	location     = "westeurope"
	subscription = "/subscriptions/11111111-2222-3333-4444-555555555555"
	group        = subscription + "/resourceGroups/operations"
	runners      = "/subscriptions/66666666-7777-8888-9999-000000000000/resourceGroups/matillion" // of another subscription
	app          = runners + "/providers/Microsoft.App/containerApps/runner"
	vault        = subscription + "/resourceGroups/secrets/providers/Microsoft.KeyVault/vaults/operations"
	actionGroup  = subscription + "/resourceGroups/oncall/providers/Microsoft.Insights/actionGroups/oncall"

	// Made up by Azure.
	unique     = "abcdefghijklm"
	storage    = group + "/providers/Microsoft.Storage/storageAccounts/maiarotate" + unique
	component  = group + "/providers/Microsoft.Insights/components/maia-rotate"
	site       = group + "/providers/Microsoft.Web/sites/maia-rotate-abcdefgh"
	connection = "InstrumentationKey=00000000-0000-0000-0000-000000000000;" +
		"IngestionEndpoint=https://westeurope.in.applicationinsights.azure.com/"
	principal = "99999999-aaaa-bbbb-cccc-dddddddddddd"
)

// variant is a way to say where the runners are.
type variant struct {
	apps, groups []string
	more         map[string]any       // parameters of the template,
	moreOf       map[string]cty.Value // and the same of the module
}

var (
	plainVariant = variant{apps: []string{app}}
	variants     = map[string]variant{
		"an app":         plainVariant,
		"two apps":       {apps: []string{subscription + "/resourceGroups/other/providers/Microsoft.App/containerApps/another", app}},
		"resource group": {groups: []string{runners}},
		"all": {
			apps: []string{app},
			more: map[string]any{
				"maiaRegion": "us1", "rotateEveryHours": 48, "rotateWindow": "Sat 02:00-05:00 Europe/London",
				"rotateFirst": []string{sandbox.AgentID}, "rotateSoakHours": 12, "drain": "none", "drainTimeoutMinutes": 3, "connectTimeoutMinutes": 9,
				"callEveryMinutes": 10,
				"downtimeSeconds":  600, "maxAgeDays": 7, "silenceHours": 2, "instanceMemoryMB": 512, "maximumInstanceCount": 2, "logRetentionDays": 30,
				"actionGroupIds": []string{actionGroup}, "alertEmails": []string{"operations@example.com"},
				"subnetId": subnet, "roleName": "another", "tags": map[string]any{"team": "data"},
			},
			moreOf: map[string]cty.Value{
				"maia_region": cty.StringVal("us1"), "rotate_every": cty.StringVal("48h"),
				"rotate_window": cty.StringVal("Sat 02:00-05:00 Europe/London"), "rotate_first": texts(sandbox.AgentID),
				"rotate_soak": cty.StringVal("12h"), "drain": cty.StringVal("none"),
				"drain_timeout": cty.StringVal("3m"), "connect_timeout": cty.StringVal("9m"), "call_every_minutes": cty.NumberIntVal(10),
				"downtime_seconds": cty.NumberIntVal(600), "max_age_days": cty.NumberIntVal(7), "silence_hours": cty.NumberIntVal(2),
				"instance_memory_mb": cty.NumberIntVal(512), "maximum_instance_count": cty.NumberIntVal(2), "log_retention_days": cty.NumberIntVal(30),
				"action_group_ids": texts(actionGroup), "alert_emails": texts("operations@example.com"),
				"subnet_id": cty.StringVal(subnet), "role_name": cty.StringVal("another"),
				"tags": cty.MapVal(map[string]cty.Value{"team": cty.StringVal("data")}),
			},
		},
	}
)

const subnet = subscription + "/resourceGroups/network/providers/Microsoft.Network/virtualNetworks/hub/subnets/functions"

// parameters are those of the template.
func (v variant) parameters() map[string]any {
	given := map[string]any{"agentIds": []string{sandbox.AgentID}, "maiaClientId": "the-client-id", "keyVaultId": vault}
	if v.apps != nil {
		given["containerApps"] = v.apps
	}
	if v.groups != nil {
		given["resourceGroups"] = v.groups
	}
	maps.Copy(given, v.more)
	return given
}

// variables are those of the module.
func (v variant) variables() map[string]cty.Value {
	given := map[string]cty.Value{
		"resource_group_id": cty.StringVal(group),
		"location":          cty.StringVal(location),
		"agent_ids":         texts(sandbox.AgentID),
		"maia_client_id":    cty.StringVal("the-client-id"),
		"key_vault_id":      cty.StringVal(vault),
	}
	if v.apps != nil {
		given["container_apps"] = named(v.apps...)
	}
	if v.groups != nil {
		given["resource_groups"] = texts(v.groups...)
	}
	maps.Copy(given, v.moreOf)
	return given
}

func texts(all ...string) cty.Value {
	values := make([]cty.Value, len(all))
	for i, text := range all {
		values[i] = cty.StringVal(text)
	}
	return cty.SetVal(values)
}

// named is apps by names of the operator's.
func named(ids ...string) cty.Value {
	all := map[string]cty.Value{}
	for i, id := range ids {
		all[string(rune('a'+i))] = cty.StringVal(id)
	}
	return cty.MapVal(all)
}

// loadModule reads the module. What only Azure knows of its resources is made up.
func loadModule(t *testing.T, given map[string]cty.Value) *terraformtest.Module {
	t.Helper()
	return terraformtest.Load(t, "terraform", given, terraformtest.World{Attribute: func(address string) map[string]cty.Value {
		made := map[string]cty.Value{}
		for attribute, value := range map[string]string{"id": "made-up-id-of-" + address, "name": "made-up-name-of-" + address} {
			made[attribute] = cty.StringVal(value)
		}
		set := func(id string, more map[string]string) {
			made["id"], made["name"] = cty.StringVal(id), cty.StringVal(id[strings.LastIndex(id, "/")+1:])
			for name, value := range more {
				made[name] = cty.StringVal(value)
			}
		}
		switch address {
		case "azurerm_storage_account.function":
			set(storage, map[string]string{"primary_blob_endpoint": "https://maiarotate" + unique + ".blob.core.windows.net/"})
		case "azurerm_storage_container.packages":
			set(storage+"/blobServices/default/containers/packages", nil)
		case "azurerm_storage_container.state":
			set(storage+"/blobServices/default/containers/maia-rotate", nil)
		case "azurerm_application_insights.function":
			set(component, map[string]string{"connection_string": connection})
		case "azurerm_service_plan.function":
			set(group+"/providers/Microsoft.Web/serverfarms/maia-rotate", nil)
		case "azurerm_monitor_action_group.emails":
			set(group+"/providers/Microsoft.Insights/actionGroups/maia-rotate", nil)
		case "azurerm_role_definition.runner":
			made["role_definition_resource_id"] = cty.StringVal(customRole)
		case "azapi_resource.function":
			set(site, nil)
			properties := map[string]cty.Value{"defaultHostName": cty.StringVal("maia-rotate-abcdefgh.azurewebsites.net")}
			made["output"] = cty.ObjectVal(map[string]cty.Value{"properties": cty.ObjectVal(properties)})
			made["identity"] = cty.TupleVal([]cty.Value{cty.ObjectVal(map[string]cty.Value{"principal_id": cty.StringVal(principal)})})
		}
		return made
	}})
}

// customRole is how tests name the role that is deployed.
const customRole = "the role of a runner"
