package aws_test

import (
	"maps"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/zclconf/go-cty/cty"

	"github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

func TestDefaultsAreAccepted(t *testing.T) {
	if why := loadTemplate(t, plainVariant.parameters()).refused(); len(why) > 0 {
		t.Errorf("the template refuses %v", why)
	}
	if why := loadModule(t, plainVariant.variables()).Refused(); len(why) > 0 {
		t.Errorf("the module refuses %v", why)
	}
}

var schedules = map[string]bool{
	"cron(0 2 1 * ? *)":          true,
	"cron(0 16 ? * SUN#1 *)":     true,
	"cron(0 0/4 * * ? *)":        true,
	"cron(0 22 ? JAN-MAR MON *)": true,
	"cron(0 08 L 1/3 ? *)":       true,
	"rate(4 hours)":              true,
	"rate(1 day)":                true,
	"rate(30 days)":              true,

	"":                        false,
	"cron(30 2 1 * ? *)":      false, // windows open on the hour
	"cron(0 2 1 * ? 2027)":    false,
	"cron(0 2 1 * * *)":       false, // one of the days must be ?
	"cron(0 2 ? * ? *)":       false,
	"cron(0 2 1 * ?)":         false,
	"cron(0 * * * ? *)":       false, // more often than every four hours
	"cron(0 0/2 * * ? *)":     false,
	"cron(0 24 * * ? *)":      false,
	"rate(3 hours)":           false,
	"rate(0 days)":            false,
	"rate(2 day)":             false,
	"rate(30 minutes)":        false,
	"rate(30 days)  ":         false,
	"xcron(0 2 1 * ? *)":      false,
	"cron(0 2 1 * ? *)\nnext": false,
}

func TestSchedules(t *testing.T) {
	server := secretsmanager.New(secretsmanager.Options{Region: region})
	defer server.Close()
	web := httptest.NewServer(server)
	defer web.Close()
	client := awssecrets.New(awssecrets.Options{Region: region, BaseEndpoint: &web.URL,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	for schedule, good := range schedules {
		parameters, variables := plainVariant.parameters(), plainVariant.variables()
		parameters["ScheduleExpression"], variables["secrets"] = schedule, oneSecret(map[string]cty.Value{"schedule": cty.StringVal(schedule)})
		if why := loadTemplate(t, parameters).refused(); slices.Equal(why, []string{"ScheduleExpression"}) == good {
			t.Errorf("%q: the template refuses %v", schedule, why)
		}
		if why := loadModule(t, variables).Refused(); slices.Equal(why, []string{"secrets"}) == good {
			t.Errorf("%q: the module refuses %v", schedule, why)
		}
		if !good {
			continue
		}
		arn := server.AddSecret(cleanName(schedule), "{}")
		_, err := client.RotateSecret(t.Context(), &awssecrets.RotateSecretInput{
			SecretId: &arn, RotationLambdaARN: aws.String(functionARN), RotateImmediately: aws.Bool(false),
			RotationRules: &types.RotationRulesType{ScheduleExpression: &schedule, Duration: aws.String("3h")},
		})
		if err != nil {
			t.Errorf("%q: Secrets Manager refuses it: %v", schedule, err)
		}
	}
}

// cleanName makes a secret's name of a text.
func cleanName(text string) string {
	return string(slices.Collect(func(yield func(byte) bool) {
		for _, b := range []byte(text) {
			if (b < 'a' || b > 'z') && (b < 'A' || b > 'Z') && (b < '0' || b > '9') {
				b = '-'
			}
			if !yield(b) {
				return
			}
		}
	}))
}

func oneSecret(more map[string]cty.Value) cty.Value {
	secret := map[string]cty.Value{"arn": cty.StringVal(plainVariant.secret), "agent_id": cty.StringVal(sandbox.AgentID)}
	maps.Copy(secret, more)
	return cty.MapVal(map[string]cty.Value{"runner": cty.ObjectVal(secret)})
}

func TestWrongParametersAreRefused(t *testing.T) {
	for _, test := range []struct {
		given map[string]string
		why   string
	}{
		{map[string]string{"SecretArn1": ""}, "SecretArn1"},
		// without the six characters
		{map[string]string{"SecretArn1": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:runner"}, "SecretArn1"},
		{map[string]string{"SecretArn3": "runner"}, "SecretArn3"},
		{map[string]string{"CredentialsSecretArn": "maia-api"}, "CredentialsSecretArn"},
		{map[string]string{"KmsKeyArns": "alias/runner"}, "KmsKeyArns"},
		{map[string]string{"KmsKeyArns": keyARN + ", " + keyARN}, "KmsKeyArns"},
		{map[string]string{"EcsCluster": "a/b"}, "EcsCluster"},
		{map[string]string{"EcsCluster": ""}, "ClusterOrServices"},
		{map[string]string{"EcsServiceArns": serviceARN}, "ClusterOrServices"},
		// the old form, which names no cluster
		{map[string]string{"EcsCluster": "", "EcsServiceArns": ecsARN + ":service/runner"}, "EcsServiceArns"},
		{map[string]string{"AgentIds": ""}, "AgentIdsWithCluster"},
		{map[string]string{"AgentIds": "runner"}, "AgentIds"},
		{map[string]string{"MaiaRegion": "eu2"}, "MaiaRegion"},
		{map[string]string{"Window": "0h"}, "Window"},
		{map[string]string{"Window": "25h"}, "Window"},
		{map[string]string{"RotateImmediately": "yes"}, "RotateImmediately"},
		{map[string]string{"Drain": "wait"}, "Drain"},
		{map[string]string{"DrainTimeout": "16m"}, "DrainTimeout"},
		{map[string]string{"ConnectTimeout": "0m"}, "ConnectTimeout"},
		{map[string]string{"HealEveryMinutes": "60"}, "HealEveryMinutes"},
		{map[string]string{"AlarmTopicArn": "alarms"}, "AlarmTopicArn"},
		{map[string]string{"MaxAgeDays": "0"}, "MaxAgeDays"},
		{map[string]string{"LogRetentionDays": "31"}, "LogRetentionDays"},
		{map[string]string{"SubnetIds": "subnet-0123456789abcdef0"}, "SubnetsWithSecurityGroups"},
	} {
		parameters := plainVariant.parameters()
		maps.Copy(parameters, test.given)
		if why := loadTemplate(t, parameters).refused(); !slices.Contains(why, test.why) {
			t.Errorf("%v: the template refuses %v, expected %s", test.given, why, test.why)
		}
	}
}

func TestWrongVariablesAreRefused(t *testing.T) {
	text := func(texts ...string) cty.Value {
		var all []cty.Value
		for _, text := range texts {
			all = append(all, cty.StringVal(text))
		}
		return cty.SetVal(all)
	}
	for _, test := range []struct {
		variable string
		value    cty.Value
	}{
		{"name", cty.StringVal("maia rotate")},
		{"package", cty.StringVal("bootstrap")},
		{"secrets", cty.MapValEmpty(oneSecret(nil).Type().ElementType())},
		{"secrets", oneSecret(map[string]cty.Value{"arn": cty.StringVal("runner")})},
		{"secrets", oneSecret(map[string]cty.Value{"agent_id": cty.StringVal("runner")})},
		{"secrets", oneSecret(map[string]cty.Value{"window": cty.StringVal("3")})},
		{"secrets", cty.MapVal(map[string]cty.Value{"a": oneSecret(nil).Index(cty.StringVal("runner")),
			"b": oneSecret(nil).Index(cty.StringVal("runner"))})},
		{"credentials_secret_arn", cty.StringVal("maia-api")},
		{"kms_key_arns", text("alias/runner")},
		{"ecs_clusters", text(clusterARN)},
		{"ecs_clusters", cty.SetValEmpty(cty.String)},
		{"ecs_services", text("runner")},
		{"maia_region", cty.StringVal("eu2")},
		{"drain", cty.StringVal("wait")},
		{"drain_timeout", cty.StringVal("90s")},
		{"connect_timeout", cty.StringVal("16m")},
		{"heal_every_minutes", cty.NumberFloatVal(7.5)},
		{"alarm_topic_arn", cty.StringVal("alarms")},
		{"downtime_seconds", cty.NumberIntVal(1)},
		{"max_age_days", cty.NumberIntVal(0)},
		{"log_retention_days", cty.NumberIntVal(31)},
		{"vpc", cty.ObjectVal(map[string]cty.Value{"subnet_ids": text("subnet-0"), "security_group_ids": cty.SetValEmpty(cty.String)})},
	} {
		variables := plainVariant.variables()
		variables[test.variable] = test.value
		if why := loadModule(t, variables).Refused(); !slices.Contains(why, test.variable) {
			t.Errorf("%s = %#v: the module refuses %v", test.variable, test.value, why)
		}
	}
}
