//go:build !nogcp

package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/impersonate"
	"google.golang.org/api/option"

	"github.com/maia-rotate/maia-rotate/functions/gcp/rotation"
	doctorgcp "github.com/maia-rotate/maia-rotate/internal/doctor/gcp"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

func furtherDoctors() []*cobra.Command { return []*cobra.Command{newDoctorGCP()} }

func furtherPlans() []*cobra.Command { return []*cobra.Command{newPlanGCP()} }

func furtherHolds(puts bool) []*cobra.Command { return []*cobra.Command{newHoldGCP(puts)} }

func furtherRotates() []*cobra.Command { return []*cobra.Command{newRotateGCP()} }

// gcpOptions are those of the commands that check an installation on Google Cloud.
type gcpOptions struct {
	function, kubeconfig string
	asFunction, json     bool
}

func (o *gcpOptions) flags(command *cobra.Command) {
	command.Flags().StringVar(&o.function, "function", "", "the `name` of the function, projects/P/locations/L/functions/F (required)")
	command.Flags().BoolVar(&o.asFunction, "as-function", false, "read clusters and the API credential as the function's service account")
	command.Flags().StringVar(&o.kubeconfig, "kubeconfig", "", "the `file` to use in place of that which the function's KUBECONFIG names")
	command.Flags().BoolVar(&o.json, "json", false, "print one JSON document")
}

// googleAccess are the operator's tokens, found as Google's libraries find them, and the options of the clients of its APIs.
var googleAccess = func(ctx context.Context) (oauth2.TokenSource, []option.ClientOption, error) {
	tokens, err := google.DefaultTokenSource(ctx, rotation.Scopes...)
	return tokens, nil, err
}

// checker makes what checks the installation.
func (o *gcpOptions) checker(ctx context.Context) (*doctorgcp.Checker, error) {
	switch {
	case o.function == "":
		return nil, usageError{errors.New("--function is not set: it is the name of the function, projects/P/locations/L/functions/F")}
	case !doctorgcp.FunctionName.MatchString(o.function):
		return nil, usageError{fmt.Errorf("--function is %q, expected projects/PROJECT/locations/LOCATION/functions/FUNCTION", o.function)}
	}
	tokens, clients, err := googleAccess(ctx)
	if err != nil {
		return nil, notCarriedOut{fmt.Errorf("there are no credentials of Google Cloud (gcloud auth application-default login): %w", err)}
	}
	checker := &doctorgcp.Checker{Tokens: tokens, Kubeconfig: o.kubeconfig, Options: clients}
	if o.asFunction {
		checker.Impersonate = func(ctx context.Context, email string) (oauth2.TokenSource, error) {
			return impersonate.CredentialsTokenSource(ctx, impersonate.CredentialsConfig{TargetPrincipal: email, Scopes: rotation.Scopes},
				option.WithTokenSource(tokens))
		}
	}
	return checker, nil
}

func newDoctorGCP() *cobra.Command {
	var options gcpOptions
	command := &cobra.Command{
		Use:   "gcp --function projects/P/locations/L/functions/F",
		Short: "Check an installation on Google Cloud, without changing anything",
		Long: `Check an installation on Google Cloud, without changing anything.

It checks the deployed function (state, runtime, time-out, instances, memory, ingress, service
account, environment), the Cloud Scheduler jobs of its region that call it, and, with the code and the
configuration of the function, each release, its cluster and Maia, and says of each thing that is not
in order how to put it right. For each release it plans a rotation.

It runs with your Application Default Credentials (gcloud auth application-default login), from where
you are: it has to reach the clusters. All of its calls read; in a cluster it makes a dry run of the
upgrade and asks what it may do. It prints no secret.

With --as-function it reads clusters and the API credential as the function's service account, so that
the function's own rights are tested, not yours. For that you need
iam.serviceAccounts.getAccessToken on it (the role Service Account Token Creator). In any case you
need cloudfunctions.functions.get and cloudscheduler.jobs.list.

What it cannot know: whether the function reaches the control plane and Maia from where it runs;
whether Maia lets the API credential refresh, which only a rotation shows; and what calls the function
other than a Cloud Scheduler job of its region.

With --json it prints one JSON document: "ok", how many "problems" and "warnings", the "findings" in
the order of the checks ("level" is ok, warning or problem; "check" is a name that stays), and what
was "not_checked".

Exit codes: 0 if there is no problem (there may be warnings), 1 if there is one, 2 if the command
line is wrong, 3 if it could not be carried out (no credentials, no network, no rights).`,
		Example: `  maia-rotate doctor gcp --function projects/my-project/locations/europe-west1/functions/maia-rotate
  maia-rotate doctor gcp --function NAME --as-function --json | jq '.findings[] | select(.level != "ok")'`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return doctorGCP(command.Context(), options, command.OutOrStdout())
		},
		DisableFlagsInUseLine: true,
	}
	options.flags(command)
	return command
}

func doctorGCP(ctx context.Context, options gcpOptions, stdout io.Writer) error {
	checker, err := options.checker(ctx)
	if err != nil {
		return err
	}
	report, err := checker.Check(ctx, options.function)
	return diagnosis{
		title: "The function " + shortFunction(options.function), json: options.json,
		report: doctorReport{Function: options.function, Report: report}, err: err,
	}.show(stdout)
}

// shortFunction names a function for a person.
func shortFunction(name string) string {
	parts := doctorgcp.FunctionName.FindStringSubmatch(name)
	return fmt.Sprintf("%s in %s, project %s", parts[3], parts[2], parts[1])
}

func newPlanGCP() *cobra.Command {
	var options gcpOptions
	command := &cobra.Command{
		Use:   "gcp --function projects/P/locations/L/functions/F",
		Short: "Show what a function on Google Cloud would do for each runner, without doing it",
		Long: `Show what a function on Google Cloud would do for each runner, without doing it.

It shows for each release when it is due, the steps of a rotation, each with its reason, and what is
in the way of one now. It comes from the function's own code, here with your Application Default
Credentials and the configuration of the function. Nothing is changed.

The function itself, and what calls it, are not checked: that is for "maia-rotate doctor gcp".

With --json it prints one JSON document: "ok", the "function", and its "targets", each with a
"rotation" whose "steps" are those that would be taken, and, if something is in the way, an "error"
with its "kind", the "state" of the runner, "what" is in the way, and a "hint" what to do.

Exit codes: 0 if nothing is in the way, 1 if something is, 2 if the command line is wrong, 3 if it
could not be carried out (no credentials, no network, no rights).`,
		Example: `  maia-rotate plan gcp --function projects/my-project/locations/europe-west1/functions/maia-rotate`,
		Args:    noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return planGCP(command.Context(), options, command.OutOrStdout())
		},
		DisableFlagsInUseLine: true,
	}
	options.flags(command)
	return command
}

func planGCP(ctx context.Context, options gcpOptions, stdout io.Writer) error {
	checker, err := options.checker(ctx)
	if err != nil {
		return err
	}
	plan, err := checker.Plan(ctx, options.function)
	if err != nil {
		return notCarriedOut{err}
	}
	return showPlan(stdout, options.json, "The next rotations of "+shortFunction(options.function), plan)
}

func newHoldGCP(puts bool) *cobra.Command {
	var where gcpOptions
	var agents []string
	return holding(puts, "gcp", "--function projects/P/locations/L/functions/F [--agent ID]", "on Google Cloud",
		`It is an annotation of the Lease in the runner's namespace. Without --agent it is for all runners of the
function. You need what "maia-rotate plan gcp" needs, and to create and update Leases in the namespace.
`, "--function projects/my-project/locations/europe-west1/functions/maia-rotate",
		func(ctx context.Context, hold *rotate.Hold, stdout io.Writer) error {
			checker, err := where.checker(ctx)
			if err != nil {
				return err
			}
			result, err := checker.Wish(ctx, where.function, agents, holds(hold))
			if err != nil {
				return notCarriedOut{err}
			}
			return showWished(stdout, where.json, said(hold), result, heldResult{OK: !result.Failed(), Held: hold, Result: result})
		},
		func(command *cobra.Command) { where.flags(command); agentFlag(command, &agents) })
}

func newRotateGCP() *cobra.Command {
	var where gcpOptions
	var agents []string
	return rotating("gcp", "--function projects/P/locations/L/functions/F [--agent ID]", "on Google Cloud",
		`The wish is an annotation of the Lease in the runner's namespace, and the next call of the function answers
it, whatever the age of the credentials and outside of its window, too. Without --agent it is for all runners
of the function. To have the call made now, run the Cloud Scheduler job: gcloud scheduler jobs run NAME. You
need what "maia-rotate plan gcp" needs, and to create and update Leases in the namespace.
`, "--function projects/my-project/locations/europe-west1/functions/maia-rotate",
		func(ctx context.Context, request *rotate.Request, stdout io.Writer) error {
			checker, err := where.checker(ctx)
			if err != nil {
				return err
			}
			result, err := checker.Wish(ctx, where.function, agents, requests(request))
			if err != nil {
				return notCarriedOut{err}
			}
			return showWished(stdout, where.json, saidOfRequest, result, requestResult{!result.Failed(), "", request, result})
		},
		func(command *cobra.Command) { where.flags(command); agentFlag(command, &agents) })
}
