package main

import (
	"context"
	"io"
	"path/filepath"

	sandboxaws "github.com/maia-rotate/maia-rotate/internal/sandbox/aws"
)

var awsSandbox = cloudSandbox{
	name: "aws", function: "functions/aws-lambda", runs: "rotation",
	faults: func() []faultInfo { return infosOf(sandboxaws.Faults()) },
	build: func(ctx context.Context, dir string, show printer) error {
		return timed(show, filepath.Join(dir, "bootstrap"), func() error {
			_, err := sandboxaws.Build(ctx, dir)
			return err
		})
	},
	start: func(ctx context.Context, dir, name string, show printer, output io.Writer) (scene, error) {
		fault, _ := sandboxaws.Faults().Find(name)
		world, err := sandboxaws.New(ctx, sandboxaws.Options{
			Binary: filepath.Join(dir, "bootstrap"), Fault: fault, OnEvent: show.event, FunctionOutput: output,
		})
		if err != nil {
			return nil, err
		}
		show.item("Secrets Manager", world.SecretsURL+"   secret "+sandboxaws.SecretName)
		show.item("ECS", world.ECSURL+"   service "+sandboxaws.Service+" with one task")
		show.item("Maia", world.Maia.URL+"   the runner is connected and runs a pipeline")
		return world, nil
	},
}
