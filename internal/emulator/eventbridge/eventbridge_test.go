package eventbridge_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
	"github.com/maia-rotate/maia-rotate/internal/emulator/awstest"
	"github.com/maia-rotate/maia-rotate/internal/emulator/eventbridge"
)

const (
	function = "arn:aws:lambda:eu-west-1:123456789012:function:rotate"
	pattern  = `{"source":["aws.secretsmanager"]}`
	busARN   = "arn:aws:events:eu-west-1:123456789012:event-bus/"
)

// newServer returns a server with rules, and an SDK client of it.
func newServer(t *testing.T) (*eventbridge.Server, *sdk.Client) {
	t.Helper()
	server := eventbridge.New(eventbridge.Options{})
	t.Cleanup(server.Close)
	server.AddRule(eventbridge.Rule{
		Name: "heal", ScheduleExpression: "rate(1 hour)", Description: "heals",
		Targets: []eventbridge.Target{{ID: "a", ARN: function, Input: `{"Step":"heal"}`}, {ID: "b", ARN: function},
			{ID: "c", ARN: function + ":live"}},
	})
	server.AddRule(eventbridge.Rule{Name: "events", EventPattern: pattern, State: "DISABLED",
		Targets: []eventbridge.Target{{ID: "a", ARN: function}}})
	server.AddRule(eventbridge.Rule{Name: "heal", EventBusName: "ours", EventPattern: pattern,
		Targets: []eventbridge.Target{{ID: "x", ARN: function}}})
	return server, sdk.NewFromConfig(awstest.Config("eu-west-1", server))
}

// pointer is nil for "": the member is left out.
func pointer(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func TestListRuleNamesByTarget(t *testing.T) {
	_, c := newServer(t)
	for _, test := range []struct {
		target, bus string
		want        []string
		code, words string
	}{
		{target: function, want: []string{"events", "heal"}},
		{target: function, bus: "default", want: []string{"events", "heal"}},
		{target: function, bus: busARN + "default", want: []string{"events", "heal"}},
		{target: function + ":live", want: []string{"heal"}},
		{target: function + ":other"},
		{target: function[:len(function)-1]},
		{target: strings.ToUpper(function)},
		{target: function, bus: "ours", want: []string{"heal"}},
		{target: function, bus: busARN + "ours", want: []string{"heal"}},
		{target: function + ":live", bus: "ours"},
		{target: function, bus: "absent", code: "ResourceNotFoundException", words: "Event bus absent does not exist."},
		{target: function, bus: strings.Replace(busARN, "eu-west-1", "us-east-1", 1) + "ours", code: "ResourceNotFoundException",
			words: "does not exist"},
		{target: function, bus: "a b", code: "ValidationException", words: "eventBusName"},
		{target: strings.Repeat("a", 1601), code: "ValidationException", words: "targetArn"},
	} {
		out, err := c.ListRuleNamesByTarget(t.Context(),
			&sdk.ListRuleNamesByTargetInput{TargetArn: &test.target, EventBusName: pointer(test.bus)})
		awstest.WantError(t, err, test.code, test.words)
		if err == nil && (!slices.Equal(out.RuleNames, test.want) || out.NextToken != nil) {
			t.Errorf("%s on %q: %v, want %v", test.target, test.bus, out.RuleNames, test.want)
		}
	}
	_, err := c.ListRuleNamesByTarget(t.Context(), &sdk.ListRuleNamesByTargetInput{TargetArn: aws.String("")})
	awstest.WantError(t, err, "ValidationException", "targetArn")
	_, err = c.ListRuleNamesByTarget(t.Context(),
		&sdk.ListRuleNamesByTargetInput{TargetArn: aws.String(function), EventBusName: aws.String("")})
	awstest.WantError(t, err, "ValidationException", "eventBusName")
}

func TestDescribeRule(t *testing.T) {
	_, c := newServer(t)
	describe := func(name, bus string) (*sdk.DescribeRuleOutput, error) {
		return c.DescribeRule(t.Context(), &sdk.DescribeRuleInput{Name: &name, EventBusName: pointer(bus)})
	}
	out, err := describe("heal", "")
	awstest.WantError(t, err, "", "")
	if *out.Arn != "arn:aws:events:eu-west-1:123456789012:rule/heal" || *out.Name != "heal" || *out.EventBusName != "default" ||
		*out.ScheduleExpression != "rate(1 hour)" ||
		*out.Description != "heals" || out.State != types.RuleStateEnabled || *out.CreatedBy != "123456789012" || out.EventPattern != nil {
		t.Errorf("out = %+v", out)
	}
	out, err = describe("events", "")
	awstest.WantError(t, err, "", "")
	if out.State != types.RuleStateDisabled || *out.EventPattern != pattern || out.ScheduleExpression != nil || out.Description != nil {
		t.Errorf("out = %+v", out)
	}
	out, err = describe("heal", busARN+"ours")
	awstest.WantError(t, err, "", "")
	if *out.Arn != "arn:aws:events:eu-west-1:123456789012:rule/ours/heal" || *out.EventBusName != "ours" {
		t.Errorf("out = %+v", out)
	}
	_, err = describe("absent", "")
	awstest.WantError(t, err, "ResourceNotFoundException", "Rule absent does not exist on EventBus default.")
	var notFound *types.ResourceNotFoundException
	if !errors.As(err, &notFound) {
		t.Errorf("err = %v", err)
	}
	_, err = describe("events", "ours")
	awstest.WantError(t, err, "ResourceNotFoundException", "Rule events does not exist on EventBus ours.")
	_, err = describe("heal", "absent")
	awstest.WantError(t, err, "ResourceNotFoundException", "Event bus absent does not exist.")
	for _, name := range []string{"rule/heal", "", strings.Repeat("a", 65)} {
		_, err = describe(name, "")
		awstest.WantError(t, err, "ValidationException", "'name'")
	}
}

func TestListTargetsByRule(t *testing.T) {
	_, c := newServer(t)
	list := func(rule, bus string) (string, error) {
		out, err := c.ListTargetsByRule(t.Context(), &sdk.ListTargetsByRuleInput{Rule: &rule, EventBusName: pointer(bus)})
		if err != nil {
			return "", err
		}
		var all []string
		for _, target := range out.Targets {
			all = append(all, *target.Id+" "+strings.TrimPrefix(*target.Arn, function)+" "+aws.ToString(target.Input))
		}
		return strings.Join(all, ","), nil
	}
	for _, test := range []struct{ rule, bus, want, code, words string }{
		{rule: "heal", want: `a  {"Step":"heal"},b  ,c :live `},
		{rule: "heal", bus: "ours", want: "x  "},
		{rule: "absent", code: "ResourceNotFoundException", words: "Rule absent does not exist on EventBus default."},
		{rule: "rule/heal", code: "ValidationException", words: "'rule'"},
	} {
		got, err := list(test.rule, test.bus)
		awstest.WantError(t, err, test.code, test.words)
		if got != test.want {
			t.Errorf("%s on %q: %q, want %q", test.rule, test.bus, got, test.want)
		}
	}
}

func TestPaging(t *testing.T) {
	server, c := newServer(t)
	target := function + ":many"
	for i := range 101 {
		server.AddRule(eventbridge.Rule{Name: fmt.Sprintf("r%03d", 100-i), EventPattern: "{}",
			Targets: []eventbridge.Target{{ID: "a", ARN: target}}})
	}
	list := func(limit *int32) (sizes []int, names []string) {
		in := &sdk.ListRuleNamesByTargetInput{TargetArn: &target, Limit: limit}
		for {
			out, err := c.ListRuleNamesByTarget(t.Context(), in)
			awstest.WantError(t, err, "", "")
			sizes, names = append(sizes, len(out.RuleNames)), append(names, out.RuleNames...)
			if in.NextToken = out.NextToken; in.NextToken == nil {
				return sizes, names
			}
		}
	}
	sizes, names := list(nil)
	if !slices.Equal(sizes, []int{100, 1}) || !slices.IsSorted(names) || len(slices.Compact(names)) != 101 {
		t.Errorf("pages of %v: %v", sizes, names)
	}
	if sizes, _ = list(aws.Int32(40)); !slices.Equal(sizes, []int{40, 40, 21}) {
		t.Errorf("pages of %v", sizes)
	}
	out, err := c.ListTargetsByRule(t.Context(), &sdk.ListTargetsByRuleInput{Rule: aws.String("heal"), Limit: aws.Int32(2)})
	awstest.WantError(t, err, "", "")
	if len(out.Targets) != 2 || out.NextToken == nil {
		t.Fatalf("out = %+v", out)
	}
	out, err = c.ListTargetsByRule(t.Context(),
		&sdk.ListTargetsByRuleInput{Rule: aws.String("heal"), Limit: aws.Int32(2), NextToken: out.NextToken})
	awstest.WantError(t, err, "", "")
	if len(out.Targets) != 1 || *out.Targets[0].Id != "c" || out.NextToken != nil {
		t.Errorf("out = %+v", out)
	}
	for _, limit := range []int32{0, 101} {
		_, err = c.ListTargetsByRule(t.Context(), &sdk.ListTargetsByRuleInput{Rule: aws.String("heal"), Limit: &limit})
		awstest.WantError(t, err, "ValidationException", "limit")
		_, err = c.ListRuleNamesByTarget(t.Context(), &sdk.ListRuleNamesByTargetInput{TargetArn: &target, Limit: &limit})
		awstest.WantError(t, err, "ValidationException", "limit")
	}
	for _, token := range []string{"x", "", "-1"} {
		_, err = c.ListRuleNamesByTarget(t.Context(), &sdk.ListRuleNamesByTargetInput{TargetArn: &target, NextToken: &token})
		awstest.WantError(t, err, "InvalidToken", "")
	}
}

func TestRefusedRules(t *testing.T) {
	for name, edit := range map[string]func(*eventbridge.Rule){
		"name":                 func(r *eventbridge.Rule) { r.Name = "a b" },
		"name that exists":     func(r *eventbridge.Rule) { r.Name = "heal" },
		"bus":                  func(r *eventbridge.Rule) { r.EventBusName = "a b" },
		"bus's ARN":            func(r *eventbridge.Rule) { r.EventBusName = busARN + "default" },
		"state":                func(r *eventbridge.Rule) { r.State = "enabled" },
		"nothing to be due":    func(r *eventbridge.Rule) { r.ScheduleExpression = "" },
		"schedule on a bus":    func(r *eventbridge.Rule) { r.EventBusName = "ours" },
		"rate(1 hours)":        func(r *eventbridge.Rule) { r.ScheduleExpression = "rate(1 hours)" },
		"rate(2 hour)":         func(r *eventbridge.Rule) { r.ScheduleExpression = "rate(2 hour)" },
		"rate(0 hours)":        func(r *eventbridge.Rule) { r.ScheduleExpression = "rate(0 hours)" },
		"cron of five fields":  func(r *eventbridge.Rule) { r.ScheduleExpression = "cron(0 8 * * ?)" },
		"cron with two days":   func(r *eventbridge.Rule) { r.ScheduleExpression = "cron(0 8 * * * *)" },
		"cron without a day":   func(r *eventbridge.Rule) { r.ScheduleExpression = "cron(0 8 ? * ? *)" },
		"pattern":              func(r *eventbridge.Rule) { r.EventPattern = "[]" },
		"no target's ID":       func(r *eventbridge.Rule) { r.Targets[0].ID = "" },
		"a target's ID twice":  func(r *eventbridge.Rule) { r.Targets = append(r.Targets, r.Targets[0]) },
		"a target's ARN":       func(r *eventbridge.Rule) { r.Targets[0].ARN = "rotate" },
		"a target's input":     func(r *eventbridge.Rule) { r.Targets[0].Input = "{" },
		"six targets":          func(r *eventbridge.Rule) { r.Targets = make([]eventbridge.Target, 6) },
		"pattern that is text": func(r *eventbridge.Rule) { r.EventPattern = "x" },
	} {
		server, _ := newServer(t)
		rule := eventbridge.Rule{Name: "new", ScheduleExpression: "cron(0 8 * * ? *)", Targets: []eventbridge.Target{{ID: "a", ARN: function}}}
		edit(&rule)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			server.AddRule(rule)
		}()
	}
	server, _ := newServer(t)
	for i, schedule := range []string{"cron(0 8 * * ? *)", "cron(0/5 8 ? * MON-FRI *)", "rate(1 minute)", "rate(10 days)"} {
		server.AddRule(eventbridge.Rule{Name: fmt.Sprint("new", i), ScheduleExpression: schedule})
	}
}

// The handler that all services share, with the names of this one.
func TestOverLoopback(t *testing.T) {
	server, _ := newServer(t)
	loopback := httptest.NewServer(server)
	defer loopback.Close()
	c := sdk.NewFromConfig(aws.Config{
		Region: "eu-west-1", BaseEndpoint: &loopback.URL, Credentials: credentials.NewStaticCredentialsProvider("AKID", "SECRET", ""),
		RetryMaxAttempts: 1,
	})
	do := func() error {
		_, err := c.DescribeRule(t.Context(), &sdk.DescribeRuleInput{Name: aws.String("heal")})
		return err
	}
	awstest.WantError(t, do(), "", "")
	allow := server.Inject(awsjson.Fault{Operation: "DescribeRule", Kind: awsjson.AccessDenied})
	for range 2 {
		awstest.WantError(t, do(), "AccessDeniedException", "events:DescribeRule on resource: heal")
	}
	_, err := c.ListTargetsByRule(t.Context(), &sdk.ListTargetsByRuleInput{Rule: aws.String("heal")})
	awstest.WantError(t, err, "", "")
	allow()
	awstest.WantError(t, do(), "", "")
	server.Inject(awsjson.Fault{Kind: awsjson.Status5xx})
	awstest.WantError(t, do(), "InternalException", "")
	if calls := server.Calls(); len(calls) != 6 || calls[0].Service != "events" || calls[0].Resource != "heal" ||
		calls[0].Operation != "DescribeRule" {
		t.Errorf("calls %+v", calls)
	}
}
