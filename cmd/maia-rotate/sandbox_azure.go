package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	sandboxazure "github.com/maia-rotate/maia-rotate/internal/sandbox/azure"
)

// azureApp is the folder of the function's app, below that of what is built.
const azureApp = "app"

var azureSandbox = cloudSandbox{
	name: "azure", function: "functions/azure", runs: "call",
	faults: func() []faultInfo { return infosOf(sandboxazure.Faults()) },
	build: func(ctx context.Context, dir string, show printer) error {
		app := filepath.Join(dir, azureApp)
		return timed(show, filepath.Join(app, sandboxazure.Program), func() error { return sandboxazure.Build(ctx, app) })
	},
	start: func(ctx context.Context, dir, name string, show printer, output io.Writer) (scene, error) {
		fault, _ := sandboxazure.Faults().Find(name)
		world, err := sandboxazure.New(ctx, sandboxazure.Options{App: filepath.Join(dir, azureApp), Fault: fault, OnEvent: show.event,
			FunctionOutput: output})
		if err != nil {
			return nil, err
		}
		show.item("Container Apps", fmt.Sprintf("%s   app %s with %d replicas", world.AppsURL, sandboxazure.AppName, sandboxazure.Replicas))
		show.item("Blob storage", world.StateURL+"   for the lock and the note")
		show.item("Functions host", world.Host.URL()+"   the function is ready")
		show.item("Maia", world.Maia.URL+"   the runner is connected and runs a pipeline")
		return world, nil
	},
}
