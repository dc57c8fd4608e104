package main

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/maia-rotate/maia-rotate/internal/doctor"
	doctoraws "github.com/maia-rotate/maia-rotate/internal/doctor/aws"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

func newPlan() *cobra.Command {
	command := &cobra.Command{
		Use:   "plan",
		Short: "Show what the next rotation would do, without doing it",
		Args:  noArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newPlanAWS(), newPlanAzure())
	command.AddCommand(furtherPlans()...)
	return command
}

func newPlanAWS() *cobra.Command {
	var options awsOptions
	command := &cobra.Command{
		Use:   "aws --secret ARN",
		Short: "Show what the next rotation of a secret on AWS would do, without doing it",
		Long: `Show what the next rotation of a secret on AWS would do, without doing it.

It shows the steps, each with its reason, and what is in the way of a rotation now. Both come from
the code that the function's own action {"action":"plan"} runs, here with your AWS credentials and
the configuration and time-out of the secret's rotation function. Nothing is changed.

What the function's role may do is not checked: that is for "maia-rotate doctor aws".

With --json it prints one JSON document: "ok", and what the function would answer: the "secret", its
"services", the "report" with its "steps", and, if something is in the way, an "error" with its
"kind", the "state" of the runner, "what" is in the way, and a "hint" what to do.

Exit codes: 0 if nothing is in the way, 1 if something is, 2 if the command line is wrong, 3 if it
could not be carried out (no AWS credentials, no network, no rights).`,
		Example: `  maia-rotate plan aws --secret arn:aws:secretsmanager:eu-west-1:123456789012:secret:runner-AbCdEf`,
		Args:    noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return planAWS(command.Context(), options, command.OutOrStdout())
		},
		DisableFlagsInUseLine: true,
	}
	options.flags(command)
	return command
}

// planReport is what plan prints for a machine.
type planReport struct {
	OK bool `json:"ok"`
	doctoraws.Plan
}

func planAWS(ctx context.Context, options awsOptions, stdout io.Writer) error {
	checker, err := options.checker(ctx)
	if err != nil {
		return err
	}
	plan, err := checker.Plan(ctx, options.secret)
	if err != nil {
		return notCarriedOut{err}
	}
	if options.json {
		(&jsonPrinter{out: stdout}).line(planReport{plan.Error == nil, plan})
	} else {
		show := textPrinter{out: stdout, colour: colours(stdout)}
		show.plan(plan)
	}
	if plan.Error != nil {
		return errReported
	}
	return nil
}

func (p *textPrinter) plan(plan doctoraws.Plan) {
	p.printf("%s\n\n", p.in(bold, "The next rotation of "+shortSecret(plan.Secret)))
	if report := plan.Report; report != nil {
		p.item("runner", report.AgentID)
		p.item("services", strings.Join(plan.Services, ", "))
		p.printf("\n")
		p.steps(*report)
	}
	p.inTheWay(plan.Error)
}

// steps shows those of a plan.
func (p *textPrinter) steps(report rotate.Report) {
	n := 0
	for _, step := range report.Steps {
		if step.Kind == rotate.Refuse {
			continue // it is shown below, with the hint
		}
		n++
		p.printf("  %2d  %-15s  %s\n", n, step.Kind.Text(), strings.Join(wrap(step.Reason, maxWidth-23), "\n"+strings.Repeat(" ", 23)))
	}
	if n > 0 {
		p.printf("\n")
	}
}

// inTheWay shows what is in the way of a rotation, if anything is.
func (p *textPrinter) inTheWay(failed *rotate.Error) {
	if failed == nil {
		p.printf("%s\n", p.in(green, "Nothing is in the way."))
		return
	}
	p.printf("%s\n", p.in(red, "Something is in the way:"))
	p.wrapped("  ", "  ", doctor.InWords(*failed))
	p.hint("  ", failed.Hint)
}
