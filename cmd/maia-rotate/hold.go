package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

// holdOptions are those of hold.
type holdOptions struct {
	wishOptions
	until string
}

const longestHold = 366 * 24 * time.Hour

func newHold() *cobra.Command {
	command := &cobra.Command{
		Use:   "hold",
		Short: "Have no rotation begin before a time; healing goes on",
		Args:  noArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newHoldAWS(true), newHoldAzure(true))
	command.AddCommand(furtherHolds(true)...)
	return command
}

func newUnhold() *cobra.Command {
	command := &cobra.Command{
		Use:   "unhold",
		Short: "Take a hold off",
		Args:  noArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newHoldAWS(false), newHoldAzure(false))
	command.AddCommand(furtherHolds(false)...)
	return command
}

// whatHoldIs is said by each command.
const whatHoldIs = `No rotation begins before its end. One that has sent its refresh goes on, one that has only paused the runner
ends and resumes it, and healing goes on. A rotation that comes due meanwhile says until when it is held, by whom,
and why. A hold takes the place of the one before it.
`

const holdExitCodes = `
Exit codes: 0 if it was done, 1 if it was not for a runner, 2 if the command line is wrong, 3 if it could
not be carried out (no credentials, no network, no rights).`

// holding makes a command that holds, or takes a hold off.
func holding(puts bool, cloud, flags, where, rights, example string, run func(context.Context, *rotate.Hold, io.Writer) error,
	addFlags func(*cobra.Command)) *cobra.Command {
	var options holdOptions
	name, short := "unhold", "Take the hold off a runner "+where
	long := short + ".\n\n" + rights
	use := cloud + " " + flags
	if puts {
		name, short = "hold", "Have no rotation of a runner "+where+" begin before a time"
		long = short + ".\n\n" + whatHoldIs + "\n" + rights
		use += " --until TIME --reason TEXT"
		example += ` --until 72h --reason "month-end run"`
	}
	command := &cobra.Command{
		Use: use, Short: short, Long: long + holdExitCodes, Example: "  maia-rotate " + name + " " + cloud + " " + example, Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			var hold *rotate.Hold
			if puts {
				var err error
				if hold, err = options.hold(time.Now()); err != nil {
					return usageError{err}
				}
			}
			return run(command.Context(), hold, command.OutOrStdout())
		},
		DisableFlagsInUseLine: true,
	}
	addFlags(command)
	if puts {
		command.Flags().StringVar(&options.until, "until", "",
			"the `time` of its end, like 2026-12-24T18:00:00Z, or from now, like 72h (required)")
		options.flags(command)
	}
	return command
}

// hold is the one that was asked for.
func (o holdOptions) hold(now time.Time) (*rotate.Hold, error) {
	hold := &rotate.Hold{At: now.UTC().Truncate(time.Second), By: o.who(), Why: o.reason}
	if d, err := time.ParseDuration(o.until); err == nil {
		hold.Until = hold.At.Add(d)
	} else if at, err := time.Parse(time.RFC3339, o.until); err == nil {
		hold.Until = at.UTC()
	} else {
		return nil, fmt.Errorf("--until is %q, expected a time like 2026-12-24T18:00:00Z, or a duration like 72h", o.until)
	}
	if !hold.Until.After(now) || hold.Until.After(now.Add(longestHold)) {
		return nil, fmt.Errorf("--until is %s, expected a time from now on and within a year", hold.Until.Format(time.RFC3339))
	}
	return hold, o.validate()
}

// said is what is shown of a hold that was made or taken off.
func said(hold *rotate.Hold) string {
	if hold == nil {
		return "not held"
	}
	return hold.Text()
}

// holds is the change that brings a hold, or takes it off.
func holds(hold *rotate.Hold) func(*rotate.Wishes) {
	return func(wishes *rotate.Wishes) { wishes.Held = hold }
}

// heldResult is what hold and unhold print for a machine.
type heldResult struct {
	OK     bool         `json:"ok"`
	Secret string       `json:"secret,omitempty"`
	Held   *rotate.Hold `json:"held"` // null: not held any more
	fleet.Result
}

func newHoldAWS(puts bool) *cobra.Command {
	var where awsOptions
	return holding(puts, "aws", "--secret ARN", "on AWS",
		`It is a staging label of the runner's secret. You need secretsmanager:DescribeSecret and
UpdateSecretVersionStage on it.
`, "--secret arn:aws:secretsmanager:eu-west-1:123456789012:secret:runner-AbCdEf",
		func(ctx context.Context, hold *rotate.Hold, stdout io.Writer) error {
			checker, err := where.checker(ctx)
			if err != nil {
				return err
			}
			if err := checker.Hold(ctx, where.secret, hold); err != nil {
				return notCarriedOut{err}
			}
			if where.json {
				(&jsonPrinter{out: stdout}).line(heldResult{OK: true, Secret: where.secret, Held: hold})
				return nil
			}
			show := textPrinter{out: stdout, colour: colours(stdout)}
			show.printf("%s\n", shortSecret(where.secret))
			show.wrapped("  ", "  ", said(hold))
			return nil
		},
		where.flags)
}

func newHoldAzure(puts bool) *cobra.Command {
	var where azureOptions
	var agents []string
	return holding(puts, "azure", "--function-app ID [--agent ID]", "on Azure",
		`It is a blob next to the runner's note. Without --agent it is for all runners of the function. You need what
"maia-rotate plan azure" needs, and Storage Blob Data Contributor on the container with the locks and notes.
`, `--function-app "$(az functionapp show -g maia-rotate -n NAME --query id -o tsv)"`,
		func(ctx context.Context, hold *rotate.Hold, stdout io.Writer) error {
			checker, err := where.checker()
			if err != nil {
				return err
			}
			result, err := checker.Wish(ctx, where.functionApp, agents, holds(hold))
			if err != nil {
				return notCarriedOut{err}
			}
			return showWished(stdout, where.json, said(hold), result, heldResult{OK: !result.Failed(), Held: hold, Result: result})
		},
		func(command *cobra.Command) { where.flags(command); agentFlag(command, &agents) })
}
