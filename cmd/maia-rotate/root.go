package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // it did not work, or what had to be proved is not true
	exitUsage  = 2 // the command line is wrong
	exitNotRun = 3 // a check of an installation could not be carried out
)

// usageError is an error of the command line.
type usageError struct{ error }

// notCarriedOut is an error that says nothing of the installation that was to be checked.
type notCarriedOut struct{ error }

// errReported is a failure that the command's output has shown already.
var errReported = errors.New("failed, as the output says")

// run runs the command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	command, err := root.ExecuteContextC(ctx)
	var usage usageError
	var notRun notCarriedOut
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errReported):
		return exitFailed
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "%s: %v\nRun '%[1]s --help' for usage.\n", command.CommandPath(), err)
		return exitUsage
	case errors.As(err, &notRun):
		fmt.Fprintf(stderr, "%s: %v\n", command.CommandPath(), err)
		return exitNotRun
	case ctx.Err() != nil:
		fmt.Fprintf(stderr, "%s: interrupted\n", command.CommandPath())
		return exitFailed
	}
	fmt.Fprintf(stderr, "%s: %v\n", command.CommandPath(), err)
	return exitFailed
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "maia-rotate",
		Short:         "Rotate the credentials of Maia runners",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE:          func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newSandbox(), newPackage(), newDoctor(), newPlan(), newRotate(), newHold(), newUnhold())
	return root
}

func noArgs(command *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case command.HasSubCommands():
		return usageError{fmt.Errorf("unknown command %q", args[0])}
	}
	return usageError{fmt.Errorf("unexpected argument %q", args[0])}
}
