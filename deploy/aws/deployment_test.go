package aws_test

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/maia-rotate/maia-rotate/functions/aws-lambda/rotation"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	sandboxaws "github.com/maia-rotate/maia-rotate/internal/sandbox/aws"
	"github.com/maia-rotate/maia-rotate/internal/terraformtest"
)

var plainVariant = variant{secret: secretARN("runner"), credentials: secretARN("maia-api")}

func templateEnvironment(loaded *template) map[string]string {
	variables := loaded.resource("RotationFunction")["Environment"].(map[string]any)["Variables"].(map[string]any)
	return stringMap(variables)
}

func moduleEnvironment(loaded *module) map[string]string {
	for _, block := range loaded.Blocks["aws_lambda_function.rotation"].Body.Blocks {
		if block.Type == "environment" {
			variables, _ := loaded.Attribute(block, "variables")
			return stringMap(terraformtest.Plain(variables).(map[string]any))
		}
	}
	return nil
}

func stringMap(from map[string]any) map[string]string {
	all := map[string]string{}
	for name, value := range from {
		all[name] = value.(string)
	}
	return all
}

// The function takes the environment that a deployment gives it, and finds in it what was deployed.
func TestTheFunctionKnowsItsEnvironment(t *testing.T) {
	byServices := plainVariant
	byServices.services = true
	for name, environment := range map[string]map[string]string{
		"template, cluster":  templateEnvironment(loadTemplate(t, plainVariant.parameters())),
		"template, services": templateEnvironment(loadTemplate(t, byServices.parameters())),
		"module, cluster":    moduleEnvironment(loadModule(t, plainVariant.variables())),
		"module, services":   moduleEnvironment(loadModule(t, byServices.variables())),
	} {
		var environ []string
		for variable, value := range environment {
			environ = append(environ, variable+"="+value)
		}
		config, err := rotation.ParseConfig(environ)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.Equal(config.Secrets, []string{plainVariant.secret}) || config.CredentialsSecretARN != plainVariant.credentials ||
			!slices.Equal(config.AgentIDs, []string{sandbox.AgentID}) {
			t.Errorf("%s: %+v", name, config)
		}
		if services := strings.HasSuffix(name, "services"); services && (len(config.Services) != 1 ||
			config.Services[0].Cluster != sandboxaws.Cluster) || !services && !slices.Equal(config.Clusters, []string{sandboxaws.Cluster}) {
			t.Errorf("%s: clusters %v, services %v", name, config.Clusters, config.Services)
		}
	}
	template, module := templateEnvironment(loadTemplate(t, plainVariant.parameters())),
		moduleEnvironment(loadModule(t, plainVariant.variables()))
	template["MAIA_SECRET_ARNS"] = strings.TrimRight(template["MAIA_SECRET_ARNS"], ",") // of parameters that are empty
	if !maps.Equal(template, module) {
		t.Errorf("the template sets %v, the module %v", template, module)
	}
}

func TestFiveSecrets(t *testing.T) {
	parameters := plainVariant.parameters()
	parameters["SecretArn2"], parameters["SecretArn5"] = secretARN("two"), secretARN("five")
	loaded := loadTemplate(t, parameters)
	want := []string{plainVariant.secret, secretARN("two"), secretARN("five")}

	var scheduled []string
	for _, name := range loaded.resources("AWS::SecretsManager::RotationSchedule") {
		schedule := loaded.resource(name)
		scheduled = append(scheduled, schedule["SecretId"].(string))
		if schedule["RotateImmediatelyOnUpdate"] != "false" || schedule["RotationLambdaARN"] != functionARN {
			t.Errorf("%s: %v", name, schedule)
		}
		if depends := loaded.sections["Resources"][name].(map[string]any)["DependsOn"]; depends != "SecretsManagerPermission" {
			t.Errorf("%s is made after %v: Secrets Manager could not invoke the function", name, depends)
		}
	}
	if !slices.Equal(scheduled, want) {
		t.Errorf("schedules of %v, want %v", scheduled, want)
	}
	if served := templatePolicy(t, loaded).Statements[0]; !slices.Equal(served.Resources, want) {
		t.Errorf("the role may use %v, want %v", served.Resources, want)
	}
	config, err := rotation.ParseConfig([]string{
		"MAIA_CREDENTIALS_SECRET_ARN=" + plainVariant.credentials, "MAIA_ECS_SERVICES=c/s",
		"MAIA_SECRET_ARNS=" + templateEnvironment(loaded)["MAIA_SECRET_ARNS"],
	})
	if err != nil || !slices.Equal(config.Secrets, want) {
		t.Errorf("the function serves %v, %v, want %v", config.Secrets, err, want)
	}
}

// AWS advises at least 10 or none; none is simplest.
func TestNoReservedConcurrency(t *testing.T) {
	if _, reserved := loadTemplate(t, plainVariant.parameters()).resource("RotationFunction")["ReservedConcurrentExecutions"]; reserved {
		t.Error("the template reserves concurrency")
	}
	function := loadModule(t, plainVariant.variables()).Blocks["aws_lambda_function.rotation"]
	if function.Body.Attributes["reserved_concurrent_executions"] != nil {
		t.Error("the module reserves concurrency")
	}
}

func TestNothingRotatesByDefaultWhenItIsDeployed(t *testing.T) {
	module := loadModule(t, plainVariant.variables())
	if immediately, _ := module.Attribute(module.Blocks["aws_secretsmanager_secret_rotation.runner"],
		"rotate_immediately"); immediately.True() {
		t.Error("the module rotates when it is deployed")
	}
	// The template: see TestFiveSecrets.
}

func TestEveryParameterIsDescribed(t *testing.T) {
	loaded := loadTemplate(t, plainVariant.parameters())
	grouped := []string{}
	for _, group := range loaded.sections["Metadata"]["AWS::CloudFormation::Interface"].(map[string]any)["ParameterGroups"].([]any) {
		grouped = append(grouped, texts(group.(map[string]any)["Parameters"])...)
	}
	for name, declared := range loaded.sections["Parameters"] {
		parameter := declared.(map[string]any)
		if parameter["Description"] == nil {
			t.Errorf("the parameter %s has no description", name)
		}
		if parameter["AllowedPattern"] == nil && parameter["AllowedValues"] == nil &&
			(parameter["MinValue"] == nil || parameter["MaxValue"] == nil) {
			t.Errorf("the parameter %s takes anything", name)
		}
		if !slices.Contains(grouped, name) {
			t.Errorf("the parameter %s is in no group", name)
		}
	}
	if len(grouped) != len(loaded.sections["Parameters"]) {
		t.Errorf("%d parameters in groups, expected %d", len(grouped), len(loaded.sections["Parameters"]))
	}
	module := loadModule(t, plainVariant.variables())
	for address, block := range module.Blocks {
		name, variable := strings.CutPrefix(address, "var.")
		if !variable {
			continue
		}
		for _, attribute := range []string{"description", "type"} {
			if block.Body.Attributes[attribute] == nil {
				t.Errorf("the variable %s has no %s", name, attribute)
			}
		}
		if kind := module.Context.Variables["var"].GetAttr(name).Type(); kind != cty.Bool && len(block.Body.Blocks) == 0 {
			t.Errorf("the variable %s takes anything", name)
		}
	}
}

// written are the metrics that the function writes.
var written = []string{
	rotation.MetricOutcome, rotation.MetricDuration, rotation.MetricDowntime,
	rotation.MetricDownNow, rotation.MetricPaused, rotation.MetricAge, rotation.MetricConnected,
}

var searched = regexp.MustCompile(`\{(\w+),[^}]*\} MetricName="(\w+)"`)

func TestAlarmsAndDashboardsReadMetricsThatAreWritten(t *testing.T) {
	metrics := map[string][]string{} // by place
	add := func(place, namespace, name string) {
		if namespace != "AWS/Lambda" {
			metrics[place] = append(metrics[place], name)
		}
		if namespace != "AWS/Lambda" && namespace != rotation.MetricsNamespace {
			t.Errorf("%s: %s of the namespace %s", place, name, namespace)
		}
	}
	dashboard := func(place, body string) {
		if !json.Valid([]byte(body)) {
			t.Errorf("%s: not JSON: %s", place, body)
		}
		for _, found := range searched.FindAllStringSubmatch(strings.ReplaceAll(body, `\"`, `"`), -1) {
			add(place, found[1], found[2])
		}
	}
	loaded := loadTemplate(t, plainVariant.parameters())
	for _, name := range loaded.resources("AWS::CloudWatch::Alarm") {
		alarm := loaded.resource(name)
		add("the template's alarms", alarm["Namespace"].(string), alarm["MetricName"].(string))
	}
	dashboard("the template's dashboard", loaded.resource("Dashboard")["DashboardBody"].(string))

	module := loadModule(t, plainVariant.variables())
	for _, address := range module.Resources("aws_cloudwatch_metric_alarm") {
		namespace, _ := module.Attribute(module.Blocks[address], "namespace")
		name, _ := module.Attribute(module.Blocks[address], "metric_name")
		add("the module's alarms", namespace.AsString(), name.AsString())
	}
	body, _ := module.Attribute(module.Blocks["aws_cloudwatch_dashboard.rotation"], "dashboard_body")
	dashboard("the module's dashboard", body.AsString())

	for place, want := range map[string]int{"the template's alarms": 3, "the template's dashboard": 5, "the module's alarms": 3,
		"the module's dashboard": 5} {
		if len(metrics[place]) != want {
			t.Errorf("%s read %v, expected %d metrics", place, metrics[place], want)
		}
		for _, name := range metrics[place] {
			if !slices.Contains(written, name) {
				t.Errorf("%s read %s, which the function does not write", place, name)
			}
		}
	}
}

// The alarms have the limits of CloudWatch, and a period that a healing always falls into.
func TestAlarms(t *testing.T) {
	loaded := loadTemplate(t, plainVariant.parameters())
	module := loadModule(t, plainVariant.variables())
	for name, want := range map[string]map[string]string{
		"errors": {"Period": "300", "TreatMissingData": "notBreaching"},
		"down":   {"Period": "1800", "TreatMissingData": "ignore", "Threshold": "900"},
		"paused": {"Period": "1800", "TreatMissingData": "ignore", "Threshold": "0"},
		"age":    {"Period": "10800", "TreatMissingData": "missing", "Threshold": "35"},
	} {
		alarm := loaded.resource(strings.ToUpper(name[:1]) + name[1:] + "Alarm")
		block := module.Blocks["aws_cloudwatch_metric_alarm."+name]
		for property, value := range want {
			attribute, _ := module.Attribute(block, snake(property))
			if alarm[property] != value || terraformtest.Plain(attribute) != value {
				t.Errorf("%s: %s is %v in the template and %v in the module, want %s", name, property, alarm[property], terraformtest.Plain(attribute),
					value)
			}
		}
		insufficient, notifies := module.Attribute(block, "insufficient_data_actions")
		if (alarm["InsufficientDataActions"] != nil) != (name == "age") || notifies != (name == "age") {
			t.Errorf("%s: notifies of missing data: %v, %v", name, alarm["InsufficientDataActions"], insufficient)
		}
	}
}

func snake(name string) string {
	return strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(name, "${1}_$2"))
}
