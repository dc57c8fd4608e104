package rotation

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go/middleware"
)

const (
	// attemptTimeout is how long one try of a call to AWS may take: a lost answer must not lengthen the downtime.
	attemptTimeout = 5 * time.Second
	maxAttempts    = 5
)

// LoadAWS is the configuration of a function's AWS clients. Region, credentials and endpoints come from the SDK's own variables,
// which are all that a Lambda has. LoadDefaultConfig would also link what profiles, SSO, roles and EC2 need, which would be a
// seventh of the function. AWS_RETRY_MODE has no effect: see [unlimited].
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
		Retryer:          func() aws.Retryer { return retry.NewStandard(unlimited) },
		APIOptions:       []func(*middleware.Stack) error{keepLastAnswer},
		AppID:            env.AppID,
		ConfigSources:    []any{env}, // endpoints of one service, FIPS, dual stack
	}
	if env.BaseEndpoint != "" && !aws.ToBool(env.IgnoreConfiguredEndpoints) {
		config.BaseEndpoint = &env.BaseEndpoint
	}
	return config, nil
}

// unlimited removes the SDK's quota of retries, which all calls of a process share. A disturbance of many secrets would use it
// up, and no call would then be tried again until as many have succeeded (in the mode "adaptive": never), not even for a runner
// that is down. The number of attempts bounds each call.
func unlimited(options *retry.StandardOptions) { options.RateLimiter = ratelimit.None }

// lastAnswerKey is where a call keeps the error of its last try.
type lastAnswerKey struct{}

// keepLastAnswer adds AWS's last answer to the error of a call whose time is up between two tries. The SDK's own error says "request
// canceled" and nothing else.
func keepLastAnswer(stack *middleware.Stack) error {
	call := func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
		middleware.InitializeOutput, middleware.Metadata, error,
	) {
		last := new(error)
		out, metadata, err := next.HandleInitialize(middleware.WithStackValue(ctx, lastAnswerKey{}, last), in)
		if err != nil && *last != nil && ctx.Err() != nil && !errors.Is(err, *last) {
			err = errors.Join(*last, err)
		}
		return out, metadata, err
	}
	try := func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
		middleware.FinalizeOutput, middleware.Metadata, error,
	) {
		out, metadata, err := next.HandleFinalize(ctx, in)
		if last, ok := middleware.GetStackValue(ctx, lastAnswerKey{}).(*error); ok && err != nil && ctx.Err() == nil {
			*last = err
		}
		return out, metadata, err
	}
	if err := stack.Initialize.Add(middleware.InitializeMiddlewareFunc("maia-rotate call", call), middleware.Before); err != nil {
		return err
	}
	return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("maia-rotate try", try), "Retry", middleware.After)
}
