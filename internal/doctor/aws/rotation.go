package aws

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// The schedules that are worth a warning.
const (
	oftenest = 24 * time.Hour
	seldom   = 90 * 24 * time.Hour
)

// checkRotation checks the rotation of the secret and its schedule.
func (r *run) checkRotation(context.Context) error {
	if r.secret == nil {
		return nil
	}
	function := r.functionARN()
	switch {
	case function == "":
		r.report.Problem("rotation", "deploy the function with the template of this project, or:\n"+r.cli("secretsmanager rotate-secret "+
			"--secret-id %s --rotation-lambda-arn FUNCTION --rotation-rules …", r.arn),
			"rotation was never configured: the secret has no rotation function")
		r.report.Skip("the rotation function is not known",
			"schedule", "function", "function-policy", "services", "secret-policy", "maia", "role", "healing", "plan")
		return nil
	case !aws.ToBool(r.secret.RotationEnabled):
		r.report.Problem("rotation", "enable it (which rotates at once, unless --no-rotate-immediately is given):\n"+r.cli("secretsmanager "+
			"rotate-secret --secret-id %s", r.arn), "rotation is not enabled")
		r.report.Skip("rotation is not enabled", "schedule")
		return nil
	case part(function, partRegion) != part(r.arn, partRegion), part(function, partAccount) != part(r.arn, partAccount):
		r.report.Problem("rotation", "deploy the function where the secret is, and let that one rotate it",
			"the rotation function %s is in another region or account than the secret", function)
		r.report.Skip("the rotation function is elsewhere", "schedule")
		return nil
	}
	r.report.OK("rotation", "enabled, with the function %s", part(function, partName))
	r.judgeSchedule(r.secret, time.Now())
	return nil
}

// judgeSchedule checks the rules of the rotation, and whether it has kept to them.
func (r *run) judgeSchedule(secret *secretsmanager.DescribeSecretOutput, now time.Time) {
	const change = "change the schedule of the rotation"
	rules := secret.RotationRules
	if rules == nil || aws.ToInt64(rules.AutomaticallyAfterDays) == 0 && aws.ToString(rules.ScheduleExpression) == "" {
		r.report.Warn("schedule",
			"give it one:\n"+r.cli("secretsmanager rotate-secret --secret-id %s --no-rotate-immediately --rotation-rules …",
				r.arn),
			"there is no schedule: the secret rotates only on demand")
		return
	}
	schedule, err := parseSchedule(rules)
	switch {
	case err != nil:
		r.report.Problem("schedule", change, "%v", err)
		return
	case schedule.shortest == 0:
		r.report.OK("schedule", "%s (how often that is was not worked out)", schedule.text)
	case schedule.shortest < oftenest:
		r.report.Warn("schedule", change+", unless that is wanted: every rotation takes the runner down for as long as its restart takes",
			"%s: more than once a day", schedule.text)
	case schedule.longest > seldom:
		r.report.Warn("schedule", change+", unless that is wanted", "%s: less than once in %d days", schedule.text, int(seldom.Hours()/24))
	default:
		r.report.OK("schedule", "%s", schedule.text)
	}
	r.judgeDates(secret, schedule, now)
}

func (r *run) judgeDates(secret *secretsmanager.DescribeSecretOutput, schedule schedule, now time.Time) {
	last, next := secret.LastRotatedDate, secret.NextRotationDate
	const read = "check in the function's log why rotations fail; the checks below may show it"
	switch {
	case next != nil && next.Before(now):
		r.report.Warn("last-rotation", read, "a rotation was due by %s, and has not succeeded", minute(*next))
	case last != nil && schedule.longest > 0 && now.Sub(*last) > 2*schedule.longest:
		r.report.Warn("last-rotation", read, "the last rotation was at %s, more than two intervals ago", minute(*last))
	case last == nil && next == nil:
		r.report.OK("last-rotation", "it was not rotated yet")
	case last == nil:
		r.report.OK("last-rotation", "it was not rotated yet; the first is due by %s", minute(*next))
	case next == nil:
		r.report.OK("last-rotation", "it was at %s", minute(*last))
	default:
		r.report.OK("last-rotation", "it was at %s; the next is due by %s", minute(*last), minute(*next))
	}
}
