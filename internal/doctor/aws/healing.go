package aws

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/maia-rotate/maia-rotate/internal/iampolicy"
)

// healOften is how often, at least, healing should run.
const healOften = time.Hour

// healingRule is a rule that sends the function healing events for the secret.
type healingRule struct {
	*eventbridge.DescribeRuleOutput
	byRole bool // the rule invokes the function with a role of its own
}

// checkHealing checks the schedule that heals.
func (r *run) checkHealing(ctx context.Context) error {
	const check = "healing"
	if r.function == nil {
		return nil
	}
	rules, err := r.healingRules(ctx)
	if err != nil {
		return r.untested(check, "events:ListRuleNamesByTarget, ListTargetsByRule and DescribeRule", err)
	}
	if len(rules) == 0 {
		r.report.Warn(check,
			"add a rule as the template of this project has it; if EventBridge Scheduler does it, check there:\n"+r.cli("scheduler list-schedules"),
			`no EventBridge rule invokes the function with {"action":"heal"}: a runner that a failed rotation leaves behind waits for the next one`)
		return nil
	}
	name := aws.ToString(rules[0].Name)
	rules = slices.DeleteFunc(rules, func(rule healingRule) bool { return rule.State == types.RuleStateDisabled })
	if len(rules) == 0 {
		r.report.Problem(check, "enable it:\n"+r.cli("events enable-rule --name %s", name),
			"the rule %s is disabled: nothing heals what a failed rotation leaves", name)
		return nil
	}
	often := slices.IndexFunc(rules, func(rule healingRule) bool { return atLeastHourly(aws.ToString(rule.ScheduleExpression)) })
	r.judgeHealing(rules[max(often, 0)])
	return nil
}

// healingRules are the rules with a target that heals, on the function or on the version or alias that rotates.
func (r *run) healingRules(ctx context.Context) ([]healingRule, error) {
	var rules []healingRule
	var seen []string
	for _, target := range slices.Compact([]string{r.functionARN(), unqualified(r.functionARN())}) {
		in := &eventbridge.ListRuleNamesByTargetInput{TargetArn: &target}
		for {
			out, err := r.events.ListRuleNamesByTarget(ctx, in)
			if err != nil {
				return nil, err
			}
			for _, name := range out.RuleNames {
				if slices.Contains(seen, name) {
					continue
				}
				seen = append(seen, name)
				rule, err := r.healingRule(ctx, name)
				if err != nil {
					return nil, err
				}
				if rule != nil {
					rules = append(rules, *rule)
				}
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				break
			}
		}
	}
	return rules, nil
}

// healingRule is the rule if it has a target that heals this secret's runner, else nil. (A rule has five targets at
// most: they come at once.)
func (r *run) healingRule(ctx context.Context, name string) (*healingRule, error) {
	targets, err := r.events.ListTargetsByRule(ctx, &eventbridge.ListTargetsByRuleInput{Rule: &name})
	if err != nil {
		return nil, err
	}
	heals := slices.IndexFunc(targets.Targets, func(target types.Target) bool {
		var event struct{ Action, Secret string }
		return unqualified(aws.ToString(target.Arn)) == unqualified(r.functionARN()) &&
			json.Unmarshal([]byte(aws.ToString(target.Input)), &event) == nil &&
			event.Action == "heal" && (event.Secret == "" || event.Secret == r.arn)
	})
	if heals < 0 {
		return nil, nil
	}
	rule, err := r.events.DescribeRule(ctx, &eventbridge.DescribeRuleInput{Name: &name})
	if err != nil {
		return nil, err
	}
	return &healingRule{rule, aws.ToString(targets.Targets[heals].RoleArn) != ""}, nil
}

func (r *run) judgeHealing(rule healingRule) {
	const check = "healing"
	name, expression := aws.ToString(rule.Name), aws.ToString(rule.ScheduleExpression)
	if r.policy != nil && !rule.byRole && !r.policy.Allows(iampolicy.Request{
		Action: actionInvoke, Resource: r.functionARN(), Principal: eventBridge,
		Context: map[string]string{"aws:SourceArn": aws.ToString(rule.Arn), "aws:SourceAccount": part(r.arn, partAccount)},
	}) {
		r.report.Problem(check, "allow it:\n"+r.permit("Heal", eventBridge, "--source-arn "+aws.ToString(rule.Arn)),
			"the rule %s may not invoke the function", name)
		return
	}
	if !atLeastHourly(expression) {
		r.report.Warn(check, "let it run every 30 minutes, or at least every hour", "the rule %s runs less than once an hour: %s", name,
			expression)
		return
	}
	r.report.OK(check, "the rule %s: %s", name, expression)
}

// atLeastHourly reports whether a schedule of EventBridge comes at least once an hour: a rate of an hour or less, or a cron
// expression for all hours of all days.
func atLeastHourly(expression string) bool {
	if rate := rateExpression.FindStringSubmatch(expression); rate != nil {
		n, _ := strconv.Atoi(rate[1])
		return time.Duration(n)*map[string]time.Duration{"minute": time.Minute, "hour": time.Hour,
			"day": hoursPerDay * time.Hour}[rate[2]] <= healOften
	}
	cron := cronExpression.FindStringSubmatch(expression)
	if cron == nil {
		return false
	}
	fields := strings.Fields(cron[1])
	if len(fields) != cronFields {
		return false
	}
	times, ok := parseCron(fields)
	return ok && !times.lastDay && len(times.hours) == hoursPerDay && len(times.days) == 31 && len(times.months) == 12 &&
		len(times.weekdays) == 7 && fields[5] == "*"
}
