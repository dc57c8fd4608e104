package functionshost

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/internal/process"
)

// hostVersion is that of a host of 2026.
const hostVersion = "4.1046.100.26071"

// Result is the outcome of an invocation.
type Result struct {
	InvocationID string
	Failure      string   // why the invocation failed; empty if it has succeeded
	Status       int      // that the handler answered; 0 if it did not
	Body         []byte   // of the answer; the host throws it away if the invocation failed
	Logs         []string // of an answer that succeeded, which the host logs as Information
	Hung         bool     // it was answered without a document, which the host does not take for an answer
	TimedOut     bool     // the handler was killed at functionTimeout
	Exited       bool     // the handler ended in the middle
	Duration     time.Duration
}

// handler is one process of the handler.
type handler struct {
	*process.Process
	url      string
	client   *http.Client
	ready    chan struct{} // closed when it has answered
	replaced chan struct{} // closed when another one has taken its place, or none will
}

// launch starts a process on a port of its own.
func (h *Host) launch() (*handler, error) {
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	worker := wire.NewID()
	p := &handler{
		url:    "http://127.0.0.1:" + port + "/",
		client: &http.Client{Transport: &http.Transport{DisableCompression: true}},
		ready:  make(chan struct{}), replaced: make(chan struct{}),
	}
	command := exec.Command(h.app.executable)
	command.Dir = h.options.Folder
	command.Env = append([]string{
		"FUNCTIONS_CUSTOMHANDLER_PORT=" + port, "FUNCTIONS_CUSTOMHANDLER_WORKER_ID=" + worker,
		"FUNCTIONS_HTTPWORKER_PORT=" + port, "FUNCTIONS_HTTPWORKER_ID=" + worker,
		"FUNCTIONS_APP_ROOT_PATH=" + h.options.Folder, "FUNCTIONS_EXTENSION_VERSION=~4",
		"HOME=/home", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	}, h.settings...)
	command.Stdout, command.Stderr = &h.information, &h.errors
	if p.Process, err = process.Start(command); err != nil {
		return nil, fmt.Errorf("functionshost: start the handler: %w", err)
	}
	h.processes.Go(func() { p.awaitReady(h.options.StartTimeout) })
	return p, nil
}

// wait waits for the end of the process and returns its exit code.
func (p *handler) wait() int {
	code := p.State().ExitCode()
	p.client.CloseIdleConnections()
	return code
}

// awaitReady waits until the process answers. One that does not in time is killed.
func (p *handler) awaitReady(timeout time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	switch err := p.AwaitReady(ctx, p.answers); err {
	case nil:
		close(p.ready)
	case context.DeadlineExceeded:
		p.Kill()
	}
}

// answers reports whether the process says that it is ready.
func (p *handler) answers(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return false
	}
	response, err := p.client.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// invoke posts an invocation and waits for its end.
func (p *handler) invoke(ctx context.Context, name string, body []byte, timeout time.Duration) (result Result, err error) {
	result.InvocationID = wire.NewID()
	begin := time.Now()
	defer func() { result.Duration = time.Since(begin) }()
	bounded, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	p.post(bounded, name, body, &result)
	if result.Hung {
		<-bounded.Done() // whatever becomes of the process
		result.Failure = "the answer was no document"
	}
	switch {
	case ctx.Err() != nil:
		return Result{}, ctx.Err()
	case context.Cause(bounded) == errTimeout:
		p.Kill()
		<-p.replaced
		result.TimedOut = true
		result.Failure = fmt.Sprintf("Timeout value of %s exceeded by function: Functions.%s", timeout, name)
	case result.Exited:
		<-p.replaced
	}
	return result, nil
}

var errTimeout = errors.New("functionTimeout")

// post sends an invocation as the host does.
func (p *handler) post(ctx context.Context, name string, body []byte, result *Result) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+name, bytes.NewReader(body))
	if err != nil {
		result.Failure = err.Error()
		return
	}
	request.ContentLength = -1 // the host sends it in chunks
	request.GetBody = nil      // and only once
	request.Header.Set("Content-Type", "application/json; charset=utf-8")
	request.Header.Set("X-Azure-Functions-HostVersion", hostVersion)
	request.Header.Set("X-Azure-Functions-InvocationId", result.InvocationID)
	request.Header.Set("User-Agent", "Azure-Functions-Host/"+hostVersion)
	request.Header.Set("traceparent", traceparent())
	response, err := p.client.Do(request)
	if err == nil {
		defer response.Body.Close()
		result.Status = response.StatusCode
		result.Body, err = io.ReadAll(response.Body)
	}
	if err != nil {
		result.Failure = "An error occurred while sending the request: " + err.Error()
		result.Exited = ctx.Err() == nil && p.hasExited(ctx)
		return
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		result.Failure = fmt.Sprintf("Response status code does not indicate success: %d (%s).", response.StatusCode,
			http.StatusText(response.StatusCode))
		return
	}
	result.read(response.Header.Get("Content-Type"))
}

// hasExited waits a moment for the end of a process whose connection has broken.
func (p *handler) hasExited(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	select {
	case <-p.Exited():
		return true
	case <-ctx.Done():
		return false
	}
}

// read reads the document of an answer that says that it has succeeded.
func (r *Result) read(contentType string) {
	text := bytes.TrimSpace(r.Body)
	if len(text) == 0 || string(text) == "null" {
		r.Hung = true
		return
	}
	var document struct {
		Outputs     map[string]any
		Logs        []string
		ReturnValue any
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil || media != "application/json" && media != "text/json" {
		r.Failure = fmt.Sprintf("Invalid HttpResponseMessage: no MediaTypeFormatter is available to read an object from content with media "+
			"type '%s'", contentType)
		return
	}
	if err := json.Unmarshal(text, &document); err != nil {
		r.Failure = "Invalid HttpResponseMessage: " + err.Error()
		return
	}
	r.Logs = document.Logs
}

func traceparent() string {
	b := make([]byte, 24)
	rand.Read(b)
	return strings.ToLower(fmt.Sprintf("00-%x-%x-00", b[:16], b[16:]))
}
