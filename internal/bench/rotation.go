package main

import (
	"context"
	"fmt"

	"github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	sandboxaws "github.com/maia-rotate/maia-rotate/internal/sandbox/aws"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// rotation is what was measured of one.
type rotation struct {
	calls             []call
	stored, restarted stretch // see the command's documentation
	peak              int64   // bytes; 0 is not known
}

func rotate(ctx context.Context, binary string) (measured rotation, err error) {
	var recorder recorder
	world, err := sandboxaws.New(ctx, sandboxaws.Options{Binary: binary, Wrap: recorder.wrap, OnEvent: recorder.event})
	if err != nil {
		return rotation{}, err
	}
	defer world.Close()
	end, err := world.Rotate(ctx)
	if err != nil {
		return rotation{}, err
	}
	if end.Name != secretsmanager.RotationSucceeded || end.Attempts != 1 {
		return rotation{}, fmt.Errorf("it ended as %s in attempt %d", end.Name, end.Attempts)
	}
	processes := world.Function.Processes()
	if len(processes) != 1 {
		return rotation{}, fmt.Errorf("the function has %d processes, expected one", len(processes))
	}
	if measured.peak, err = peakMemory(processes[0]); err != nil {
		return rotation{}, err
	}
	if measured.calls, err = recorder.named(map[sandbox.Source][]string{
		sandbox.FromMaia:           maiaNames(world.Maia.Calls()),
		sandbox.FromSecretsManager: operations(world.Secrets.Calls()),
		sandbox.FromECS:            operations(world.ECS.Calls()),
	}); err != nil {
		return rotation{}, err
	}
	for _, proof := range world.Proofs() {
		if !proof.OK {
			return rotation{}, fmt.Errorf("%s: %s", proof.Text, proof.Detail)
		}
	}
	is := func(name string) func(call) bool { return func(made call) bool { return made.name == name } }
	refreshed, promoted := is(string(maiatest.RefreshCredentials)), func(made call) bool { return made.promotes }
	var ok bool
	if measured.stored, ok = stretchOf(measured.calls, refreshed, is("PutSecretValue")); !ok {
		return rotation{}, fmt.Errorf("there is no refresh with a PutSecretValue after it")
	}
	if measured.restarted, ok = stretchOf(measured.calls, promoted, is("UpdateService")); !ok {
		return rotation{}, fmt.Errorf("there is no move of AWSCURRENT with an UpdateService after it")
	}
	return measured, nil
}
