package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/controlplane"
	sandboxgcp "github.com/maia-rotate/maia-rotate/internal/sandbox/gcp"
)

// gcpRotation is what was measured of one rotation of the function for Google Cloud.
type gcpRotation struct {
	started time.Duration // from the start of the process until it listened
	peak    int64         // bytes; 0 is not known
	restart time.Duration // from the refresh until the restart was ordered
	calls   int           // to the API server, in that time
}

// gcpFigures builds the function for Google Cloud and prints what is measured of it.
func gcpFigures(ctx context.Context, dir string, rotations int, print func(string, any, string), progress io.Writer) error {
	fmt.Fprintln(progress, "building for Google Cloud")
	binary, err := sandboxgcp.Build(ctx, dir)
	if err != nil {
		return err
	}
	info, err := os.Stat(binary)
	if err != nil {
		return err
	}
	plane, err := controlplane.Build(ctx, func(line string) { fmt.Fprintln(progress, line) })
	if err != nil {
		return err
	}
	var started, restart []time.Duration
	var peak int64
	calls := 0
	for n := range rotations {
		fmt.Fprintln(progress, "rotation", n+1, "of", rotations, "on Kubernetes")
		one, err := rotateGCP(ctx, plane, filepath.Clean(binary))
		if err != nil {
			return fmt.Errorf("rotation %d on Kubernetes: %w", n+1, err)
		}
		started, restart = append(started, one.started), append(restart, one.restart)
		peak, calls = max(peak, one.peak), max(calls, one.calls)
	}
	print("gcp_size_bytes", info.Size(), "bytes")
	print("gcp_start_ms", fmt.Sprintf("%.1f", median(started).Seconds()*1e3), "ms")
	print("gcp_rotation_peak_rss_bytes", available(peak), "bytes")
	print("gcp_refresh_to_restart_ms", fmt.Sprintf("%.1f", median(restart).Seconds()*1e3), "ms")
	print("gcp_calls_refresh_to_restart", calls, "calls")
	return nil
}

func rotateGCP(ctx context.Context, plane, binary string) (measured gcpRotation, err error) {
	world, err := sandboxgcp.New(ctx, sandboxgcp.Options{ControlPlane: plane, Binary: binary})
	if err != nil {
		return measured, err
	}
	defer world.Close()
	status, answer := world.Call(ctx)
	if status != 200 {
		return measured, fmt.Errorf("the call was answered with %d: %+v", status, answer)
	}
	measured.started = world.Function.Started()
	if measured.peak, err = peakMemory(world.Function.Process()); err != nil {
		return measured, err
	}
	refreshed := world.Refreshed()
	for _, request := range world.Requests() {
		if refreshed.IsZero() || !request.Received.After(refreshed) {
			continue
		}
		measured.calls++
		if request.Verb == "patch" && request.Resource == "deployments" && !request.DryRun {
			measured.restart = request.Received.Sub(refreshed)
			return measured, nil
		}
	}
	return measured, fmt.Errorf("there is no refresh with a restart after it")
}
