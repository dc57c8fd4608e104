package aws

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/functions/aws-lambda/rotation"
	"github.com/maia-rotate/maia-rotate/internal/iampolicy"
)

// checkRole asks IAM whether the function's role may do all that the function does.
func (r *run) checkRole(ctx context.Context) error {
	const check = "role"
	if r.function == nil {
		return nil
	}
	if r.environment == nil {
		r.report.Skip("the function's configuration is not known", check)
		return nil
	}
	var skipped []string
	tested := 0
	before := len(r.report.Findings)
	for _, permission := range rotation.Permissions(*r.environment, []string{r.arn}, r.found()) {
		if strings.HasSuffix(permission.Resource, "/*") { // services that were not found
			skipped = append(skipped, check+" "+permission.Action)
			continue
		}
		out, err := r.iam.SimulatePrincipalPolicy(ctx, r.simulation(permission))
		if err != nil {
			return r.untested(check, "iam:SimulatePrincipalPolicy", err)
		}
		tested++
		r.judgePermission(permission, out.EvaluationResults)
	}
	if len(r.report.Findings) == before {
		r.report.OK(check, "%s may do what the function does (%d actions tested)", shortRole(aws.ToString(r.function.Role)), tested)
	}
	if len(skipped) > 0 {
		r.report.Skip("the runner's services are not known", skipped...)
	}
	return nil
}

// found is what was found in addition to the configuration; without the services if they were not found.
func (r *run) found() rotation.Found {
	found := rotation.Found{Function: r.functionARN(), Keys: map[string]string{}}
	for _, described := range []*secretsmanager.DescribeSecretOutput{r.secret, r.credential} {
		if described == nil {
			continue
		}
		arn, known := key(described)
		if !known {
			r.report.Warn("role", "", "whether it may use the key %s could not be tested: that is the key's alias", arn)
			continue
		}
		found.Keys[aws.ToString(described.ARN)] = arn
	}
	if r.runner != nil {
		for _, name := range r.runner.Services() {
			found.Services = append(found.Services, strings.Join([]string{"arn", part(r.arn, 1), "ecs", part(r.arn, partRegion),
				part(r.arn, partAccount), "service/" + name}, ":"))
		}
	}
	return found
}

// simulation asks about one action on one resource: how the simulator sums up several has changed over time.
func (r *run) simulation(permission rotation.Permission) *iam.SimulatePrincipalPolicyInput {
	in := &iam.SimulatePrincipalPolicyInput{
		PolicySourceArn: r.function.Role, ActionNames: []string{permission.Action}, ResourceArns: []string{permission.Resource},
	}
	// What every call of the function says, in the region of the secret.
	context := map[string]string{
		"aws:RequestedRegion": part(r.arn, partRegion), "aws:SecureTransport": "true", "lambda:SourceFunctionArn": unqualified(r.functionARN()),
	}
	maps.Copy(context, permission.Context)
	for _, key := range slices.Sorted(maps.Keys(context)) {
		kind := types.ContextKeyTypeEnumString
		if context[key] == "true" {
			kind = types.ContextKeyTypeEnumBoolean
		}
		in.ContextEntries = append(in.ContextEntries, types.ContextEntry{
			ContextKeyName: aws.String(key), ContextKeyType: kind, ContextKeyValues: []string{context[key]},
		})
	}
	return in
}

func (r *run) judgePermission(permission rotation.Permission, results []types.EvaluationResult) {
	const check = "role"
	role := shortRole(aws.ToString(r.function.Role))
	what := permission.Action + " on " + permission.Resource
	hint := fmt.Sprintf("allow the role %s on %s", permission.Action, permission.Resource)
	for _, result := range results {
		switch decision := result.EvalDecision; {
		case decision == types.PolicyEvaluationDecisionTypeAllowed:
		case decision == types.PolicyEvaluationDecisionTypeExplicitDeny:
			r.report.Problem(check, "remove the statement that denies it",
				"%s is denied %s, by a statement of its own, its boundary or the organization", role, what)
		case r.allowsRole(permission):
		case strings.HasPrefix(permission.Action, "kms:"):
			r.report.Warn(check, hint+", unless the key's own policy does",
				"the policies of %s do not allow %s; the key's own policy was not checked", role, what)
		case len(missingKeys(permission, result)) > 0:
			r.report.Warn(check, "check the role's policies", "whether %s may %s could not be tested: it depends on %s",
				role, what, strings.Join(missingKeys(permission, result), ", "))
		default:
			r.report.Problem(check, hint, "%s may not %s", role, what)
		}
	}
}

// missingKeys are the condition keys that the simulator had no value for and that can matter to the action.
func missingKeys(permission rotation.Permission, result types.EvaluationResult) []string {
	service, _, _ := strings.Cut(permission.Action, ":")
	var keys []string
	for _, key := range result.MissingContextValues {
		if prefix, _, _ := strings.Cut(key, ":"); prefix == "aws" || prefix == service {
			keys = append(keys, key)
		}
	}
	return keys
}

// allowsRole reports whether the secret's own policy lets the role do what its policies do not.
func (r *run) allowsRole(permission rotation.Permission) bool {
	return r.ownPolicy != nil && permission.Resource == r.arn &&
		slices.ContainsFunc(r.secretRequests(), func(request iampolicy.Request) bool {
			return request.Action == permission.Action && r.ownPolicy.Allows(request)
		})
}
