package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/controlplane/controlplanetest"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// TestFigures runs everything, with few runs, and holds the figures that do not depend on the machine against their limits.
func TestFigures(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles and runs the function")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	var stdout, progress bytes.Buffer
	if err := run(ctx, options{starts: 2, rotations: 1, benchtime: time.Millisecond, verbose: true}, &stdout, &progress); err != nil {
		t.Fatalf("%v\n%s%s", err, &stdout, &progress)
	}
	checkFigures(t, stdout.String(), map[string]float64{
		"bootstrap_size_bytes":      10_500_000,
		"package_zip_bytes":         4_000_000,
		"calls_refresh_to_stored":   1,
		"calls_promoted_to_restart": 1,
	}, []string{
		"bootstrap_size_bytes", "package_zip_bytes", "init_ms", "init_min_ms", "init_max_ms", "rotation_peak_rss_bytes",
		"maia_calls_per_rotation", "calls_refresh_to_stored", "own_time_refresh_to_stored_us",
		"calls_promoted_to_restart", "own_time_promoted_to_restart_us", "next_ns",
	})
	for _, want := range []string{"createSecret  Maia             RefreshCredentials", "finishSecret  ECS              UpdateService",
		"polling", "token"} {
		if !strings.Contains(progress.String(), want) {
			t.Errorf("the list of calls has no %q:\n%s", want, &progress)
		}
	}
}

// checkFigures checks that these figures are printed, and no others, and that none is beyond its limit.
func checkFigures(t *testing.T, stdout string, limits map[string]float64, want []string) {
	t.Helper()
	figure := regexp.MustCompile(`^([a-z_]+) ([0-9.]+|not-available) (bytes|ms|us|ns|calls)\n$`)
	var names []string
	for line := range strings.Lines(stdout) {
		found := figure.FindStringSubmatch(line)
		if found == nil {
			t.Errorf("%q is no figure", line)
			continue
		}
		names = append(names, found[1])
		value, err := strconv.ParseFloat(found[2], 64)
		if found[2] == "not-available" {
			continue
		}
		if err != nil || value <= 0 {
			t.Errorf("%q: %v", line, err)
		}
		if limit := limits[found[1]]; limit > 0 && value > limit {
			t.Errorf("%s is %s, expected at most %.0f", found[1], found[2], limit)
		}
	}
	if !slices.Equal(names, want) {
		t.Errorf("the figures are %q, expected %q", names, want)
	}
}

// TestFiguresOfAzure rotates once on Container Apps.
func TestFiguresOfAzure(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles and runs the function")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	var stdout, progress bytes.Buffer
	print := func(name string, value any, unit string) { fmt.Fprintln(&stdout, name, value, unit) }
	if err := azureFigures(ctx, t.TempDir(), options{starts: 2, azure: 1, verbose: true}, print, &progress); err != nil {
		t.Fatalf("%v\n%s", err, &progress)
	}
	checkFigures(t, stdout.String(), map[string]float64{
		"azure_size_bytes":               9_000_000,
		"azure_zip_bytes":                4_000_000,
		"azure_calls_refresh_to_restart": 5,
		"azure_maia_calls_per_rotation":  10,
	}, []string{
		"azure_size_bytes", "azure_zip_bytes", "azure_start_ms", "azure_rotation_peak_rss_bytes", "azure_calls_refresh_to_restart",
		"azure_maia_calls_per_rotation",
	})
	for _, want := range []string{"Container Apps   write", "Container Apps   revisions/restart/action", "Blob storage     put",
		"Maia             RefreshCredentials", "polling"} {
		if !strings.Contains(progress.String(), want) {
			t.Errorf("the list of calls has no %q:\n%s", want, &progress)
		}
	}
}

// TestFiguresOfGoogleCloud rotates once on Kubernetes. A function that grows too large is seen here.
func TestFiguresOfGoogleCloud(t *testing.T) {
	controlplanetest.Binary(t)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	var stdout, progress bytes.Buffer
	print := func(name string, value any, unit string) { fmt.Fprintln(&stdout, name, value, unit) }
	if err := gcpFigures(ctx, t.TempDir(), 1, print, &progress); err != nil {
		t.Fatalf("%v\n%s", err, &progress)
	}
	checkFigures(t, stdout.String(), map[string]float64{"gcp_size_bytes": 66_000_000, "gcp_calls_refresh_to_restart": 30}, []string{
		"gcp_size_bytes", "gcp_start_ms", "gcp_rotation_peak_rss_bytes", "gcp_refresh_to_restart_ms", "gcp_calls_refresh_to_restart",
	})
}

func TestInterrupted(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout bytes.Buffer
	if err := run(ctx, options{starts: 1, rotations: 1}, &stdout, &stdout); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "*")); err != nil || len(left) > 0 {
		t.Errorf("left are %v (%v)", left, err)
	}
}

func TestNothingToMeasure(t *testing.T) {
	for _, options := range []options{{starts: 1}, {rotations: 1}} {
		if err := run(t.Context(), options, nil, nil); err == nil {
			t.Errorf("%+v is accepted", options)
		}
	}
}

func TestAFunctionThatEnds(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles and runs the function")
	}
	binary, err := exec.LookPath("false")
	if err != nil {
		t.Skip(err)
	}
	if _, err := starts(t.Context(), binary, 1); err == nil || !strings.Contains(err.Error(), "ended before it asked for an event") {
		t.Errorf("the error is %v", err)
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		times []time.Duration
		want  time.Duration
	}{{[]time.Duration{7}, 7}, {[]time.Duration{9, 1, 4}, 4}, {[]time.Duration{9, 1, 4, 6}, 5}} {
		if got := median(test.times); got != test.want {
			t.Errorf("of %v: %d, expected %d", test.times, got, test.want)
		}
	}
}

func TestParseNext(t *testing.T) {
	output := "goos: linux\nBenchmarkNext-2   \t  100\t 72.50 ns/op\nBenchmarkNext-2 100 70 ns/op\nBenchmarkNext 100 90.1 " +
		"ns/op\nBenchmarkNextOther 100 1 ns/op\nPASS\n"
	if got, err := parseNext([]byte(output)); err != nil || got != 72.5 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parseNext([]byte("PASS\n")); err == nil {
		t.Error("no error")
	}
}

// timeline makes calls of these names, each 1 ms after the answer of the one before. "wait" is two seconds without a call; a name
// that ends in ":" begins a step; names of Maia's calls go to Maia.
func timeline(names ...string) (calls []call) {
	now, step := time.Unix(0, 0), "createSecret"
	for _, name := range names {
		switch {
		case name == "wait":
			now = now.Add(2 * time.Second)
			continue
		case strings.HasSuffix(name, ":"):
			step = strings.TrimSuffix(name, ":")
			continue
		}
		service := sandbox.FromSecretsManager
		if slices.Contains([]string{"Token", "GetAgent", "GetCredentials", "RefreshCredentials", "Pause", "Resume"}, name) {
			service = sandbox.FromMaia
		}
		calls = append(calls,
			call{service: service, name: name, step: step, arrived: now.Add(time.Millisecond), answered: now.Add(3 * time.Millisecond)})
		now = now.Add(3 * time.Millisecond)
	}
	return calls
}

func TestMaiaCalls(t *testing.T) {
	for name, test := range map[string]struct {
		calls []string
		want  int
	}{
		"tokens and other services": {[]string{"Token", "DescribeSecret", "GetAgent", "PutSecretValue"}, 1},
		"reads without a wait":      {[]string{"GetAgent", "GetCredentials", "GetAgent", "GetAgent"}, 4},
		"a command that shows late": {[]string{"Pause", "GetAgent", "wait", "GetAgent", "wait", "GetAgent"}, 1},
		"a drain, noted before":     {[]string{"GetAgent", "UpdateSecretVersionStage", "wait", "GetAgent", "wait", "GetAgent", "GetAgent"}, 2},
		"instances that come": {[]string{"UpdateService", "DescribeServices", "GetAgent", "GetCredentials", "wait", "DescribeServices",
			"GetAgent", "GetCredentials", "wait", "DescribeServices", "GetAgent"}, 0},
		"a first read after a wait": {[]string{"UpdateService", "wait", "DescribeServices", "GetAgent", "wait", "DescribeServices", "GetAgent"},
			0},
		"a change, then a wait":    {[]string{"GetAgent", "UpdateSecretVersionStage", "wait", "DescribeSecret", "GetAgent"}, 2},
		"a change after the wait":  {[]string{"GetAgent", "wait", "PutSecretValue", "GetAgent"}, 2},
		"another step":             {[]string{"GetAgent", "finishSecret:", "wait", "GetAgent"}, 2},
		"a wait at the first read": {[]string{"DescribeSecret", "wait", "GetAgent"}, 1},
		"replicas that come":       {[]string{opRestart, "read", "GetAgent", "GetCredentials", "wait", "revisions/read", "GetAgent"}, 0},
		"a note, then a read":      {[]string{"Pause", "put", "get", "listSecrets/action", "GetAgent"}, 2},
		"commands are never polls": {[]string{"Resume", "wait", "Resume"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			if got := len(maiaCalls(timeline(test.calls...))); got != test.want {
				t.Errorf("%d, expected %d", got, test.want)
			}
		})
	}
}

func TestRefreshToRestart(t *testing.T) {
	for name, test := range map[string]struct {
		calls []string
		want  int // 0: an error
	}{
		"reads while a change is under way": {[]string{"read", "RefreshCredentials", "read", "write", "read", "wait", "read",
			"listSecrets/action", opRestart, "read"}, 4},
		"other reads": {[]string{"RefreshCredentials", "read", "GetAgent", "read", "write", "GetAgent", "read", opRestart}, 4},
		"no restart":  {[]string{"RefreshCredentials", "read", "write"}, 0},
		"no refresh":  {[]string{"read", "write", opRestart}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			calls := timeline(test.calls...)
			for i := range calls {
				if calls[i].service != sandbox.FromMaia {
					calls[i].service = sandbox.FromContainerApps
				}
			}
			if got, err := refreshToRestart(calls); got != test.want || (err == nil) != (test.want > 0) {
				t.Errorf("%d, %v, expected %d", got, err, test.want)
			}
		})
	}
}

func TestStretchOf(t *testing.T) {
	is := func(name string) func(call) bool { return func(made call) bool { return made.name == name } }
	calls := timeline("PutSecretValue", "RefreshCredentials", "DescribeSecret", "PutSecretValue", "PutSecretValue")
	if got, ok := stretchOf(calls, is("RefreshCredentials"), is("PutSecretValue")); !ok ||
		got != (stretch{calls: 2, own: 2 * time.Millisecond}) {
		t.Errorf("%+v, %t", got, ok)
	}
	for _, missing := range [][2]string{{"Pause", "PutSecretValue"}, {"RefreshCredentials", "UpdateService"}} {
		if got, ok := stretchOf(calls, is(missing[0]), is(missing[1])); ok {
			t.Errorf("from %s to %s is %+v", missing[0], missing[1], got)
		}
	}
}
