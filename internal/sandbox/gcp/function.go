package gcp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/freeport"
)

// Function is the compiled function in a process of its own, called over HTTP. It is started when it is called, and
// again when it was killed, as Cloud Run does.
type Function struct {
	binary string
	env    []string
	copy   io.Writer // gets what it prints, too; may be nil

	mu      sync.Mutex
	process *exec.Cmd
	killed  bool // it will end
	ended   chan struct{}
	url     string
	output  bytes.Buffer
	started time.Duration // of the last start until it listened
}

const listenTimeout = 2 * time.Minute

// Write implements io.Writer, for the process.
func (f *Function) Write(text []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.output.Write(text)
	if f.copy != nil {
		_, _ = f.copy.Write(text)
	}
	return len(text), nil
}

// Env is its environment, but for what the platform adds.
func (f *Function) Env() []string { return slices.Clone(f.env) }

// Output is all that it has printed.
func (f *Function) Output() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return bytes.Clone(f.output.Bytes())
}

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
	if f.process == nil {
		return 0
	}
	return f.process.Process.Pid
}

// start starts a process, unless one runs.
func (f *Function) start(ctx context.Context) (url string, err error) {
	f.mu.Lock()
	for f.process != nil && f.killed {
		ended := f.ended
		f.mu.Unlock()
		<-ended
		f.mu.Lock()
	}
	if f.process != nil {
		defer f.mu.Unlock()
		return f.url, nil
	}
	port, err := freeport.Find()
	if err != nil {
		f.mu.Unlock()
		return "", err
	}
	process := exec.Command(f.binary)
	process.Env = append([]string{"PORT=" + port, "HOME=/nonexistent"}, f.env...)
	process.Stdout, process.Stderr = f, f
	began, ended := time.Now(), make(chan struct{})
	if err := process.Start(); err != nil {
		f.mu.Unlock()
		return "", err
	}
	f.process, f.killed, f.ended, f.url = process, false, ended, "http://127.0.0.1:"+port
	f.mu.Unlock()
	go func() {
		_ = process.Wait()
		f.mu.Lock()
		f.process = nil
		f.mu.Unlock()
		close(ended)
	}()
	ctx, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	for {
		connection, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = connection.Close()
			f.mu.Lock()
			defer f.mu.Unlock()
			f.started = time.Since(began)
			return f.url, nil
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ended:
			return "", fmt.Errorf("the function ended at its start: %s", f.Output())
		case <-ctx.Done():
			return "", fmt.Errorf("the function does not listen: %w", ctx.Err())
		}
	}
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
	f.mu.Lock()
	process, ended := f.process, f.ended
	f.killed = true
	f.mu.Unlock()
	if process == nil {
		return
	}
	_ = process.Process.Signal(syscall.SIGTERM)
	go func() {
		select {
		case <-ended:
		case <-time.After(termination):
			_ = process.Process.Kill()
		}
	}()
}

// Kill ends its process at once, if one runs.
func (f *Function) Kill() {
	f.mu.Lock()
	process, ended := f.process, f.ended
	f.killed = true
	f.mu.Unlock()
	if process != nil {
		_ = process.Process.Kill()
		<-ended
	}
}
