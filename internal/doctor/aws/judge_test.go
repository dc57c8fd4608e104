package aws

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/maia-rotate/maia-rotate/internal/doctor"
	"github.com/maia-rotate/maia-rotate/internal/iampolicy"
)

const (
	testSecret   = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:runner-AbCdEf"
	testFunction = "arn:aws:lambda:eu-west-1:123456789012:function:rotate"
	testRole     = "arn:aws:iam::123456789012:role/service-role/rotate"
)

// newRun is a run that has seen a secret and a function.
func newRun() *run {
	return &run{
		Checker: &Checker{}, arn: testSecret,
		secret: &secretsmanager.DescribeSecretOutput{ARN: aws.String(testSecret), RotationLambdaARN: aws.String(testFunction),
			RotationEnabled: aws.Bool(true)},
		function: &lambda.GetFunctionConfigurationOutput{Role: aws.String(testRole)},
	}
}

// wantFinding checks that a check has a finding of the level with these words.
func wantFinding(t *testing.T, r *run, level doctor.Level, check, says string) {
	t.Helper()
	for _, finding := range r.report.Findings {
		if finding.Check != check {
			continue
		}
		if finding.Level != level || !strings.Contains(finding.Text, says) {
			t.Errorf("%s is %s: %q, want %s with %q", check, finding.Level, finding.Text, level, says)
		}
		return
	}
	t.Errorf("%s is not among %+v", check, r.report.Findings)
}

func TestUsable(t *testing.T) {
	current := map[string][]string{"v1": {"AWSCURRENT"}}
	for name, test := range map[string]struct {
		secret secretsmanager.DescribeSecretOutput
		level  doctor.Level
		says   string
	}{
		"in order": {secretsmanager.DescribeSecretOutput{VersionIdsToStages: current}, doctor.OK, "has a value"},
		"primary": {
			secretsmanager.DescribeSecretOutput{VersionIdsToStages: current, PrimaryRegion: aws.String("eu-west-1")}, doctor.OK, "has a value",
		},
		"replica": {
			secretsmanager.DescribeSecretOutput{VersionIdsToStages: current, PrimaryRegion: aws.String("us-east-1")}, doctor.Problem,
			"a replica of the secret in us-east-1",
		},
		"deleted": {
			secretsmanager.DescribeSecretOutput{VersionIdsToStages: current, DeletedDate: aws.Time(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))},
			doctor.Problem, "scheduled for deletion since 2026-01-02",
		},
		"empty": {secretsmanager.DescribeSecretOutput{}, doctor.Problem, "no value"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun()
			if r.usable(&test.secret) != (test.level == doctor.OK) {
				t.Error("usable is wrong")
			}
			wantFinding(t, r, test.level, "secret", test.says)
		})
	}
}

func TestPendingOnCurrent(t *testing.T) {
	r := newRun()
	r.checkPending(&secretsmanager.DescribeSecretOutput{VersionIdsToStages: map[string][]string{"v1": {"AWSCURRENT", "AWSPENDING"},
		"v0": {"AWSPREVIOUS"}}})
	wantFinding(t, r, doctor.OK, "pending", "")
}

func TestKey(t *testing.T) {
	for id, want := range map[string]string{
		"":                                   "",
		"alias/aws/secretsmanager":           "",
		"0a1b2c3d-0000-4000-8000-0123456789": "arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d-0000-4000-8000-0123456789",
		"arn:aws:kms:eu-west-1:123456789012:key/one":  "arn:aws:kms:eu-west-1:123456789012:key/one",
		"arn:aws:kms:eu-west-1:123456789012:alias/my": "unknown",
		"alias/my": "unknown",
	} {
		got, known := key(&secretsmanager.DescribeSecretOutput{ARN: aws.String(testSecret), KmsKeyId: aws.String(id)})
		if known && got != want || known == (want == "unknown") {
			t.Errorf("the key of %q is %q (known: %t), want %q", id, got, known, want)
		}
	}
}

func TestSchedule(t *testing.T) {
	days := func(n int64) *types.RotationRulesType { return &types.RotationRulesType{AutomaticallyAfterDays: &n} }
	expression := func(text string, duration ...string) *types.RotationRulesType {
		rules := &types.RotationRulesType{ScheduleExpression: &text}
		if len(duration) > 0 {
			rules.Duration = &duration[0]
		}
		return rules
	}
	for _, test := range []struct {
		rules *types.RotationRulesType
		level doctor.Level
		says  string
	}{
		{nil, doctor.Warning, "there is no schedule"},
		{&types.RotationRulesType{}, doctor.Warning, "there is no schedule"},
		{days(30), doctor.OK, "every 30 days"},
		{days(120), doctor.Warning, "less than once in 90 days"},
		{expression("rate(30 days)"), doctor.OK, "rate(30 days)"},
		{expression("rate(1 day)", "24h"), doctor.OK, "in a window of 24h"},
		{expression("rate(100 days)"), doctor.Warning, "less than once"},
		{expression("rate(12 hours)", "3h"), doctor.Warning, "more than once a day"},
		{expression("rate(3 hours)"), doctor.Problem, "more often than every 4 hours"},
		{expression("rate(30 minutes)"), doctor.Problem, "more often than every 4 hours"},
		{expression("rate(4 hours)", "5h"), doctor.Problem, "into the next one"},
		{expression("cron(0 2 1 * ? *)", "3h"), doctor.OK, "cron(0 2 1 * ? *), in a window of 3h"},
		{expression("cron(0 2 L * ? *)"), doctor.OK, ""},
		{expression("cron(0 2 ? * SUN *)"), doctor.OK, ""},
		{expression("cron(0 2 ? * MON-FRI *)"), doctor.OK, ""},
		{expression("cron(0 2 ? * 2#1 *)"), doctor.OK, "was not worked out"},
		{expression("cron(0 2 1 1 ? *)"), doctor.Warning, "less than once"},
		{expression("cron(0 2 1 JAN,APR,JUL,OCT ? *)"), doctor.Warning, "less than once"}, // 92 days from July to October
		{expression("cron(0 8/6 * * ? *)"), doctor.Warning, "more than once a day"},
		{expression("cron(0 1,3 1 * ? *)"), doctor.Problem, "more often"},
		{expression("cron(0 22 1 * ? *)", "3h"), doctor.Problem, "into the next day"},
		{expression("cron(30 2 1 * ? *)"), doctor.Problem, "minute 0"},
		{expression("cron(0 2 1 * ?)"), doctor.Problem, "six fields"},
		{expression("cron(0 2 1 * ? *)", "soon"), doctor.Problem, "number of hours"},
		{expression("monthly"), doctor.Problem, "neither rate(…) nor cron(…)"},
	} {
		r := newRun()
		r.judgeSchedule(&secretsmanager.DescribeSecretOutput{RotationRules: test.rules}, time.Now())
		wantFinding(t, r, test.level, "schedule", test.says)
	}
}

func TestDates(t *testing.T) {
	now := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	ago := func(days int) *time.Time { return aws.Time(now.AddDate(0, 0, -days)) }
	for _, test := range []struct {
		last, next *time.Time
		level      doctor.Level
		says       string
	}{
		{nil, nil, doctor.OK, "not rotated yet"},
		{nil, ago(-3), doctor.OK, "the first is due by 2026-05-09 07:08 UTC"},
		{ago(3), ago(-27), doctor.OK, "it was at 2026-05-03 07:08 UTC; the next is due by"},
		{ago(3), nil, doctor.OK, "it was at"},
		{ago(31), ago(1), doctor.Warning, "was due by 2026-05-05 07:08 UTC, and has not succeeded"},
		{ago(61), nil, doctor.Warning, "more than two intervals ago"},
	} {
		r := newRun()
		r.judgeSchedule(&secretsmanager.DescribeSecretOutput{
			RotationRules: &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(30)}, LastRotatedDate: test.last, NextRotationDate: test.next,
		}, now)
		wantFinding(t, r, test.level, "last-rotation", test.says)
	}
}

func TestAtLeastHourly(t *testing.T) {
	for expression, want := range map[string]bool{
		"rate(30 minutes)": true, "rate(1 hour)": true, "rate(60 minutes)": true, "rate(61 minutes)": false, "rate(2 hours)": false,
		"rate(1 day)":       false,
		"cron(0 * * * ? *)": true, "cron(0/15 * * * ? *)": true, "cron(0 0/1 ? * * *)": true,
		"cron(0 2 * * ? *)": false, "cron(0 * ? * MON-FRI *)": false, "cron(0 * L * ? *)": false, "cron(0 * * * ? 2026)": false,
		"cron(0 *)": false, "": false,
	} {
		if got := atLeastHourly(expression); got != want {
			t.Errorf("%s: %t, want %t", expression, got, want)
		}
	}
}

func TestFunctionState(t *testing.T) {
	for name, test := range map[string]struct {
		function lambda.GetFunctionConfigurationOutput
		level    doctor.Level
		says     string
	}{
		"active": {lambda.GetFunctionConfigurationOutput{Runtime: "provided.al2023", State: "Active"}, doctor.OK, "is active"},
		"failed": {lambda.GetFunctionConfigurationOutput{Runtime: "provided.al2023", State: "Failed", StateReason: aws.String("why")},
			doctor.Problem, "is Failed: why"},
		"inactive": {lambda.GetFunctionConfigurationOutput{Runtime: "provided.al2023", State: "Inactive"}, doctor.Warning, "is Inactive"},
		"not updated": {lambda.GetFunctionConfigurationOutput{Runtime: "provided.al2023", State: "Active", LastUpdateStatus: "Failed"},
			doctor.Warning, "the last update"},
		"older": {lambda.GetFunctionConfigurationOutput{Runtime: "provided.al2", State: "Active"}, doctor.Warning,
			"expected provided.al2023"},
		"an image": {lambda.GetFunctionConfigurationOutput{State: "Active"}, doctor.Warning, "expected provided.al2023"},
		"another": {lambda.GetFunctionConfigurationOutput{Runtime: "python3.13", State: "Active"}, doctor.Problem,
			"another function than this project's"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun()
			r.judgeFunction(&test.function)
			wantFinding(t, r, test.level, "function", test.says)
			wantFinding(t, r, doctor.Warning, "function-log-format", "not JSON")
		})
	}
}

func TestUnreadableEnvironment(t *testing.T) {
	r := newRun()
	r.readEnvironment(&lambda.GetFunctionConfigurationOutput{Environment: &lambdatypes.EnvironmentResponse{
		Error: &lambdatypes.EnvironmentError{ErrorCode: aws.String("AccessDeniedException"), Message: aws.String("no right to the key")},
	}})
	wantFinding(t, r, doctor.Warning, "function-environment", "no right to the key")
	if r.environment != nil {
		t.Error("there is an environment all the same")
	}
	r.judgeTimeout(&lambda.GetFunctionConfigurationOutput{Timeout: aws.Int32(300)})
	wantFinding(t, r, doctor.Warning, "function-timeout", "expected 15m0s")
}

func parsed(t *testing.T, statements string) iampolicy.Policy {
	t.Helper()
	policy, err := iampolicy.Parse([]byte(`{"Version":"2012-10-17","Statement":[` + statements + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

func TestFunctionPolicy(t *testing.T) {
	statement := func(effect, principal, condition string) string {
		return `{"Effect":"` + effect + `","Principal":` + principal + `,"Action":"lambda:InvokeFunction","Resource":"` + testFunction +
			`","Condition":{` + condition + `}}`
	}
	const service = `{"Service":"secretsmanager.amazonaws.com"}`
	for name, test := range map[string]struct {
		policy string
		level  doctor.Level
		says   string
	}{
		"of the account": {statement("Allow", service, `"StringEquals":{"AWS:SourceAccount":"123456789012"}`), doctor.OK, ""},
		"of the secret":  {statement("Allow", service, `"ArnLike":{"aws:SourceArn":"`+testSecret+`"}`), doctor.OK, ""},
		"open":           {statement("Allow", service, ""), doctor.Warning, "confused deputy"},
		"open, and of the account": {
			statement("Allow", service, "") + "," + statement("Allow", service, `"StringEquals":{"AWS:SourceAccount":"123456789012"}`),
			doctor.Warning, "confused deputy",
		},
		"of another secret": {
			statement("Allow", service, `"ArnLike":{"aws:SourceArn":"`+testSecret+`x"}`), doctor.Problem,
			"aws:SourceArn ArnLike " + testSecret + "x",
		},
		"of another service": {statement("Allow", `{"Service":"events.amazonaws.com"}`, ""), doctor.Problem, "does not let"},
		"denied": {
			statement("Allow", service, `"StringEquals":{"AWS:SourceAccount":"123456789012"}`) + "," + statement("Deny", `"*"`, ""), doctor.Problem,
			"denies",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun()
			r.judgeFunctionPolicy(parsed(t, test.policy))
			wantFinding(t, r, test.level, "function-policy", test.says)
		})
	}
}

func TestPermissionOfAnAlias(t *testing.T) {
	r := newRun()
	r.secret.RotationLambdaARN = aws.String(testFunction + ":live")
	if command := r.permitRotation(); !strings.Contains(command, "--function-name rotate --qualifier live --statement-id") {
		t.Errorf("the command is %s", command)
	}
}

func TestSecretPolicy(t *testing.T) {
	for name, test := range map[string]struct {
		policy string
		level  doctor.Level
		says   string
	}{
		"allows": {`{"Effect":"Allow","Principal":{"AWS":"` + testRole + `"},"Action":"*","Resource":"*"}`, doctor.OK, "nothing"},
		"denies the role": {
			`{"Effect":"Deny","Principal":{"AWS":"` + testRole + `"},"Action":"secretsmanager:Get*","Resource":"*"}`, doctor.Problem,
			"denies the role service-role/rotate secretsmanager:GetSecretValue",
		},
		"denies another": {`{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::123456789012:role/other"},"Action":"*","Resource":"*"}`, doctor.OK,
			""},
		"denies other actions": {
			`{"Effect":"Deny","Principal":"*","Action":"secretsmanager:DeleteSecret","Resource":"*"}`, doctor.OK, "",
		},
		"denies all but the role": {
			`{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"ArnNotEquals":{"aws:PrincipalArn":"` + testRole + `"}}}`,
			doctor.OK, "",
		},
		"denies all but another": {
			`{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*",` +
				`"Condition":{"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::123456789012:role/other"}}}`,
			doctor.Problem, "secretsmanager:DescribeSecret, secretsmanager:GetSecretValue, secretsmanager:PutSecretValue, " +
				"secretsmanager:UpdateSecretVersionStage",
		},
		"denies plain HTTP": {
			`{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}`, doctor.OK, "",
		},
		"denies other networks": {
			`{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"aws:SourceVpce":"vpce-1"}}}`,
			doctor.Warning, "depending on aws:SourceVpce",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun()
			r.judgeSecretPolicy(parsed(t, test.policy))
			wantFinding(t, r, test.level, "secret-policy", test.says)
		})
	}
}

func TestTags(t *testing.T) {
	tag := func(key, value string) types.Tag { return types.Tag{Key: &key, Value: &value} }
	for _, test := range []struct {
		tag  types.Tag
		says string // nothing: no finding
	}{
		{tag("aws:cloudformation:stack-name", "runners"), "CloudFormation stack runners"},
		{tag("ManagedBy", "Terraform"), "tag ManagedBy says that Terraform"},
		{tag("terraform", "true"), "docs/terraform.md"},
		{tag("terraform", "false"), ""},
		{tag("team", "data"), ""},
	} {
		r := newRun()
		r.judgeTags([]types.Tag{test.tag})
		if test.says == "" && len(r.report.Findings) > 0 {
			t.Errorf("found are %+v", r.report.Findings)
		} else if test.says != "" {
			wantFinding(t, r, doctor.OK, "managed-by", test.says)
		}
	}
}
