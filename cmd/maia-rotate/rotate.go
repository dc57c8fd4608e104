package main

import (
	"context"
	"crypto/rand"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

func newRotate() *cobra.Command {
	command := &cobra.Command{
		Use:   "rotate",
		Short: "Ask for a rotation now, whatever the age of the credentials",
		Args:  noArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newRotateAWS(), newRotateAzure())
	command.AddCommand(furtherRotates()...)
	return command
}

// rotating makes a command that asks for a rotation.
func rotating(cloud, flags, where, rights, example string, run func(context.Context, *rotate.Request, io.Writer) error,
	addFlags func(*cobra.Command)) *cobra.Command {
	var options wishOptions
	command := &cobra.Command{
		Use:   cloud + " " + flags + " --reason TEXT",
		Short: "Ask for a rotation of a runner " + where + " now",
		Long: "Ask for a rotation of a runner " + where + ` now.

The runner is drained first, as for every rotation, and a hold is in the way of this one, too. It is not
waited for: the function's log shows how it goes.

` + rights + holdExitCodes,
		Example: "  maia-rotate rotate " + cloud + " " + example + ` --reason "the secret was in a log"`,
		Args:    noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := options.validate(); err != nil {
				return usageError{err}
			}
			request := &rotate.Request{ID: rand.Text()[:10], At: time.Now().UTC().Truncate(time.Second), By: options.who(), Why: options.reason}
			return run(command.Context(), request, command.OutOrStdout())
		},
		DisableFlagsInUseLine: true,
	}
	addFlags(command)
	options.flags(command)
	return command
}

// requests is the change that brings a request.
func requests(request *rotate.Request) func(*rotate.Wishes) {
	return func(wishes *rotate.Wishes) { wishes.Requested = request }
}

const saidOfRequest = "a rotation was asked for: the next call of the function begins it"

// requestResult is what rotate prints for a machine.
type requestResult struct {
	OK        bool            `json:"ok"`
	Secret    string          `json:"secret,omitempty"`
	Requested *rotate.Request `json:"requested"`
	fleet.Result
}

func newRotateAWS() *cobra.Command {
	var where awsOptions
	return rotating("aws", "--secret ARN", "on AWS",
		`It is Secrets Manager that is asked, with RotateSecret, and that begins the rotation at once. It keeps no
reason: that is for you alone. You need secretsmanager:RotateSecret and DescribeSecret on the secret.
`, "--secret arn:aws:secretsmanager:eu-west-1:123456789012:secret:runner-AbCdEf",
		func(ctx context.Context, request *rotate.Request, stdout io.Writer) error {
			checker, err := where.checker(ctx)
			if err != nil {
				return err
			}
			if err := checker.Rotate(ctx, where.secret); err != nil {
				return notCarriedOut{err}
			}
			if where.json {
				(&jsonPrinter{out: stdout}).line(requestResult{OK: true, Secret: where.secret, Requested: request})
				return nil
			}
			show := textPrinter{out: stdout, colour: colours(stdout)}
			show.printf("%s\n", shortSecret(where.secret))
			show.wrapped("  ", "  ", "a rotation was asked for: Secrets Manager begins it")
			return nil
		},
		where.flags)
}

func newRotateAzure() *cobra.Command {
	var where azureOptions
	var agents []string
	return rotating("azure", "--function-app ID [--agent ID]", "on Azure",
		`The wish is a blob next to the runner's note, and the next call of the function answers it, whatever the age of
the credentials and outside of its window, too. Without --agent it is for all runners of the function. You
need what "maia-rotate plan azure" needs, and Storage Blob Data Contributor on the container with the locks
and notes.
`, `--function-app "$(az functionapp show -g maia-rotate -n NAME --query id -o tsv)"`,
		func(ctx context.Context, request *rotate.Request, stdout io.Writer) error {
			checker, err := where.checker()
			if err != nil {
				return err
			}
			result, err := checker.Wish(ctx, where.functionApp, agents, requests(request))
			if err != nil {
				return notCarriedOut{err}
			}
			return showWished(stdout, where.json, saidOfRequest, result, requestResult{!result.Failed(), "", request, result})
		},
		func(command *cobra.Command) { where.flags(command); agentFlag(command, &agents) })
}
