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
	"github.com/maia-rotate/maia-rotate/internal/sandbox/gke"
	"github.com/maia-rotate/maia-rotate/internal/sandbox/stage"
)

const leftOut = ""

func furtherClouds() []cloudSandbox { return []cloudSandbox{gcpSandbox} }

// planeFile holds the path of the control plane, below the folder of what is built.
const planeFile = "control-plane"

var gcpSandbox = cloudSandbox{
	name: "gcp", function: "functions/gcp", runs: "call",
	faults: func() []faultInfo {
		var all []faultInfo
		for _, fault := range gke.Faults() {
			all = append(all, faultInfo{fault.Name, fault.What, fault.Refreshes})
		}
		return all
	},
	build: func(ctx context.Context, dir string, show printer) error {
		err := timed(show, filepath.Join(dir, "function"), func() error {
			_, err := gke.Build(ctx, dir)
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
		fault, _ := gke.FindFault(name)
		world, err := gke.New(ctx, gke.Options{
			ControlPlane: filepath.Join(dir, planeFile), Binary: filepath.Join(dir, "function"),
			Fault: fault, OnEvent: show.event, FunctionOutput: output,
		})
		if err != nil {
			return nil, err
		}
		show.item("Kubernetes", fmt.Sprintf("%s   release %s, %d pods", strings.TrimPrefix(world.Plane.Admin().Host, "https://"), gke.Release, gke.Replicas))
		show.item("Maia", world.Maia.URL+"   the runner is connected and runs a pipeline")
		return gcpScene{world}, nil
	},
}

type gcpScene struct{ *gke.World }

// Runs implements scene.
func (s gcpScene) Runs() int { return s.Calls() }

// Refreshes implements scene.
func (s gcpScene) Refreshes() int { return s.Maia.Refreshes(stage.AgentID) }
