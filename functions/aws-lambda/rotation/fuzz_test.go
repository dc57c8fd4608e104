package rotation

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// mustBeConfiguration checks that a parser's error is a Configuration error, names what is wrong, and is short.
func mustBeConfiguration(t *testing.T, err error, names string, longest int) {
	t.Helper()
	if rotate.KindOf(err) != rotate.Configuration || !strings.Contains(err.Error(), names) {
		t.Errorf("the error does not name %s: %v", names, err)
	}
	if len(err.Error()) > longest {
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
}

// FuzzEvent: an event is a complete step or an action, or else a Configuration error that names the field. What is accepted stays
// the same when it is written and read again.
func FuzzEvent(f *testing.F) {
	const arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:matillion-oauth-credentials-AbCdEf"
	for _, sample := range []string{
		`{"Step":"createSecret","SecretId":"` + arn + `","ClientRequestToken":"` + someToken + `","RotationToken":"x"}`,
		`{"Step":"finishSecret","SecretId":"` + arn + `","ClientRequestToken":"` + someToken + `","unknown":[1]}`,
		`{"action":"heal"}`, `{"action":"plan","secret":"` + arn + `"}`, `{"Action":"heal","step":"createSecret"}`, `{"action":"rotate"}`,
		`{"action":"heal","secret":"arn:aws:ssm:eu-west-1:123456789012:parameter:x"}`, `{"Step":"createSecret","Step":null,"step":"testSecret"}`,
		`{"Step":1}`, `{}`, `[]`, `null`, ` `, `{"Step":"` + strings.Repeat("é", 200) +
			`"}`, `{"action":"\ud800"}`, strings.Repeat(`{"a":`, 10_001),
	} {
		f.Add([]byte(sample))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		parsed, err := parseEvent(payload)
		if err != nil {
			mustBeConfiguration(t, err, "the event", 1500)
			return
		}
		switch parsed.Action {
		case actionHeal, actionPlan:
			if parsed.Step != "" || parsed.Secret != "" && checkSecretARN("it", parsed.Secret) != nil {
				t.Errorf("accepted as an action: %+v", parsed)
			}
		default:
			if parsed.Action != "" || parsed.checkStep() != nil {
				t.Errorf("accepted as a step: %+v", parsed)
			}
		}
		again, err := json.Marshal(parsed)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := parseEvent(again); err != nil || same != parsed {
			t.Errorf("%+v became %+v: %v", parsed, same, err)
		}
	})
}

// FuzzSecretARN: what is accepted is the ARN of a secret, and an error is short.
func FuzzSecretARN(f *testing.F) {
	for _, sample := range []string{"arn:aws:secretsmanager:eu-west-1:123456789012:secret:x-AbCdEf", "arn:aws-cn:secretsmanager::::secret:",
		"x", "", strings.Repeat(":", 6), strings.Repeat("é", 100)} {
		f.Add(sample)
	}
	f.Fuzz(func(t *testing.T, arn string) {
		if err := checkSecretARN("MAIA_SECRET_ARNS", arn); err != nil {
			mustBeConfiguration(t, err, "MAIA_SECRET_ARNS", 1500)
			return
		}
		if parts := strings.Split(arn, ":"); len(parts) != 7 ||
			strings.Join(append(parts[:1:1], parts[2], parts[5]), ":") != "arn:secretsmanager:secret" {
			t.Errorf("%q is taken for the ARN of a secret", arn)
		}
	})
}

// FuzzConfig: an environment is a configuration (with a list of agents if runners are found by their cluster), or else a
// Configuration error that names the variable and does not repeat the secret.
func FuzzConfig(f *testing.F) {
	const secret = "the-secret-of-the-api-credential"
	for _, sample := range []string{
		"MAIA_CLIENT_ID=api\nMAIA_CLIENT_SECRET=" + secret + "\nMAIA_ECS_CLUSTERS=matillion\nMAIA_AGENT_IDS=" + agentID,
		"MAIA_CREDENTIALS_SECRET_ARN=arn:aws:secretsmanager:eu-west-1:123456789012:secret:api-AbCdEf\nMAIA_ECS_SERVICES=c/s, " +
			"arn:aws:ecs:eu-west-1:123456789012:service/c/s\nMAIA_ROTATE_DRAIN_TIMEOUT=10m",
		"MAIA_CLIENT_ID=api\nMAIA_CLIENT_SECRET=" + secret + "\nMAIA_ECS_CLUSTERS=a/b", "MAIA_CLIENT_ID=api\nMAIA_CLIENT_SECRET=" + secret +
			"\nMAIA_ECS_SERVICES=arn:aws:ecs:x:service/s",
		"MAIA_CLIENT_ID=api\nMAIA_CLIENT_SECRET=" + secret + "\nMAIA_ECS_SERVICES=a/b\nMAIA_SECRET_ARNS=" +
			secret, "MAIA_ECS_CLUSTER=x", "MAIA_CREDENTIALS_SECRET_ARN=x", "",
	} {
		f.Add(sample)
	}
	f.Fuzz(func(t *testing.T, text string) {
		config, err := ParseConfig(strings.Split(text, "\n"))
		if err != nil {
			mustBeConfiguration(t, err, "MAIA_", 2000+8*len(text))
			if strings.Contains(err.Error(), secret) && strings.Count(text, secret) == 1 && strings.Contains(text, "MAIA_CLIENT_SECRET="+secret) {
				t.Errorf("the error holds the secret: %v", err)
			}
			return
		}
		if len(config.Clusters) > 0 && len(config.AgentIDs) == 0 {
			t.Errorf("every agent that a service of the clusters %q names is served", config.Clusters)
		}
		if (len(config.Clusters) == 0) == (len(config.Services) == 0) {
			t.Errorf("clusters %q and services %v", config.Clusters, config.Services)
		}
		for _, ref := range config.Services {
			if ref.Cluster == "" || ref.Service == "" || strings.Contains(ref.Cluster, "/") {
				t.Errorf("the service is %+v", ref)
			}
		}
		if (config.CredentialsSecretARN == "") == config.Credentials.ClientSecret.IsZero() {
			t.Errorf("the credential is in two places, or in none")
		}
	})
}
