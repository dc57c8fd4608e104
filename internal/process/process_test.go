package process_test

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/process"
)

// start starts a shell with a script, and waits until it has printed something.
func start(t *testing.T, script string) *process.Process {
	t.Helper()
	var output, also process.Output
	output.Also = &also
	command := exec.Command("sh", "-c", script)
	command.Stdout = &output
	p, err := process.Start(command)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	if err := p.AwaitReady(t.Context(), func(context.Context) bool { return len(also.Bytes()) > 0 }); err != nil {
		t.Fatal(err)
	}
	if !p.Running() || !bytes.Equal(output.Bytes(), also.Bytes()) {
		t.Errorf("running: %t, printed %q", p.Running(), output.Bytes())
	}
	return p
}

func terminate(grace time.Duration) func(*process.Process) {
	return func(p *process.Process) { p.Terminate(grace) }
}

func TestEnds(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		end    func(*process.Process)
		signal syscall.Signal
	}{
		"killed":                     {"echo; exec sleep 60", (*process.Process).Kill, syscall.SIGKILL},
		"terminated":                 {"echo; exec sleep 60", terminate(time.Minute), syscall.SIGTERM},
		"killed after the grace":     {"trap '' TERM; echo; exec sleep 60", terminate(time.Millisecond), syscall.SIGKILL},
		"its child holds the output": {"echo; sleep 5 & exec sleep 60", (*process.Process).Kill, syscall.SIGKILL},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, test.script)
			test.end(p)
			if got := p.State().Sys().(syscall.WaitStatus).Signal(); got != test.signal || p.Running() {
				t.Errorf("it ended by %v, running: %t", got, p.Running())
			}
		})
	}
}

func TestAwaitReadyEnds(t *testing.T) {
	never := func(context.Context) bool { return false }
	if err := start(t, "echo; sleep 0.1").AwaitReady(t.Context(), never); !errors.Is(err, process.ErrExited) {
		t.Errorf("the program has ended: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := start(t, "echo; exec sleep 60").AwaitReady(ctx, never); !errors.Is(err, context.Canceled) {
		t.Errorf("the context has ended: %v", err)
	}
}
