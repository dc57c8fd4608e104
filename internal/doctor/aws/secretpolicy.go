package aws

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/functions/aws-lambda/rotation"
	"github.com/maia-rotate/maia-rotate/internal/iampolicy"
)

// checkSecretPolicy searches for a statement in the secret's own policy that keeps the function's role out.
func (r *run) checkSecretPolicy(ctx context.Context) error {
	const check = "secret-policy"
	if r.function == nil {
		return nil
	}
	out, err := r.secrets.GetResourcePolicy(ctx, &secretsmanager.GetResourcePolicyInput{SecretId: &r.arn})
	if err != nil {
		return r.untested(check, "secretsmanager:GetResourcePolicy", err)
	}
	text := aws.ToString(out.ResourcePolicy)
	if text == "" {
		r.report.OK(check, "the secret has none of its own")
		return nil
	}
	policy, err := iampolicy.Parse([]byte(text))
	if err != nil {
		r.report.Warn(check, "check whether it denies the function's role anything:\n"+r.cli("secretsmanager get-resource-policy --secret-id %s",
			r.arn),
			"could not be tested: %v", err)
		return nil
	}
	r.ownPolicy = &policy
	r.judgeSecretPolicy(policy)
	return nil
}

func (r *run) judgeSecretPolicy(policy iampolicy.Policy) {
	const check = "secret-policy"
	const hint = "except the role from the statement"
	role := aws.ToString(r.function.Role)
	var refused, perhaps []string
	for _, request := range r.secretRequests() {
		for _, statement := range policy.Statements {
			if statement.Effect == "Allow" || !withoutConditions(statement).Matches(request) {
				continue
			}
			switch certain, unknown := r.holds(statement, request); {
			case !certain:
			case len(unknown) > 0:
				perhaps = append(perhaps, unknown...)
			default:
				refused = append(refused, request.Action)
			}
		}
	}
	switch {
	case len(refused) > 0:
		slices.Sort(refused)
		r.report.Problem(check, hint, "the secret's policy denies the role %s %s", shortRole(role), strings.Join(slices.Compact(refused), ", "))
	case len(perhaps) > 0:
		slices.Sort(perhaps)
		r.report.Warn(check, hint+", if they do not let it through", "the secret's policy may deny the role %s, depending on %s", shortRole(role),
			strings.Join(slices.Compact(perhaps), ", "))
	default:
		r.report.OK(check, "the secret's policy denies the function's role nothing")
	}
}

// secretRequests are what the function does to the secret, as the secret's policy sees it.
func (r *run) secretRequests() []iampolicy.Request {
	role := aws.ToString(r.function.Role)
	context := map[string]string{"aws:PrincipalArn": role, "aws:PrincipalAccount": part(role, partAccount), "aws:SecureTransport": "true"}
	var requests []iampolicy.Request
	for _, permission := range rotation.Permissions(rotation.Config{}, []string{r.arn}, rotation.Found{}) {
		if permission.Resource == r.arn {
			requests = append(requests, iampolicy.Request{Action: permission.Action, Resource: r.arn, Principal: role, Context: context})
		}
	}
	return requests
}

// holds reports whether those conditions of a statement hold for a request about which something is known, and returns the keys
// of the others.
func (r *run) holds(statement iampolicy.Statement, request iampolicy.Request) (holds bool, unknown []string) {
	known := statement
	known.Conditions = nil
	for _, condition := range statement.Conditions {
		given := false
		for key := range request.Context {
			given = given || strings.EqualFold(key, condition.Key)
		}
		if given {
			known.Conditions = append(known.Conditions, condition)
		} else {
			unknown = append(unknown, condition.Key)
		}
	}
	return known.Matches(request), unknown
}

// shortRole is the role without its account.
func shortRole(arn string) string { return strings.TrimPrefix(part(arn, partName-1), "role/") }
