//go:build !nogcp

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/maia-rotate/maia-rotate/internal/controlplane"
	sandboxgcp "github.com/maia-rotate/maia-rotate/internal/sandbox/gcp"
)

const leftOut = ""

func furtherClouds() []cloudSandbox { return []cloudSandbox{gcpSandbox} }

// planeFile holds the path of the control plane, below the folder of what is built.
const planeFile = "control-plane"

var gcpSandbox = cloudSandbox{
	name: "gcp", function: "functions/gcp", runs: "call",
	faults: func() []faultInfo { return infosOf(sandboxgcp.Faults()) },
	build: func(ctx context.Context, dir string, show printer) error {
		err := timed(show, filepath.Join(dir, "function"), func() error {
			_, err := sandboxgcp.Build(ctx, dir)
			return err
		})
		if err != nil {
			return err
		}
		name := "control plane"
		plane, err := controlplane.Build(ctx, func(line string) {
			show.item(name, line)
			name = ""
		})
		if err != nil {
			return err
		}
		return os.Symlink(plane, filepath.Join(dir, planeFile))
	},
	start: func(ctx context.Context, dir, name string, show printer, output io.Writer) (scene, error) {
		fault, _ := sandboxgcp.Faults().Find(name)
		world, err := sandboxgcp.New(ctx, sandboxgcp.Options{
			ControlPlane: filepath.Join(dir, planeFile), Binary: filepath.Join(dir, "function"),
			Fault: fault, OnEvent: show.event, FunctionOutput: output,
		})
		if err != nil {
			return nil, err
		}
		show.item("Kubernetes", fmt.Sprintf("%s   release %s, %d pods", strings.TrimPrefix(world.Plane.Admin().Host, "https://"),
			sandboxgcp.Release, sandboxgcp.Replicas))
		show.item("Maia", world.Maia.URL+"   the runner is connected and runs a pipeline")
		return world, nil
	},
}
