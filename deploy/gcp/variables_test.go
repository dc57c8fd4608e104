package gcp_test

import (
	"slices"
	"testing"

	"github.com/zclconf/go-cty/cty"
)

func TestDefaultsAreAccepted(t *testing.T) {
	if why := load(t, given()).Refused(); len(why) > 0 {
		t.Errorf("refused are %v", why)
	}
}

func TestWrongVariablesAreRefused(t *testing.T) {
	for _, test := range []struct {
		variable string
		value    cty.Value
	}{
		{"name", cty.StringVal("maia")}, // no ID of a service account
		{"name", cty.StringVal("maia_rotate")},
		{"name", cty.StringVal("maia-rotate-of-a-team-somewhere")},
		{"project", cty.StringVal("123456789012")},
		{"region", cty.StringVal("europe-west1-b")},
		{"package", cty.StringVal("bundle")},
		{"runtime", cty.StringVal("go125")},
		{"releases", cty.SetValEmpty(cty.String)},
		{"releases", texts(release, "namespaces/a/releases/b")},
		{"releases", texts(cluster)},
		{"releases", texts(release + ",")},
		{"agent_ids", cty.SetValEmpty(cty.String)},
		{"agent_ids", texts("runner")},
		{"secret_path", cty.StringVal("config.")},
		{"credentials_secret", cty.StringVal("maia-api")},
		{"credentials_secret", cty.StringVal("projects/p/secrets/s/versions/1")},
		{"maia_region", cty.StringVal("eu2")},
		{"rotate_every", cty.StringVal("30d")},
		{"rotate_every", cty.StringVal("0h")},
		{"rotate_window", cty.StringVal("nights")},
		{"rotate_first", texts("ffffffff-0000-4000-8000-000000000000")},
		{"rotate_soak", cty.StringVal("1d")},
		{"drain", cty.StringVal("wait")},
		{"drain_timeout", cty.StringVal("90s")},
		{"connect_timeout", cty.StringVal("50m")},
		{"timeout_seconds", cty.NumberIntVal(3601)},
		{"timeout_seconds", cty.NumberIntVal(899)}, // the defaults of the time-outs need 15 minutes
		{"call_every_minutes", cty.NumberIntVal(60)},
		{"call_every_minutes", cty.NumberIntVal(7)},
		{"vpc", cty.ObjectVal(map[string]cty.Value{"network": cty.StringVal("n"), "subnetwork": cty.StringVal("")})},
		{"build_service_account", cty.StringVal("builder@p.iam.gserviceaccount.com")},
		{"notification_channels", texts("oncall")},
		{"downtime_seconds", cty.NumberIntVal(1)},
		{"max_age_days", cty.NumberIntVal(30)}, // as long as the time between two rotations
		{"labels", cty.MapVal(map[string]cty.Value{"Team": cty.StringVal("data")})},
	} {
		variables := given()
		variables[test.variable] = test.value
		if why := load(t, variables).Refused(); !slices.Contains(why, test.variable) {
			t.Errorf("%s = %#v: refused are %v", test.variable, test.value, why)
		}
	}
}

func TestEveryVariableIsDescribedAndChecked(t *testing.T) {
	for _, what := range load(t, given()).Undescribed() {
		t.Error(what)
	}
}
