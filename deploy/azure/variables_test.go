package azure_test

import (
	"slices"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/maia-rotate/maia-rotate/functions/azure/rotation"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/containerapp"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

func TestWrongVariablesAreRefused(t *testing.T) {
	for _, test := range []struct {
		variable string
		value    cty.Value
	}{
		{"name", cty.StringVal("mai")},
		{"name", cty.StringVal("maia_rotate")},
		{"name", cty.StringVal("maia-rotate-of-a-team-somewhere")}, // the function app's would be too long
		{"resource_group_id", cty.StringVal("operations")},
		{"location", cty.StringVal("West Europe")},
		{"container_apps", cty.MapValEmpty(cty.String)},
		{"container_apps", named("runner")},
		{"container_apps", named(runners)},
		{"container_apps", named(app + ",")},
		{"container_apps", named(app, app)},
		{"resource_groups", texts("matillion")},
		{"resource_groups", texts(app)},
		{"agent_ids", cty.SetValEmpty(cty.String)},
		{"agent_ids", texts("runner")},
		{"maia_client_id", cty.StringVal("")},
		{"key_vault_id", cty.StringVal("https://operations.vault.azure.net")},
		{"secret_name", cty.StringVal("maia/0123456789abcdef")},
		{"maia_region", cty.StringVal("eu2")},
		{"rotate_every", cty.StringVal("30d")},
		{"rotate_every", cty.StringVal("0h")},
		{"rotate_window", cty.StringVal("nights")},
		{"rotate_first", texts("ffffffff-0000-4000-8000-000000000000")},
		{"rotate_soak", cty.StringVal("1d")},
		{"drain", cty.StringVal("wait")},
		{"drain_timeout", cty.StringVal("90s")},
		{"drain_timeout", cty.StringVal("21m")},
		{"connect_timeout", cty.StringVal("21m")},
		{"call_every_minutes", cty.NumberIntVal(60)},
		{"call_every_minutes", cty.NumberIntVal(7)},
		{"instance_memory_mb", cty.NumberIntVal(1024)},
		{"maximum_instance_count", cty.NumberIntVal(0)},
		{"subnet_id", cty.StringVal("functions")},
		{"action_group_ids", texts("oncall")},
		{"alert_emails", texts("oncall")},
		{"downtime_seconds", cty.NumberIntVal(1)},
		{"max_age_days", cty.NumberIntVal(30)}, // as long as the time between two rotations
		{"silence_hours", cty.NumberIntVal(48)},
		{"log_retention_days", cty.NumberIntVal(7)},
		{"role_name", cty.StringVal("")},
		{"tags", cty.MapVal(map[string]cty.Value{"a/b": cty.StringVal("c")})},
	} {
		variables := plainVariant.variables()
		variables[test.variable] = test.value
		if why := loadModule(t, variables).Refused(); !slices.Contains(why, test.variable) {
			t.Errorf("%s = %#v: refused are %v", test.variable, test.value, why)
		}
	}
}

// An invocation has to have the time for both.
func TestTimeoutsTogether(t *testing.T) {
	for minutes, good := range map[string]bool{"6m": true, "7m": false} {
		variables := plainVariant.variables()
		variables["drain_timeout"], variables["connect_timeout"] = cty.StringVal("20m"), cty.StringVal(minutes)
		config, err := rotation.ParseConfig([]string{
			"MAIA_CONTAINER_APPS=" + app, "MAIA_CLIENT_ID=a", "MAIA_CLIENT_SECRET=b", "AzureWebJobsStorage__accountName=account",
			"MAIA_ROTATE_DRAIN_TIMEOUT=20m", "MAIA_ROTATE_CONNECT_TIMEOUT=" + minutes,
		})
		if err != nil {
			t.Fatal(err)
		}
		if needed := fleet.Needed(config.Policy, containerapp.StoreTime); (needed < rotation.WorkTime()) != good {
			t.Errorf("20m and %s: a rotation needs %s", minutes, needed)
		}
		if why := loadModule(t, variables).Refused(); (len(why) == 0) != good {
			t.Errorf("20m and %s: refused are %v", minutes, why)
		}
	}
}

// Either apps or resource groups say where the runners are.
func TestOneWayToTheRunners(t *testing.T) {
	variables := plainVariant.variables()
	variables["resource_groups"] = texts(runners)
	if why := loadModule(t, variables).Refused(); !slices.Equal(why, []string{"container_apps"}) {
		t.Errorf("refused are %v", why)
	}
}

func TestEveryVariableIsDescribedAndChecked(t *testing.T) {
	for _, what := range loadModule(t, plainVariant.variables()).Undescribed() {
		t.Error(what)
	}
}
