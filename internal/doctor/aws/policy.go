package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/maia-rotate/maia-rotate/internal/iampolicy"
)

const (
	actionInvoke   = "lambda:InvokeFunction"
	secretsManager = "secretsmanager.amazonaws.com"
	eventBridge    = "events.amazonaws.com"
)

// checkFunctionPolicy checks that Secrets Manager may invoke the function for this secret, and not for everybody's.
func (r *run) checkFunctionPolicy(ctx context.Context) error {
	const check = "function-policy"
	if r.function == nil {
		return nil
	}
	arn := r.functionARN()
	out, err := r.lambda.GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: &arn})
	switch {
	case missing(err):
		r.report.Problem(check, "allow it:\n"+r.permitRotation(), "the function has no policy: Secrets Manager may not invoke it")
		return nil
	case err != nil:
		return r.untested(check, "lambda:GetPolicy", err)
	}
	policy, err := iampolicy.Parse([]byte(aws.ToString(out.Policy)))
	if err != nil {
		r.report.Warn(check, "check it:\n"+r.cli("lambda get-policy --function-name %s", arn), "could not be tested: %v", err)
		return nil
	}
	r.policy = &policy
	r.judgeFunctionPolicy(policy)
	return nil
}

func (r *run) judgeFunctionPolicy(policy iampolicy.Policy) {
	const check = "function-policy"
	request := iampolicy.Request{
		Action: actionInvoke, Resource: r.functionARN(), Principal: secretsManager,
		Context: map[string]string{"aws:SourceAccount": part(r.arn, partAccount), "aws:SourceArn": r.arn},
	}
	var excluded []string
	allowed, guarded := false, true
	for _, statement := range policy.Statements {
		switch {
		case statement.Effect == "Allow" && statement.Matches(request):
			allowed = true
			guarded = guarded && slices.ContainsFunc(statement.Conditions, namesSource)
		case statement.Effect == "Allow" && withoutConditions(statement).Matches(request):
			excluded = append(excluded, conditions(statement))
		case statement.Effect != "Allow" && statement.Matches(request):
			r.report.Problem(check, "remove the statement that denies it",
				"the function's policy denies Secrets Manager to invoke it (statement %q)", statement.Sid)
			return
		}
	}
	switch {
	case !allowed && len(excluded) > 0:
		r.report.Problem(check, "allow it:\n"+r.permitRotation(),
			"the function's policy lets Secrets Manager invoke it, but not for this secret: %s", strings.Join(excluded, "; "))
	case !allowed:
		r.report.Problem(check, "allow it:\n"+r.permitRotation(), "the function's policy does not let Secrets Manager invoke it")
	case !guarded:
		r.report.Warn(check, "give the permission the condition aws:SourceAccount:\n"+r.permitRotation(),
			"Secrets Manager may invoke the function for secrets of any account (a confused deputy)")
	default:
		r.report.OK(check, "Secrets Manager may invoke the function for this secret")
	}
}

func namesSource(c iampolicy.Condition) bool {
	return strings.EqualFold(c.Key, "aws:SourceAccount") || strings.EqualFold(c.Key, "aws:SourceArn")
}

func withoutConditions(s iampolicy.Statement) iampolicy.Statement {
	s.Conditions = nil
	return s
}

// conditions writes the conditions of a statement for a person.
func conditions(s iampolicy.Statement) string {
	texts := make([]string, len(s.Conditions))
	for i, c := range s.Conditions {
		texts[i] = fmt.Sprintf("%s %s %s", c.Key, c.Operator, strings.Join(c.Values, " or "))
	}
	return strings.Join(texts, ", ")
}
