package rotation

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/function/functiontest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/ecs"
)

const credentialsARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:maia-api-AbCdEf"

// valid is an environment with everything set that can be set together.
func valid() map[string]string {
	return map[string]string{
		"MAIA_CREDENTIALS_SECRET_ARN": credentialsARN,
		"MAIA_ECS_CLUSTERS":           "matillion, arn:aws:ecs:eu-west-1:123456789012:cluster/second",
		"MAIA_AGENT_IDS":              agentID + ",",
		"MAIA_SECRET_ARNS":            credentialsARN + "," + credentialsARN,
		"MAIA_REGION":                 "EU1",
		"MAIA_TOKEN_URL":              "http://127.0.0.1:8080/oauth/dpc/token",
		"MAIA_ROTATE_DRAIN":           "none",
		"MAIA_ROTATE_DRAIN_TIMEOUT":   "90s",
		"MAIA_ROTATE_CONNECT_TIMEOUT": "10m",
		"PATH":                        "/usr/bin",
	}
}

func TestParseConfig(t *testing.T) {
	config, err := ParseConfig(functiontest.Environ(valid()))
	if err != nil {
		t.Fatal(err)
	}
	if config.CredentialsSecretARN != credentialsARN || config.Region != "eu1" || len(config.Clusters) != 2 || len(config.AgentIDs) != 1 ||
		len(config.Secrets) != 2 {
		t.Errorf("config %+v", config)
	}
	if p := config.Policy; p.Drain != rotate.DrainNone || p.DrainTimeout != 90*time.Second || p.ConnectTimeout != 10*time.Minute ||
		p.QuietTime != 5*time.Minute {
		t.Errorf("policy %+v", p)
	}
}

func TestParseConfigDefaults(t *testing.T) {
	config, err := ParseConfig([]string{
		"MAIA_CLIENT_ID=id", "MAIA_CLIENT_SECRET=a-long-secret", "MAIA_ECS_SERVICES=matillion/a, " +
			"arn:aws:ecs:eu-west-1:123456789012:service/matillion/b",
	})
	if err != nil {
		t.Fatal(err)
	}
	if config.Policy != rotate.DefaultPolicy() {
		t.Errorf("policy %+v", config.Policy)
	}
	want := []ecs.ServiceRef{{Cluster: "matillion", Service: "a"},
		{Cluster: "matillion", Service: "arn:aws:ecs:eu-west-1:123456789012:service/matillion/b"}}
	if !slices.Equal(config.Services, want) {
		t.Errorf("services %v", config.Services)
	}
}

func TestParseConfigRefuses(t *testing.T) {
	unset := func(names ...string) func(map[string]string) {
		return func(env map[string]string) {
			for _, name := range names {
				delete(env, name)
			}
		}
	}
	set := func(pairs ...string) func(map[string]string) {
		return func(env map[string]string) {
			for i := 0; i < len(pairs); i += 2 {
				env[pairs[i]] = pairs[i+1]
			}
		}
	}
	tests := map[string]struct {
		change func(map[string]string)
		says   string
	}{
		"an unknown variable": {set("MAIA_ROTATE_DRAIN_TIMOUT", "5m"),
			"MAIA_ROTATE_DRAIN_TIMOUT is not known; did you mean MAIA_ROTATE_DRAIN_TIMEOUT?"},
		"no credential":       {unset("MAIA_CREDENTIALS_SECRET_ARN"), "MAIA_CREDENTIALS_SECRET_ARN is not set"},
		"an empty credential": {set("MAIA_CREDENTIALS_SECRET_ARN", " "), "MAIA_CREDENTIALS_SECRET_ARN is not set"},
		"not an ARN": {set("MAIA_CREDENTIALS_SECRET_ARN", "maia-api"),
			`MAIA_CREDENTIALS_SECRET_ARN is "maia-api", expected the ARN of a Secrets Manager secret`},
		"an ARN of another kind": {set("MAIA_CREDENTIALS_SECRET_ARN", "arn:aws:s3:::bucket"), "expected the ARN of a Secrets Manager secret"},
		"two credentials":        {set("MAIA_CLIENT_ID", "id"), "are both set"},
		"half a credential": {func(env map[string]string) {
			unset("MAIA_CREDENTIALS_SECRET_ARN")(env)
			set("MAIA_CLIENT_ID", "id")(env)
		}, "MAIA_CLIENT_ID is set and MAIA_CLIENT_SECRET is not"},
		"the other half": {func(env map[string]string) {
			unset("MAIA_CREDENTIALS_SECRET_ARN")(env)
			set("MAIA_CLIENT_SECRET", "s")(env)
		}, "MAIA_CLIENT_SECRET is set and MAIA_CLIENT_ID is not"},
		"no targets":              {unset("MAIA_ECS_CLUSTERS"), "neither MAIA_ECS_SERVICES nor MAIA_ECS_CLUSTERS is set"},
		"two kinds of targets":    {set("MAIA_ECS_SERVICES", "a/b"), "MAIA_ECS_CLUSTERS and MAIA_ECS_SERVICES are both set"},
		"clusters without agents": {unset("MAIA_AGENT_IDS"), "MAIA_AGENT_IDS is not set"},
		"not an agent ID":         {set("MAIA_AGENT_IDS", "../x"), `MAIA_AGENT_IDS has "../x"`},
		"not ARNs of secrets": {set("MAIA_SECRET_ARNS", credentialsARN+",name"),
			`item 2 of MAIA_SECRET_ARNS is "name", expected the ARN of a Secrets Manager secret`},
		"a path as a cluster": {set("MAIA_ECS_CLUSTERS", "a/b"), `MAIA_ECS_CLUSTERS has "a/b"`},
		"a service without": {func(env map[string]string) { unset("MAIA_ECS_CLUSTERS")(env); set("MAIA_ECS_SERVICES", "runner")(env) },
			`MAIA_ECS_SERVICES has "runner", expected cluster/service`},
		"an ARN of a cluster": {func(env map[string]string) {
			unset("MAIA_ECS_CLUSTERS")(env)
			set("MAIA_ECS_SERVICES", "arn:aws:ecs:eu-west-1:1:cluster/a/b")(env)
		}, "expected cluster/service"},
		"an unknown region":  {set("MAIA_REGION", "eu2"), `MAIA_REGION is "eu2"`},
		"region and address": {set("MAIA_API_URL", "https://maia.example/dpc"), "MAIA_REGION and MAIA_API_URL are both set"},
		"plain http":         {set("MAIA_TOKEN_URL", "http://maia.example/token"), "MAIA_TOKEN_URL is plain http to maia.example"},
		"an address with a user": {func(env map[string]string) {
			unset("MAIA_REGION")(env)
			set("MAIA_API_URL", "https://me:pass@maia.example/dpc")(env)
		}, "MAIA_API_URL contains a user"},
		"an unknown drain":         {set("MAIA_ROTATE_DRAIN", "wait"), `MAIA_ROTATE_DRAIN is "wait", expected pause or none`},
		"a duration without unit":  {set("MAIA_ROTATE_DRAIN_TIMEOUT", "300"), `MAIA_ROTATE_DRAIN_TIMEOUT is "300", expected a duration like 5m`},
		"a negative duration":      {set("MAIA_ROTATE_CONNECT_TIMEOUT", "-1m"), `MAIA_ROTATE_CONNECT_TIMEOUT is "-1m"`},
		"a duration beyond Lambda": {set("MAIA_ROTATE_CONNECT_TIMEOUT", "16m"), "at most 15m0s"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			env := valid()
			test.change(env)
			_, err := ParseConfig(functiontest.Environ(env))
			var typed *rotate.Error
			if !errors.As(err, &typed) || typed.Kind != rotate.Configuration || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want a configuration error that says %s", err, test.says)
			}
			if err != nil && strings.Contains(err.Error(), "pass@") {
				t.Errorf("the error repeats a password: %v", err)
			}
		})
	}
}
