package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/spf13/cobra"
)

// sandboxTimeout ends a run that hangs; a rotation has its own, shorter bounds.
const sandboxTimeout = 10 * time.Minute

type sandboxOptions struct {
	cloud   string
	fault   string
	doctor  bool
	json    bool
	verbose bool
}

// cloudSandbox is the sandbox of one cloud.
type cloudSandbox struct {
	name     string
	function string // what is built for it
	runs     string // what is counted, in the plural with an s
	faults   func() []faultInfo
	// build makes all that has to be there, in the folder, and shows what it does.
	build func(ctx context.Context, dir string, show printer) error
	// start starts a world with what was built, in which the fault happens, and shows what there is.
	start func(ctx context.Context, dir, fault string, show printer, output io.Writer) (scene, error)
}

// scene is a world in which a rotation can be played.
type scene interface {
	Play(context.Context) error
	Runs() int
	Refreshes() int
	Due() int
	Downtimes() []time.Duration
	Proofs(printed ...*bytes.Buffer) []sandbox.Proof
	Close()
}

// faultInfo is what can go wrong.
type faultInfo struct {
	name, what string
	refreshes  int // due
}

func infosOf[W any](faults sandbox.Faults[W]) []faultInfo {
	infos := make([]faultInfo, len(faults))
	for i, fault := range faults {
		infos[i] = faultInfo{fault.Name, fault.What, fault.Refreshes}
	}
	return infos
}

// printer shows a sandbox run, for people or for machines.
type printer interface {
	building(cloud cloudSandbox, fault faultInfo)
	item(name, text string)
	begin()
	event(sandbox.Event)
	result(result)
	faults([]faultInfo)
}

// result is what came of a run.
type result struct {
	fault          string
	runs           int
	runsWord       string
	refreshes, due int
	took           time.Duration
	downtimes      []time.Duration
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

// clouds are those that have a sandbox. The first one is shown when none is asked for.
func clouds() []cloudSandbox {
	return append([]cloudSandbox{awsSandbox, azureSandbox}, furtherClouds()...)
}

// findCloud finds one by its name.
func findCloud(name string) (cloudSandbox, error) {
	var names []string
	for _, cloud := range clouds() {
		if cloud.name == name {
			return cloud, nil
		}
		names = append(names, cloud.name)
	}
	if name == leftOut {
		return cloudSandbox{}, usageError{fmt.Errorf(
			"%s is left out of this program, which was built with the tag nogcp: go run ./cmd/maia-rotate has it", name)}
	}
	return cloudSandbox{}, usageError{fmt.Errorf("unknown cloud %q, expected %s", name, strings.Join(names, " or "))}
}

// find finds a fault by its name.
func (c cloudSandbox) find(name string) (faultInfo, error) {
	for _, fault := range c.faults() {
		if fault.name == name {
			return fault, nil
		}
	}
	if name == "" {
		return faultInfo{}, nil
	}
	return faultInfo{}, usageError{fmt.Errorf("unknown fault %q; --fault list shows all", name)}
}

func newSandbox() *cobra.Command {
	var options sandboxOptions
	command := &cobra.Command{
		Use:   "sandbox",
		Short: "Rotate on this machine, with emulated services, and prove that it worked",
		Long: `Rotate on this machine, with emulated services, and prove that it worked.

The sandbox builds the rotation function and starts, on loopback, what it works with: Maia, with one
runner that is running a pipeline, and the services of a cloud. It has a rotation done, shows what
happens, and checks afterwards that all is as it must be. Nothing leaves this machine. It needs Go
and a checkout of this module.

With --cloud aws, which is the default, there are Secrets Manager, ECS and Lambda, and the rotation
is asked for as an operator does. With --cloud azure there are Azure Resource Manager with Container
Apps, blob storage and a managed identity, and the host of Azure Functions calls the function when
its timer fires. With --cloud gcp there is a real Kubernetes API server with the runner's Helm
release, and the function is called as Cloud Scheduler calls it; the first time, that server is
built, which takes minutes and is shown.

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
  maia-rotate sandbox --cloud azure
  maia-rotate sandbox --cloud gcp
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
	command.Flags().StringVar(&options.cloud, "cloud", "aws", "whose services are there: aws, azure or gcp")
	command.Flags().StringVar(&options.fault, "fault", "", "what goes wrong; \"list\" shows the names")
	command.Flags().BoolVar(&options.doctor, "doctor", false, "show what doctor and plan say of broken installations")
	command.Flags().BoolVar(&options.json, "json", false, "print JSON, one object a line")
	command.Flags().BoolVarP(&options.verbose, "verbose", "v", false, "show the function's own log too, on standard error")
	_ = command.RegisterFlagCompletionFunc("fault", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		names := []string{"list"}
		if cloud, err := findCloud(options.cloud); err == nil {
			for _, fault := range cloud.faults() {
				names = append(names, fault.name)
			}
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
	cloud, err := findCloud(options.cloud)
	if err != nil {
		return err
	}
	if options.fault == "list" {
		show.faults(cloud.faults())
		return nil
	}
	fault, err := cloud.find(options.fault)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "maia-rotate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	show.building(cloud, fault)
	if err := cloud.build(ctx, dir, show); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, sandboxTimeout, fmt.Errorf("not done within %s", sandboxTimeout))
	defer cancel()
	var log io.Writer
	if options.verbose {
		log = stderr
	}
	world, err := cloud.start(ctx, dir, fault.name, show, log)
	if err != nil {
		return err
	}
	defer world.Close()
	show.begin()

	began := time.Now()
	if err := world.Play(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("%w: %w", err, cause)
		}
		return err
	}
	outcome := result{
		fault: fault.name, runs: world.Runs(), runsWord: cloud.runs, took: time.Since(began), downtimes: world.Downtimes(),
		refreshes: world.Refreshes(), due: world.Due(),
	}
	outcome.proofs = world.Proofs(&printed)
	show.result(outcome)
	if outcome.broken() > 0 {
		return errReported
	}
	return nil
}

// timed shows how long something took to build, and how large it is.
func timed(show printer, file string, build func() error) error {
	began := time.Now()
	if err := build(); err != nil {
		return err
	}
	took := time.Since(began)
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	show.item("", fmt.Sprintf("built in %.1f s, %.1f MB", took.Seconds(), float64(info.Size())/1e6))
	return nil
}
