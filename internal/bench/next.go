package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// benchmarkNext runs BenchmarkNext five times and returns the median, in nanoseconds.
func benchmarkNext(ctx context.Context, benchtime time.Duration) (float64, error) {
	command := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkNext$", "-count", "5",
		"-benchtime", benchtime.String(), "github.com/maia-rotate/maia-rotate/pkg/rotate")
	// Interrupted, the go command ends its children too; killed, it would leave them behind.
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 5 * time.Second
	output, err := command.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("go test -bench: %w\n%s", err, bytes.TrimSpace(output))
	}
	return parseNext(output)
}

var nextLine = regexp.MustCompile(`(?m)^BenchmarkNext(?:-\d+)?\s+\d+\s+([0-9.]+) ns/op`)

func parseNext(output []byte) (float64, error) {
	var figures []float64
	for _, line := range nextLine.FindAllSubmatch(output, -1) {
		figure, err := strconv.ParseFloat(string(line[1]), 64)
		if err != nil {
			return 0, err
		}
		figures = append(figures, figure)
	}
	if len(figures) == 0 {
		return 0, errors.New("go test -bench printed no figure of BenchmarkNext")
	}
	slices.Sort(figures)
	return figures[len(figures)/2], nil
}
