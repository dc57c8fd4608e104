package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// sandboxTimeout ends a rotation that hangs; each has its own, shorter bounds.
const sandboxTimeout = 5 * time.Minute

type sandboxOptions struct {
	fault   string
	doctor  bool
	json    bool
	verbose bool
}

// printer shows a sandbox run, for people or for machines.
type printer interface {
	building(fault sandbox.Fault)
	ready(built buildInfo, world *sandbox.World)
	event(sandbox.Event)
	result(result)
	faults([]sandbox.Fault)
}

type buildInfo struct {
	took time.Duration
	size int64 // bytes
}

// result is what came of a run.
type result struct {
	fault          string
	rotations      int
	refreshes, due int
	took           time.Duration
	dark           []time.Duration
	proofs         []sandbox.Proof
}

// broken is how many proofs failed.
func (r result) broken() (n int) {
	for _, proof := range r.proofs {
		if !proof.OK {
			n++
		}
	}
	return n
}

func newSandbox() *cobra.Command {
	var options sandboxOptions
	command := &cobra.Command{
		Use:   "sandbox",
		Short: "Rotate on this machine, with emulated services, and prove that it worked",
		Long: `Rotate on this machine, with emulated services, and prove that it worked.

The sandbox builds the rotation function for AWS Lambda and starts, on loopback, what it works with:
Secrets Manager, ECS, Lambda, and Maia with one runner that is running a pipeline. It asks Secrets
Manager to rotate, shows what happens, and looks afterwards whether all is as it must be. Nothing
leaves this machine. It needs Go and a checkout of this module.

With --fault something goes wrong on the way; --fault list shows what can.

With --doctor it shows instead what "doctor" and "plan" say of a healthy installation and of broken
ones, with one thing wrong in each, which they must name exactly. Nothing is built for that.

With --json the output is one JSON object a line: events as they happen ("type":"event"), what was
proved ("type":"proof"), and at last the result ("type":"result"), whose "ok" says whether all is
true. A run that cannot be carried out has no result, but an error on standard error. With --doctor
there is an object for each installation ("type":"setup") in place of events and proofs.

Exit codes: 0 if all is true, 1 if anything is not, 2 if the command line is wrong ("go run" makes
each that is not 0 a 1).`,
		Example: `  maia-rotate sandbox
  maia-rotate sandbox --fault list
  maia-rotate sandbox --fault killed-after-refresh
  maia-rotate sandbox --doctor
  maia-rotate sandbox --json | jq 'select(.type == "result")'`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if options.doctor {
				return sandboxDoctor(command.Context(), options, command.OutOrStdout())
			}
			return runSandbox(command.Context(), options, command.OutOrStdout(), command.ErrOrStderr())
		},
	}
	command.Flags().StringVar(&options.fault, "fault", "", "what goes wrong; \"list\" shows the names")
	command.Flags().BoolVar(&options.doctor, "doctor", false, "show what doctor and plan say of broken installations")
	command.Flags().BoolVar(&options.json, "json", false, "print JSON, one object a line")
	command.Flags().BoolVarP(&options.verbose, "verbose", "v", false, "show the function's own log too, on standard error")
	_ = command.RegisterFlagCompletionFunc("fault", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		names := []string{"list"}
		for _, fault := range sandbox.Faults() {
			names = append(names, fault.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
	return command
}

func runSandbox(ctx context.Context, options sandboxOptions, stdout, stderr io.Writer) error {
	var printed bytes.Buffer // is searched for secrets
	out := io.MultiWriter(stdout, &printed)
	var show printer = &textPrinter{out: out, colour: colours(stdout)}
	if options.json {
		show = &jsonPrinter{out: out}
	}
	var fault sandbox.Fault
	switch options.fault {
	case "":
	case "list":
		show.faults(sandbox.Faults())
		return nil
	default:
		found, ok := sandbox.FindFault(options.fault)
		if !ok {
			return usageError{fmt.Errorf("unknown fault %q; --fault list shows all", options.fault)}
		}
		fault = found
	}
	ctx, cancel := context.WithTimeoutCause(ctx, sandboxTimeout, fmt.Errorf("not done within %s", sandboxTimeout))
	defer cancel()

	show.building(fault)
	binary, built, err := build(ctx)
	if err != nil {
		return err
	}
	defer os.RemoveAll(binary.dir)
	var log io.Writer
	if options.verbose {
		log = stderr
	}
	world, err := sandbox.New(ctx, sandbox.Options{Binary: binary.path, Fault: fault, OnEvent: show.event, FunctionOutput: log})
	if err != nil {
		return err
	}
	defer world.Close()
	show.ready(built, world)

	began := time.Now()
	if err := world.Play(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("%w: %w", err, cause)
		}
		return err
	}
	outcome := result{
		fault: fault.Name, rotations: world.Rotations(), took: time.Since(began), dark: world.Dark(),
		refreshes: world.Maia.Refreshes(sandbox.AgentID), due: world.Due(),
	}
	outcome.proofs = world.Proofs(&printed)
	show.result(outcome)
	if outcome.broken() > 0 {
		return errReported
	}
	return nil
}

// function is the compiled function in a folder of its own.
type function struct{ dir, path string }

func build(ctx context.Context) (built function, info buildInfo, err error) {
	built.dir, err = os.MkdirTemp("", "maia-rotate-")
	if err != nil {
		return built, info, err
	}
	began := time.Now()
	built.path, err = sandbox.Build(ctx, built.dir)
	if err != nil {
		_ = os.RemoveAll(built.dir)
		return built, info, err
	}
	info.took = time.Since(began)
	if file, err := os.Stat(built.path); err == nil {
		info.size = file.Size()
	}
	return built, info, nil
}
