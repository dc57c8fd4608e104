package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/maia-rotate/maia-rotate/internal/doctor"
)

func newDoctor() *cobra.Command {
	command := &cobra.Command{
		Use:   "doctor",
		Short: "Check an installation, without changing anything",
		Args:  noArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newDoctorAWS(), newDoctorAzure())
	command.AddCommand(furtherDoctors()...)
	return command
}

func newDoctorAWS() *cobra.Command {
	var options awsOptions
	command := &cobra.Command{
		Use:   "aws --secret ARN",
		Short: "Check an installation on AWS, without changing anything",
		Long: `Check an installation on AWS, without changing anything.

It checks the secret, its rotation and schedule, the rotation function and its policy, the role, the
runner's services, Maia, the healing rule, and what Terraform may have done, and says of each thing
that is not in order how to put it right. At the end it plans a rotation.

It runs with your AWS credentials, found as the AWS CLI finds them, and with the code and the
configuration of the function: it reads both secrets, asks Maia with the function's API credential,
and asks IAM what the function's role may do. All of its calls read. It prints no secret.

You need these rights: secretsmanager:DescribeSecret, GetSecretValue and GetResourcePolicy,
lambda:GetFunctionConfiguration, GetFunctionConcurrency and GetPolicy, ecs:ListServices,
DescribeServices and DescribeTaskDefinition, events:ListRuleNamesByTarget, ListTargetsByRule and
DescribeRule, and iam:SimulatePrincipalPolicy. Without one of the first of secretsmanager: and
lambda: it cannot be carried out; whatever else is missing is a warning.

What it cannot know: what the policy of a key of your own says; whether Maia lets the API credential
refresh, which only a rotation shows; whether the function itself reaches AWS and Maia from where it
runs; and schedules that heal other than by a rule of EventBridge.

With --json it prints one JSON document: "ok", how many "problems" and "warnings", the "findings" in
the order of the checks ("level" is ok, warning or problem; "check" is a name that stays), and what
was "not_checked".

Exit codes: 0 if there is no problem (there may be warnings), 1 if there is one, 2 if the command
line is wrong, 3 if it could not be carried out (no AWS credentials, no network, no rights).`,
		Example: `  maia-rotate doctor aws --secret arn:aws:secretsmanager:eu-west-1:123456789012:secret:runner-AbCdEf
  maia-rotate doctor aws --secret ARN --json | jq '.findings[] | select(.level != "ok")'`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return doctorAWS(command.Context(), options, command.OutOrStdout())
		},
		DisableFlagsInUseLine: true,
	}
	options.flags(command)
	return command
}

// doctorReport is what doctor prints for a machine.
type doctorReport struct {
	Secret   string `json:"secret,omitempty"`
	Function string `json:"function,omitempty"`
	OK       bool   `json:"ok"`
	Problems int    `json:"problems"`
	Warnings int    `json:"warnings"`
	doctor.Report
}

func doctorAWS(ctx context.Context, options awsOptions, stdout io.Writer) error {
	checker, err := options.checker(ctx)
	if err != nil {
		return err
	}
	report, err := checker.Check(ctx, options.secret)
	return diagnosis{
		title: "The secret " + shortSecret(options.secret), json: options.json,
		report: doctorReport{Secret: options.secret, Report: report}, err: err,
	}.show(stdout)
}

// diagnosis is what a check of an installation came to.
type diagnosis struct {
	title  string
	json   bool
	report doctorReport // not counted yet
	err    error        // why not all could be checked
}

// show prints the diagnosis, and returns what decides the exit code.
func (d diagnosis) show(stdout io.Writer) error {
	report := d.report
	if d.err != nil && (d.json || len(report.Findings) == 0) {
		return notCarriedOut{d.err}
	}
	report.Problems, report.Warnings = report.Count(doctor.Problem), report.Count(doctor.Warning)
	report.OK = report.Problems == 0
	if d.json {
		(&jsonPrinter{out: stdout}).line(report)
	} else {
		show := textPrinter{out: stdout, colour: colours(stdout)}
		show.printf("%s\n\n", show.in(bold, d.title))
		show.findings(report.Report)
		if d.err == nil {
			show.printf("\n%s\n", show.counted(report.Problems, report.Warnings))
		}
	}
	switch {
	case d.err != nil:
		return notCarriedOut{fmt.Errorf("not all could be checked: %w", d.err)}
	case report.Problems > 0:
		return errReported
	}
	return nil
}
