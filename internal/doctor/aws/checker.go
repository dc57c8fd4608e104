// Package aws checks an installation on AWS: a secret of Secrets Manager, the function that rotates it, its role, the
// services of the runner, the schedules, and Maia.
//
//	report, err := aws.New(config).Check(ctx, secretARN)   // config has the operator's credentials
//
// It reads what the function would read, with the function's own code and configuration, but with the operator's
// credentials; what the function's role may do is asked of IAM. All calls are reads. An error means that the check could
// not be carried out: no credentials, no network, or no right to see the secret and the function at all.
package aws

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/functions/aws-lambda/rotation"
	"github.com/maia-rotate/maia-rotate/internal/doctor"
	"github.com/maia-rotate/maia-rotate/internal/iampolicy"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/ecs"
)

// Checker checks installations. Create it with [New].
type Checker struct {
	config  aws.Config
	secrets *secretsmanager.Client
	lambda  *lambda.Client
	iam     *iam.Client
	ecs     *awsecs.Client
	events  *eventbridge.Client
}

// New returns a Checker with the credentials of a configuration, whose region is that of the secrets.
func New(config aws.Config) *Checker {
	return &Checker{
		config:  config,
		secrets: secretsmanager.NewFromConfig(config),
		lambda:  lambda.NewFromConfig(config),
		iam:     iam.NewFromConfig(config),
		ecs:     awsecs.NewFromConfig(config),
		events:  eventbridge.NewFromConfig(config),
	}
}

// Check checks the installation around a secret. With an error the report has what was found until then.
func (c *Checker) Check(ctx context.Context, secretARN string) (doctor.Report, error) {
	r := &run{Checker: c, arn: secretARN}
	for _, check := range []func(context.Context) error{
		r.checkSecret, r.checkRotation, r.checkFunction, r.checkFunctionPolicy, r.checkServices, r.checkSecretPolicy,
		r.checkMaia, r.checkRole, r.checkHealing, r.checkTerraform, r.checkPlan,
	} {
		if err := check(ctx); err != nil {
			return r.report, err
		}
	}
	return r.report, nil
}

// run is one check of an installation, with what it has read so far. What it could not read is nil.
type run struct {
	*Checker
	arn    string
	report doctor.Report

	secret      *secretsmanager.DescribeSecretOutput
	current     *current
	function    *lambda.GetFunctionConfigurationOutput
	environ     []string          // of the function
	environment *rotation.Config  // environ, parsed
	policy      *iampolicy.Policy // of the function
	ownPolicy   *iampolicy.Policy // of the secret
	runner      *ecs.Runner
	platform    *rotate.Platform
	credential  *secretsmanager.DescribeSecretOutput // the secret of the API credential
	held        *maia.Credentials                    // by Maia
}

// current is the version of the secret under AWSCURRENT.
type current struct {
	*secretsmanager.GetSecretValueOutput
	document *ecs.Document // nil if it is none
}

// functionARN is the ARN of the rotation function as the secret has it; empty if it has none.
func (r *run) functionARN() string {
	if r.secret == nil {
		return ""
	}
	return aws.ToString(r.secret.RotationLambdaARN)
}

// part is the n-th part of an ARN, from 0; "" if it has no such part.
func part(arn string, n int) string {
	parts := strings.Split(arn, ":")
	if n >= len(parts) {
		return ""
	}
	return parts[n]
}

// The parts of an ARN.
const (
	partRegion    = 3
	partAccount   = 4
	partName      = 6
	partQualifier = 7
)

// unqualified is the ARN of a function without its version or alias.
func unqualified(functionARN string) string {
	parts := strings.Split(functionARN, ":")
	return strings.Join(parts[:min(len(parts), partQualifier)], ":")
}
