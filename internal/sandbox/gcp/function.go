package gcp

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/process"
)

// Function is the compiled function in a process of its own, called over HTTP. It is started when it is called, and
// again when it was killed, as Cloud Run does.
type Function struct {
	binary string
	env    []string
	output process.Output

	mu      sync.Mutex
	process *process.Process // the last one; nil if there was none
	killed  bool             // it will end
	url     string
	started time.Duration // of the last start until it listened
}

const listenTimeout = 2 * time.Minute

// Env is its environment, but for what the platform adds.
func (f *Function) Env() []string { return slices.Clone(f.env) }

// Output is all that it has printed.
func (f *Function) Output() []byte { return f.output.Bytes() }

// Started is how long its last start took until it listened.
func (f *Function) Started() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.started
}

// Process is the ID of its process; 0 if none runs.
func (f *Function) Process() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.process == nil || !f.process.Running() {
		return 0
	}
	return f.process.PID()
}

// start starts a process, unless one runs.
func (f *Function) start(ctx context.Context) (url string, err error) {
	f.mu.Lock()
	for f.process != nil && f.killed && f.process.Running() {
		ended := f.process.Exited()
		f.mu.Unlock()
		<-ended
		f.mu.Lock()
	}
	defer f.mu.Unlock()
	if f.process != nil && f.process.Running() {
		return f.url, nil
	}
	port, err := process.FreePort()
	if err != nil {
		return "", err
	}
	command := exec.Command(f.binary)
	command.Env = append([]string{"PORT=" + port, "HOME=/nonexistent"}, f.env...)
	command.Stdout, command.Stderr = &f.output, &f.output
	began := time.Now()
	started, err := process.Start(command)
	if err != nil {
		return "", err
	}
	f.process, f.killed, f.url = started, false, "http://127.0.0.1:"+port
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	err = started.AwaitReady(ctx, process.Listens(port))
	f.mu.Lock()
	if err != nil {
		return "", fmt.Errorf("the function does not listen: %w: %s", err, f.Output())
	}
	f.started = time.Since(began)
	return f.url, nil
}

// Call calls the function as Cloud Scheduler does, and returns the status and the body of its answer.
func (f *Function) Call(ctx context.Context) (status int, body []byte, err error) {
	url, err := f.start(ctx)
	if err != nil {
		return 0, nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("User-Agent", "Google-Cloud-Scheduler")
	request.Header.Set("X-CloudScheduler", "true")
	request.Header.Set("X-CloudScheduler-JobName", "maia-rotate")
	request.Header.Set("X-CloudScheduler-ScheduleTime", time.Now().UTC().Format(time.RFC3339))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

// termination is how long Cloud Run waits after SIGTERM.
const termination = 10 * time.Second

// Terminate ends its process as Cloud Run does: it is asked to end, and killed if it has not soon. Terminate does not wait.
func (f *Function) Terminate() {
	if running := f.end(); running != nil {
		running.Terminate(termination)
	}
}

// Kill ends its process at once, if one runs.
func (f *Function) Kill() {
	if running := f.end(); running != nil {
		running.Kill()
		<-running.Exited()
	}
}

// end is the process that is to end; nil if there was none.
func (f *Function) end() *process.Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.killed = true
	return f.process
}
