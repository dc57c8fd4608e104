package aws

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/maia-rotate/maia-rotate/functions/aws-lambda/rotation"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

const (
	wantTimeout     = 900 * time.Second
	wantConcurrency = 10 // at least, as AWS advises, where any is reserved

	// reserve is what a rotation needs in addition to the time in which the runner connects: the refresh, and storing its answer.
	reserve = maia.RefreshTimeout + 20*time.Second
)

// checkFunction checks the rotation function, and reads its environment as the function does.
func (r *run) checkFunction(ctx context.Context) error {
	arn := r.functionARN()
	if arn == "" {
		return nil
	}
	function, err := r.lambda.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &arn})
	switch {
	case missing(err):
		r.report.Problem("function", "deploy it, and enable rotation with it", "there is no function %s", arn)
		r.report.Skip("there is no function", "function-policy", "services", "secret-policy", "maia", "role", "healing", "plan")
		return nil
	case err != nil:
		return failure("lambda:GetFunctionConfiguration", err)
	}
	r.function = function
	r.judgeFunction(function)
	if err := r.checkConcurrency(ctx); err != nil {
		return err
	}
	r.readEnvironment(function)
	r.judgeTimeout(function)
	return nil
}

func (r *run) judgeFunction(function *lambda.GetFunctionConfigurationOutput) {
	name, state := aws.ToString(function.FunctionName), function.State
	switch {
	case function.Runtime != "" && !strings.HasPrefix(string(function.Runtime), "provided"):
		r.report.Problem("function", "let the secret be rotated by the function of this project",
			"%s has the runtime %s: it is another function than this project's", name, function.Runtime)
	case state == types.StateFailed, state == types.StateDeactivated, state == types.StateDeactivating, state == types.StateDeleting,
		state == types.StateActiveNonInvocable:
		r.report.Problem("function", "deploy it again", "%s is %s: %s", name, state, aws.ToString(function.StateReason))
	case state != types.StateActive && state != "":
		r.report.Warn("function", "wait, or invoke it once", "%s is %s, expected Active", name, state)
	case function.LastUpdateStatus == types.LastUpdateStatusFailed:
		r.report.Warn("function", "deploy it again", "the last update of %s failed: %s", name, aws.ToString(function.LastUpdateStatusReason))
	case function.Runtime != types.RuntimeProvidedal2023:
		r.report.Warn("function", "deploy it with that runtime", "%s has the runtime %q, expected %s", name, function.Runtime,
			types.RuntimeProvidedal2023)
	default:
		r.report.OK("function", "%s is active, on %s", name, function.Runtime)
	}
	if logging := function.LoggingConfig; logging == nil || logging.LogFormat != types.LogFormatJson {
		r.report.Warn("function-log-format", "set it:\n"+r.cli("lambda update-function-configuration --function-name %s --logging-config "+
			"LogFormat=JSON", name),
			"the log format is not JSON: the fields of its log lines cannot be searched for")
	} else {
		r.report.OK("function-log-format", "JSON")
	}
}

func (r *run) checkConcurrency(ctx context.Context) error {
	const check = "function-concurrency"
	name := unqualified(r.functionARN())
	out, err := r.lambda.GetFunctionConcurrency(ctx, &lambda.GetFunctionConcurrencyInput{FunctionName: &name})
	if err != nil {
		return r.untested(check, "lambda:GetFunctionConcurrency", err)
	}
	hint := "reserve none, or at least 10:\n" + r.cli("lambda delete-function-concurrency --function-name %s", r.functionName())
	switch reserved := out.ReservedConcurrentExecutions; {
	case reserved == nil:
		r.report.OK(check, "none is reserved, so that of the account is there")
	case *reserved == 0:
		r.report.Problem(check, hint, "the reserved concurrency is 0: it cannot be invoked at all")
	case *reserved < wantConcurrency:
		r.report.Warn(check, hint, "the reserved concurrency is %d: a step that is throttled fails the rotation", *reserved)
	default:
		r.report.OK(check, "%d are reserved", *reserved)
	}
	return nil
}

// readEnvironment reads the function's variables as the function itself does.
func (r *run) readEnvironment(function *lambda.GetFunctionConfigurationOutput) {
	const check = "function-environment"
	environ, err := environment(function)
	if err != nil {
		r.report.Warn(check, "check with credentials that may use the key of the function's environment", "it could not be tested: %v", err)
		return
	}
	r.environ = environ
	if slices.ContainsFunc(environ, func(variable string) bool {
		return strings.HasPrefix(variable, "MAIA_CLIENT_SECRET=") && variable != "MAIA_CLIENT_SECRET="
	}) {
		r.report.Warn("function-plain-secret", "keep it in a secret, and name that in MAIA_CREDENTIALS_SECRET_ARN",
			"the secret of the Maia API credential is in the function's environment, where many can read it")
	}
	config, err := rotation.ParseConfig(r.environ)
	if err != nil {
		typed := words(err)
		r.report.Problem(check, cmp.Or(typed.Hint, "correct the function's environment"), "%s", typed.What)
		return
	}
	r.environment = &config
	if len(config.Secrets) > 0 && !slices.Contains(config.Secrets, r.arn) {
		r.report.Problem(check, "add it there", "MAIA_SECRET_ARNS does not have this secret, so that the function refuses to rotate it")
		return
	}
	r.report.OK(check, "right; the services are searched for in %s", places(config))
}

// environment is that of the function, in the form of os.Environ.
func environment(function *lambda.GetFunctionConfigurationOutput) ([]string, error) {
	if function.Environment == nil {
		return nil, nil
	}
	if failed := function.Environment.Error; failed != nil {
		return nil, fmt.Errorf("the function's environment cannot be read: %s: %s", aws.ToString(failed.ErrorCode), aws.ToString(failed.Message))
	}
	variables := function.Environment.Variables
	var environ []string
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		environ = append(environ, name+"="+variables[name])
	}
	return environ, nil
}

// judgeTimeout checks that a rotation fits into an invocation.
func (r *run) judgeTimeout(function *lambda.GetFunctionConfigurationOutput) {
	const check = "function-timeout"
	timeout := time.Duration(aws.ToInt32(function.Timeout)) * time.Second
	hint := "give it 15 minutes:\n" + r.cli("lambda update-function-configuration --function-name %s --timeout 900",
		aws.ToString(function.FunctionName))
	if r.environment != nil {
		connect := r.environment.Policy.ConnectTimeout
		if needed := connect + reserve; timeout-margin(timeout) < needed {
			r.report.Problem(check, hint, "its time-out is %s, and a rotation needs %s: %s until the runner is connected, and %s for the refresh",
				timeout, needed, connect, reserve)
			return
		}
	}
	if timeout < wantTimeout {
		r.report.Warn(check, hint, "its time-out is %s, expected %s: pipelines that run may have too little time to finish", timeout, wantTimeout)
		return
	}
	r.report.OK(check, "%s", timeout)
}

// margin is how long before its time-out the function ends its work.
func margin(timeout time.Duration) time.Duration { return min(10*time.Second, timeout/20) }

// places says where the function searches for services.
func places(config rotation.Config) string {
	if len(config.Clusters) > 0 {
		return "the cluster " + strings.Join(config.Clusters, ", ")
	}
	names := make([]string, len(config.Services))
	for i, ref := range config.Services {
		names[i] = ref.String()
	}
	return fmt.Sprintf("the service %s", strings.Join(names, ", "))
}
