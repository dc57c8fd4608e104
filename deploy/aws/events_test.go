package aws_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/maia-rotate/maia-rotate/internal/iampolicy"
	"github.com/maia-rotate/maia-rotate/internal/terraformtest"
)

// withTrail is a deployment that has everything there is for events.
func withTrail(t *testing.T) (*template, *module) {
	t.Helper()
	parameters, variables := plainVariant.parameters(), plainVariant.variables()
	parameters["CloudTrailEnabled"], variables["cloudtrail_enabled"] = "true", cty.True
	return loadTemplate(t, parameters), loadModule(t, variables)
}

func (m *module) text(address, attribute string) string {
	m.t.Helper()
	value, ok := m.Attribute(m.Blocks[address], attribute)
	if !ok {
		return ""
	}
	return value.AsString()
}

func TestWhoMayInvokeTheFunction(t *testing.T) {
	template, module := withTrail(t)
	if names := template.resources("AWS::Lambda::Permission"); len(names) != 2 {
		t.Errorf("the template has the permissions %v, expected 2", names)
	}
	if addresses := module.Resources("aws_lambda_permission"); len(addresses) != 2 {
		t.Errorf("the module has the permissions %v, expected 2", addresses)
	}
	for _, test := range []struct{ resource, address, principal, account, source, moduleSource string }{
		{"SecretsManagerPermission", "aws_lambda_permission.secrets_manager", "secretsmanager.amazonaws.com", account, "", ""},
		{"HealPermission", "aws_lambda_permission.heal", "events.amazonaws.com", "", madeUp + "HealRule",
			madeUp + "aws_cloudwatch_event_rule.heal"},
	} {
		got := template.resource(test.resource)
		want := map[string]any{"Action": "lambda:InvokeFunction", "FunctionName": functionName, "Principal": test.principal}
		if test.account != "" {
			want["SourceAccount"] = test.account
		}
		if test.source != "" {
			want["SourceArn"] = test.source
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", test.resource, got, want)
		}
		if module.text(test.address, "principal") != test.principal || module.text(test.address, "source_account") != test.account ||
			module.text(test.address, "source_arn") != test.moduleSource {
			t.Errorf("%s: not as the template's", test.address)
		}
	}
}

// The events that start the function and those that report a failure are the same in the template and in the module.
func TestEventRules(t *testing.T) {
	template, module := withTrail(t)
	heal := template.resource("HealRule")
	target := heal["Targets"].([]any)[0].(map[string]any)
	if heal["ScheduleExpression"] != "rate(30 minutes)" || module.text("aws_cloudwatch_event_rule.heal",
		"schedule_expression") != "rate(30 minutes)" {
		t.Errorf("the healing has the schedule %v", heal["ScheduleExpression"])
	}
	const event = `{"action":"heal"}` // scenarios has what the function does with it
	if target["Input"] != event || module.text("aws_cloudwatch_event_target.heal", "input") != event {
		t.Errorf("the healing has the event %v", target["Input"])
	}

	failure := template.resource("FailureRule")
	var pattern any
	if err := json.Unmarshal([]byte(module.text("aws_cloudwatch_event_rule.failure", "event_pattern")), &pattern); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(failure["EventPattern"], pattern) {
		t.Errorf("the template matches %v, the module %v", failure["EventPattern"], pattern)
	}
	detail := pattern.(map[string]any)["detail"].(map[string]any)
	if secrets := detail["additionalEventData"].(map[string]any)["SecretId"]; !reflect.DeepEqual(secrets, []any{plainVariant.secret}) {
		t.Errorf("failures of %v are reported", secrets)
	}
	transformer := failure["Targets"].([]any)[0].(map[string]any)["InputTransformer"].(map[string]any)
	for _, block := range module.Blocks["aws_cloudwatch_event_target.failure"].Body.Blocks {
		paths, _ := module.Attribute(block, "input_paths")
		text, _ := module.Attribute(block, "input_template")
		if !reflect.DeepEqual(terraformtest.Plain(paths), transformer["InputPathsMap"]) || text.AsString() != transformer["InputTemplate"] {
			t.Errorf("the template says %v, the module %v", transformer, text)
		}
		if !json.Valid([]byte(text.AsString())) {
			t.Errorf("%s is not JSON", text.AsString())
		}
	}

	without := loadTemplate(t, plainVariant.parameters())
	if rules := without.resources("AWS::Events::Rule"); len(rules) != 1 {
		t.Errorf("without a trail there are the rules %v", rules)
	}
	if rules := loadModule(t, plainVariant.variables()).Resources("aws_cloudwatch_event_rule"); len(rules) != 1 {
		t.Errorf("without a trail there are the rules %v", rules)
	}
}

func TestWhoMayPublishToTheTopic(t *testing.T) {
	template, module := withTrail(t)
	document, err := json.Marshal(template.resource("AlarmTopicPolicy")["PolicyDocument"])
	if err != nil {
		t.Fatal(err)
	}
	for place, test := range map[string]struct {
		policy      iampolicy.Policy
		topic, rule string
	}{
		"template": {parse(t, document), madeUp + "AlarmTopic", madeUp + "FailureRule"},
		"module":   {parse(t, module.policy("topic")), madeUp + "aws_sns_topic.alarms", madeUp + "aws_cloudwatch_event_rule.failure"},
	} {
		publish := func(principal, key, value string) bool {
			return test.policy.Allows(iampolicy.Request{Action: "sns:Publish", Resource: test.topic, Principal: principal,
				Context: map[string]string{key: value}})
		}
		if !publish("cloudwatch.amazonaws.com", "aws:SourceAccount", account) {
			t.Errorf("%s: alarms may not publish", place)
		}
		if !publish("events.amazonaws.com", "aws:SourceArn", test.rule) {
			t.Errorf("%s: the rule may not publish", place)
		}
		if publish("cloudwatch.amazonaws.com", "aws:SourceAccount", "999999999999") ||
			publish("events.amazonaws.com", "aws:SourceArn", test.rule+"2") || publish("s3.amazonaws.com", "aws:SourceAccount", account) {
			t.Errorf("%s: strangers may publish", place)
		}
	}
}
