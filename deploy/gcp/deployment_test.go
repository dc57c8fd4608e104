package gcp_test

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/maia-rotate/maia-rotate/deploy/gcp"
	gcpfunction "github.com/maia-rotate/maia-rotate/functions/gcp"
	"github.com/maia-rotate/maia-rotate/functions/gcp/rotation"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/internal/terraformtest"
)

const function = "google_cloudfunctions2_function.rotation"

func environment(t *testing.T, module *terraformtest.Module) map[string]string {
	t.Helper()
	variables := module.Attributes(module.Nested(function, "service_config"))["environment_variables"].(map[string]any)
	all := map[string]string{}
	for name, value := range variables {
		all[name] = value.(string)
	}
	return all
}

func environ(all map[string]string) (environ []string) {
	for name, value := range all {
		environ = append(environ, name+"="+value)
	}
	return environ
}

// The function takes the environment that a deployment gives it, and finds in it what was deployed.
func TestTheFunctionKnowsItsEnvironment(t *testing.T) {
	variables := given()
	second := strings.Replace(release, "runners-1234", "example.com:old", 1)
	variables["releases"] = texts(release, second)
	for name, value := range map[string]string{
		"secret_path": "runner.secret", "maia_region": "us1", "rotate_every": "48h",
		"rotate_window": "Sat 02:00-05:00 Europe/London", "rotate_soak": "12h", "drain": "none", "drain_timeout": "3m",
		"connect_timeout": "9m",
	} {
		variables[name] = cty.StringVal(value)
	}
	variables["rotate_first"] = texts(sandbox.AgentID)
	full := environment(t, load(t, variables))
	config, err := rotation.ParseConfig(environ(full))
	if err != nil {
		t.Fatal(err)
	}
	if len(config.Releases) != 2 || config.Releases[0].String() != second || config.Releases[1].String() != release {
		t.Errorf("the function serves %v", config.Releases)
	}
	if config.CredentialsSecret != "projects/ops-1234/secrets/maia-api/versions/latest" || config.SecretPath != "runner.secret" ||
		len(config.AgentIDs) != 1 {
		t.Errorf("got %+v", config)
	}
	if policy := config.Policy; policy.Every.Hours() != 48 || policy.Drain != "none" || policy.DrainTimeout.Minutes() != 3 ||
		policy.ConnectTimeout.Minutes() != 9 {
		t.Errorf("got %+v", policy)
	}
	if schedule := config.Schedule; schedule.Window.String() != "Sat 02:00-05:00 Europe/London" || len(schedule.First) != 1 ||
		schedule.Soak.Hours() != 12 {
		t.Errorf("got %+v", schedule)
	}

	// Not to be set: a credential in the open, which whoever may read the function could see, and what only tests change.
	notSet := []string{"MAIA_CLIENT_ID", "MAIA_CLIENT_SECRET", "MAIA_API_URL", "MAIA_TOKEN_URL"}
	for _, name := range rotation.Known {
		if _, set := full[name]; set == slices.Contains(notSet, name) {
			t.Errorf("%s: set %t", name, set)
		}
	}

	// The defaults of the module are those of the function.
	defaults, err := rotation.ParseConfig(environ(environment(t, load(t, given()))))
	if err != nil {
		t.Fatal(err)
	}
	bare, err := rotation.ParseConfig([]string{
		"MAIA_HELM_RELEASES=" + release, "MAIA_CREDENTIALS_SECRET=" + defaults.CredentialsSecret,
	})
	if err != nil || defaults.Policy != bare.Policy || defaults.SecretPath != bare.SecretPath || defaults.Endpoints != bare.Endpoints {
		t.Errorf("got %+v, %v, without the variables %+v", defaults, err, bare)
	}
}

func TestTheFunction(t *testing.T) {
	module := load(t, given())
	config := module.Attributes(module.Nested(function, "service_config"))
	for name, want := range map[string]string{
		"timeout_seconds": "1800", "max_instance_count": "1", "max_instance_request_concurrency": "1", "available_memory": "512Mi",
		"ingress_settings": "ALLOW_INTERNAL_ONLY", "service_account_email": email,
	} {
		if config[name] != want {
			t.Errorf("%s is %v, expected %s", name, config[name], want)
		}
	}
	build := module.Attributes(module.Nested(function, "build_config"))
	if build["entry_point"] != gcpfunction.EntryPoint {
		t.Errorf("the entry point is %v", build["entry_point"])
	}
	// The bundle's go.mod names the oldest version that builds it.
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if version := "\ngo 1." + strings.TrimPrefix(build["runtime"].(string), "go1"); !strings.Contains(string(text), version) {
		t.Errorf("the runtime is %v, and go.mod names another version", build["runtime"])
	}
	if object := module.Attributes(module.Blocks["google_storage_bucket_object.source"]); !strings.Contains(object["name"].(string),
		"md5 of maia-rotate.zip") {
		t.Errorf("a new bundle has the name of the old one: %v", object["name"])
	}
}

func TestVPC(t *testing.T) {
	for name, test := range map[string]struct {
		vpc    cty.Value
		egress any
		blocks int
	}{
		"none": {cty.NullVal(cty.DynamicPseudoType), nil, 0},
		"all": {cty.ObjectVal(map[string]cty.Value{"network": cty.StringVal("n"), "subnetwork": cty.StringVal("s")}),
			"VPC_EGRESS_ALL_TRAFFIC", 1},
		"private alone": {cty.ObjectVal(map[string]cty.Value{"network": cty.StringVal("n"), "subnetwork": cty.StringVal("s"),
			"all_traffic": cty.False}), "VPC_EGRESS_PRIVATE_RANGES_ONLY", 1},
	} {
		t.Run(name, func(t *testing.T) {
			variables := given()
			if !test.vpc.IsNull() {
				variables["vpc"] = test.vpc
			}
			module := load(t, variables)
			block := module.Nested(function, "service_config")
			if egress := module.Attributes(block)["direct_vpc_egress"]; egress != test.egress {
				t.Errorf("egress is %v", egress)
			}
			if n := len(module.Dynamic(block, "direct_vpc_network_interface")); n != test.blocks {
				t.Errorf("%d network interfaces", n)
			}
		})
	}
}

// Cloud Scheduler waits three minutes by default, and thirty at most.
func TestTheJob(t *testing.T) {
	const address = "google_cloud_scheduler_job.rotation"
	module := load(t, given())
	job := module.Attributes(module.Blocks[address])
	if job["schedule"] != "*/30 * * * *" || job["attempt_deadline"] != "1800s" || job["time_zone"] != "Etc/UTC" {
		t.Errorf("got %v", job)
	}
	target := module.Attributes(module.Nested(address, "http_target"))
	token := module.Attributes(module.Nested(address, "http_target", "oidc_token"))
	if target["uri"] != url || token["audience"] != url ||
		token["service_account_email"] != "made-up-email-of-google_service_account.scheduler" {
		t.Errorf("got %v, %v", target, token)
	}
}

// grants are the members and the roles of each resource that grants one, with what they are granted on.
func grants(t *testing.T, module *terraformtest.Module) (all []string) {
	t.Helper()
	for address := range module.Blocks {
		kind, _, _ := strings.Cut(address, ".")
		if !strings.Contains(kind, "_iam_") || strings.Contains(kind, "custom_role") {
			continue
		}
		instances := map[string]*terraformtest.Module{"": module}
		if module.Blocks[address].Body.Attributes["for_each"] != nil {
			instances = module.Each(address)
		}
		for _, instance := range instances {
			got := instance.Attributes(module.Blocks[address])
			on := kind + " " + got["project"].(string)
			for _, name := range []string{"secret_id", "name"} {
				if value, ok := got[name].(string); ok {
					on += " " + value
				}
			}
			all = append(all, got["member"].(string)+" has "+got["role"].(string)+" by "+on)
		}
	}
	slices.Sort(all)
	return all
}

// Nobody is granted anything but the function what its code needs, and the job to call the function.
func TestGrants(t *testing.T) {
	variables := given()
	variables["releases"] = texts(release, strings.Replace(release, "/runner/", "/other/", 1),
		strings.Replace(release, "runners-1234", "runners-5678", 1))
	variables["credentials_secret"] = cty.StringVal("projects/vault-1234/secrets/maia-api")
	module := load(t, variables)
	const clusters = "made-up-id-of-google_project_iam_custom_role.clusters"
	want := []string{
		"serviceAccount:made-up-email-of-google_service_account.scheduler has roles/run.invoker by google_cloud_run_v2_service_iam_member " +
			"ops-1234 maia-rotate",
		"serviceAccount:" + email + " has " + clusters + " by google_project_iam_member runners-1234",
		"serviceAccount:" + email + " has " + clusters + " by google_project_iam_member runners-5678",
		"serviceAccount:" + email + " has roles/secretmanager.secretAccessor by google_secret_manager_secret_iam_member vault-1234 maia-api",
	}
	if got := grants(t, module); !slices.Equal(got, want) {
		t.Errorf("granted are\n%s\nexpected\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	// roles/secretmanager.secretAccessor is [rotation.AccessSecret] and nothing that changes anything.
	for project, instance := range module.Each("google_project_iam_custom_role.clusters") {
		role := instance.Attributes(module.Blocks["google_project_iam_custom_role.clusters"])
		if want := []any{rotation.ConnectToCluster, rotation.GetCluster}; role["project"] != project ||
			!slices.Equal(role["permissions"].([]any), want) {
			t.Errorf("in %s: %v, expected %v", project, role, want)
		}
		if !regexp.MustCompile(`^[a-zA-Z0-9_.]{3,64}$`).MatchString(role["role_id"].(string)) {
			t.Errorf("%v cannot be a role's ID", role["role_id"])
		}
	}
}

// The filled-in Role and RoleBinding are the shipped ones, in the release's namespace and for the function's service account.
func TestRBAC(t *testing.T) {
	variables := given()
	other := strings.Replace(release, "namespaces/matillion-agent", "namespaces/elsewhere", 1)
	variables["releases"] = texts(release, other)
	module := load(t, variables)
	output, _ := module.Attribute(module.Blocks["output.rbac"], "value")
	filled := terraformtest.Plain(output).(map[string]any)
	if keys := slices.Sorted(maps.Keys(filled)); !slices.Equal(keys, []string{other, release}) {
		t.Errorf("for %v", keys)
	}
	shipped := rbac(t, string(gcp.RBAC))
	for name, namespace := range map[string]string{release: "matillion-agent", other: "elsewhere"} {
		objects := rbac(t, filled[name].(string))
		if objects.role.Namespace != namespace || objects.binding.Namespace != namespace {
			t.Errorf("%s: in %s and %s", name, objects.role.Namespace, objects.binding.Namespace)
		}
		if subjects := objects.binding.Subjects; len(subjects) != 1 || subjects[0].Kind != rbacv1.UserKind || subjects[0].Name != email {
			t.Errorf("%s: for %v", name, subjects)
		}
		if ref := objects.binding.RoleRef; ref.Kind != "Role" || ref.Name != objects.role.Name {
			t.Errorf("%s: of %v", name, ref)
		}
		if !reflect.DeepEqual(objects.role.Rules, shipped.role.Rules) {
			t.Errorf("%s: %v", name, objects.role.Rules)
		}
	}
}

type roleAndBinding struct {
	role    rbacv1.Role
	binding rbacv1.RoleBinding
}

func rbac(t *testing.T, text string) (objects roleAndBinding) {
	t.Helper()
	documents := strings.Split(text, "\n---\n")
	if len(documents) != 2 {
		t.Fatalf("%d documents", len(documents))
	}
	for i, into := range []any{&objects.role, &objects.binding} {
		if err := yaml.UnmarshalStrict([]byte(documents[i]), into); err != nil {
			t.Fatal(err)
		}
	}
	return objects
}
