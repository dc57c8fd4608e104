package rotation

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestPermissions(t *testing.T) {
	const (
		prefix     = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"
		runner     = prefix + "runner-AbCdEf"
		other      = prefix + "other-AbCdEf"
		credential = prefix + "api-AbCdEf"
		key        = "arn:aws:kms:eu-west-1:123456789012:key/one"
		services   = "arn:aws:ecs:eu-west-1:123456789012:service/"
	)
	secret := func(name string) string {
		var lines []string
		for _, action := range []string{"DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"} {
			lines = append(lines, "secretsmanager:"+action+" "+name+"-AbCdEf")
		}
		return strings.Join(lines, "\n")
	}
	for name, test := range map[string]struct {
		environ []string
		secrets []string
		found   Found
		want    string
	}{
		"clusters": {
			[]string{"MAIA_CREDENTIALS_SECRET_ARN=" + credential, "MAIA_ECS_CLUSTERS=one,arn:aws:ecs:eu-west-1:123456789012:cluster/two",
				"MAIA_AGENT_IDS=" + agentID},
			[]string{runner, other}, Found{},
			secret("runner") + "\n" + secret("other") + `
secretsmanager:GetSecretValue api-AbCdEf
secretsmanager:ListSecrets *
ecs:ListServices * ecs:cluster=arn:aws:ecs:eu-west-1:123456789012:cluster/one
ecs:ListServices * ecs:cluster=arn:aws:ecs:eu-west-1:123456789012:cluster/two
ecs:DescribeServices one/* ecs:cluster=arn:aws:ecs:eu-west-1:123456789012:cluster/one
ecs:UpdateService one/*
ecs:DescribeServices two/* ecs:cluster=arn:aws:ecs:eu-west-1:123456789012:cluster/two
ecs:UpdateService two/*
ecs:DescribeTaskDefinition *`,
		},
		"services": {
			[]string{"MAIA_CLIENT_ID=id", "MAIA_CLIENT_SECRET=secret-secret", "MAIA_SECRET_ARNS=" + runner,
				"MAIA_ECS_SERVICES=one/a," + services + "two/b"},
			[]string{runner}, Found{},
			secret("runner") + `
ecs:DescribeServices one/a ecs:cluster=arn:aws:ecs:eu-west-1:123456789012:cluster/one
ecs:UpdateService one/a
ecs:DescribeServices two/b ecs:cluster=arn:aws:ecs:eu-west-1:123456789012:cluster/two
ecs:UpdateService two/b
ecs:DescribeTaskDefinition *`,
		},
		"found": {
			[]string{"MAIA_CREDENTIALS_SECRET_ARN=" + credential, "MAIA_SECRET_ARNS=" + runner, "MAIA_ECS_CLUSTERS=one",
				"MAIA_AGENT_IDS=" + agentID},
			[]string{runner},
			Found{
				Function: functionARN + ":live", Services: []string{services + "one/a"},
				Keys: map[string]string{runner: key, credential: key},
			},
			strings.ReplaceAll(secret("runner"), "-AbCdEf", "-AbCdEf secretsmanager:resource/AllowRotationLambdaArn="+functionARN) + `
kms:Decrypt KEY kms:EncryptionContext:SecretARN=runner-AbCdEf kms:ViaService=secretsmanager.eu-west-1.amazonaws.com
kms:GenerateDataKey KEY kms:EncryptionContext:SecretARN=runner-AbCdEf kms:ViaService=secretsmanager.eu-west-1.amazonaws.com
secretsmanager:GetSecretValue api-AbCdEf
kms:Decrypt KEY kms:EncryptionContext:SecretARN=api-AbCdEf kms:ViaService=secretsmanager.eu-west-1.amazonaws.com
ecs:ListServices * ecs:cluster=arn:aws:ecs:eu-west-1:123456789012:cluster/one
ecs:DescribeServices one/a ecs:cluster=arn:aws:ecs:eu-west-1:123456789012:cluster/one
ecs:UpdateService one/a
ecs:DescribeTaskDefinition *`,
		},
		"no secret": {[]string{"MAIA_CREDENTIALS_SECRET_ARN=" + credential, "MAIA_ECS_SERVICES=one/a"}, nil, Found{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := ParseConfig(test.environ)
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, permission := range Permissions(config, test.secrets, test.found) {
				line := permission.Action + " " + permission.Resource
				for _, key := range slices.Sorted(maps.Keys(permission.Context)) {
					line += fmt.Sprintf(" %s=%s", key, permission.Context[key])
				}
				lines = append(lines, line)
			}
			got := strings.NewReplacer(prefix, "", services, "", key, "KEY").Replace(strings.Join(lines, "\n"))
			if got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}
