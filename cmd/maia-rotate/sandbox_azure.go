package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	sandboxazure "github.com/maia-rotate/maia-rotate/internal/sandbox/azure"
)

// azureApp is the folder of the function's app, below that of what is built.
const azureApp = "app"

var azureSandbox = cloudSandbox{
	name: "azure", function: "functions/azure", runs: "call",
	faults: func() []faultInfo {
		var all []faultInfo
		for _, fault := range sandboxazure.Faults() {
			all = append(all, faultInfo{fault.Name, fault.What, fault.Refreshes})
		}
		return all
	},
	build: func(ctx context.Context, dir string, show printer) error {
		app := filepath.Join(dir, azureApp)
		return timed(show, filepath.Join(app, sandboxazure.Program), func() error { return sandboxazure.Build(ctx, app) })
	},
	start: func(ctx context.Context, dir, name string, show printer, output io.Writer) (scene, error) {
		fault, _ := sandboxazure.FindFault(name)
		world, err := sandboxazure.New(ctx, sandboxazure.Options{App: filepath.Join(dir, azureApp), Fault: fault, OnEvent: show.event, FunctionOutput: output})
		if err != nil {
			return nil, err
		}
		show.item("Container Apps", fmt.Sprintf("%s   app %s with %d replicas", world.AppsURL, sandboxazure.AppName, sandboxazure.Replicas))
		show.item("Blob storage", world.StateURL+"   for the lock and the note")
		show.item("Functions host", world.Host.URL()+"   the function is ready")
		show.item("Maia", world.Maia.URL+"   the runner is connected and runs a pipeline")
		return azureScene{world}, nil
	},
}

type azureScene struct{ *sandboxazure.World }

// Runs implements scene.
func (s azureScene) Runs() int { return s.Calls() }

// Refreshes implements scene.
func (s azureScene) Refreshes() int { return s.Maia.Refreshes(sandbox.AgentID) }
