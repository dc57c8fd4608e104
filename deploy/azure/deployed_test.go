package azure_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// deployed is what a deployment comes to, in words that the template and the module share.
type deployed struct {
	settings   map[string]string // of the function app
	app        map[string]any    // what else is said of it
	storage    map[string]any
	containers []string
	plan, log  string
	roleName   string
	role       map[string][]string // the custom role: actions, and what else it may allow
	assignable []string            // where it may be assigned
	grants     []string            // of roles to the function's identity
	alerts     map[string]alert
	emails     []string
	tagged     int // how many resources have the tags
}

// alert is a rule that reads the log.
type alert struct {
	query, aggregation, column, operator, threshold string
	dimensions                                      []string
	window, every                                   string
	severity                                        string
	title, text                                     string
	notifies                                        []string // action groups
}

// both are what the template and the module deploy.
func both(t *testing.T, v variant) map[string]deployed {
	t.Helper()
	return map[string]deployed{"template": byTemplate(t, v), "module": byModule(t, v)}
}

// builtIn are the roles of Azure's own that are granted, by their IDs in Microsoft's documentation.
var builtIn = map[string]string{
	"b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
	"3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
	"4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
}

func words(values any) (all []string) {
	for _, value := range list(values) {
		all = append(all, fmt.Sprint(value))
	}
	return all
}

func byTemplate(t *testing.T, v variant) deployed {
	t.Helper()
	loaded := loadTemplate(t, v.parameters())
	d := deployed{settings: map[string]string{}, storage: map[string]any{}, role: map[string][]string{}, alerts: map[string]alert{}}
	for name, value := range at(t, loaded.one("Microsoft.Web/sites/config").Body, "properties").(map[string]any) {
		d.settings[name] = value.(string)
	}
	function := loaded.one("Microsoft.Web/sites")
	d.app = at(t, function.Body, "properties").(map[string]any)
	d.app["kind"], d.app["identity"] = function.Body["kind"], at(t, function.Body, "identity", "type")
	account := loaded.one("Microsoft.Storage/storageAccounts").Body
	properties := at(t, account, "properties").(map[string]any)
	for ours, theirs := range map[string]string{
		"public blobs": "allowBlobPublicAccess", "shared keys": "allowSharedKeyAccess", "TLS": "minimumTlsVersion",
		"https only":       "supportsHttpsTrafficOnly",
		"OAuth by default": "defaultToOAuthAuthentication",
	} {
		d.storage[ours] = fmt.Sprint(properties[theirs])
	}
	d.storage["kind"], d.storage["sku"], d.storage["location"] = account["kind"], at(t, account, "sku", "name"), account["location"]
	for _, container := range loaded.of("Microsoft.Storage/storageAccounts/blobServices/containers") {
		name := container.ID[strings.LastIndex(container.ID, "/")+1:]
		d.containers = append(d.containers, fmt.Sprintf("%s, public: %v", name, at(t, container.Body, "properties", "publicAccess")))
	}
	plan := loaded.one("Microsoft.Web/serverfarms").Body
	d.plan = fmt.Sprint(at(t, plan, "sku", "name"), ", Linux: ", at(t, plan, "properties", "reserved"))
	workspace := loaded.one("Microsoft.OperationalInsights/workspaces").Body
	insights := at(t, loaded.one("Microsoft.Insights/components").Body, "properties").(map[string]any)
	d.log = fmt.Sprintf("%v %v days, keys: %v", at(t, workspace, "properties", "sku", "name"),
		at(t, workspace, "properties", "retentionInDays"), insights["DisableLocalAuth"] != true)

	definition := loaded.one("Microsoft.Authorization/roleDefinitions")
	role := at(t, definition.Body, "properties").(map[string]any)
	permission := list(role["permissions"])[0].(map[string]any)
	for name, actions := range permission {
		if len(list(actions)) > 0 {
			d.role[name] = words(actions)
		}
	}
	d.roleName, d.assignable = role["roleName"].(string), words(role["assignableScopes"])
	for _, grant := range loaded.of("Microsoft.Authorization/roleAssignments") {
		scope, _, _ := strings.Cut(grant.ID, "/providers/Microsoft.Authorization/")
		properties := at(t, grant.Body, "properties").(map[string]any)
		of := strings.Split(properties["roleDefinitionId"].(string), "/")
		name := builtIn[of[len(of)-1]]
		if of[len(of)-1] == definition.Body["name"] {
			name = customRole
		}
		d.grants = append(d.grants, fmt.Sprintf("%v %v has %s on %s", properties["principalType"], properties["principalId"], name, scope))
	}
	for _, rule := range loaded.of("Microsoft.Insights/scheduledQueryRules") {
		properties := at(t, rule.Body, "properties").(map[string]any)
		criterion := list(at(t, properties, "criteria", "allOf"))[0].(map[string]any)
		if periods := criterion["failingPeriods"]; fmt.Sprint(periods) != "map[minFailingPeriodsToAlert:1 numberOfEvaluationPeriods:1]" {
			t.Errorf("%s: %v", rule.ID, periods)
		}
		column, _ := criterion["metricMeasureColumn"].(string)
		found := alert{
			query: criterion["query"].(string), aggregation: criterion["timeAggregation"].(string), column: column,
			operator: criterion["operator"].(string), threshold: fmt.Sprint(criterion["threshold"]),
			window: properties["windowSize"].(string), every: properties["evaluationFrequency"].(string),
			severity: fmt.Sprint(properties["severity"]),
			title:    properties["displayName"].(string), text: properties["description"].(string),
			notifies: words(at(t, properties, "actions", "actionGroups")),
		}
		for _, one := range list(criterion["dimensions"]) {
			found.dimensions = append(found.dimensions, fmt.Sprint(one.(map[string]any)["name"], one.(map[string]any)["operator"],
				one.(map[string]any)["values"]))
		}
		if properties["enabled"] != true || properties["autoMitigate"] != true ||
			!slices.Equal(words(properties["scopes"]), []string{component}) {
			t.Errorf("%s: %v", rule.ID, properties)
		}
		d.alerts[rule.ID[strings.LastIndex(rule.ID, "/")+1:]] = found
	}
	for _, made := range loaded.of("Microsoft.Insights/actionGroups") {
		for _, receiver := range list(at(t, made.Body, "properties", "emailReceivers")) {
			d.emails = append(d.emails, at(t, receiver, "emailAddress").(string))
		}
	}
	for _, made := range loaded.resources {
		if tags, ok := made.Body["tags"].(map[string]any); ok && len(tags) > 0 {
			d.tagged++
		}
	}
	return d
}

func byModule(t *testing.T, v variant) deployed {
	t.Helper()
	module := loadModule(t, v.variables())
	d := deployed{settings: map[string]string{}, storage: map[string]any{}, role: map[string][]string{}, alerts: map[string]alert{}}
	settings := module.Attributes(module.Blocks["azapi_update_resource.settings"])
	for name, value := range at(t, settings, "body", "properties").(map[string]any) {
		d.settings[name] = value.(string)
	}
	body := at(t, module.Attributes(module.Blocks["azapi_resource.function"]), "body").(map[string]any)
	d.app = at(t, body, "properties").(map[string]any)
	d.app["kind"], d.app["identity"] = body["kind"], module.Attributes(module.Nested("azapi_resource.function", "identity"))["type"]
	account := module.Attributes(module.Blocks["azurerm_storage_account.function"])
	for ours, theirs := range map[string]string{
		"public blobs": "allow_nested_items_to_be_public", "shared keys": "shared_access_key_enabled", "TLS": "min_tls_version",
		"https only":       "https_traffic_only_enabled",
		"OAuth by default": "default_to_oauth_authentication", "kind": "account_kind", "location": "location",
	} {
		d.storage[ours] = account[theirs]
	}
	d.storage["sku"] = fmt.Sprintf("%v_%v", account["account_tier"], account["account_replication_type"])
	if name := account["name"].(string); !regexp.MustCompile(`^[a-z0-9]{3,24}$`).MatchString(name) {
		t.Errorf("%s cannot be the name of a storage account", name)
	}
	if name := module.Attributes(module.Blocks["azapi_resource.function"])["name"].(string); len(name) > 32 {
		t.Errorf("%s is longer than what the host distinguishes function apps by", name)
	}
	for _, address := range module.Resources("azurerm_storage_container") {
		container := module.Attributes(module.Blocks[address])
		public := map[any]string{"private": "None"}[container["container_access_type"]]
		d.containers = append(d.containers, fmt.Sprintf("%v, public: %s", container["name"], public))
	}
	plan := module.Attributes(module.Blocks["azurerm_service_plan.function"])
	d.plan = fmt.Sprint(plan["sku_name"], ", Linux: ", plan["os_type"] == "Linux")
	workspace := module.Attributes(module.Blocks["azurerm_log_analytics_workspace.function"])
	insights := module.Attributes(module.Blocks["azurerm_application_insights.function"])
	d.log = fmt.Sprintf("%v %v days, keys: %v", workspace["sku"], workspace["retention_in_days"],
		insights["local_authentication_disabled"] != "true")

	role := module.Attributes(module.Blocks["azurerm_role_definition.runner"])
	for name, actions := range module.Attributes(module.Nested("azurerm_role_definition.runner", "permissions")) {
		d.role[name] = words(actions)
	}
	d.roleName, d.assignable = role["name"].(string), words(role["assignable_scopes"])
	for _, address := range module.Resources("azurerm_role_assignment") {
		instances := map[string]map[string]any{"": nil}
		if module.Blocks[address].Body.Attributes["for_each"] == nil {
			instances[""] = module.Attributes(module.Blocks[address])
		} else {
			delete(instances, "")
			for key, instance := range module.Each(address) {
				instances[key] = instance.Attributes(module.Blocks[address])
			}
		}
		for _, grant := range instances {
			name, ok := grant["role_definition_name"]
			if !ok {
				name = grant["role_definition_id"]
			}
			d.grants = append(d.grants, fmt.Sprintf("%v %v has %v on %v", grant["principal_type"], grant["principal_id"], name, grant["scope"]))
		}
	}
	const log, silence = "azurerm_monitor_scheduled_query_rules_alert_v2.log", "azurerm_monitor_scheduled_query_rules_alert_v2.silence"
	rules := module.Each(log)
	for _, key := range slices.Collect(maps.Keys(rules)) {
		d.addRule(t, rules[key].Attributes(module.Blocks[log]), rules[key].Attributes(module.Nested(log, "criteria")),
			rules[key].Dynamic(module.Nested(log, "criteria"), "dimension"), module.Attributes(module.Nested(log, "criteria", "failing_periods")),
			module.Attributes(module.Nested(log, "action")))
	}
	d.addRule(t, module.Attributes(module.Blocks[silence]), module.Attributes(module.Nested(silence, "criteria")), nil,
		module.Attributes(module.Nested(silence, "criteria", "failing_periods")), module.Attributes(module.Nested(silence, "action")))
	for _, address := range module.Resources("azurerm_monitor_action_group") {
		for _, receiver := range module.Dynamic(module.Blocks[address], "email_receiver") {
			d.emails = append(d.emails, receiver["email_address"].(string))
		}
	}
	for address, block := range module.Blocks {
		if kind, _, _ := strings.Cut(address, "."); kind == "var" || kind == "output" {
			continue
		}
		instances := 1
		if block.Body.Attributes["for_each"] != nil {
			instances = len(module.Each(address))
		}
		if kind, _, _ := strings.Cut(address, "."); len(module.Resources(kind)) == 0 || block.Body.Attributes["tags"] == nil {
			continue
		}
		if tags, _ := module.Attribute(block, "tags"); tags.LengthInt() > 0 {
			d.tagged += instances
		}
	}
	return d
}

// addRule adds what the module says of a rule.
func (d *deployed) addRule(t *testing.T, rule, criteria map[string]any, dimensions []map[string]any, periods, action map[string]any) {
	t.Helper()
	name := rule["name"].(string)
	if fmt.Sprint(periods) != "map[minimum_failing_periods_to_trigger_alert:1 number_of_evaluation_periods:1]" {
		t.Errorf("%s: %v", name, periods)
	}
	column, _ := criteria["metric_measure_column"].(string)
	found := alert{
		query: criteria["query"].(string), aggregation: criteria["time_aggregation_method"].(string), column: column,
		operator: criteria["operator"].(string), threshold: criteria["threshold"].(string),
		window: rule["window_duration"].(string), every: rule["evaluation_frequency"].(string), severity: rule["severity"].(string),
		title: rule["display_name"].(string), text: rule["description"].(string), notifies: words(action["action_groups"]),
	}
	for _, one := range dimensions {
		found.dimensions = append(found.dimensions, fmt.Sprint(one["name"], one["operator"], one["values"]))
	}
	if rule["auto_mitigation_enabled"] != "true" || !slices.Equal(words(rule["scopes"]), []string{component}) {
		t.Errorf("%s: %v", name, rule)
	}
	d.alerts[name] = found
}
