// Command bench measures the functions and prints its figures on standard output, one a line:
//
//	name value unit
//
// What it is doing meanwhile it says on standard error. Everything runs on this machine and talks over loopback; the
// functions are built as for their clouds, by package pack. docs/benchmarks.md says what the figures mean.
//
//   - bootstrap_size_bytes, package_zip_bytes: the function for linux/arm64, and the zip file around it.
//   - init_ms, init_min_ms, init_max_ms: from the start of the function's process, built for this machine, to its first GET
//     invocation/next at a runtime API that does nothing else; median, least and most of -starts processes, one after the
//     other. See [start].
//   - rotation_peak_rss_bytes: the most memory that the function's process had resident in a whole rotation, the four
//     steps in one process: VmHWM of Linux; not-available elsewhere. The most of all rotations.
//   - maia_calls_per_rotation: see [maiaCalls]. The most of all rotations.
//   - calls_refresh_to_stored, own_time_refresh_to_stored_us: from the answer of the refresh to the PutSecretValue that
//     stores it; calls_promoted_to_restart, own_time_promoted_to_restart_us: from the answer of the call that moves
//     AWSCURRENT to UpdateService. The calls count the last one and not the first; the most of all rotations. The time is
//     the function's own, see [stretch]; median of all rotations.
//   - next_ns: BenchmarkNext of pkg/rotate, one decision of the engine; median of five.
//   - azure_size_bytes, azure_zip_bytes: the function for Azure, linux/amd64, and the zip file around it. azure_start_ms: from the
//     start of its process until it has answered that it is ready; median of -starts. azure_rotation_peak_rss_bytes: as
//     rotation_peak_rss_bytes. azure_calls_refresh_to_restart: see [refreshToRestart]. azure_maia_calls_per_rotation: as
//     maia_calls_per_rotation. The most of -azure-rotations.
//   - gcp_size_bytes: the function for Google Cloud, served on this machine. gcp_start_ms: from the start of its process until
//     it listens; gcp_rotation_peak_rss_bytes: as rotation_peak_rss_bytes; gcp_refresh_to_restart_ms: from when Maia has carried
//     the refresh out until the API server has the PATCH that restarts the pods; gcp_calls_refresh_to_restart: the calls to the API
//     server in that time, with the last one. Medians, and the most, of -gcp-rotations against a real API server.
//
// A rotation is one of -rotations in worlds of package sandbox, one after the other. It fails if a rotation needs a
// second attempt, or any of the sandbox's proofs does not hold.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/pack"
)

// timeout ends all of it; each part has its own, shorter bounds.
const timeout = 15 * time.Minute

type options struct {
	starts    int // processes that are started for init_ms
	rotations int
	azure     int           // rotations on Container Apps; 0 leaves Azure out
	gcp       int           // rotations on Kubernetes; 0 leaves Google Cloud out
	benchtime time.Duration // of each of the five BenchmarkNext
	verbose   bool          // list the calls of the first rotation
}

func main() {
	var options options
	flag.IntVar(&options.starts, "starts", 30, "how many processes init_ms is the median of")
	flag.IntVar(&options.rotations, "rotations", 5, "how many rotations are measured; one takes ten seconds")
	flag.IntVar(&options.azure, "azure-rotations", 5, "how many rotations on Container Apps are measured; 0 leaves Azure out")
	flag.IntVar(&options.gcp, "gcp-rotations", 10, "how many rotations on Kubernetes are measured; 0 leaves Google Cloud out")
	flag.DurationVar(&options.benchtime, "benchtime", 200*time.Millisecond, "how long each of five benchmarks takes")
	flag.BoolVar(&options.verbose, "v", false, "list the calls of the first rotation, on standard error")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := run(ctx, options, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, options options, stdout, progress io.Writer) error {
	if options.starts < 1 || options.rotations < 1 {
		return fmt.Errorf("%d starts and %d rotations, expected at least one of each", options.starts, options.rotations)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not done within %s", timeout))
	defer cancel()
	dir, err := os.MkdirTemp("", "maia-rotate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	print := func(name string, value any, unit string) { fmt.Fprintln(stdout, name, value, unit) }

	fmt.Fprintln(progress, "building")
	binary, err := sizes(ctx, dir, print)
	if err != nil {
		return err
	}
	fmt.Fprintln(progress, "starting", options.starts, "processes")
	took, err := starts(ctx, binary, options.starts)
	if err != nil {
		return err
	}
	for _, figure := range []struct {
		name string
		time time.Duration
	}{{"init_ms", median(took)}, {"init_min_ms", slices.Min(took)}, {"init_max_ms", slices.Max(took)}} {
		print(figure.name, fmt.Sprintf("%.1f", figure.time.Seconds()*1e3), "ms")
	}
	if err := rotations(ctx, binary, options, print, progress); err != nil {
		return err
	}
	fmt.Fprintln(progress, "deciding")
	next, err := benchmarkNext(ctx, options.benchtime)
	if err != nil {
		return err
	}
	print("next_ns", fmt.Sprintf("%.1f", next), "ns")
	if options.azure > 0 {
		if err := azureFigures(ctx, dir, options, print, progress); err != nil {
			return err
		}
	}
	if options.gcp == 0 {
		return nil
	}
	return gcpFigures(ctx, dir, options.gcp, print, progress)
}

// sizes builds and packs the function for AWS, and returns the one for this machine.
func sizes(ctx context.Context, dir string, print func(string, any, string)) (binary string, err error) {
	bootstrap, binary := filepath.Join(dir, "bootstrap"), filepath.Join(dir, "here")
	if err := pack.Build(ctx, bootstrap, "linux", "arm64"); err != nil {
		return "", err
	}
	info, err := os.Stat(bootstrap)
	if err != nil {
		return "", err
	}
	archive, err := pack.Zip(filepath.Join(dir, "function.zip"), bootstrap)
	if err != nil {
		return "", err
	}
	print("bootstrap_size_bytes", info.Size(), "bytes")
	print("package_zip_bytes", archive.Size, "bytes")
	return binary, pack.Build(ctx, binary, runtime.GOOS, runtime.GOARCH)
}

// rotations prints what is measured of whole rotations.
func rotations(ctx context.Context, binary string, options options, print func(string, any, string), progress io.Writer) error {
	var all []rotation
	for n := range options.rotations {
		fmt.Fprintln(progress, "rotation", n+1, "of", options.rotations)
		one, err := rotate(ctx, binary)
		if err != nil {
			return fmt.Errorf("rotation %d: %w", n+1, err)
		}
		if options.verbose && n == 0 {
			listCalls(progress, one.calls)
		}
		all = append(all, one)
	}
	most := func(of func(rotation) int64) (found int64) {
		for _, one := range all {
			found = max(found, of(one))
		}
		return found
	}
	middle := func(of func(rotation) time.Duration) int64 {
		var times []time.Duration
		for _, one := range all {
			times = append(times, of(one))
		}
		return median(times).Microseconds()
	}
	print("rotation_peak_rss_bytes", available(most(func(r rotation) int64 { return r.peak })), "bytes")
	print("maia_calls_per_rotation", most(func(r rotation) int64 { return int64(len(maiaCalls(r.calls))) }), "calls")
	print("calls_refresh_to_stored", most(func(r rotation) int64 { return int64(r.stored.calls) }), "calls")
	print("own_time_refresh_to_stored_us", middle(func(r rotation) time.Duration { return r.stored.own }), "us")
	print("calls_promoted_to_restart", most(func(r rotation) int64 { return int64(r.restarted.calls) }), "calls")
	print("own_time_promoted_to_restart_us", middle(func(r rotation) time.Duration { return r.restarted.own }), "us")
	return nil
}

// available is a figure that may not be known.
func available(figure int64) any {
	if figure == 0 {
		return "not-available"
	}
	return figure
}

// median is the middle one, of an even number the mean of the two in the middle.
func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
