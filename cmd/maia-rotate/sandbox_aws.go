package main

import (
	"context"
	"io"
	"path/filepath"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	sandboxaws "github.com/maia-rotate/maia-rotate/internal/sandbox/aws"
)

var awsSandbox = cloudSandbox{
	name: "aws", function: "functions/aws-lambda", runs: "rotation",
	faults: func() []faultInfo {
		var all []faultInfo
		for _, fault := range sandboxaws.Faults() {
			all = append(all, faultInfo{fault.Name, fault.What, fault.Refreshes})
		}
		return all
	},
	build: func(ctx context.Context, dir string, show printer) error {
		return timed(show, filepath.Join(dir, "bootstrap"), func() error {
			_, err := sandboxaws.Build(ctx, dir)
			return err
		})
	},
	start: func(ctx context.Context, dir, name string, show printer, output io.Writer) (scene, error) {
		fault, _ := sandboxaws.FindFault(name)
		world, err := sandboxaws.New(ctx, sandboxaws.Options{
			Binary: filepath.Join(dir, "bootstrap"), Fault: fault, OnEvent: show.event, FunctionOutput: output,
		})
		if err != nil {
			return nil, err
		}
		show.item("Secrets Manager", world.SecretsURL+"   secret "+sandboxaws.SecretName)
		show.item("ECS", world.ECSURL+"   service "+sandboxaws.Service+" with one task")
		show.item("Maia", world.Maia.URL+"   the runner is connected and runs a pipeline")
		return awsScene{world}, nil
	},
}

type awsScene struct{ *sandboxaws.World }

// Runs implements scene.
func (s awsScene) Runs() int { return s.Rotations() }

// Refreshes implements scene.
func (s awsScene) Refreshes() int { return s.Maia.Refreshes(sandbox.AgentID) }
