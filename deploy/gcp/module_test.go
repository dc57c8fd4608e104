package gcp_test

import (
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/internal/terraformtest"
)

const (
	cluster    = "projects/runners-1234/locations/europe-west1/clusters/runner"
	release    = cluster + "/namespaces/matillion-agent/releases/matillion-agent"
	email      = "maia-rotate@ops-1234.iam.gserviceaccount.com"
	url        = "https://maia-rotate-abc-ew.a.run.app"
	functionID = "projects/ops-1234/locations/europe-west1/functions/maia-rotate"
)

func texts(all ...string) cty.Value {
	values := make([]cty.Value, len(all))
	for i, text := range all {
		values[i] = cty.StringVal(text)
	}
	return cty.SetVal(values)
}

// given are the variables that have no default.
func given() map[string]cty.Value {
	return map[string]cty.Value{
		"project":            cty.StringVal("ops-1234"),
		"region":             cty.StringVal("europe-west1"),
		"package":            cty.StringVal("maia-rotate.zip"),
		"releases":           texts(release),
		"agent_ids":          texts(sandbox.AgentID),
		"credentials_secret": cty.StringVal("projects/ops-1234/secrets/maia-api"),
	}
}

// load reads the module. What only Google Cloud knows of its resources is made up.
func load(t *testing.T, given map[string]cty.Value) *terraformtest.Module {
	t.Helper()
	return terraformtest.Load(t, "terraform", given, terraformtest.World{Attribute: func(address string) map[string]cty.Value {
		made := map[string]cty.Value{}
		for _, attribute := range []string{"id", "name", "email"} {
			made[attribute] = cty.StringVal("made-up-" + attribute + "-of-" + address)
		}
		switch address {
		case "google_service_account.function":
			made["email"] = cty.StringVal(email)
		case "google_cloudfunctions2_function.rotation":
			made["id"], made["name"] = cty.StringVal(functionID), cty.StringVal("maia-rotate")
			made["service_config"] = cty.TupleVal([]cty.Value{cty.ObjectVal(map[string]cty.Value{"uri": cty.StringVal(url)})})
		case "google_cloud_scheduler_job.rotation", "google_logging_metric.runners":
			made["name"] = cty.StringVal("maia-rotate")
		}
		return made
	}})
}
