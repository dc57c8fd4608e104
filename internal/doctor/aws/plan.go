package aws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/functions/aws-lambda/rotation"
	"github.com/maia-rotate/maia-rotate/internal/doctor"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// planOf is what the function's own {"action":"plan"} answers, with the operator's credentials.
func (c *Checker) planOf(ctx context.Context, environ []string, arn string) (rotation.SecretResult, error) {
	load := func(context.Context) (aws.Config, error) { return c.config, nil }
	return rotation.New(environ, load, slog.New(slog.DiscardHandler), io.Discard).Plan(ctx, arn)
}

// checkPlan reports what a rotation would do now, and what is in its way that no other check has named.
func (r *run) checkPlan(ctx context.Context) error {
	const check = "plan"
	needs := append([]string{"secret", "secret-value", "function-environment", "services"}, maiaChecks...)
	switch {
	case r.function == nil:
		return nil
	case r.environment == nil, r.current == nil, r.runner == nil, r.held == nil, r.report.Found(doctor.Problem, needs...):
		r.report.Skip("what a rotation needs is not there", check)
		return nil
	}
	result, err := r.planOf(ctx, r.environ, r.arn)
	if err != nil {
		return r.refused(check, err)
	}
	if result.Error == nil {
		r.report.OK(check, "a rotation would: %s", doctor.Steps(*result.Report))
		return nil
	}
	if failed := result.Error; failed.Kind == rotate.NotReady {
		r.report.Warn(check, failed.Hint, "in the way of a rotation now: %s", doctor.InWords(*failed))
	} else {
		r.report.Problem(check, failed.Hint, "in the way of a rotation: %s", doctor.InWords(*failed))
	}
	return nil
}

// Plan is what the next rotation of a secret would do, and what is in its way.
type Plan struct {
	rotation.SecretResult        // as the function answers it; its Error is what is in the way, wherever it was found
	Function              string `json:"function,omitempty"` // its ARN
}

// Plan finds out what the next rotation of a secret would do, with the configuration of its rotation function, in the time
// that the function has. An error means that this could not be found out.
func (c *Checker) Plan(ctx context.Context, secretARN string) (Plan, error) {
	plan := Plan{SecretResult: rotation.SecretResult{Secret: secretARN}}
	inTheWay := func(err *rotate.Error) (Plan, error) {
		plan.Error = rotate.AsError(err, rotate.NotObserved)
		return plan, nil
	}
	described, err := c.secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &secretARN})
	switch {
	case missing(err):
		return inTheWay(rotate.Errorf(rotate.Configuration, "there is no secret %s", secretARN).WithHint("check the ARN, its region and account"))
	case err != nil:
		return plan, failure("secretsmanager:DescribeSecret", err)
	case described.RotationLambdaARN == nil:
		return inTheWay(rotate.Errorf(rotate.Configuration, "the secret has no rotation function").WithHint("enable rotation with it"))
	}
	secretARN = aws.ToString(described.ARN) // what was given may lack the end
	plan.Secret, plan.Function = secretARN, *described.RotationLambdaARN
	function, err := c.lambda.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &plan.Function})
	switch {
	case missing(err):
		return inTheWay(rotate.Errorf(rotate.Configuration, "there is no function %s", plan.Function).WithHint("deploy it"))
	case err != nil:
		return plan, failure("lambda:GetFunctionConfiguration", err)
	case !aws.ToBool(described.RotationEnabled):
		return inTheWay(rotate.Errorf(rotate.Configuration, "rotation is not enabled for secret %s", secretARN).
			WithHint("enable it with aws secretsmanager rotate-secret"))
	}
	timeout := time.Duration(aws.ToInt32(function.Timeout)) * time.Second
	ctx, cancel := context.WithTimeout(ctx, timeout-margin(timeout))
	defer cancel()
	environ, err := environment(function)
	if err != nil {
		return plan, err
	}
	result, err := c.planOf(ctx, environ, secretARN)
	switch {
	case code(err) != "" || err != nil && !errors.As(err, new(*rotate.Error)):
		return plan, failure("the plan", err)
	case err != nil:
		return inTheWay(words(err))
	case result.Error != nil && denied(result.Error):
		return plan, fmt.Errorf("your credentials are not enough: %w", result.Error)
	case result.Error != nil && result.Error.Kind == rotate.Internal:
		return plan, result.Error
	}
	plan.SecretResult = result
	return plan, nil
}
