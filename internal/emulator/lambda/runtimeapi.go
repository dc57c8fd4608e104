package lambda

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

// runtimeAPI is the API that a process sees. Its documentation:
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
func (p *instance) runtimeAPI() http.Handler {
	const base = "/2018-06-01/runtime/"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+base+"invocation/next", p.serveNext)
	mux.HandleFunc("POST "+base+"invocation/{id}/response", func(w http.ResponseWriter, r *http.Request) { p.serveAnswer(w, r, false) })
	mux.HandleFunc("POST "+base+"invocation/{id}/error", func(w http.ResponseWriter, r *http.Request) { p.serveAnswer(w, r, true) })
	mux.HandleFunc("POST "+base+"init/error", p.serveInitError)
	return mux
}

// serveNext waits for the next event and gives it to the process. The time of
// the invocation begins here: the start of a process is not part of it.
func (p *instance) serveNext(w http.ResponseWriter, r *http.Request) {
	if p.invocation() != nil {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "the invocation before it is not answered")
		return
	}
	var inv *invocation
	select {
	case inv = <-p.events:
	case <-r.Context().Done():
		return
	}
	inv.begin = time.Now()
	inv.deadline = inv.begin.Add(p.function.options.Timeout)
	p.mu.Lock()
	p.current = inv
	p.mu.Unlock()
	close(inv.taken)

	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", p.function.options.FunctionARN)
	h.Set("Lambda-Runtime-Trace-Id", traceID())
	_, _ = w.Write(inv.payload) // a process that does not read it ends at its deadline
}

// serveAnswer takes the response or the error of an invocation.
func (p *instance) serveAnswer(w http.ResponseWriter, r *http.Request, failed bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	if err != nil && !errors.As(err, &tooLarge) {
		refuse(w, http.StatusBadRequest, "InvalidRequest", "the body could not be read")
		return
	}
	id := r.PathValue("id")
	p.mu.Lock()
	inv := p.current
	known := inv != nil && inv.id == id
	if known {
		p.current, p.last = nil, id
	}
	p.mu.Unlock()
	switch {
	case !known:
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
		return
	case tooLarge != nil:
		inv.answer, inv.failed = errorPayload("Function.ResponseSizeTooLarge",
			"Response payload size exceeded maximum allowed payload size ("+strconv.Itoa(maxBody)+" bytes)."), true
		close(inv.answered)
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "the response is too large")
		return
	}
	inv.answer, inv.failed = body, failed
	// Accepted first: who waits for the invocation may kill the process.
	accept(w)
	close(inv.answered)
}

// serveInitError takes the error of a process that could not be initialized.
func (p *instance) serveInitError(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil || !json.Valid(body) {
		refuse(w, http.StatusBadRequest, "InvalidRequest", "the body is no JSON")
		return
	}
	p.mu.Lock()
	p.initError = body
	p.mu.Unlock()
	accept(w)
	// It has nothing more to do; some runtimes wait to be ended.
	p.Kill()
}

func accept(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`)
	_ = http.NewResponseController(w).Flush()
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(errorPayload(kind, message))
}
