// Package process supervises the programs of functions: what the Lambda, the host of Azure Functions and the function of
// Google Cloud have in common. When one is ready, and what follows its end, is for each of them to say.
package process

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Process is a program that was started.
type Process struct {
	command *exec.Cmd
	exited  chan struct{}
}

// Start starts a program.
func Start(command *exec.Cmd) (*Process, error) {
	command.WaitDelay = time.Second // a child of the program that keeps the output open does not keep us
	if err := command.Start(); err != nil {
		return nil, err
	}
	p := &Process{command: command, exited: make(chan struct{})}
	go func() {
		_ = command.Wait() // how it ended is in its state
		close(p.exited)
	}()
	return p, nil
}

// PID is the ID of the process.
func (p *Process) PID() int { return p.command.Process.Pid }

// Kill ends the process with SIGKILL; its end is seen in Exited.
func (p *Process) Kill() { _ = p.command.Process.Kill() }

// Terminate asks the process to end, and kills it if it has not after the grace. It does not wait.
func (p *Process) Terminate(grace time.Duration) {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	time.AfterFunc(grace, p.Kill)
}

// Exited is closed when the process has ended, and all that it printed is there.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Running reports whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// State is how the process has ended. It waits until then.
func (p *Process) State() *os.ProcessState {
	<-p.exited
	return p.command.ProcessState
}

// ErrExited is the error of a process that has ended before it was ready.
var ErrExited = errors.New("it has ended")

const readyPoll = 2 * time.Millisecond

// AwaitReady asks until the program is ready.
func (p *Process) AwaitReady(ctx context.Context, ready func(context.Context) bool) error {
	for !ready(ctx) {
		select {
		case <-time.After(readyPoll):
		case <-p.exited:
			return ErrExited
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Listens is for AwaitReady: a program is ready when something listens on a port of 127.0.0.1.
func Listens(port string) func(context.Context) bool {
	return func(ctx context.Context) bool {
		var dialer net.Dialer
		connection, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
		if err == nil {
			_ = connection.Close()
		}
		return err == nil
	}
}
