package lambda

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/process"
)

// instance is one process of the function, with a runtime API of its own.
type instance struct {
	*process.Process
	function *Function
	server   *http.Server
	events   chan *invocation // to the runtime API's "next"

	mu        sync.Mutex
	reserved  bool        // an invocation has it, or it is no more to be used
	current   *invocation // taken by the process and not answered
	last      string      // request id that was answered last
	initError []byte      // what the process reported instead of taking an event
}

// invocation is one event and its answer.
type invocation struct {
	id       string
	payload  []byte
	deadline time.Time
	begin    time.Time
	taken    chan struct{} // closed when the process has it
	answered chan struct{} // closed when it has answered …
	answer   []byte        // … with this,
	failed   bool          // which is an error
}

// start starts a process.
func (f *Function) start() (*instance, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("lambda: %w", err)
	}
	p := &instance{function: f, events: make(chan *invocation)}
	command := exec.Command(f.options.Binary)
	command.Dir = filepath.Dir(f.options.Binary)
	command.Env = f.environment(listener.Addr().String())
	command.Stdout, command.Stderr = &f.output, &f.output
	if p.Process, err = process.Start(command); err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("lambda: start the function: %w", err)
	}
	p.server = &http.Server{Handler: p.runtimeAPI()}
	var served sync.WaitGroup
	served.Go(func() { _ = p.server.Serve(listener) })
	f.waiting.Go(func() {
		<-p.Exited()
		f.forget(p)
		_ = p.server.Close()
		served.Wait()
	})
	return p, nil
}

// reserve takes the process for an invocation, unless another one has it.
func (p *instance) reserve() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reserved || !p.Running() {
		return false
	}
	p.reserved = true
	return true
}

func (p *instance) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reserved = false
}

// invocation returns the one that the process is handling, or nil.
func (p *instance) invocation() *invocation {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}

// handle gives the event to the process, which is reserved, and waits for the
// end of the invocation. Only a process that answered is used again.
func (p *instance) handle(ctx context.Context, payload []byte) (Result, error) {
	inv := &invocation{
		id:       newRequestID(),
		payload:  payload,
		taken:    make(chan struct{}),
		answered: make(chan struct{}),
	}
	initialized := time.NewTimer(initTimeout)
	defer initialized.Stop()
	select {
	case p.events <- inv:
		<-inv.taken
	case <-p.Exited():
		return p.notInitialized(inv)
	case <-initialized.C:
		p.end()
		return Result{
			FunctionError: unhandled,
			TimedOut:      true,
			Payload: errorPayload("Sandbox.Timedout", fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", inv.id,
				initTimeout.Seconds())),
			Duration: initTimeout,
		}, nil
	case <-ctx.Done():
		p.end()
		return Result{}, ctx.Err()
	}

	deadline := time.NewTimer(time.Until(inv.deadline))
	defer deadline.Stop()
	result := Result{FunctionError: unhandled}
	select {
	case <-inv.answered:
	case <-p.Exited():
	case <-deadline.C:
		result.TimedOut = true
	case <-ctx.Done():
		p.end()
		return Result{}, ctx.Err()
	}
	result.Duration = time.Since(inv.begin)
	select {
	case <-inv.answered: // and if it exited thereafter: an answer is an answer
		result.Payload, result.TimedOut = inv.answer, false
		if !inv.failed {
			result.FunctionError = ""
		}
		p.release()
		return result, nil
	default:
	}
	p.end()
	switch {
	case result.TimedOut:
		result.Payload = errorPayload("Sandbox.Timedout", fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", inv.id,
			p.function.options.Timeout.Seconds()))
	default:
		result.Exited = true
		result.Payload = errorPayload("Runtime.ExitError", p.exitMessage(inv.id))
	}
	return result, nil
}

// notInitialized is the outcome for a process that ended before it took the
// event.
func (p *instance) notInitialized(inv *invocation) (Result, error) {
	p.mu.Lock()
	initError := p.initError
	before := p.last != ""
	p.mu.Unlock()
	if before {
		return Result{}, errNotTaken
	}
	if initError == nil {
		initError = errorPayload("Runtime.ExitError", p.exitMessage(inv.id))
	}
	return Result{Payload: initError, FunctionError: unhandled, Exited: true}, nil
}

// end kills the process and waits for its end; it stays reserved.
func (p *instance) end() {
	p.Kill()
	<-p.Exited()
}

const unhandled = "Unhandled"

func (p *instance) exitMessage(id string) string {
	exit := p.State().String() // "exit status 1"
	if exit == "exit status 0" {
		return fmt.Sprintf("RequestId: %s Error: Runtime exited without providing a reason", id)
	}
	return fmt.Sprintf("RequestId: %s Error: Runtime exited with error: %s", id, exit)
}

func errorPayload(kind, message string) []byte {
	payload, err := json.Marshal(struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}{kind, message})
	if err != nil {
		panic(err) // two strings always have JSON
	}
	return payload
}
