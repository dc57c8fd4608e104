package rotation

import (
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// setAWS sets these variables, and unsets the others of AWS.
func setAWS(t *testing.T, env map[string]string) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "") // so that it is restored
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("HOME", t.TempDir()) // without profiles
	for name, value := range env {
		t.Setenv(name, value)
	}
}

// LoadAWS reads each variable as the SDK's own loader does.
func TestLoadAWSIsAsTheSDKLoads(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"as Lambda sets it": {},
		"another region":    {"AWS_REGION": "us-gov-west-1"},
		"all endpoints":     {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
		"one endpoint":      {"AWS_ENDPOINT_URL_ECS": "http://127.0.0.1:2"},
		"all and one":       {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://127.0.0.1:3"},
		"endpoints ignored": {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_ECS": "http://127.0.0.1:2",
			"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
		"FIPS and dual stack": {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true"},
		"retries":             {"AWS_RETRY_MODE": "adaptive", "AWS_MAX_ATTEMPTS": "2"},
		"a name of its own":   {"AWS_SDK_UA_APP_ID": "platform"},
	} {
		t.Run(name, func(t *testing.T) {
			all := map[string]string{
				"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "ASIAIOSFODNN7EXAMPLE",
				"AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token",
			}
			maps.Copy(all, env)
			setAWS(t, all)
			ours, err := LoadAWS(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := awsconfig.LoadDefaultConfig(t.Context(), awsconfig.WithRetryMaxAttempts(maxAttempts))
			if err != nil {
				t.Fatal(err)
			}
			got, err := ours.Credentials.Retrieve(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want, err := theirs.Credentials.Retrieve(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			secrets, wantSecrets := secretsmanager.NewFromConfig(ours).Options(), secretsmanager.NewFromConfig(theirs).Options()
			services, wantServices := awsecs.NewFromConfig(ours).Options(), awsecs.NewFromConfig(theirs).Options()
			for what, pair := range map[string][2]any{
				"access key":                  {got.AccessKeyID, want.AccessKeyID},
				"secret key":                  {got.SecretAccessKey, want.SecretAccessKey},
				"session token":               {got.SessionToken, want.SessionToken},
				"region":                      {secrets.Region, wantSecrets.Region},
				"endpoint of Secrets Manager": {aws.ToString(secrets.BaseEndpoint), aws.ToString(wantSecrets.BaseEndpoint)},
				"endpoint of ECS":             {aws.ToString(services.BaseEndpoint), aws.ToString(wantServices.BaseEndpoint)},
				"FIPS":                        {services.EndpointOptions.UseFIPSEndpoint, wantServices.EndpointOptions.UseFIPSEndpoint},
				"dual stack":                  {services.EndpointOptions.UseDualStackEndpoint, wantServices.EndpointOptions.UseDualStackEndpoint},
				"attempts":                    {secrets.Retryer.MaxAttempts(), wantSecrets.Retryer.MaxAttempts()},
				"name":                        {secrets.AppID, wantSecrets.AppID},
			} {
				if pair[0] != pair[1] {
					t.Errorf("the %s is %v, the SDK makes it %v", what, pair[0], pair[1])
				}
			}
		})
	}
}

func TestLoadAWSRefuses(t *testing.T) {
	for _, test := range []struct {
		name, value string // of a variable
		want        string
	}{
		{"AWS_SECRET_ACCESS_KEY", "", "AWS_SECRET_ACCESS_KEY is not set"},
		{"AWS_CA_BUNDLE", "/opt/ca.pem", "expected SSL_CERT_FILE"},
		{"AWS_RETRY_MODE", "wild", "AWS_RETRY_MODE"},
	} {
		t.Run(test.name, func(t *testing.T) {
			setAWS(t, map[string]string{"AWS_ACCESS_KEY_ID": "ASIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"})
			t.Setenv(test.name, test.value)
			if _, err := LoadAWS(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, expected %s", err, test.want)
			}
		})
	}
}
