package rotation

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

const (
	// attemptTimeout is how long one try of a call to AWS may take: an answer that never comes must not hold a dark runner.
	attemptTimeout = 5 * time.Second
	maxAttempts    = 5
)

// LoadAWS is the configuration of a function's AWS clients: region, credentials and endpoints follow the SDK's own
// variables, which are all that a Lambda has. LoadDefaultConfig would also link what profiles, SSO, roles and EC2 need: a
// seventh of the function.
func LoadAWS(context.Context) (aws.Config, error) {
	env, err := awsconfig.NewEnvConfig()
	switch {
	case err != nil:
		return aws.Config{}, err
	case !env.Credentials.HasKeys():
		return aws.Config{}, errors.New("AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not set, expected both, as Lambda sets them")
	case env.CustomCABundle != "":
		return aws.Config{}, errors.New("AWS_CA_BUNDLE is not supported, expected SSL_CERT_FILE, which holds for Maia too")
	}
	config := aws.Config{
		Region:           env.Region,
		Credentials:      credentials.StaticCredentialsProvider{Value: env.Credentials},
		HTTPClient:       awshttp.NewBuildableClient().WithTimeout(attemptTimeout),
		RetryMaxAttempts: maxAttempts,
		RetryMode:        env.RetryMode,
		AppID:            env.AppID,
		ConfigSources:    []any{env}, // endpoints of one service, FIPS, dual stack
	}
	if env.BaseEndpoint != "" && !aws.ToBool(env.IgnoreConfiguredEndpoints) {
		config.BaseEndpoint = &env.BaseEndpoint
	}
	return config, nil
}
